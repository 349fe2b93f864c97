import { defineCollection } from '../../platform/db/collection.ts';

export const COUPON_KINDS = ['percent', 'flat', 'free_shipping'] as const;
export type CouponKind = (typeof COUPON_KINDS)[number];
export type CouponPaymentMethod = 'prepaid' | 'cod';

/** Who and what a coupon is limited to; an absent or empty list limits nothing. */
export interface CouponRestrictions {
  userIds?: string[];
  postalCodes?: string[];
  /** The discount counts these SKUs' lines only. */
  skus?: string[];
  paymentMethods?: CouponPaymentMethod[];
}

export interface Coupon {
  /** Upper case, unique in the company for ever. */
  code: string;
  kind: CouponKind;
  /** For `percent`: basis points of the lines that count. */
  valueBp?: number;
  /** For `flat`. */
  valuePaise?: number;
  maxDiscountPaise?: number;
  minOrderPaise?: number;
  startsAt?: Date;
  /** From this moment on it is expired. */
  endsAt?: Date;
  usageLimit?: number;
  perCustomerLimit?: number;
  /** Redemptions that were not given back; never above `usageLimit`. */
  used: number;
  restrictions?: CouponRestrictions;
  status: 'active' | 'archived';
}

export const RESTRICTION_BOUNDS = { userIds: 10_000, postalCodes: 10_000, skus: 10_000, paymentMethods: 2 } as const;

const within = (bound: number) => ({
  type: [String],
  default: undefined,
  validate: { validator: (list: unknown) => !Array.isArray(list) || list.length <= bound, message: `at most ${bound} items` },
});

const positive = { type: Number, min: 1 };

export const coupons = defineCollection<Coupon>({
  name: 'coupons',
  rowName: 'coupon',
  fields: {
    code: { type: String, required: true, maxlength: 50 },
    kind: { type: String, required: true, enum: COUPON_KINDS },
    valueBp: { type: Number, min: 1, max: 10_000 },
    valuePaise: positive,
    maxDiscountPaise: positive,
    minOrderPaise: { type: Number, min: 0 },
    startsAt: { type: Date },
    endsAt: { type: Date },
    usageLimit: positive,
    perCustomerLimit: positive,
    used: { type: Number, required: true, min: 0 },
    restrictions: {
      userIds: within(RESTRICTION_BOUNDS.userIds),
      postalCodes: within(RESTRICTION_BOUNDS.postalCodes),
      skus: within(RESTRICTION_BOUNDS.skus),
      paymentMethods: within(RESTRICTION_BOUNDS.paymentMethods),
    },
    status: { type: String, required: true, enum: ['active', 'archived'] },
  },
  // A redemption row tells who used the coupon, when and with which order.
  counters: ['used'],
  bounds: Object.fromEntries(Object.entries(RESTRICTION_BOUNDS).map(([name, bound]) => [`restrictions.${name}`, bound])),
  indexes: [
    { keys: { companyId: 1, code: 1 }, unique: true },
    { keys: { companyId: 1, status: 1, createdAt: -1, _id: -1 } },
  ],
});

/** How often one customer has used one coupon; the key is a keyed hash, no personal value stands here. */
export interface CouponUse {
  couponId: string;
  customerKey: string;
  count: number;
}

/** Not audited: a counter of redemption rows, which are the record. */
export const couponUses = defineCollection<CouponUse>({
  name: 'coupon_uses',
  rowName: 'coupon_use',
  fields: {
    couponId: { type: String, required: true },
    customerKey: { type: String, required: true },
    count: { type: Number, required: true, min: 0 },
  },
  audited: false,
  listed: false,
  indexes: [{ keys: { companyId: 1, couponId: 1, customerKey: 1 }, unique: true }],
});

/** One use of a coupon by one order. */
export interface CouponRedemption {
  couponId: string;
  orderId: string;
  customerKey: string;
  discountPaise: number;
  /** Set when the order was cancelled and the use returned. */
  givenBackAt?: Date;
}

/** Not audited: a redemption is itself the record. */
export const couponRedemptions = defineCollection<CouponRedemption>({
  name: 'coupon_redemptions',
  rowName: 'coupon_redemption',
  fields: {
    couponId: { type: String, required: true },
    orderId: { type: String, required: true },
    customerKey: { type: String, required: true },
    discountPaise: { type: Number, required: true, min: 0 },
    givenBackAt: { type: Date },
  },
  audited: false,
  listed: false,
  indexes: [{ keys: { companyId: 1, orderId: 1 }, unique: true }],
});
