import { PLATFORM_COMPANY_ID, systemCtx, type Ctx, type Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { MadeRow, Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { now } from '../../platform/clock.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { meanwhile } from '../../platform/meanwhile.ts';
import type { LaneAid, LaneItem, Outcome } from '../../platform/lane.ts';
import { runtime } from '../../platform/runtime.ts';
import { couponDiscount, couponRows, redeemCoupons, type Redemption } from '../coupons/index.ts';
import { reserveStock, stockRows, type StockMove } from '../inventory/index.ts';
import { allocate, type Allocation, type CouponVerdict } from './order.allocate.rules.ts';
import { orders, type Order, type OrderLine, type Parcel } from './order.model.ts';
import { dropOrderNumbers, takeOrderNumbers } from './order-number.ts';
import type { OrderRequest } from './order.rules.ts';
import { groupedBy, readExisting, readGoods, readShelves, type CouponShelf, type Placement, type Shelf } from './order.shelves.ts';

interface Decided {
  placement: Placement;
  order: Order & { _id: string };
  /** What it was decided on; its stock rows are named when they are changed. */
  shelf: Shelf;
  redemption?: Omit<Redemption, 'tx' | 'orderId'>;
}

/** A placement that was accepted, with the row that its order becomes. */
interface Accepted extends Decided {
  made: MadeRow<Order>;
}

/** A placement that the rules refused, by its place in the batch. */
export interface RefusedPlacement {
  index: number;
  error: AppError;
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

interface Verdicts<D> {
  decided: { index: number; item: D }[];
  refused: RefusedPlacement[];
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

function decideOn(placements: readonly Placement[], shelves: ReadonlyMap<string, Shelf>): Verdicts<Decided> {
  const verdicts: Verdicts<Decided> = { decided: [], refused: [] };
  placements.forEach((placement, index) => {
    const shelf = shelves.get(placement.ctx.companyId);
    if (!shelf) throw new Error('Every company of a batch has a shelf');
    try {
      verdicts.decided.push({ index, item: decide(placement, shelf) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      verdicts.refused.push({ index, error });
    }
  });
  return verdicts;
}

function decide({ ctx, request }: Placement, shelf: Shelf): Decided {
  const earlier = request.externalId === undefined ? undefined : shelf.existing.get(request.externalId);
  if (earlier !== undefined) throw orderExists(earlier, 'externalId');
  let taken: Decided['redemption'];
  const verdict = (lines: OrderLine[]): CouponVerdict => {
    const judged = judgeCoupon(request, lines, shelf.coupons);
    if (judged.ok) taken = judged.taken;
    return judged.ok ? { ok: true, discountPaise: judged.taken.discountPaise, freeShipping: judged.freeShipping } : judged;
  };
  const allocation = allocate(request, shelf, verdict, defaultParcel());
  const order = newOrder(ctx, request, allocation);
  if (request.externalId !== undefined) shelf.existing.set(request.externalId, order._id);
  if (taken) {
    const { used, usedBy } = shelf.coupons;
    const key = `${taken.coupon._id}|${taken.customerKey}`;
    used.set(taken.coupon._id, (used.get(taken.coupon._id) ?? 0) + 1);
    usedBy.set(key, (usedBy.get(key) ?? 0) + 1);
  }
  return { placement: { ctx, request }, order, shelf, ...(taken ? { redemption: taken } : {}) };
}

type Judged = { ok: true; taken: NonNullable<Decided['redemption']>; freeShipping: boolean } | { ok: false; error: AppError };

function judgeCoupon(request: OrderRequest, lines: readonly OrderLine[], shelf: CouponShelf): Judged {
  const code = request.couponCode ?? '';
  const row = shelf.byCode.get(code);
  const refuse = (reason: string, message: string): Judged => ({ ok: false, error: conflict(reason, message, { couponCode: code }) });
  const customerKey = shelf.customers.get(request);
  if (!row || customerKey === undefined) return refuse('coupon_not_found', 'There is no such coupon');
  if (row.usageLimit !== undefined && (shelf.used.get(row._id) ?? row.used) >= row.usageLimit) return refuse('coupon_used_up', 'This coupon is used up');
  if (row.perCustomerLimit !== undefined && (shelf.usedBy.get(`${row._id}|${customerKey}`) ?? 0) >= row.perCustomerLimit) {
    return refuse('coupon_limit_reached', 'This customer has used the coupon as often as it allows');
  }
  const subtotalPaise = lines.reduce((sum, line) => sum + line.totalPaise, 0);
  const discount = couponDiscount(row, {
    subtotalPaise,
    shippingPaise: request.imported?.shippingPaise ?? 0,
    lines: lines.map(({ sku, totalPaise }) => ({ sku, totalPaise })),
    pincode: request.shippingAddress.pincode,
    paymentMethod: request.paymentMethod,
    atMs: now().getTime(),
  });
  if (!discount.ok) return refuse(discount.code, discount.message);
  // Their uses are read only of coupons that limit them.
  const use = row.perCustomerLimit === undefined ? undefined : (shelf.uses.get(`${row._id}|${customerKey}`) ?? null);
  return { ok: true, taken: { coupon: row, customerKey, discountPaise: discount.discountPaise, use }, freeShipping: discount.freeShipping };
}

function newOrder({ actor }: Ctx, request: OrderRequest, allocation: Allocation): Order & { _id: string } {
  const at = now();
  // What costs nothing waits for no payment: nobody could make one, and it would expire.
  const collect = request.collectPayment === true && allocation.totals.totalPaise > 0;
  const status = collect ? 'pending_payment' : 'placed';
  const { externalId, idempotencyKey, billingAddress, couponCode, notes, pickupLocationId, imported } = request;
  return {
    _id: newId(),
    orderNumber: '',
    channel: request.channel,
    ...(externalId === undefined ? {} : { externalId }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    status,
    customer: seal(request.customer),
    shippingAddress: seal(request.shippingAddress),
    ...(billingAddress === undefined ? {} : { billingAddress: seal(billingAddress) }),
    ...allocation,
    paymentMethod: request.paymentMethod,
    collectPayment: collect,
    ...(collect ? { paymentDueAt: new Date(at.getTime() + runtime().config.orderPaymentSeconds * 1000) } : {}),
    ...(couponCode === undefined ? {} : { couponCode }),
    ...(imported?.discountCodeText === undefined ? {} : { discountCodeText: imported.discountCodeText }),
    ...(pickupLocationId === undefined ? {} : { pickupLocationId }),
    tags: request.tags ?? [],
    ...(notes === undefined ? {} : { notes }),
    history: [{ at, kind: 'status', status, actorKind: actor.kind, actorId: actor.id }],
    shipments: [],
    ...(imported?.importId === undefined ? {} : { importId: imported.importId }),
    placedAt: imported?.placedAt ?? at,
  };
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
  let attempts = 0;
  try {
    return await withTransaction(laneCtx, async (ctx) => {
      if ((attempts += 1) > 1) forgetSeen(items);
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
    forgetSeen(items);
    throw await explainDuplicate(error, items);
  }
}

/** What an attempt took and gave back when it failed was taken off what is remembered. */
function forgetSeen(items: readonly Accepted[]): void {
  for (const { placement, order, redemption } of items) {
    const { companyId } = placement.ctx;
    for (const { sku } of order.lines) stockRows.forget(companyId, sku);
    if (redemption) couponRows.forget(companyId, redemption.coupon.code);
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

function orderExists(id: string, field: string): AppError {
  return conflict('order_exists', 'This order was placed before', { id, fields: [field] });
}

/** The parcel of an order that says nothing, from the settings. */
export function defaultParcel(): Parcel {
  const { config } = runtime();
  return {
    weightGrams: config.defaultParcelGrams,
    lengthMm: config.defaultParcelLengthMm,
    breadthMm: config.defaultParcelBreadthMm,
    heightMm: config.defaultParcelHeightMm,
  };
}
