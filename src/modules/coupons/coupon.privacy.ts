import type { Ctx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { newId } from '../../platform/ids.ts';
import type { CustomerData, CustomerKeys } from '../../platform/privacy.ts';
import { couponRedemptions, couponUses } from './coupon.model.ts';
import { customerKeyOf } from './coupon.service.ts';

function keysOf(ctx: Ctx, { phone, email }: CustomerKeys): string[] {
  return [...(phone === undefined ? [] : [customerKeyOf(ctx.companyId, { phone })]), ...(email === undefined ? [] : [customerKeyOf(ctx.companyId, { email })])];
}

/** A customer's uses of coupons are counted under a keyed hash: it gives way to a random one, so that counters still agree. */
export const couponPrivacy: CustomerData = {
  name: 'coupon_uses',
  rows: (ctx, customer) => couponUses.each(ctx, { customerKey: { $in: keysOf(ctx, customer) } }),
  async erase(ctx, customer) {
    const theirs = { customerKey: { $in: keysOf(ctx, customer) } };
    const key = ((await couponRedemptions.findOne(ctx, theirs)) ?? (await couponUses.findOne(ctx, theirs)))?.customerKey;
    if (key === undefined) return 0;
    const nobody = `erased-${newId()}`;
    return withTransaction(ctx, async (ctx) => {
      const uses = await couponUses.find(ctx, { customerKey: key });
      const redemptions = await couponRedemptions.find(ctx, { customerKey: key });
      for (const { _id, version } of uses) await couponUses.update(ctx, _id, { $set: { customerKey: nobody } }, { version });
      for (const { _id, version } of redemptions) await couponRedemptions.update(ctx, _id, { $set: { customerKey: nobody } }, { version });
      return uses.length + redemptions.length;
    });
  },
};
