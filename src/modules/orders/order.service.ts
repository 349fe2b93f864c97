import { now } from '../../platform/clock.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, invalidFields, notFound, stale, type AppError } from '../../platform/errors.ts';
import { makeLane, type Lane } from '../../platform/lane.ts';
import { metrics } from '../../platform/metrics.ts';
import { assertRange, type Page, type PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { parseMobile } from '../../platform/identifiers.ts';
import { activeLocation } from '../companies/index.ts';
import { giveBackCoupon } from '../coupons/index.ts';
import { releaseStock, shipStock } from '../inventory/index.ts';
import { knownPincodes } from '../pincodes/index.ts';
import { orders, type Address, type Customer, type HistoryEntry, type Order, type OrderLine, type OrderShipment, type OrderStatus } from './order.model.ts';
import { decideAhead, placeLaneBatch, reservations, type ReadyBatch } from './order.place.ts';
import type { Placement } from './order.shelves.ts';
import { canCancel, editRefusal, normalizeOrder, readAddress, readCustomer, type OrderInput } from './order.rules.ts';
import { makeFaults } from '../../platform/faults.ts';

let lane: Lane<Placement, Row<Order>> | undefined;

/** Opens the lanes of this process; answers how to drain them. */
export function openOrderLane(): () => Promise<void> {
  const { config } = runtime();
  const opened = makeLane<Placement, Row<Order>, ReadyBatch>({
    name: 'orders',
    lanes: config.laneCount,
    maxBatch: config.lanes ? config.laneMaxBatch : 1,
    maxQueue: config.laneMaxQueue,
    execute: placeLaneBatch,
    prepare: decideAhead,
    onBatch: (size, queued) => metrics.laneBatch('orders', size, queued),
  });
  lane = opened;
  return () => opened.drain();
}

/**
 * Places an order: stock reserved, coupon redeemed, number given, all in one transaction, answered after its commit.
 * Refuses 400 with every faulty field, 409 `out_of_stock`, `coupon_used_up`, `coupon_limit_reached`, `order_exists`.
 */
export async function placeOrder(ctx: OutsideTx, input: OrderInput, idempotencyKey?: string): Promise<Row<Order>> {
  const { config } = runtime();
  const request = normalizeOrder(input, await knownPincodes());
  assertQuantities(request.lines, config.maxLineQuantity);
  if (request.pickupLocationId !== undefined) await activeLocation(ctx, request.pickupLocationId);
  else if (ctx.actor.locationIds) throw invalidFields([{ path: 'pickupLocationId', message: 'is needed: you work for some locations only' }]);
  if (!lane) throw new Error('The order lane is not open');
  return lane.submit({ companyId: ctx.companyId, input: { ctx, request: { ...request, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) } }, caller: ctx.caller });
}

function assertQuantities(lines: readonly { quantity: number }[], max: number): void {
  const faults = makeFaults();
  lines.forEach((line, i) => {
    if (line.quantity > max) faults.add(`lines.${i}.quantity`, `must be ${max} at most`);
  });
  faults.throwIfAny();
}

/** One order of the company; a member limited to some locations sees only theirs. */
export async function getOrder(ctx: Ctx, id: string): Promise<Row<Order>> {
  const order = await orders.get(ctx, id);
  assertVisible(ctx, order);
  return order;
}

function assertVisible(ctx: Ctx, order: Row<Order>): void {
  const own = ctx.actor.locationIds;
  if (own && (order.pickupLocationId === undefined || !own.includes(order.pickupLocationId))) throw notFound('order');
}

/** Several orders of the company in one read; unknown ids are left out. */
export async function getOrders(ctx: Ctx, ids: readonly string[]): Promise<Row<Order>[]> {
  const own = ctx.actor.locationIds ? { pickupLocationId: { $in: ctx.actor.locationIds } } : {};
  return orders.find(ctx, { _id: { $in: ids }, ...own });
}

export interface OrderSearch extends PageRequest {
  status?: OrderStatus;
  phone?: string;
  email?: string;
  externalId?: string;
  q?: string;
  tag?: string;
  from?: Date;
  to?: Date;
}

/** One page of orders, newest first. `q` finds an order number, an external id, a phone or an e-mail, whole; of those the latest 1,000. */
export async function listOrders(ctx: Ctx, search: OrderSearch): Promise<Page<Row<Order>>> {
  assertRange(search);
  const and: Filter<Order>[] = [];
  if (ctx.actor.locationIds) and.push({ pickupLocationId: { $in: ctx.actor.locationIds } });
  if (search.status) and.push({ status: search.status });
  if (search.phone) and.push(orders.blind(ctx, 'phone', phoneOf(search.phone)));
  if (search.email) and.push(orders.blind(ctx, 'email', search.email));
  if (search.externalId) and.push({ externalId: search.externalId });
  if (search.tag) and.push({ tags: search.tag, 'tags.0': { $exists: true } });
  if (search.from ?? search.to) and.push({ createdAt: { ...(search.from ? { $gte: search.from } : {}), ...(search.to ? { $lte: search.to } : {}) } });
  const filter: Filter<Order> = and.length === 0 ? {} : and.length === 1 && and[0] ? and[0] : { $and: and };
  return search.q ? orders.listAmong(ctx, await idsByAny(ctx, search.q.trim()), filter, search) : orders.list(ctx, filter, search);
}

