import { nowMs } from '../../platform/clock.ts';
import type { Ctx, OutsideTx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, invalidFields, stale } from '../../platform/errors.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { changedTerms, normalizeCode, readTerms, type CouponChange, type CouponInput, type CouponTerms } from './coupon.input.rules.ts';
import { coupons, couponUses, type Coupon, type CouponPaymentMethod } from './coupon.model.ts';
import { couponDiscount, couponRefusal, type CouponOrder, type CouponRefusalCode } from './coupon.rules.ts';
import { customerKeyOf } from './coupon.service.ts';

/** Adds a coupon; 409 `coupon_exists` when the code is taken, also by an archived one. */
export async function addCoupon(ctx: OutsideTx, input: CouponInput): Promise<Row<Coupon>> {
  const terms = readTerms(input);
  return withTransaction(ctx, async (ctx) => coupons.insert(ctx, { ...terms, used: 0, status: 'active' }));
}

const TERM_NAMES = [
  'code', 'kind', 'valueBp', 'valuePaise', 'maxDiscountPaise', 'minOrderPaise', 'startsAt', 'endsAt', 'usageLimit', 'perCustomerLimit', 'restrictions',
] as const satisfies readonly (keyof CouponTerms)[];

/**
 * Changes a coupon under the version the caller saw; 409 `coupon_limit_below_use` when a limit would fall below what
 * was used already. A redemption is a change too, so it makes the version stale.
 */
export async function changeCoupon(ctx: OutsideTx, id: string, { status, ...change }: CouponChange, version: number): Promise<Row<Coupon>> {
  return withTransaction(ctx, async (ctx) => {
    const row = await coupons.get(ctx, id);
    const terms = changedTerms(row, change);
    if (row.version !== version) throw stale('coupon', row.version);
    await assertLimits(ctx, row, terms);
    const absent = TERM_NAMES.filter((name) => terms[name] === undefined && row[name] !== undefined);
    const unset = Object.fromEntries(absent.map((name) => [name, true as const]));
    return coupons.update(ctx, id, { $set: { ...terms, ...(status === undefined ? {} : { status }) }, ...(absent.length > 0 ? { $unset: unset } : {}) }, { version });
  });
}

async function assertLimits(tx: Tx, row: Row<Coupon>, { usageLimit, perCustomerLimit }: CouponTerms): Promise<void> {
  const refuse = (field: string, used: number) =>
    conflict('coupon_limit_below_use', 'The limit is lower than what has been used already', { fields: [field], used });
  if (usageLimit !== undefined && usageLimit < row.used) throw refuse('usageLimit', row.used);
  if (perCustomerLimit === undefined || perCustomerLimit === row.perCustomerLimit) return;
  const above = await couponUses.findOne(tx, { couponId: row._id, count: { $gt: perCustomerLimit } });
  if (above) throw refuse('perCustomerLimit', above.count);
}

/** Ends a coupon for good; it stays readable, because orders refer to it, and its code stays taken. */
export async function archiveCoupon(ctx: OutsideTx, id: string, version: number): Promise<Row<Coupon>> {
  return withTransaction(ctx, async (ctx) => coupons.update(ctx, id, { $set: { status: 'archived' } }, { version }));
}

/** One coupon, ended or not. */
export async function getCoupon(ctx: Ctx, id: string): Promise<Row<Coupon>> {
  return coupons.get(ctx, id);
}

/** One page of coupons, newest first. */
export async function listCoupons(
  ctx: Ctx,
  { status, code, ...page }: PageRequest & { status?: Coupon['status'] | undefined; code?: string | undefined },
): Promise<Page<Row<Coupon>>> {
  return coupons.list(ctx, { ...(status === undefined ? {} : { status }), ...(code === undefined ? {} : { code: normalizeCode(code) }) }, page);
}

/** An order that somebody thinks of. Without `subtotalPaise` it is the sum of the lines. */
export interface CouponQuestion {
  code: string;
  subtotalPaise?: number;
  shippingPaise?: number;
  lines?: { sku: string; totalPaise: number }[];
  pincode?: string;
  paymentMethod?: CouponPaymentMethod;
  userId?: string;
  customer?: { phone?: string; email?: string };
}

/** What the coupon would do for that order now; it promises nothing, because only redeeming takes a use. */
export interface CouponAnswer {
  valid: boolean;
  code: string;
  discountPaise: number;
  freeShipping: boolean;
  reason?: CouponRefusalCode;
  message?: string;
}

/** Answers whether a coupon applies and what it takes off; changes nothing. 400 without lines and subtotal. */
export async function validateCoupon(ctx: Ctx, question: CouponQuestion): Promise<CouponAnswer> {
  const { lines = [], subtotalPaise, customer } = question;
  if (subtotalPaise === undefined && lines.length === 0) throw invalidFields([{ path: 'subtotalPaise', message: 'is needed without lines' }]);
  const code = normalizeCode(question.code);
  const coupon = await coupons.findOne(ctx, { code });
  const order: CouponOrder = {
    subtotalPaise: subtotalPaise ?? lines.reduce((sum, line) => sum + line.totalPaise, 0),
    shippingPaise: question.shippingPaise ?? 0,
    lines,
    pincode: question.pincode,
    paymentMethod: question.paymentMethod,
    userId: question.userId,
    atMs: nowMs(),
  };
  const verdict = couponDiscount(coupon, order);
  const refused = (reason: CouponRefusalCode, message: string): CouponAnswer => ({ valid: false, code, discountPaise: 0, freeShipping: false, reason, message });
  if (!verdict.ok) return refused(verdict.code, verdict.message);
  if (!coupon) return refused('coupon_not_found', 'There is no such coupon');
  const used = customer?.phone === undefined && customer?.email === undefined ? 0 : await usesOf(ctx, coupon._id, customer);
  const spent = couponRefusal(coupon, used);
  if (spent) return refused(spent.code, spent.message);
  return { valid: true, code, discountPaise: verdict.discountPaise, freeShipping: verdict.freeShipping };
}

async function usesOf(ctx: Ctx, couponId: string, customer: { phone?: string; email?: string }): Promise<number> {
  const use = await couponUses.findOne(ctx, { couponId, customerKey: customerKeyOf(ctx.companyId, customer) });
  return use?.count ?? 0;
}
