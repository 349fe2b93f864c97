export type { Coupon, CouponUse } from './coupon.model.ts';
export { couponDiscount, couponRefusal, type CouponOrder, type CouponRefusalCode, type CouponVerdict } from './coupon.rules.ts';
export { giveBackCoupon, redeemCoupons, type Redemption } from './coupon.redeem.service.ts';
export { customerKeyOf, readCoupons, readCouponUses } from './coupon.service.ts';
