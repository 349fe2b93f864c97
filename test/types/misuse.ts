import Joi from 'joi';
import type { Ctx, OutsideTx, Tx } from '../../src/platform/context.ts';
import { type defineCollection } from '../../src/platform/db/collection.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { conflict } from '../../src/platform/errors.ts';
import { field, route, shape } from '../../src/platform/route.ts';

/*
 * What the compiler must refuse. Nothing here runs: `tsc --noEmit` reads it, and an expected error that does not come is
 * an error itself. Each refusal stands beside the same thing done right.
 */

interface Cup {
  colour: string;
  filledMl: number;
  stickers: string[];
  owner?: { name: string };
}

declare const cups: ReturnType<typeof defineCollection<Cup>>;
declare const ctx: Ctx;
declare const outside: OutsideTx;
declare const tx: Tx;
declare const id: string;

const doc: Cup = { colour: 'red', filledMl: 0, stickers: [] };
const where = { filledMl: { $gte: 1 } };
const otherwise = () => conflict('empty', 'The cup is empty');

async function command(ctx: OutsideTx): Promise<number> {
  return withTransaction(ctx, async (ctx) => step(ctx));
}

async function step(tx: Tx): Promise<number> {
  await cups.insert(tx, doc);
  return cups.count(tx, {});
}

async function query(ctx: Ctx): Promise<number> {
  return cups.count(ctx, {});
}

export async function writesNeedTransaction(): Promise<void> {
  await cups.insert(tx, doc);
  // @ts-expect-error a write without a transaction
  await cups.insert(ctx, doc);
  // @ts-expect-error a write without a transaction
  await cups.insert(outside, doc);
  // @ts-expect-error a write without a transaction
  await cups.update(ctx, id, { $set: { colour: 'blue' } }, { version: 1 });
  // @ts-expect-error a write without a transaction
  await cups.remove(ctx, id, { version: 1 });
  // @ts-expect-error a write without a transaction
  await cups.insertMany(ctx, [{ tx, doc }]);
  // @ts-expect-error a bulk item without a transaction
  await cups.insertMany(tx, [{ tx: outside, doc }]);
  // @ts-expect-error a write without a transaction
  await cups.changeMany(ctx, [{ match: { _id: id }, change: { $inc: { filledMl: 1 } } }]);
}

export async function contexts(): Promise<void> {
  await query(ctx);
  await query(outside);
  await query(tx);
  await step(tx);
  // @ts-expect-error a step outside of a transaction
  await step(outside);
  // @ts-expect-error a step with a reader's context
  await step(ctx);
  await command(outside);
  // @ts-expect-error a command called with a Tx
  await command(tx);
  // @ts-expect-error a nested transaction
  await withTransaction(tx, async (tx) => step(tx));
  // @ts-expect-error a command inside the body, with the body's Tx
  await withTransaction(outside, async (outside) => command(outside));
  // @ts-expect-error a copy of a Tx is no Tx
  await step({ ...tx });
  // @ts-expect-error a Tx moved to another company is no Tx
  await step({ ...tx, companyId: id });
  // @ts-expect-error a copy of a Tx is no way out of the transaction
  await command({ ...tx });
  // @ts-expect-error nobody makes a Tx by hand
  await step({ actor: ctx.actor, companyId: id, requestId: 'r', emit: () => undefined });
  // @ts-expect-error a Tx does not change its company
  tx.companyId = id;
}

export async function guards(): Promise<void> {
  await cups.update(tx, id, { $inc: { filledMl: -1 } }, { version: 1 });
  await cups.update(tx, id, { $inc: { filledMl: -1 } }, { where, otherwise });
  // @ts-expect-error an update without a guard
  await cups.update(tx, id, { $inc: { filledMl: -1 } });
  // @ts-expect-error a guard that says nothing
  await cups.update(tx, id, { $inc: { filledMl: -1 } }, {});
  // @ts-expect-error a condition without the refusal that it means
  await cups.update(tx, id, { $inc: { filledMl: -1 } }, { where });
  // @ts-expect-error a version that may be missing
  await cups.update(tx, id, { $inc: { filledMl: -1 } }, { version: undefined });
  // @ts-expect-error a removal without a guard
  await cups.remove(tx, id);
  // @ts-expect-error a guard over a field that does not exist
  await cups.update(tx, id, { $inc: { filledMl: -1 } }, { where: { filled: 1 }, otherwise });
}

