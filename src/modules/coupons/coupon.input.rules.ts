import { makeFaults, type Faults } from '../../platform/faults.ts';
import { parsePincode } from '../../platform/identifiers.ts';
import type { Coupon, CouponKind, CouponRestrictions } from './coupon.model.ts';

/** A coupon as its merchant writes it; times are ISO 8601. */
export interface CouponInput {
  code: string;
  kind: CouponKind;
  valueBp?: number;
  valuePaise?: number;
  maxDiscountPaise?: number;
  minOrderPaise?: number;
  startsAt?: string;
  endsAt?: string;
  usageLimit?: number;
  perCustomerLimit?: number;
  restrictions?: CouponRestrictions;
}

/** A change of a coupon; null takes a limit or restriction away. */
export type CouponChange = { [K in keyof Omit<CouponInput, 'code' | 'kind'>]?: CouponInput[K] | null } & {
  code?: string;
  kind?: CouponKind;
  status?: Coupon['status'];
};

/** What of a coupon its merchant decides. */
export type CouponTerms = Omit<Coupon, 'used' | 'status'>;

/** The code as it is stored and looked up: trimmed, upper case. */
export function normalizeCode(code: string): string {
  return code.trim().toUpperCase();
}

/** A new coupon's terms, normalised; 400 naming every faulty field. */
export function readTerms(input: CouponInput): CouponTerms {
  const faults = makeFaults();
  const { startsAt, endsAt, restrictions, code, ...rest } = input;
  const terms: CouponTerms = {
    ...rest,
    code: readCode(code, faults),
    ...(startsAt === undefined ? {} : { startsAt: readTime('startsAt', startsAt, faults) }),
    ...(endsAt === undefined ? {} : { endsAt: readTime('endsAt', endsAt, faults) }),
    ...(restrictions === undefined ? {} : { restrictions: readRestrictions(restrictions, faults) }),
  };
  judgeTerms(terms, faults);
  faults.throwIfAny();
  return terms;
}

/** A coupon's terms after a change: what is given replaces, null removes; the whole obeys the rules of a new coupon. */
export function changedTerms(row: CouponTerms, change: Omit<CouponChange, 'status'>): CouponTerms {
  const { code, kind, valueBp, valuePaise, maxDiscountPaise, minOrderPaise, startsAt, endsAt, usageLimit, perCustomerLimit, restrictions } = row;
  const before: Record<string, unknown> = {
    code, kind, valueBp, valuePaise, maxDiscountPaise, minOrderPaise, usageLimit, perCustomerLimit, restrictions,
    startsAt: startsAt?.toISOString(),
    endsAt: endsAt?.toISOString(),
  };
  const merged = Object.entries({ ...before, ...change }).filter(([, value]) => value !== undefined && value !== null);
  return readTerms(Object.fromEntries(merged) as unknown as CouponInput);
}

function readCode(code: string, faults: Faults): string {
  const normalized = normalizeCode(code);
  if (!/^[A-Z0-9](?:[A-Z0-9_-]{0,48}[A-Z0-9])?$/.test(normalized)) faults.add('code', 'must be 1 to 50 letters and digits, with - and _ between them');
  return normalized;
}

function readTime(path: string, text: string, faults: Faults): Date {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) faults.add(path, 'must be a time such as 2026-01-31T00:00:00Z');
  return time;
}

function readRestrictions({ userIds, postalCodes, skus, paymentMethods }: CouponRestrictions, faults: Faults): CouponRestrictions {
  return {
    ...(userIds ? { userIds: [...new Set(userIds)] } : {}),
    ...(postalCodes ? { postalCodes: [...new Set(postalCodes.map((code, i) => faults.take(`restrictions.postalCodes.${i}`, parsePincode(code))))] } : {}),
    ...(skus ? { skus: [...new Set(skus.map((sku) => sku.trim()))] } : {}),
    ...(paymentMethods ? { paymentMethods: [...new Set(paymentMethods)] } : {}),
  };
}

const VALUE_OF: Readonly<Record<CouponKind, 'valueBp' | 'valuePaise' | undefined>> = {
  percent: 'valueBp',
  flat: 'valuePaise',
  free_shipping: undefined,
};

function judgeTerms(terms: CouponTerms, faults: Faults): void {
  const needed = VALUE_OF[terms.kind];
  for (const name of ['valueBp', 'valuePaise'] as const) {
    if (name === needed && terms[name] === undefined) faults.add(name, `is needed for a coupon of kind ${terms.kind}`);
    if (name !== needed && terms[name] !== undefined) faults.add(name, `does not belong to a coupon of kind ${terms.kind}`);
  }
  if (terms.startsAt && terms.endsAt && terms.startsAt.getTime() >= terms.endsAt.getTime()) faults.add('endsAt', 'must be after startsAt');
}
