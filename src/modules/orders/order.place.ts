import { PLATFORM_COMPANY_ID, systemCtx, type Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { MadeRow, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError } from '../../platform/errors.ts';
import { meanwhile } from '../../platform/meanwhile.ts';
import type { LaneAid, LaneItem, Outcome } from '../../platform/lane.ts';
import { redeemCoupons } from '../coupons/index.ts';
import { reserveStock, type StockMove } from '../inventory/index.ts';
import { decideOn, orderExists, type Decided, type RefusedPlacement, type Verdicts } from './order.decide.ts';
import { orders, type Order } from './order.model.ts';
import { dropOrderNumbers, takeOrderNumbers } from './order-number.ts';
import { forgetGoods, groupedBy, readExisting, readGoods, readShelves, type Placement, type Shelf } from './order.shelves.ts';

/** A placement that was accepted, with the row that its order becomes. */
interface Accepted extends Decided {
  made: MadeRow<Order>;
}

/** What joins the transaction of a batch: it is told what is stored there and what was refused before. */
export type Alongside = (tx: Tx, placed: readonly (Order & { _id: string })[], refused: readonly RefusedPlacement[]) => Promise<void>;

/** What may come with a batch. */
export interface BatchAid {
  /** Writes into the same transaction (imports). */
  alongside?: Alongside;
  /** What was decided for it before its turn had come. */
  ahead?: ReadyBatch;
  /** Told when little but the commit is left to do. */
  nearlyDone?(): void;
}

/** What becomes of a batch: orders with their numbers, sealed to be stored, and refusals. */
export type ReadyBatch = Verdicts<Accepted>;

/**
 * Places a batch: reads everything for all of it, decides each request in turn, and commits what was accepted in one
 * transaction whose guards hold in the database. Each request gets its own outcome; throws BatchConflict when a guard
 * met a changed row, so that the caller reads again.
 */
export async function placeBatch(placements: readonly Placement[], { alongside, ahead, nearlyDone }: BatchAid = {}): Promise<Outcome<Row<Order>>[]> {
  const { decided, refused } = (await stillGood(placements, ahead)) ?? (await ready(decideOn(placements, await readShelves(placements))));
  const outcomes: (Outcome<Row<Order>> | undefined)[] = placements.map(() => undefined);
  for (const { index, error } of refused) outcomes[index] = { ok: false, error };
  if (decided.length > 0 || alongside) {
    const items = decided.map((d) => d.item);
    const rows = await commit(items, { nearlyDone, alongside: alongside && ((tx, placed) => alongside(tx, placed, refused)) });
    decided.forEach(({ index }, i) => {
      const row = rows[i];
      if (row) outcomes[index] = { ok: true, value: row };
    });
  }
  return outcomes.map((o) => o ?? { ok: false, error: new Error('A placement was left without an outcome') });
}

/** The lane's view of `placeBatch`. */
export function placeLaneBatch(batch: readonly LaneItem<Placement>[], aid: LaneAid<ReadyBatch>): Promise<Outcome<Row<Order>>[]> {
  return placeBatch(batch.map((b) => b.input), aid);
}

/**
 * Decides a batch while the one before it is being committed, on stock and coupons as they were seen lately, so that its
 * turn begins with writing. Nobody is refused ahead, for stock may come in meanwhile: undefined then, and all is decided
 * when the turn has come.
 */
export async function decideAhead(batch: readonly LaneItem<Placement>[]): Promise<ReadyBatch | undefined> {
  const placements = batch.map((b) => b.input);
  const verdicts = decideOn(placements, await readGoods(placements, 'recall'));
  return verdicts.refused.length > 0 ? undefined : ready(verdicts);
}

/**
 * What was decided ahead, if it may be written: the guards hold it against stock and coupons as they are now, and no order
 * has come with one of its external ids.
 */
async function stillGood(placements: readonly Placement[], ahead: ReadyBatch | undefined): Promise<ReadyBatch | undefined> {
  return ahead && (await readExisting(placements)).length === 0 ? ahead : undefined;
}

/** Gives the orders their numbers and seals them. */
async function ready({ decided, refused }: Verdicts<Decided>): Promise<ReadyBatch> {
  const items = decided.map((d) => d.item);
  await giveNumbers(items);
  const made = await orders.makeMany(items.map(({ placement: { ctx }, order }) => ({ ctx, doc: order })));
  return { decided: decided.flatMap(({ index, item }, i) => (made[i] ? [{ index, item: { ...item, made: made[i] } }] : [])), refused };
}

async function giveNumbers(items: readonly Decided[]): Promise<void> {
  const byCompany = groupedBy(items, (item) => item.placement.ctx.companyId);
  for (const [companyId, own] of byCompany) {
    const numbers = await takeOrderNumbers(companyId, own.length);
    own.forEach((item, i) => {
      item.order.orderNumber = numbers[i] ?? '';
    });
  }
}

interface CommitAid {
  alongside: ((tx: Tx, placed: readonly (Order & { _id: string })[]) => Promise<void>) | undefined;
  nearlyDone: (() => void) | undefined;
}

/** Cold rows first, hot rows (coupon, stock) last and sorted, so that transactions meet late and in one order. */
async function commit(items: readonly Accepted[], { alongside, nearlyDone }: CommitAid): Promise<Row<Order>[]> {
  const [first] = items;
  const single = items.length === 1 && first && !alongside;
  const laneCtx = systemCtx('order-lane', single ? first.placement.ctx.companyId : PLATFORM_COMPANY_ID);
  const placements = items.map((item) => item.placement);
  let attempts = 0;
  try {
    return await withTransaction(laneCtx, async (ctx) => {
      if ((attempts += 1) > 1) forgetGoods(placements);
      const own = items.map((item) => ctx.for(item.placement.ctx));
      const stored = orders.insertMany(ctx, items.map(({ made }, i) => ({ tx: own[i] ?? ctx, made })));
      const [rows] = await meanwhile(stored, () =>
        items.forEach(({ order, made: { row } }, i) => {
          announce(own[i] ?? ctx, order);
          own[i]?.answerWith(row);
        }),
      );
      await alongside?.(ctx, items.map((i) => i.order));
      const redemptions = items.flatMap(({ order, redemption }, i) => (redemption ? [{ ...redemption, tx: own[i] ?? ctx, orderId: order._id }] : []));
      if (redemptions.length > 0) await redeemCoupons(ctx, redemptions);
      const moves = reservationsOf(items.map(({ order, shelf }, i) => ({ tx: own[i] ?? ctx, order, shelf })));
      if (moves.length > 0) await reserveStock(ctx, moves);
      nearlyDone?.();
      return rows;
    });
  } catch (error) {
    forgetGoods(placements);
    throw await explainDuplicate(error, items);
  }
}

function announce(tx: Tx, order: Order & { _id: string }): void {
  tx.emit({ type: 'order.placed', key: order._id, payload: { orderId: order._id, orderNumber: order.orderNumber, totalPaise: order.totals.totalPaise } });
  if (order.paymentDueAt) tx.enqueue({ name: 'orders.expire_unpaid', payload: { orderId: order._id }, runAt: order.paymentDueAt });
}

/** What a batch takes: a move for each line, and one for each SKU and place of all orders of one import together. */
function reservationsOf(items: readonly (Pick<Decided, 'order' | 'shelf'> & { tx: Tx })[]): StockMove[] {
  const moves: StockMove[] = [];
  const together = new Map<string, StockMove>();
  for (const { tx, order, shelf } of items) {
    const own = reservations(tx, order).map((move) => withRow(move, shelf));
    if (order.importId === undefined) {
      moves.push(...own);
      continue;
    }
    for (const move of own) {
      const key = `${order.importId}|${move.sku}|${move.locationId}`;
      const sum = together.get(key) ?? { ...move, quantity: 0, reference: { type: 'import', id: order.importId } };
      together.set(key, { ...sum, quantity: sum.quantity + move.quantity });
    }
  }
  return [...moves, ...together.values()];
}

function withRow(move: StockMove, { stock }: Shelf): StockMove {
  const place = stock.get(move.sku)?.find(({ locationId }) => locationId === move.locationId);
  return place ? { ...move, row: { _id: place._id, companyId: move.tx.companyId } } : move;
}

/** What an order holds of the stock. */
export function reservations(tx: Tx, order: Pick<Order, 'lines'> & { _id: string }): StockMove[] {
  return order.lines.flatMap(({ sku, locationId, reservedQuantity }) =>
    locationId === undefined || reservedQuantity === 0 ? [] : [{ tx, sku, locationId, quantity: reservedQuantity, reference: { type: 'order', id: order._id } }],
  );
}

/** A broken unique index as the caller should see it: a taken number is drawn again, a taken key names the order. */
async function explainDuplicate(error: unknown, items: readonly Decided[]): Promise<unknown> {
  if (!(error instanceof AppError) || error.code !== 'order_exists') return error;
  const fields = error.details?.['fields'] as string[] | undefined;
  if (fields?.includes('orderNumber')) {
    for (const { placement } of items) dropOrderNumbers(placement.ctx.companyId);
    return new BatchConflict('orders');
  }
  const [only] = items;
  if (items.length !== 1 || !only) return error;
  const { ctx, request } = only.placement;
  const key = fields?.includes('externalId') ? { externalId: request.externalId ?? '' } : { idempotencyKey: request.idempotencyKey ?? '' };
  const existing = await orders.findOne(ctx, key, { fields: ['orderNumber'] });
  return existing ? orderExists(existing._id, Object.keys(key)[0] ?? 'key') : error;
}
