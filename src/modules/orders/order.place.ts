import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { now } from '../../platform/clock.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { LaneItem, Outcome } from '../../platform/lane.ts';
import { runtime } from '../../platform/runtime.ts';
import { sellableBySku } from '../catalog/index.ts';
import { couponDiscount, customerKeyOf, readCoupons, readCouponUses, redeemCoupons, type Coupon } from '../coupons/index.ts';
import { readStock, reserveStock, type StockMove } from '../inventory/index.ts';
import { allocate, type Allocation, type CompanyShelf, type CouponVerdict, type FreeStock, type Sellable } from './order.allocate.rules.ts';
import { orders, type Order, type OrderLine, type Parcel } from './order.model.ts';
import { dropOrderNumbers, takeOrderNumbers } from './order-number.ts';
import type { OrderRequest } from './order.rules.ts';

/** One order to place, on whose behalf. */
export interface Placement {
  ctx: OutsideTx;
  request: OrderRequest;
}

interface Decided {
  placement: Placement;
  order: Order & { _id: string };
  coupon?: { row: Row<Coupon>; customerKey: string; discountPaise: number };
}

/** Coupons of one company with the uses that this batch has already promised. */
interface CouponShelf {
  byCode: Map<string, Row<Coupon>>;
  used: Map<string, number>;
  usedBy: Map<string, number>;
}

interface Shelf extends CompanyShelf {
  coupons: CouponShelf;
  existing: Map<string, string>;
}

/** A placement that the rules refused, by its place in the batch. */
export interface RefusedPlacement {
  index: number;
  error: AppError;
}

/** What joins the transaction of a batch: it is told what is stored there and what was refused before. */
export type Alongside = (tx: Tx, placed: readonly (Order & { _id: string })[], refused: readonly RefusedPlacement[]) => Promise<void>;

/**
 * Places a batch: reads everything for all of it, decides each request in turn, and commits what was accepted in one
 * transaction whose guards hold in the database. Each request gets its own outcome; throws BatchConflict when a guard
 * met a changed row, so that the caller reads again. `alongside` writes into the same transaction (imports).
 */
