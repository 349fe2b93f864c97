import { applyBp, formatRupees } from '../../platform/money.ts';
import type { Coupon, CouponPaymentMethod } from './coupon.model.ts';

/** What a coupon looks at. `userId` is the buyer's account, when there is one. */
export interface CouponOrder {
  subtotalPaise: number;
  shippingPaise: number;
  lines: readonly { sku: string; totalPaise: number }[];
  pincode?: string | undefined;
  paymentMethod?: CouponPaymentMethod | undefined;
  userId?: string | undefined;
  atMs: number;
}

export type CouponRefusalCode =
  | 'coupon_not_found'
  | 'coupon_not_started'
  | 'coupon_expired'
  | 'coupon_min_order'
  | 'coupon_not_applicable'
  | 'coupon_used_up'
  | 'coupon_limit_reached';

/** What a coupon takes off an order, or why it does not apply. */
export type CouponVerdict =
  | { ok: true; discountPaise: number; freeShipping: boolean }
  | { ok: false; code: CouponRefusalCode; message: string };

/**
 * What the coupon takes off, in paise: percent (halves up, see `applyBp`) or flat, of the lines that count, capped by
 * `maxDiscountPaise` and by those lines; free shipping takes nothing off the lines and drops the shipping. Limits of
 * use are `couponRefusal`'s question.
 */
export function couponDiscount(coupon: Coupon | undefined, order: CouponOrder): CouponVerdict {
  if (!coupon || coupon.status !== 'active') return refusal('coupon_not_found', 'There is no such coupon');
  if (coupon.startsAt && order.atMs < coupon.startsAt.getTime()) return refusal('coupon_not_started', 'This coupon is not valid yet');
  if (coupon.endsAt && order.atMs >= coupon.endsAt.getTime()) return refusal('coupon_expired', 'This coupon has expired');
  if (order.subtotalPaise < (coupon.minOrderPaise ?? 0)) {
    return refusal('coupon_min_order', `This coupon needs an order of at least Rs. ${formatRupees(coupon.minOrderPaise ?? 0)}`);
  }
  const countedPaise = countedBy(coupon, order);
  if (countedPaise === undefined) return refusal('coupon_not_applicable', 'This coupon does not apply to this order');
  if (coupon.kind === 'free_shipping') return { ok: true, discountPaise: 0, freeShipping: true };
  const full = coupon.kind === 'percent' ? applyBp(countedPaise, coupon.valueBp ?? 0) : (coupon.valuePaise ?? 0);
  return { ok: true, discountPaise: Math.min(full, coupon.maxDiscountPaise ?? full, countedPaise), freeShipping: false };
}

/** The value of the lines that the discount counts; undefined when a restriction excludes the order. */
function countedBy(coupon: Coupon, order: CouponOrder): number | undefined {
  const { userIds, postalCodes, skus, paymentMethods } = coupon.restrictions ?? {};
  if (excludes(userIds, order.userId) || excludes(postalCodes, order.pincode) || excludes(paymentMethods, order.paymentMethod)) return undefined;
  if (!skus || skus.length === 0) return order.subtotalPaise;
  const wanted = new Set(skus);
  const counted = order.lines.filter((line) => wanted.has(line.sku));
  if (counted.length === 0) return undefined;
  return Math.min(order.subtotalPaise, counted.reduce((sum, line) => sum + line.totalPaise, 0));
}

function excludes(list: readonly string[] | undefined, value: string | undefined): boolean {
  return list !== undefined && list.length > 0 && (value === undefined || !list.includes(value));
}

function refusal(code: CouponRefusalCode, message: string): CouponVerdict {
  return { ok: false, code, message };
}

/** Why a coupon cannot be used once more, given its own and the customer's count; undefined when it can. */
export function couponRefusal(coupon: Coupon, customerCount: number): { code: CouponRefusalCode; message: string } | undefined {
  if (coupon.usageLimit !== undefined && coupon.used >= coupon.usageLimit) return { code: 'coupon_used_up', message: 'This coupon is used up' };
  if (coupon.perCustomerLimit !== undefined && customerCount >= coupon.perCustomerLimit) {
    return { code: 'coupon_limit_reached', message: 'This customer has used the coupon as often as it allows' };
  }
  return undefined;
}