function phoneOf(text: string): string {
  const parsed = parseMobile(text);
  return parsed.ok ? parsed.value : text;
}

const MAX_FOUND = 1_000;

/** Each way to find an order has an index of its own and is asked alone, so no filter beside it can lead along the whole list. */
async function idsByAny(ctx: Ctx, q: string): Promise<string[]> {
  const ways: Filter<Order>[] = [{ orderNumber: q.toUpperCase() }, { externalId: q }];
  const phone = parseMobile(q);
  if (phone.ok) ways.push(orders.blind(ctx, 'phone', phone.value));
  if (q.includes('@')) ways.push(orders.blind(ctx, 'email', q));
  const latest = { fields: ['_id'], sort: { createdAt: -1, _id: -1 }, limit: MAX_FOUND } as const;
  const found = await Promise.all(ways.map((way) => orders.find(ctx, way, latest)));
  return [...new Set(found.flat().map(({ _id }) => _id))];
}

export type OrderChange = Partial<Pick<OrderInput, 'tags' | 'notes' | 'customer' | 'shippingAddress' | 'billingAddress' | 'parcel' | 'pickupLocationId'>>;

/** Changes what still makes sense to change; 409 `order_not_editable` afterwards. Guarded by the version the caller saw. */
export async function editOrder(ctx: OutsideTx, id: string, change: OrderChange, version: number): Promise<Row<Order>> {
  const known = await knownPincodes();
  if (change.pickupLocationId !== undefined) await activeLocation(ctx, change.pickupLocationId);
  return withTransaction(ctx, async (ctx) => {
    const order = await getOrder(ctx, id);
    if (order.version !== version) throw stale('order', order.version);
    const fields = Object.keys(change);
    const refusal = editRefusal(order, fields);
    if (refusal !== undefined) throw conflict('order_not_editable', refusal, { status: order.status });
    const normalized = normalizeChange(change, known);
    return orders.update(ctx, id, { $set: normalized, $push: { history: entry(ctx, { kind: 'edit', fields }) } }, { version });
  });
}

function normalizeChange(change: OrderChange, known: (pincode: string) => boolean): Partial<Order> {
  const faults = makeFaults();
  const { shippingAddress, billingAddress, customer, ...rest } = change;
  const addresses = {
    ...(shippingAddress ? { shippingAddress: seal<Address, Address>(readAddress('shippingAddress', shippingAddress, known, faults.add)) } : {}),
    ...(billingAddress ? { billingAddress: seal<Address, Address>(readAddress('billingAddress', billingAddress, known, faults.add)) } : {}),
  };
  const person = customer ? { customer: seal<Customer, Customer>(readCustomer(customer, faults)) } : {};
  faults.throwIfAny();
  return { ...rest, ...(rest.parcel ? { parcelSource: 'order' as const } : {}), ...addresses, ...person };
}

function entry(ctx: Ctx, what: Pick<HistoryEntry, 'kind' | 'status' | 'fields' | 'reason'>): HistoryEntry {
  return { at: now(), ...what, actorKind: ctx.actor.kind, actorId: ctx.actor.id };
}

/** Confirms a placed order; 409 `order_not_confirmable` for any other status (unpaid ones too). */
export async function confirmOrder(ctx: OutsideTx, id: string, version: number): Promise<Row<Order>> {
  return withTransaction(ctx, async (ctx) => {
    const order = await getOrder(ctx, id);
    if (order.version !== version) throw stale('order', order.version);
    if (order.status !== 'placed') throw conflict('order_not_confirmable', `An order that is ${order.status} cannot be confirmed`, { status: order.status });
    ctx.emit({ type: 'order.confirmed', key: id, payload: { orderId: id } });
    return orders.update(ctx, id, { $set: { status: 'confirmed' }, $push: { history: entry(ctx, { kind: 'status', status: 'confirmed' }) } }, { version });
  });
}

/** Cancels an order of which no parcel is booked: stock and coupon use are given back in the same transaction. */
export async function cancelOrder(ctx: OutsideTx, id: string, reason: string | undefined, version: number): Promise<Row<Order>> {
  return withTransaction(ctx, async (ctx) => {
    const order = await getOrder(ctx, id);
    if (order.version !== version) throw stale('order', order.version);
    if (!canCancel(order)) throw notCancellable(order);
    return close(ctx, order, 'cancelled', reason);
  });
}

function notCancellable(order: Row<Order>): AppError {
  const booked = order.shipments.some((s) => s.status !== 'cancelled');
  return conflict('order_not_cancellable', booked ? 'A shipment is booked: cancel it first' : `An order that is ${order.status} cannot be cancelled`, { status: order.status });
}

