import type { Ctx, Tx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { now } from '../../platform/clock.ts';
import { ERASED, type CustomerData, type CustomerKeys } from '../../platform/privacy.ts';
import { TERMINAL_STATUSES } from '../couriers/index.ts';
import { ORDER_BOUNDS, orders, type Address, type Customer, type Order, type OrderStatus, type SealedAddress, type SealedCustomer } from './order.model.ts';

const ROWS_A_STEP = 50;
const MOST_OPEN = 20;
const OPEN: readonly OrderStatus[] = ['draft', 'pending_payment', 'placed', 'confirmed', 'partially_shipped'];
const UNDER_WAY = { $elemMatch: { status: { $nin: TERMINAL_STATUSES } } };
/** A shipped order whose every parcel was lost or damaged stays shipped; nothing will come of it any more. */
const IS_OPEN: Filter<Order> = { $or: [{ status: { $in: OPEN } }, { status: 'shipped', shipments: UNDER_WAY }] };
const IS_ENDED: Filter<Order> = { status: { $nin: OPEN }, $or: [{ status: { $ne: 'shipped' } }, { shipments: { $not: UNDER_WAY } }] };

/** What stands in the place of an erased customer. */
export function erasedCustomer(): SealedCustomer {
  return seal<Customer, Customer>({ name: ERASED, phone: ERASED });
}

/** An erased address: city, state and pincode stay, as they do in masks; zones and prices rest on them. */
export function erasedAddress({ mask: { city, state, pincode, country } }: SealedAddress): SealedAddress {
  return seal<Address, Address>({ line1: ERASED, city, state, pincode, country });
}

function ofCustomer(ctx: Ctx, { phone, email }: CustomerKeys): Filter<Order> {
  const branches = [...(phone === undefined ? [] : [orders.blind(ctx, 'phone', phone)]), ...(email === undefined ? [] : [orders.blind(ctx, 'email', email)])];
  return { $or: branches };
}

/** Numbers of the company's orders that are not ended, some at most; of one customer when keys are given. */
export async function openOrderNumbers(ctx: Ctx, most: number, customer?: CustomerKeys): Promise<string[]> {
  const found = await orders.find(ctx, customer ? { $and: [ofCustomer(ctx, customer), IS_OPEN] } : IS_OPEN, { limit: most, fields: ['orderNumber'] });
  return found.map((order) => order.orderNumber);
}

/** Everything that people write freely goes too: notes, tags, and why it was cancelled or edited. */
async function eraseOrder(tx: Tx, { _id, version, shippingAddress, billingAddress, history: told }: Row<Order>): Promise<void> {
  const addresses = { shippingAddress: erasedAddress(shippingAddress), ...(billingAddress ? { billingAddress: erasedAddress(billingAddress) } : {}) };
  const fields = ['customer', 'notes', 'tags', ...Object.keys(addresses)];
  const entry = { at: now(), kind: 'edit' as const, fields, reason: 'erased', actorKind: tx.actor.kind, actorId: tx.actor.id };
  const history = [...told.map(({ reason: _reason, ...rest }) => rest), entry].slice(-ORDER_BOUNDS.history);
  await orders.update(tx, _id, { $set: { customer: erasedCustomer(), ...addresses, tags: [], history }, $unset: { notes: '' } }, { version });
}

/** Customers and addresses on orders; an order that is under way keeps its customer. */
export const orderPrivacy: CustomerData = {
  name: 'orders',
  rows: (ctx, customer) => orders.each(ctx, ofCustomer(ctx, customer)),
  open: (ctx, customer) => openOrderNumbers(ctx, MOST_OPEN, customer),
  async erase(ctx, customer) {
    return withTransaction(ctx, async (ctx) => {
      const some = await orders.find(ctx, { $and: [ofCustomer(ctx, customer), IS_ENDED] }, { limit: ROWS_A_STEP });
      for (const order of some) await eraseOrder(ctx, order);
      return some.length;
    });
  },
};
