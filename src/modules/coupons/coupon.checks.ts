import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type OutsideTx } from '../../platform/context.ts';
import type { Check } from '../../platform/module.ts';
import { couponRedemptions, coupons, couponUses } from './coupon.model.ts';

function everywhere(): OutsideTx {
  return acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'invariant checks');
}

const OPEN = { $match: { givenBackAt: { $exists: false } } };

/** A coupon's counter is the number of its redemptions that were not given back, and within its limit. */
const couponCounters: Check = {
  name: 'coupon used = its redemptions <= its limit',
  async run() {
    const ctx = everywhere();
    const grouped = await couponRedemptions.aggregate<{ _id: string; count: number }>(ctx, [OPEN, { $group: { _id: '$couponId', count: { $sum: 1 } } }]);
    const rows = new Map(grouped.map(({ _id, count }) => [_id, count]));
    const wrong: string[] = [];
    for await (const { _id, used, usageLimit } of coupons.each(ctx, {}, { fields: ['used', 'usageLimit'] })) {
      const count = rows.get(_id) ?? 0;
      rows.delete(_id);
      if (used !== count) wrong.push(`Coupon ${_id}: used ${used}, but ${count} redemptions stand`);
      if (usageLimit !== undefined && used > usageLimit) wrong.push(`Coupon ${_id}: used ${used}, over its limit ${usageLimit}`);
    }
    for (const id of rows.keys()) wrong.push(`Redemptions of coupon ${id}, which does not exist`);
    return wrong;
  },
};

interface PerCustomer {
  _id: { couponId: string; customerKey: string };
  count: number;
}

/** A customer's counter is the number of that customer's redemptions that were not given back, and within the limit. */
const customerCounters: Check = {
  name: 'coupon uses of a customer = redemptions <= the limit',
  async run() {
    const ctx = everywhere();
    const limits = new Map<string, number>();
    for await (const { _id, perCustomerLimit } of coupons.each(ctx, { perCustomerLimit: { $exists: true } }, { fields: ['perCustomerLimit'] })) {
      if (perCustomerLimit !== undefined) limits.set(_id, perCustomerLimit);
    }
    const group = { $group: { _id: { couponId: '$couponId', customerKey: '$customerKey' }, count: { $sum: 1 } } };
    const grouped = await couponRedemptions.aggregate<PerCustomer>(ctx, [OPEN, group]);
    const rows = new Map(grouped.map(({ _id, count }) => [`${_id.couponId}|${_id.customerKey}`, count]));
    const wrong: string[] = [];
    for await (const { _id, couponId, customerKey, count } of couponUses.each(ctx, {})) {
      const key = `${couponId}|${customerKey}`;
      const expected = rows.get(key) ?? 0;
      rows.delete(key);
      if (count !== expected) wrong.push(`Coupon use ${_id}: count ${count}, but ${expected} redemptions stand`);
      const limit = limits.get(couponId);
      if (limit !== undefined && count > limit) wrong.push(`Coupon use ${_id}: count ${count}, over the limit ${limit}`);
    }
    for (const key of rows.keys()) wrong.push(`Redemptions of coupon ${key.split('|')[0] ?? ''} without their customer's counter`);
    return wrong;
  },
};

export const couponChecks = [couponCounters, customerCounters];
