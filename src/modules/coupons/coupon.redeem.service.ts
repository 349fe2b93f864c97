import { now } from '../../platform/clock.ts';
import type { Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { BulkChange, Row } from '../../platform/db/collection.ts';
import { couponRedemptions, coupons, couponUses, type Coupon, type CouponUse } from './coupon.model.ts';

/** One use of a coupon by one order, on behalf of its own asker. `coupon` is what was read before deciding. */
export interface Redemption {
  tx: Tx;
  coupon: Row<Coupon>;
  orderId: string;
  customerKey: string;
  discountPaise: number;
}

interface Group {
  first: Redemption;
  count: number;
}

/**
 * Redeems coupons for orders: redemption rows, the customers' counters and the coupons' own, one command each, sorted
 * by key, the hottest last. BatchConflict, and nothing written, when a limit does not allow it or a limit or status
 * was changed since the coupon was read.
 */
export async function redeemCoupons(tx: Tx, items: readonly Redemption[]): Promise<void> {
  if (items.length === 0) return;
  await couponRedemptions.insertMany(
    tx,
    items.map(({ tx, coupon, orderId, customerKey, discountPaise }) => ({ tx, doc: { couponId: coupon._id, orderId, customerKey, discountPaise } })),
  );
  await couponUses.changeMany(tx, grouped(items, (item) => `${item.coupon._id}|${item.customerKey}`).map(customerChange));
  await coupons.changeMany(tx, grouped(items, (item) => item.coupon._id).map(couponChange));
}

function grouped(items: readonly Redemption[], keyOf: (item: Redemption) => string): Group[] {
  const groups = new Map<string, Group>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, { first: groups.get(key)?.first ?? item, count: (groups.get(key)?.count ?? 0) + 1 });
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

/** A failed guard makes the upsert insert a second row, which the unique index turns into a BatchConflict. */
function customerChange({ first, count }: Group): BulkChange<CouponUse> {
  const { tx, coupon, customerKey } = first;
  const limit = coupon.perCustomerLimit;
  // Without a row there is nothing whose guard could fail, so the first uses are held against the limit here.
  if (limit !== undefined && count > limit) throw new BatchConflict(couponUses.name);
  return {
    tx,
    match: { couponId: coupon._id, customerKey },
    ...(limit === undefined ? {} : { where: { count: { $lte: limit - count } } }),
    change: { $inc: { count } },
    orInsert: {},
  };
}

/** Field against field needs `$expr`: a plain filter would compare with the text of the field's name. */
function couponChange({ first, count }: Group): BulkChange<Coupon> {
  const { tx, coupon } = first;
  return {
    tx,
    match: { _id: coupon._id },
    where: {
      status: 'active',
      perCustomerLimit: coupon.perCustomerLimit ?? null,
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
