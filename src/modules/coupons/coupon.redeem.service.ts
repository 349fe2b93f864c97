import { now } from '../../platform/clock.ts';
import type { Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { BulkChange, Row, RowRef } from '../../platform/db/collection.ts';
import { AppError } from '../../platform/errors.ts';
import { couponRedemptions, coupons, couponUses, type Coupon, type CouponUse } from './coupon.model.ts';
import { couponRows } from './coupon.service.ts';

/** One use of a coupon by one order, on behalf of its own asker. `coupon` is what was read before deciding. */
export interface Redemption {
  tx: Tx;
  coupon: Row<Coupon>;
  orderId: string;
  customerKey: string;
  discountPaise: number;
  /** The customer's counter as it was read: null when there was none, undefined when nobody looked. */
  use?: RowRef | null | undefined;
}

/** What a use is decided on, apart from restrictions and the limit of all uses, which is compared with the counter. */
const TERMS = ['kind', 'valueBp', 'valuePaise', 'maxDiscountPaise', 'minOrderPaise', 'startsAt', 'endsAt', 'perCustomerLimit'] as const;

interface Group {
  first: Redemption;
  count: number;
}

/**
 * Redeems coupons for orders: redemption rows, the customers' counters and the coupons' own, one command each, sorted
 * by key, the hottest last. BatchConflict, and nothing written, when a limit does not allow it or the coupon's terms or
 * status were changed since it was read; of restrictions only whether there are any.
 */
export async function redeemCoupons(tx: Tx, items: readonly Redemption[]): Promise<void> {
  if (items.length === 0) return;
  await couponRedemptions.insertMany(
    tx,
    items.map(({ tx, coupon, orderId, customerKey, discountPaise }) => ({ tx, doc: { couponId: coupon._id, orderId, customerKey, discountPaise } })),
  );
  const byCustomer = grouped(items, (item) => `${item.coupon._id}|${item.customerKey}`);
  await countFirstUses(tx, byCustomer.filter(({ first }) => first.use === null));
  await couponUses.changeMany(tx, byCustomer.filter(({ first }) => first.use !== null).map(customerChange));
  const byCoupon = grouped(items, (item) => item.coupon._id);
  await coupons.changeMany(tx, byCoupon.map(couponChange));
  for (const { first, count } of byCoupon) couponRows.adjust(first.coupon.companyId, first.coupon.code, (coupon) => void (coupon.used += count));
}

function grouped(items: readonly Redemption[], keyOf: (item: Redemption) => string): Group[] {
  const groups = new Map<string, Group>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, { first: groups.get(key)?.first ?? item, count: (groups.get(key)?.count ?? 0) + 1 });
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

/** Counters of customers who had none when the batch was decided; BatchConflict when one has come since. */
async function countFirstUses(tx: Tx, groups: readonly Group[]): Promise<void> {
  for (const { first, count } of groups) assertFirstUses(first.coupon, count);
  const rows = groups.map(({ first: { tx, coupon, customerKey }, count }) => ({ tx, doc: { couponId: coupon._id, customerKey, count } }));
  await couponUses.insertMany(tx, rows).catch((error: unknown) => {
    throw error instanceof AppError && error.code === 'coupon_use_exists' ? new BatchConflict(couponUses.name) : error;
  });
}

/** Without a row there is nothing whose guard could fail, so the first uses are held against the limit here. */
function assertFirstUses({ perCustomerLimit }: Coupon, count: number): void {
  if (perCustomerLimit !== undefined && count > perCustomerLimit) throw new BatchConflict(couponUses.name);
}

/** Where nobody looked, a failed guard makes the upsert insert a second row, which the unique index turns into a BatchConflict. */
function customerChange({ first, count }: Group): BulkChange<CouponUse> {
  const { tx, coupon, customerKey, use } = first;
  const limit = coupon.perCustomerLimit;
  assertFirstUses(coupon, count);
  const guarded = { ...(limit === undefined ? {} : { where: { count: { $lte: limit - count } } }), change: { $inc: { count } } };
  return use ? { tx, row: use, ...guarded } : { tx, match: { couponId: coupon._id, customerKey }, ...guarded, orInsert: {} };
}

/** Field against field needs `$expr`: a plain filter would compare with the text of the field's name. */
function couponChange({ first, count }: Group): BulkChange<Coupon> {
  const { tx, coupon } = first;
  return {
    tx,
    row: coupon,
    under: { code: coupon.code },
    where: {
      status: 'active',
      ...Object.fromEntries(TERMS.map((name) => [name, coupon[name] ?? null])),
      restrictions: (coupon.restrictions ?? null) === null ? null : { $ne: null },
      $expr: { $lte: [{ $add: ['$used', count] }, { $ifNull: ['$usageLimit', Number.MAX_SAFE_INTEGER] }] },
    },
    change: { $inc: { used: count } },
  };
}

/**
 * Returns the use that an order took, exactly once: false when the order used no coupon or its use was returned
 * before. The redemption row stays.
 */
export async function giveBackCoupon(tx: Tx, orderId: string): Promise<boolean> {
  const redemption = await couponRedemptions.findOne(tx, { orderId, givenBackAt: { $exists: false } });
  if (!redemption) return false;
  const { _id, couponId, customerKey } = redemption;
  await couponRedemptions.changeMany(tx, [{ match: { _id }, where: { givenBackAt: { $exists: false } }, change: { $set: { givenBackAt: now() } } }]);
  await couponUses.changeMany(tx, [{ match: { couponId, customerKey }, where: { count: { $gte: 1 } }, change: { $inc: { count: -1 } } }]);
  await coupons.changeMany(tx, [{ match: { _id: couponId }, where: { used: { $gte: 1 } }, change: { $inc: { used: -1 } } }]);
  return true;
}
