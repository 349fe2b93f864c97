import { monotonicMs } from '../../platform/clock.ts';
import type { Ctx, Tx } from '../../platform/context.ts';
import type { BulkChange, Filter, Row, RowRef } from '../../platform/db/collection.ts';
import { newIdBlock } from '../../platform/ids.ts';
import { makeRecall, type Wanted } from '../../platform/recall.ts';
import { MAX_MOVEMENT_LINES, movements, stock, type MovementKind, type MovementRow, type Stock } from './stock.model.ts';
import { deltaOf, guardOf, type StockDelta } from './stock.rules.ts';

/** One change of stock that a step writes, on behalf of its own asker. */
export interface StockMove {
  tx: Tx;
  sku: string;
  locationId: string;
  /** The stock row, when it was read before: then the same changes of many rows cost one statement. */
  row?: RowRef;
  /** Whole units, at least 1; signed for adjustments and counts. */
  quantity: number;
  reference: { type: string; id: string };
  reason?: string;
  batch?: string;
  expiresAt?: Date;
}

/** What a caller needs of a stock row to decide. */
export type StockRow = Pick<Row<Stock>, '_id' | 'companyId' | 'sku' | 'locationId' | 'onHand' | 'reserved' | 'available'>;

export const STOCK_ROW_FIELDS = ['companyId', 'sku', 'locationId', 'onHand', 'reserved', 'available'] as const;

const MAX_SEEN = 50_000;
const SEEN_FOR_MS = 60_000;

/** The stock rows of SKUs, of all companies in one read; ctx from `acrossCompanies` for other companies. */
export const stockRows = makeRecall<StockRow>({
  read: readStock,
  keyOf: ({ companyId, sku }) => ({ companyId, name: sku }),
  max: MAX_SEEN,
  forMs: SEEN_FOR_MS,
  now: monotonicMs,
});

async function readStock(ctx: Ctx, wanted: readonly Wanted[]): Promise<StockRow[]> {
  const byCompany = new Map<string, Set<string>>();
  for (const { companyId, names } of wanted) {
    const all = byCompany.get(companyId) ?? new Set();
    for (const sku of names) all.add(sku);
    if (all.size > 0) byCompany.set(companyId, all);
  }
  if (byCompany.size === 0) return [];
  const branches = [...byCompany].map(([companyId, skus]): Filter<Stock> => ({ companyId, sku: { $in: [...skus] } }));
  return stock.find(ctx, { $or: branches }, { fields: STOCK_ROW_FIELDS });
}

/** Reserves for orders: available down, reserved up. BatchConflict, and nothing written, when any row has too little. */
export async function reserveStock(tx: Tx, moves: readonly StockMove[]): Promise<void> {
  await moveStock(tx, ofKind('reserve', moves));
}

/** Gives reserved units back: cancel, expiry. BatchConflict when a row has fewer reserved. */
export async function releaseStock(tx: Tx, moves: readonly StockMove[]): Promise<void> {
  await moveStock(tx, ofKind('release', moves));
}

/** Takes reserved units out of the house: the pickup scan. BatchConflict when a row has fewer reserved. */
export async function shipStock(tx: Tx, moves: readonly StockMove[]): Promise<void> {
  await moveStock(tx, ofKind('ship', moves));
}

/** Takes returned units back after their check: onHand and available up. */
export async function returnStock(tx: Tx, moves: readonly StockMove[]): Promise<void> {
  await moveStock(tx, ofKind('return', moves));
}

/** A move with what it is. */
export interface KindMove extends StockMove {
  kind: MovementKind;
}

function ofKind(kind: MovementKind, moves: readonly StockMove[]): KindMove[] {
  return moves.map((move) => ({ ...move, kind }));
}

interface Merged extends StockDelta {
  tx: Tx;
  row: RowRef | undefined;
  sku: string;
  locationId: string;
}

/**
 * Writes moves: the movement rows of each cause in one insert, and one guarded change per stock row in one bulk, in the
 * order of their keys so that transactions lock in one order. The hot stock rows come last. All or nothing.
 */
export async function moveStock(tx: Tx, moves: readonly KindMove[]): Promise<void> {
  if (moves.length === 0) return;
  const merged = new Map<string, Merged>();
  for (const move of moves) {
    const { kind, sku, locationId, quantity } = move;
    assertQuantity(kind, quantity);
    const delta = deltaOf(kind, quantity);
    const key = `${move.tx.companyId}|${sku}|${locationId}`;
    const sum = merged.get(key) ?? { tx: move.tx, row: move.row, sku, locationId, onHand: 0, reserved: 0, available: 0 };
    merged.set(key, { ...sum, onHand: sum.onHand + delta.onHand, reserved: sum.reserved + delta.reserved, available: sum.available + delta.available });
  }
  await movements.insertMany(tx, movementRows(moves));
  const keys = [...merged.keys()].sort();
  await stock.changeMany(tx, keys.flatMap((key) => changeOf(merged.get(key))));
  for (const { tx, sku, locationId, available } of merged.values()) {
    // What comes may come to a place that had no row yet.
    if (available > 0) stockRows.forget(tx.companyId, sku);
    else stockRows.adjust(tx.companyId, sku, (row) => void (row.available += row.locationId === locationId ? available : 0));
  }
}

/** Moves of one cause, kind and place share a row. */
function movementRows(moves: readonly KindMove[]): { tx: Tx; doc: MovementRow & { _id: string } }[] {
  const rows = new Map<string, { tx: Tx; doc: MovementRow }[]>();
  for (const { tx, kind, sku, locationId, quantity, reference, reason, batch, expiresAt } of moves) {
    const key = `${tx.companyId}|${reference.id}|${kind}|${locationId}|${reason ?? ''}`;
    const own = rows.get(key) ?? [];
    rows.set(key, own);
    let row = own.at(-1);
    if (!row || row.doc.lines.length >= MAX_MOVEMENT_LINES) {
      row = { tx, doc: { locationId, kind, reference, ...(reason === undefined ? {} : { reason }), actorId: tx.actor.id, lines: [] } };
      own.push(row);
    }
    const { onHand, reserved } = deltaOf(kind, quantity);
    row.doc.lines.push({ sku, onHandDelta: onHand, reservedDelta: reserved, ...(batch === undefined ? {} : { batch }), ...(expiresAt === undefined ? {} : { expiresAt }) });
  }
  return [...rows.values()].flat().map(({ tx, doc }) => ({ tx, doc: { _id: newIdBlock(doc.lines.length), ...doc } }));
}

function changeOf(sum: Merged | undefined): BulkChange<Stock>[] {
  if (!sum) return [];
  const { tx, row, sku, locationId, onHand, reserved, available } = sum;
  const where = guardOf(sum);
  // A row that may be born here needs all of its numbers.
  if (Object.keys(where).length === 0) return [{ tx, match: { sku, locationId }, change: { $inc: { onHand, reserved, available } }, orInsert: {} }];
  return [{ tx, ...(row ? { row } : { match: { sku, locationId } }), where, change: { $inc: changed({ onHand, reserved, available }) } }];
}

/** Only what changes: every field of a statement costs the server something, and a batch has a statement for each SKU. */
function changed(delta: StockDelta): Partial<StockDelta> {
  return Object.fromEntries(Object.entries(delta).filter(([, by]) => by !== 0));
}

function assertQuantity(kind: MovementKind, quantity: number): void {
  const signed = kind === 'adjust' || kind === 'count';
  if (!Number.isSafeInteger(quantity) || quantity === 0 || (!signed && quantity < 0)) throw new Error(`A stock move of kind ${kind} needs whole units`);
}