/** Ends an order without a parcel: releases what it reserved, gives the coupon back, tells the others. */
async function close(tx: Tx, order: Row<Order>, status: 'cancelled' | 'expired', reason: string | undefined): Promise<Row<Order>> {
  const moves = reservations(tx, order);
  const lines = order.lines.map((line): OrderLine => ({ ...line, reservedQuantity: 0 }));
  const closed = await orders.update(
    tx,
    order._id,
    { $set: { status, lines }, $push: { history: entry(tx, { kind: 'status', status, ...(reason === undefined ? {} : { reason }) }) } },
    { version: order.version },
  );
  tx.emit({ type: `order.${status}`, key: order._id, payload: { orderId: order._id } });
  if (order.couponCode !== undefined) await giveBackCoupon(tx, order._id);
  if (moves.length > 0) await releaseStock(tx, moves);
  return closed;
}

/** Ends an order whose payment did not come in time; does nothing when it was paid or ended meanwhile. */
export async function expireUnpaid(ctx: OutsideTx, orderId: string): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const order = await orders.findOne(ctx, { _id: orderId });
    if (order?.status !== 'pending_payment' || !order.paymentDueAt || order.paymentDueAt > now()) return;
    await close(ctx, order, 'expired', 'payment_not_received');
  });
}

/** Notes a verified payment of the whole amount: the order is placed. 409 `amount_mismatch`, `order_not_payable`. */
export async function markOrderPaid(tx: Tx, orderId: string, paymentId: string, amountPaise: number): Promise<Row<Order>> {
  const order = await orders.get(tx, orderId);
  if (order.totals.totalPaise !== amountPaise) throw conflict('amount_mismatch', 'The payment is not of the order’s total', { orderId });
  if (order.status !== 'pending_payment') throw conflict('order_not_payable', `An order that is ${order.status} takes no payment`, { status: order.status });
  tx.emit({ type: 'order.paid', key: orderId, payload: { orderId, paymentId, amountPaise } });
  return orders.update(
    tx,
    orderId,
    { $set: { status: 'placed', paidAt: now() }, $unset: { paymentDueAt: '' }, $push: { history: entry(tx, { kind: 'status', status: 'placed' }) } },
    { version: order.version },
  );
}

/** Every order of the company, oldest first; for reports and simulations. */
export function eachOrder(ctx: Ctx, filter: Filter<Order> = {}): AsyncIterable<Row<Order>> {
  return orders.each(ctx, filter, { sort: { createdAt: 1, _id: 1 } });
}

/** What a change of shipments means for one order. */
export interface OrderUpdate {
  tx: Tx;
  order: Row<Order>;
  shipments: OrderShipment[];
  status?: OrderStatus;
  /** Lines whose parcel was picked up just now: their reserved stock leaves the house. */
  pickedUp?: { sku: string; quantity: number }[];
  reason?: string;
}

/** Writes what shipments mean for their orders: one bulk, each guarded by the version read; BatchConflict when stale. */
export async function updateOrders(tx: Tx, updates: readonly OrderUpdate[]): Promise<void> {
  const shipped = updates.map((u) => takeReserved(u));
  await orders.changeMany(
    tx,
    updates.map(({ tx: own, order, shipments, status, reason }, i) => ({
      tx: own,
      match: { _id: order._id },
      where: { version: order.version },
      change: {
        $set: { shipments, ...(shipped[i]?.lines ? { lines: shipped[i].lines } : {}), ...(status && status !== order.status ? { status } : {}) },
        ...(status && status !== order.status ? { $push: { history: entry(own, { kind: 'status', status, ...(reason ? { reason } : {}) }) } } : {}),
      },
    })),
  );
  for (const { tx: own, order, status } of updates) {
    if (status && status !== order.status) own.emit({ type: `order.${status}`, key: order._id, payload: { orderId: order._id } });
  }
  const moves = shipped.flatMap((s) => s.moves);
  if (moves.length > 0) await shipStock(tx, moves);
}

function takeReserved({ tx, order, pickedUp = [] }: OrderUpdate): { lines?: OrderLine[]; moves: ReturnType<typeof reservations> } {
  if (pickedUp.length === 0) return { moves: [] };
  const left = new Map(pickedUp.map(({ sku, quantity }) => [sku, quantity]));
  const moves: ReturnType<typeof reservations> = [];
  const lines = order.lines.map((line): OrderLine => {
    const quantity = Math.min(line.reservedQuantity, left.get(line.sku) ?? 0);
    if (quantity === 0 || line.locationId === undefined) return line;
    left.set(line.sku, (left.get(line.sku) ?? 0) - quantity);
    moves.push({ tx, sku: line.sku, locationId: line.locationId, quantity, reference: { type: 'order', id: order._id } });
    return { ...line, reservedQuantity: line.reservedQuantity - quantity };
  });
  return { lines, moves };
}

/** A Ctx that reads orders of all companies; for checks and consumers. */
export function allOrders(reason: string): Ctx {
  return acrossCompanies(systemCtx('orders', PLATFORM_COMPANY_ID), reason);
}
