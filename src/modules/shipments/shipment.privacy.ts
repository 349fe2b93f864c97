import type { Ctx } from '../../platform/context.ts';
import type { Filter } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import type { CustomerData, CustomerKeys } from '../../platform/privacy.ts';
import { isTerminal, SHIPMENT_STATUSES } from '../couriers/index.ts';
import { erasedAddress, erasedCustomer } from '../orders/index.ts';
import { shipments, type Shipment } from './shipment.model.ts';

const ROWS_A_STEP = 50;
const MOST_OPEN = 20;
const ENDED = SHIPMENT_STATUSES.filter(isTerminal);

function ofCustomer(ctx: Ctx, { phone, email }: CustomerKeys): Filter<Shipment> {
  const branches = [...(phone === undefined ? [] : [shipments.blind(ctx, 'phone', phone)]), ...(email === undefined ? [] : [shipments.blind(ctx, 'email', email)])];
  return { $or: branches };
}

/** The ids of the parcels that went to a customer; for what hangs on them. */
export async function shipmentIdsOf(ctx: Ctx, customer: CustomerKeys): Promise<string[]> {
  return (await shipments.find(ctx, ofCustomer(ctx, customer), { fields: ['_id'] })).map((shipment) => shipment._id);
}

/** Consignees and destinations of parcels. One that the courier still has keeps them. */
export const shipmentPrivacy: CustomerData = {
  name: 'shipments',
  rows: (ctx, customer) => shipments.each(ctx, ofCustomer(ctx, customer)),
  async open(ctx, customer) {
    const ended: Filter<Shipment> = { status: { $nin: ENDED } };
    const found = await shipments.find(ctx, { $and: [ofCustomer(ctx, customer), ended] }, { limit: MOST_OPEN, fields: ['orderNumber'] });
    return found.map((shipment) => shipment.orderNumber);
  },
  async erase(ctx, customer) {
    return withTransaction(ctx, async (ctx) => {
      const some = await shipments.find(ctx, ofCustomer(ctx, customer), { limit: ROWS_A_STEP });
      for (const { _id, version, destination } of some) {
        await shipments.update(ctx, _id, { $set: { consignee: erasedCustomer(), destination: erasedAddress(destination) }, $unset: { cancelReason: '' } }, { version });
      }
      return some.length;
    });
  },
};
