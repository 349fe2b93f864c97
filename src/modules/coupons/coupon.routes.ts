import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import {
  addCoupon,
  archiveCoupon,
  changeCoupon,
  getCoupon,
  listCoupons,
  validateCoupon,
  type CouponAnswer,
  type CouponQuestion,
} from './coupon.commands.service.ts';
import type { CouponChange, CouponInput } from './coupon.input.rules.ts';
import { COUPON_KINDS, RESTRICTION_BOUNDS, type Coupon, type CouponRestrictions } from './coupon.model.ts';

interface CouponView extends Omit<Coupon, 'startsAt' | 'endsAt'> {
  id: string;
  startsAt?: string;
  endsAt?: string;
  version: number;
  createdAt: string;
  updatedAt: string;
}

function couponView(row: Row<Coupon>): CouponView {
  const { code, kind, valueBp, valuePaise, maxDiscountPaise, minOrderPaise, startsAt, endsAt, usageLimit, perCustomerLimit, used, restrictions, status } = row;
  const limited = restrictions && Object.values(restrictions).some((list) => list !== undefined);
  return {
    id: row._id,
    code,
    kind,
    ...(valueBp === undefined ? {} : { valueBp }),
    ...(valuePaise === undefined ? {} : { valuePaise }),
    ...(maxDiscountPaise === undefined ? {} : { maxDiscountPaise }),
    ...(minOrderPaise === undefined ? {} : { minOrderPaise }),
    ...(startsAt === undefined ? {} : { startsAt: startsAt.toISOString() }),
    ...(endsAt === undefined ? {} : { endsAt: endsAt.toISOString() }),
    ...(usageLimit === undefined ? {} : { usageLimit }),
    ...(perCustomerLimit === undefined ? {} : { perCustomerLimit }),
    used,
    ...(limited ? { restrictions } : {}),
    status,
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

const paymentMethod = Joi.string().valid('prepaid', 'cod');
const kind = Joi.string().valid(...COUPON_KINDS);
const status = Joi.string().valid('active', 'archived');
const positivePaise = field.count(1, 1_000_000_000_000);
const uses = field.count(1, 1_000_000_000);

const restrictions = shape<CouponRestrictions>({
  userIds: Joi.array().items(field.text(64)).max(RESTRICTION_BOUNDS.userIds),
  postalCodes: Joi.array().items(field.text(10)).max(RESTRICTION_BOUNDS.postalCodes),
  skus: Joi.array().items(field.text(100)).max(RESTRICTION_BOUNDS.skus),
  paymentMethods: Joi.array().items(paymentMethod).max(RESTRICTION_BOUNDS.paymentMethods),
});

const terms = {
  valueBp: field.count(1, 10_000),
  valuePaise: positivePaise,
  maxDiscountPaise: positivePaise,
  minOrderPaise: field.paise(),
  startsAt: field.isoTime(),
  endsAt: field.isoTime(),
  usageLimit: uses,
  perCustomerLimit: uses,
  restrictions,
};

const newCoupon = shape<CouponInput>({ code: field.text(100).required(), kind: kind.required(), ...terms });

const couponChange = Joi.object<CouponChange>({
  code: field.text(100),
  kind,
  status,
  ...Object.fromEntries(Object.entries(terms).map(([name, schema]) => [name, schema.allow(null)])),
}).min(1);

const couponShape = shape<CouponView>({
  id: field.id().required(),
  code: Joi.string().required(),
  kind: kind.required(),
  ...terms,
  used: Joi.number().integer().required(),
  status: status.required(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
  updatedAt: field.isoTime().required(),
});

const question = shape<CouponQuestion>({
  code: field.text(100).required(),
  subtotalPaise: field.paise(),
  shippingPaise: field.paise(),
  lines: Joi.array()
    .items(shape<{ sku: string; totalPaise: number }>({ sku: field.text(100).required(), totalPaise: field.paise().required() }))
    .max(200),
  pincode: field.pincode(),
  paymentMethod,
  userId: field.text(64),
  customer: shape<{ phone?: string; email?: string }>({ phone: field.text(30), email: field.text(320) }),
});

const answer = shape<CouponAnswer>({
  valid: Joi.boolean().required(),
  code: Joi.string().required(),
  discountPaise: field.paise().required(),
  freeShipping: Joi.boolean().required(),
  reason: Joi.string(),
  message: Joi.string(),
});

export const couponRoutes = [
  route({
    method: 'post',
    path: '/v1/coupons',
    summary: 'Add a coupon',
    permission: 'coupons:write',
    idempotent: 'accepted',
    status: 201,
    body: newCoupon,
    response: couponShape,
    errors: ['coupon_exists'],
    handle: (ctx, { body }) => addCoupon(ctx, body),
    view: couponView,
  }),
  route({
    method: 'get',
    path: '/v1/coupons',
    summary: 'Coupons, newest first',
    permission: 'coupons:read',
    query: Joi.object<{ limit?: number; cursor?: string; status?: Coupon['status']; code?: string }>({ ...pageQueryKeys, status, code: field.text(100) }),
    response: pageOf(couponShape),
    handle: (ctx, { query }) => listCoupons(ctx, query),
    view: (page) => mapPage(page, couponView),
  }),
  route({
    method: 'post',
    path: '/v1/coupons/validate',
    summary: 'Would this coupon apply to such an order? Changes nothing',
    permission: 'coupons:read',
    limit: 'api',
    body: question,
    response: answer,
    handle: (ctx, { body }) => validateCoupon(ctx, body),
    view: (result) => result,
  }),
  route({
    method: 'get',
    path: '/v1/coupons/:id',
    summary: 'One coupon',
    permission: 'coupons:read',
    params: idParams,
    response: couponShape,
    handle: (ctx, { params }) => getCoupon(ctx, params.id),
    view: couponView,
  }),
  route({
    method: 'patch',
    path: '/v1/coupons/:id',
    summary: 'Change a coupon; null takes a limit away',
    permission: 'coupons:write',
    ifMatch: true,
    params: idParams,
    body: couponChange,
    response: couponShape,
    errors: ['coupon_exists', 'coupon_limit_below_use'],
    handle: (ctx, { params, body, ifMatch }) => changeCoupon(ctx, params.id, body, ifMatch),
    view: couponView,
  }),
  route({
    method: 'delete',
    path: '/v1/coupons/:id',
    summary: 'End a coupon for good; it stays readable',
    permission: 'coupons:write',
    ifMatch: true,
    params: idParams,
    response: couponShape,
    handle: (ctx, { params, ifMatch }) => archiveCoupon(ctx, params.id, ifMatch),
    view: couponView,
  }),
];