export async function changes(): Promise<void> {
  const guard = { version: 1 };
  await cups.update(tx, id, { $set: { colour: 'blue', 'owner.name': 'Asha' }, $push: { stickers: 'star' } }, guard);
  // @ts-expect-error companyId is nobody's to change
  await cups.update(tx, id, { $set: { companyId: id } }, guard);
  // @ts-expect-error _id is nobody's to change
  await cups.update(tx, id, { $set: { _id: id } }, guard);
  // @ts-expect-error version is the door's to change
  await cups.update(tx, id, { $set: { version: 2 } }, guard);
  // @ts-expect-error version is the door's to change
  await cups.update(tx, id, { $inc: { version: 1 } }, guard);
  // @ts-expect-error a field that does not exist
  await cups.update(tx, id, { $set: { color: 'blue' } }, guard);
  // @ts-expect-error a value of another kind
  await cups.update(tx, id, { $set: { filledMl: '1' } }, guard);
  // @ts-expect-error only numbers are counted up
  await cups.update(tx, id, { $inc: { colour: 1 } }, guard);
  // @ts-expect-error only lists are pushed to
  await cups.update(tx, id, { $push: { colour: 'blue' } }, guard);
  // @ts-expect-error a change has operators
  await cups.update(tx, id, { colour: 'blue' }, guard);
  // @ts-expect-error an operator that the door does not take
  await cups.update(tx, id, { $rename: { colour: 'color' } }, guard);
  // @ts-expect-error a row that misses a field
  await cups.insert(tx, { colour: 'red', stickers: [] });
  // @ts-expect-error a row with a field too many
  await cups.insert(tx, { ...doc, handle: true });
}

export async function filters(): Promise<void> {
  await cups.find(ctx, { colour: 'red', filledMl: { $gte: 1 }, 'owner.name': 'Asha' });
  // @ts-expect-error a field that does not exist
  await cups.find(ctx, { color: 'red' });
  // @ts-expect-error a value of another kind
  await cups.find(ctx, { filledMl: '1' });
  // @ts-expect-error an operator that runs code
  await cups.find(ctx, { $where: 'true' });
  // @ts-expect-error a field that does not exist, deeper
  await cups.find(ctx, { $or: [{ color: 'red' }] });
  // @ts-expect-error a field that does not exist
  await cups.find(ctx, {}, { fields: ['color'] });
  // @ts-expect-error the result has only the fields of the row
  (await cups.get(ctx, id)).color;
}

interface Order {
  sku: string;
  quantity: number;
  note?: string;
}

const order = shape<Order>({ sku: field.text(50).required(), quantity: field.count(1, 100).required(), note: field.text(100) });

export const shapes = [
  order,
  // @ts-expect-error a schema that misses a key
  shape<Order>({ sku: field.text(50).required(), note: field.text(100) }),
  // @ts-expect-error a schema that misses an optional key
  shape<Order>({ sku: field.text(50).required(), quantity: field.count(1, 100).required() }),
  // @ts-expect-error a key of another kind
  shape<Order>({ sku: field.text(50).required(), quantity: field.text(3), note: field.text(100) }),
  // @ts-expect-error a key that the type does not have
  shape<Order>({ sku: field.text(50).required(), quantity: field.count(1, 100), note: field.text(100), price: field.paise() }),
];

const place = {
  method: 'post',
  path: '/v1/cups',
  summary: 'Order a cup',
  response: shape<{ id: string }>({ id: Joi.string().required() }),
} as const;

export const routes = [
  route({ ...place, permission: 'orders:write', body: order, handle: (_ctx, { body }) => Promise.resolve({ id: body.sku }), view: (r) => r }),
  // @ts-expect-error a route without an access decision
  route({ ...place, body: order, handle: (_ctx, { body }) => Promise.resolve({ id: body.sku }), view: (r: { id: string }) => r }),
  // @ts-expect-error a permission that does not exist
  route({ ...place, permission: 'cups:write', handle: () => Promise.resolve({ id: 'x' }), view: (r: { id: string }) => r }),
  route({
    ...place,
    permission: 'orders:write',
    body: order,
    // @ts-expect-error the body has no such key
    handle: (_ctx, { body }) => Promise.resolve({ id: body.price }),
    view: (r: { id: string }) => r,
  }),
  // @ts-expect-error a view that answers something else than the declared response
  route({ ...place, permission: 'orders:write', handle: () => Promise.resolve({ id: 1 }), view: (r: { id: number }): { id: number } => r }),
  // @ts-expect-error a view is needed
  route({ ...place, permission: 'orders:write', handle: () => Promise.resolve({ id: 'x' }) }),
  // @ts-expect-error a handler works on a command's context, not inside a transaction
  route({ ...place, permission: 'orders:write', handle: async (tx: Tx) => ({ id: String(await step(tx)) }), view: (r: { id: string }) => r }),
];
