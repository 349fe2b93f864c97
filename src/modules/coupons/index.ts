import type { Module } from '../../platform/module.ts';
import { couponChecks } from './coupon.checks.ts';
import { couponPrivacy } from './coupon.privacy.ts';
import { couponRoutes } from './coupon.routes.ts';

export type { Coupon, CouponUse } from './coupon.model.ts';
export { addCoupon } from './coupon.commands.service.ts';
export type { CouponInput } from './coupon.input.rules.ts';
export { couponDiscount, couponRefusal, type CouponOrder, type CouponRefusalCode, type CouponVerdict } from './coupon.rules.ts';
export { giveBackCoupon, redeemCoupons, type Redemption } from './coupon.redeem.service.ts';
export { couponRows, customerKeyOf, readCouponUses } from './coupon.service.ts';

export const couponsModule: Module = { name: 'coupons', routes: couponRoutes, checks: couponChecks, customerData: [couponPrivacy] };