export async function placeBatch(placements: readonly Placement[], alongside?: Alongside): Promise<Outcome<Row<Order>>[]> {
  const shelves = await readShelves(placements);
  const outcomes: (Outcome<Row<Order>> | undefined)[] = placements.map(() => undefined);
  const decided: { index: number; item: Decided }[] = [];
  const refused: RefusedPlacement[] = [];
  placements.forEach((placement, index) => {
    const shelf = shelves.get(placement.ctx.companyId);
    if (!shelf) throw new Error('Every company of a batch has a shelf');
    try {
      decided.push({ index, item: decide(placement, shelf) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      outcomes[index] = { ok: false, error };
      refused.push({ index, error });
    }
  });
  if (decided.length > 0 || alongside) {
    const items = decided.map((d) => d.item);
    await number(items);
    const rows = await commit(items, alongside && ((tx, placed) => alongside(tx, placed, refused)));
    decided.forEach(({ index }, i) => {
      const row = rows[i];
      if (row) outcomes[index] = { ok: true, value: row };
    });
  }
  return outcomes.map((o) => o ?? { ok: false, error: new Error('A placement was left without an outcome') });
}

/** The lane's view of `placeBatch`. */
export function placeLaneBatch(batch: readonly LaneItem<Placement>[]): Promise<Outcome<Row<Order>>[]> {
  return placeBatch(batch.map((b) => b.input));
}

async function readShelves(placements: readonly Placement[]): Promise<Map<string, Shelf>> {
  const ctx = acrossCompanies(systemCtx('order-lane', PLATFORM_COMPANY_ID), 'orders of many companies are placed together');
  const byCompany = groupedBy(placements, (p) => p.ctx.companyId);
  const wanted = [...byCompany].map(([companyId, list]) => ({ companyId, skus: unique(list.flatMap((p) => p.request.lines.map((l) => l.sku))) }));
  const codes = [...byCompany]
    .map(([companyId, list]) => ({ companyId, codes: unique(list.flatMap((p) => (p.request.couponCode ? [p.request.couponCode] : []))) }))
    .filter((c) => c.codes.length > 0);
  const [products, stock, coupons, existing] = await Promise.all([
    sellableBySku(ctx, wanted),
    readStock(ctx, wanted),
    codes.length > 0 ? readCoupons(ctx, codes) : Promise.resolve([]),
    readExisting(ctx, byCompany),
  ]);
  const couponShelves = await readCouponShelves(ctx, byCompany, coupons);
  const shelves = new Map<string, Shelf>();
  for (const { companyId, skus } of wanted) {
    const own = new Map<string, Sellable>();
    for (const sku of skus) {
      const product = products.get(`${companyId}|${sku}`);
      if (product) own.set(sku, product);
    }
    shelves.set(companyId, { products: own, stock: new Map(), coupons: couponShelves(companyId), existing: new Map() });
  }
  for (const row of stock) {
    const list = shelves.get(row.companyId)?.stock;
    if (!list) continue;
    const places: FreeStock[] = list.get(row.sku) ?? [];
    places.push({ sku: row.sku, locationId: row.locationId, available: row.available });
    list.set(row.sku, places);
  }
  // Ids sort by birth, so the oldest location comes first.
  for (const shelf of shelves.values()) for (const places of shelf.stock.values()) places.sort((a, b) => (a.locationId < b.locationId ? -1 : 1));
  for (const row of existing) if (row.externalId !== undefined) shelves.get(row.companyId)?.existing.set(row.externalId, row._id);
  return shelves;
}

async function readExisting(ctx: Ctx, byCompany: ReadonlyMap<string, Placement[]>): Promise<Pick<Row<Order>, '_id' | 'companyId' | 'externalId'>[]> {
  const branches = [...byCompany]
    .map(([companyId, list]) => ({ companyId, externalId: { $in: list.flatMap((p) => (p.request.externalId === undefined ? [] : [p.request.externalId])) } }))
    .filter((b) => b.externalId.$in.length > 0);
  if (branches.length === 0) return [];
  return orders.find(ctx, { $or: branches }, { fields: ['companyId', 'externalId'] });
}

async function readCouponShelves(ctx: Ctx, byCompany: ReadonlyMap<string, Placement[]>, rows: readonly Row<Coupon>[]): Promise<(companyId: string) => CouponShelf> {
  const shelves = new Map<string, CouponShelf>();
  const shelfOf = (companyId: string): CouponShelf => {
    const shelf = shelves.get(companyId) ?? { byCode: new Map(), used: new Map(), usedBy: new Map() };
    shelves.set(companyId, shelf);
    return shelf;
  };
  for (const row of rows) {
    shelfOf(row.companyId).byCode.set(row.code, row);
    shelfOf(row.companyId).used.set(row._id, row.used);
  }
  const uses: { companyId: string; couponId: string; customerKey: string }[] = [];
  for (const [companyId, list] of byCompany) {
    for (const { request } of list) {
      const coupon = request.couponCode === undefined ? undefined : shelfOf(companyId).byCode.get(request.couponCode);
      if (coupon?.perCustomerLimit !== undefined) uses.push({ companyId, couponId: coupon._id, customerKey: customerKeyOf(companyId, request.customer) });
    }
  }
  if (uses.length > 0) for (const use of await readCouponUses(ctx, uses)) shelfOf(use.companyId).usedBy.set(`${use.couponId}|${use.customerKey}`, use.count);
  return shelfOf;
}

function decide({ ctx, request }: Placement, shelf: Shelf): Decided {
  const earlier = request.externalId === undefined ? undefined : shelf.existing.get(request.externalId);
  if (earlier !== undefined) throw orderExists(earlier, 'externalId');
  let taken: Decided['coupon'];
  const verdict = (lines: OrderLine[]): CouponVerdict => {
    const judged = judgeCoupon(ctx.companyId, request, lines, shelf.coupons);
    if (judged.ok) taken = judged.taken;
    return judged.ok ? { ok: true, discountPaise: judged.taken.discountPaise, freeShipping: judged.freeShipping } : judged;
  };
  const allocation = allocate(request, shelf, verdict, defaultParcel());
  const order = newOrder(ctx, request, allocation);
  if (request.externalId !== undefined) shelf.existing.set(request.externalId, order._id);
  if (taken) {
    const { used, usedBy } = shelf.coupons;
    const key = `${taken.row._id}|${taken.customerKey}`;
    used.set(taken.row._id, (used.get(taken.row._id) ?? 0) + 1);
    usedBy.set(key, (usedBy.get(key) ?? 0) + 1);
  }
  return { placement: { ctx, request }, order, ...(taken ? { coupon: taken } : {}) };
}

type Judged = { ok: true; taken: NonNullable<Decided['coupon']>; freeShipping: boolean } | { ok: false; error: AppError };

function judgeCoupon(companyId: string, request: OrderRequest, lines: readonly OrderLine[], shelf: CouponShelf): Judged {
  const code = request.couponCode ?? '';
  const row = shelf.byCode.get(code);
  const refuse = (reason: string, message: string): Judged => ({ ok: false, error: conflict(reason, message, { couponCode: code }) });
  if (!row) return refuse('coupon_not_found', 'There is no such coupon');
  const customerKey = customerKeyOf(companyId, request.customer);
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
  return { ok: true, taken: { row, customerKey, discountPaise: discount.discountPaise }, freeShipping: discount.freeShipping };
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

async function number(items: readonly Decided[]): Promise<void> {
  const byCompany = groupedBy(items, (item) => item.placement.ctx.companyId);
  for (const [companyId, own] of byCompany) {
    const numbers = await takeOrderNumbers(companyId, own.length);
    own.forEach((item, i) => {
      item.order.orderNumber = numbers[i] ?? '';
    });
  }
}

/** Cold rows first, hot rows (coupon, stock) last and sorted, so that transactions meet late and in one order. */
async function commit(items: readonly Decided[], alongside?: (tx: Tx, placed: readonly (Order & { _id: string })[]) => Promise<void>): Promise<Row<Order>[]> {
  const [first] = items;
  const single = items.length === 1 && first && !alongside;
  const laneCtx = systemCtx('order-lane', single ? first.placement.ctx.companyId : PLATFORM_COMPANY_ID);
  try {
    return await withTransaction(laneCtx, async (ctx) => {
      const own = items.map((item) => ctx.for(item.placement.ctx));
      const rows = await orders.insertMany(ctx, items.map((item, i) => ({ tx: own[i] ?? ctx, doc: item.order })));
      items.forEach(({ order }, i) => announce(own[i] ?? ctx, order));
      rows.forEach((row, i) => own[i]?.answerWith(row));
      await alongside?.(ctx, items.map((i) => i.order));
      const redemptions = items.flatMap(({ order, coupon }, i) =>
        coupon ? [{ tx: own[i] ?? ctx, coupon: coupon.row, orderId: order._id, customerKey: coupon.customerKey, discountPaise: coupon.discountPaise }] : [],
      );
      if (redemptions.length > 0) await redeemCoupons(ctx, redemptions);
      const moves = reservationsOf(items.map(({ order }, i) => ({ tx: own[i] ?? ctx, order })));
      if (moves.length > 0) await reserveStock(ctx, moves);
      return rows;
    });
  } catch (error) {
    throw await explainDuplicate(error, items);
  }
}

function announce(tx: Tx, order: Order & { _id: string }): void {
  tx.emit({ type: 'order.placed', key: order._id, payload: { orderId: order._id, orderNumber: order.orderNumber, totalPaise: order.totals.totalPaise } });
  if (order.paymentDueAt) tx.enqueue({ name: 'orders.expire_unpaid', payload: { orderId: order._id }, runAt: order.paymentDueAt });
}

/** What a batch takes: a move for each line, and one for each SKU and place of all orders of one import together. */
function reservationsOf(items: readonly { tx: Tx; order: Order & { _id: string } }[]): StockMove[] {
  const moves: StockMove[] = [];
  const together = new Map<string, StockMove>();
  for (const { tx, order } of items) {
    const own = reservations(tx, order);
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

function groupedBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
