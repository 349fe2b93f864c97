import { acrossCompanies, systemCtx, type Ctx, type Tx } from '../../platform/context.ts';
import type { ChangeOf, Row } from '../../platform/db/collection.ts';
import { getOrders, updateOrders, type Order, type OrderUpdate } from '../orders/index.ts';
import { entryStatus, orderEntry, orderStatusOf, withEntries } from './booking.rules.ts';
import { shipments, type Shipment } from './shipment.model.ts';

/** What folding a shipment's scans needs of it. */
const FOLD_FIELDS = [
  'companyId',
  'version',
  'orderId',
  'courier',
  'connectionId',
  'direction',
  'awb',
  'lines',
  'codPaise',
  'pickupLocationId',
  'ownStatus',
  'cancelledAt',
  'status',
  'statusAt',
  'foldedAt',
  'history',
  'scanCount',
  'lastScanAt',
  'unmapped',
  'alerts',
  'attempts',
  'ndr',
  'pickedUpAt',
  'deliveredAt',
  'rtoInitiatedAt',
  'rtoDeliveredAt',
  'codDue',
  'rtoCharged',
  'nextDueAt',
  'createdAt',
] as const;

export type FoldedShipment = Pick<Row<Shipment>, '_id' | (typeof FOLD_FIELDS)[number]>;

/** The shipments behind some AWBs, as far as the ctx reads, newest first. */
export async function shipmentsByAwb(ctx: Ctx, awbs: readonly string[]): Promise<FoldedShipment[]> {
  const own = ctx.actor.locationIds ? { pickupLocationId: { $in: ctx.actor.locationIds } } : {};
  return shipments.find(ctx, { awb: { $in: awbs, $exists: true }, ...own }, { fields: FOLD_FIELDS, sort: { createdAt: -1 } });
}

/** Shipments by their ids, as far as the ctx reads. */
export async function shipmentsToFold(ctx: Ctx, ids: readonly string[]): Promise<FoldedShipment[]> {
  return shipments.find(ctx, { _id: { $in: ids } }, { fields: FOLD_FIELDS });
}

/** Walks all shipments that the ctx reads; for checks. */
export function eachToFold(ctx: Ctx): AsyncIterable<FoldedShipment> {
  return shipments.each(ctx, {}, { fields: FOLD_FIELDS });
}

/** The frozen quotes of some shipments. */
export async function quotesOf(ctx: Ctx, ids: readonly string[]): Promise<Pick<Row<Shipment>, '_id' | 'companyId' | 'quote'>[]> {
  return shipments.find(ctx, { _id: { $in: ids } }, { fields: ['companyId', 'quote'] });
}

/** The state that a fold came to. Keys that are undefined are removed from the row. */
export type FoldState = Pick<
  Shipment,
  | 'status'
  | 'statusAt'
  | 'foldedAt'
  | 'history'
  | 'scanCount'
  | 'lastScanAt'
  | 'unmapped'
  | 'alerts'
  | 'attempts'
  | 'ndr'
  | 'pickedUpAt'
  | 'deliveredAt'
  | 'rtoInitiatedAt'
  | 'rtoDeliveredAt'
  | 'codDue'
  | 'rtoCharged'
  | 'nextDueAt'
>;

export interface FoldWrite {
  tx: Tx;
  before: FoldedShipment;
  state: FoldState;
  /** True when the first pickup became known with this fold, of a shipment that counts. */
  pickedUp: boolean;
}

const REMOVABLE = ['statusAt', 'lastScanAt', 'pickedUpAt', 'deliveredAt', 'rtoInitiatedAt', 'rtoDeliveredAt', 'nextDueAt'] as const;

/**
 * Stores folds and what they mean for the orders: one bulk each, guarded by the versions that were read. BatchConflict
 * when any of them changed meanwhile. `orders` are those of `ordersTouched`, read before the transaction.
 */
export async function writeFolds(tx: Tx, folds: readonly FoldWrite[], orders: readonly Row<Order>[]): Promise<void> {
  await shipments.changeMany(
    tx,
    folds.map(({ tx: own, before, state }) => ({
      tx: own,
      match: { _id: before._id },
      where: { version: before.version },
      change: changeOf(before, state),
    })),
  );
  const updates = orderUpdates(folds, orders);
  if (updates.length > 0) await updateOrders(tx, updates);
}

/** Only what differs: the server checks and rewrites what it is sent, and most folds add one scan and move the status. */
function changeOf(before: FoldedShipment, { history, ...state }: FoldState): ChangeOf<Shipment> {
  const gone = REMOVABLE.filter((key) => state[key] === undefined && before[key] !== undefined);
  const changed = Object.fromEntries(Object.entries(state).filter(([key, value]) => !isSame(value, before[key as keyof FoldState])));
  const kept = new Map(before.history.map((scan) => [scan.scanId, scan]));
  const fresh = history.filter((scan) => !kept.has(scan.scanId));
  const grown = history.length === before.history.length + fresh.length && history.every((scan) => isSame(scan, kept.get(scan.scanId) ?? scan));
  return {
    $set: { ...changed, ...(grown ? {} : { history }) },
    ...(grown && fresh.length > 0 ? { $push: { history: { $each: fresh } } } : {}),
    ...(gone.length > 0 ? { $unset: Object.fromEntries(gone.map((key) => [key, ''])) } : {}),
  };
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(x);
  return keys.length === Object.keys(y).length && keys.every((key) => isSame(x[key], y[key]));
}

/** The orders that some folds change; most scans on the way change none. */
export async function ordersTouched(ctx: Ctx, folds: readonly Omit<FoldWrite, 'tx'>[]): Promise<Row<Order>[]> {
  const ids = new Set(folds.filter(touchesOrder).map(({ before }) => before.orderId));
  if (ids.size === 0) return [];
  return getOrders(acrossCompanies(systemCtx('scans', ctx.companyId), 'scans of many companies are folded together'), [...ids]);
}

function touchesOrder({ before, state, pickedUp }: Omit<FoldWrite, 'tx'>): boolean {
  return before.direction === 'forward' && (pickedUp || entryStatus(before) !== entryStatus({ ...before, ...state }));
}

function orderUpdates(folds: readonly FoldWrite[], orders: readonly Row<Order>[]): OrderUpdate[] {
  const byOrder = new Map<string, FoldWrite[]>();
  for (const fold of folds.filter(touchesOrder)) byOrder.set(fold.before.orderId, [...(byOrder.get(fold.before.orderId) ?? []), fold]);
  return orders.flatMap((order): OrderUpdate[] => {
    const own = byOrder.get(order._id) ?? [];
    const [first] = own;
    if (!first) return [];
    const entries = withEntries(order.shipments, own.map(({ before, state }) => orderEntry({ ...before, ...state })));
    const pickedUp = own.filter((fold) => fold.pickedUp).flatMap(({ before }) => before.lines.map(({ sku, quantity }) => ({ sku, quantity })));
    return [{ tx: first.tx, order, shipments: entries, status: orderStatusOf(order.lines, entries), pickedUp: merged(pickedUp) }];
  });
}

/** One entry per SKU: the order takes each SKU's quantity once. */
function merged(lines: readonly { sku: string; quantity: number }[]): { sku: string; quantity: number }[] {
  const sums = new Map<string, number>();
  for (const { sku, quantity } of lines) sums.set(sku, (sums.get(sku) ?? 0) + quantity);
  return [...sums].map(([sku, quantity]) => ({ sku, quantity }));
}
