import { withTransaction } from '../../platform/db/transaction.ts';
import type { CustomerData } from '../../platform/privacy.ts';
import { shipmentIdsOf } from '../shipments/index.ts';
import { ndrs } from './tracking.model.ts';

/** Corrected phones and addresses that answer a failed delivery. Goes before the shipments, by which it finds them. */
export const ndrPrivacy: CustomerData = {
  name: 'ndrs',
  async *rows(ctx, customer) {
    yield* ndrs.each(ctx, { shipmentId: { $in: await shipmentIdsOf(ctx, customer) } });
  },
  async erase(ctx, customer) {
    const ids = await shipmentIdsOf(ctx, customer);
    if (ids.length === 0) return 0;
    return withTransaction(ctx, async (ctx) => {
      const some = await ndrs.find(ctx, { shipmentId: { $in: ids }, 'actions.correction': { $exists: true } }, { limit: 50 });
      for (const { _id, version, actions } of some) {
        const without = actions.map(({ correction: _gone, ...action }) => action);
        await ndrs.update(ctx, _id, { $set: { actions: without } }, { version });
      }
      return some.length;
    });
  },
};
