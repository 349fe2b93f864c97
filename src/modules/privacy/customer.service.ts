import { now } from '../../platform/clock.ts';
import type { Ctx, OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict } from '../../platform/errors.ts';
import { customerData, type CustomerKeys } from '../../platform/privacy.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { erasures, type Erasure } from './privacy.model.ts';

export const ERASE_CUSTOMER = 'privacy.erase_customer';
const MOST_NAMED = 20;

/**
 * Asks for the erasure of what the company holds of a customer; a job does it. Refuses 409 `customer_has_open_orders`
 * naming them: what is still on its way needs an address.
 */
export async function eraseCustomer(ctx: OutsideTx, customer: CustomerKeys, reason: string): Promise<Row<Erasure>> {
  const open: string[] = [];
  for (const holder of customerData()) open.push(...((await holder.open?.(ctx, customer)) ?? []));
  if (open.length > 0) {
    const details = { orderNumbers: [...new Set(open)].slice(0, MOST_NAMED) };
    throw conflict('customer_has_open_orders', 'This customer has orders that are still under way', details);
  }
  return withTransaction(ctx, async (ctx) => {
    const row = await erasures.insert(ctx, {
      kind: 'customer',
      state: 'running',
      reason: seal(reason),
      requestedBy: ctx.actor.id,
      dueAt: now(),
      counts: {},
      customer: seal(customer),
    });
    await noteSecurityEvent(ctx, { type: 'security.customer_erased', userId: ctx.actor.id, details: { erasureId: row._id } });
    ctx.enqueue({ name: ERASE_CUSTOMER, payload: { erasureId: row._id } });
    return row;
  });
}

/** Does an erasure to its end, a few rows a transaction; may be cut off and repeated. */
export async function runCustomerErasure(ctx: OutsideTx, erasureId: string): Promise<void> {
  const erasure = await erasures.findOne(ctx, { _id: erasureId });
  if (!erasure?.customer || erasure.state !== 'running') return;
  const customer = erasure.customer.reveal();
  const counts: Record<string, number> = { ...erasure.counts };
  for (const holder of customerData()) {
    for (let n = await holder.erase(ctx, customer); n > 0; n = await holder.erase(ctx, customer)) {
      counts[holder.name] = (counts[holder.name] ?? 0) + n;
      await note(ctx, erasureId, { counts });
    }
  }
  await note(ctx, erasureId, { counts, state: 'done', finishedAt: now() }, true);
}

async function note(ctx: OutsideTx, id: string, change: Partial<Erasure>, forget = false): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const seen = await erasures.get(ctx, id);
    await erasures.update(ctx, id, { $set: change, ...(forget ? { $unset: { customer: '' } } : {}) }, { version: seen.version });
  });
}

/** One erasure of the company; 404 when unknown. */
export async function getErasure(ctx: Ctx, id: string): Promise<Row<Erasure>> {
  return erasures.get(ctx, id);
}
