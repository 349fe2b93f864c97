import { createHmac } from 'node:crypto';
import { monotonicMs } from '../../platform/clock.ts';
import type { Ctx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { parseMobile } from '../../platform/identifiers.ts';
import { makeRecall, type Wanted } from '../../platform/recall.ts';
import { runtime } from '../../platform/runtime.ts';
import { coupons, couponUses, type Coupon, type CouponUse } from './coupon.model.ts';

/**
 * The key under which a customer's uses are counted: of the phone as E.164, else of the lower-case e-mail, hashed with
 * the company's id and a secret key, so that the row tells nothing. Throws when there is neither.
 */
export function customerKeyOf(companyId: string, customer: { phone?: string | undefined; email?: string | undefined }): string {
  const phone = customer.phone === undefined ? undefined : parseMobile(customer.phone);
  const value = phone?.ok ? `phone:${phone.value}` : customer.email ? `email:${customer.email.trim().toLowerCase()}` : undefined;
  if (value === undefined) throw new Error('A customer is known by a phone number or an e-mail address');
  return createHmac('sha256', runtime().config.blindIndexKey ?? '').update(`${companyId}|${value}`).digest('base64url');
}

const MAX_SEEN = 5_000;
const SEEN_FOR_MS = 60_000;

/**
 * Coupons by their codes (upper case), of all companies in one read; ctx from `acrossCompanies` for others. `redeemCoupons`
 * judges what is recalled; it does not compare the lists of restrictions, so coupons with some are read each time.
 */
export const couponRows = makeRecall<Row<Coupon>>({
  read: readCoupons,
  keyOf: ({ companyId, code }) => ({ companyId, name: code }),
  keep: ({ restrictions }) => (restrictions ?? null) === null,
  max: MAX_SEEN,
  forMs: SEEN_FOR_MS,
  now: monotonicMs,
});

async function readCoupons(ctx: Ctx, wanted: readonly Wanted[]): Promise<Row<Coupon>[]> {
  const branches = wanted
    .filter(({ names }) => names.length > 0)
    .map(({ companyId, names }): Filter<Coupon> => ({ companyId, code: { $in: [...new Set(names)] } }));
  return branches.length === 0 ? [] : coupons.find(ctx, { $or: branches });
}

/**
 * The counters of these customers, in one read; a customer without a row has used the coupon 0 times. Counters of other
 * coupons asked for may come with them, a few at most.
 */
export async function readCouponUses(
  ctx: Ctx,
  wanted: readonly UseKey[],
): Promise<Row<CouponUse>[]> {
  return wanted.length === 0 ? [] : couponUses.find(ctx, meetings(wanted) > MOST_BESIDE * wanted.length ? each(wanted) : amongAll(wanted));
}

type UseKey = Pick<CouponUse, 'couponId' | 'customerKey'> & { companyId: string };

/** So many counters of others may come with each that was asked for. */
const MOST_BESIDE = 4;

/** One list for each field: a quarter of the server's CPU of a condition for each counter, while few coupons meet few customers. */
function amongAll(wanted: readonly UseKey[]): Filter<CouponUse> {
  const among = (field: keyof UseKey): { $in: string[] } => ({ $in: [...new Set(wanted.map((use) => use[field]))] });
  return { companyId: among('companyId'), couponId: among('couponId'), customerKey: among('customerKey') };
}

function each(wanted: readonly UseKey[]): Filter<CouponUse> {
  return { $or: wanted.map(({ companyId, couponId, customerKey }): Filter<CouponUse> => ({ companyId, couponId, customerKey })) };
}

/** How many counters there can be of these coupons and customers: both are of one company. */
function meetings(wanted: readonly UseKey[]): number {
  const byCompany = new Map<string, { coupons: Set<string>; customers: Set<string> }>();
  for (const { companyId, couponId, customerKey } of wanted) {
    const own = byCompany.get(companyId) ?? { coupons: new Set(), customers: new Set() };
    byCompany.set(companyId, own);
    own.coupons.add(couponId);
    own.customers.add(customerKey);
  }
  return [...byCompany.values()].reduce((sum, { coupons, customers }) => sum + coupons.size * customers.size, 0);
}
