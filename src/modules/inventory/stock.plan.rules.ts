import { conflict, type AppError } from '../../platform/errors.ts';
import { makeFaults, type Faults } from '../../platform/faults.ts';
import type { MovementKind } from './stock.model.ts';
import { deltaOf } from './stock.rules.ts';

export interface ReceiptLine {
  sku: string;
  locationId: string;
  quantity: number;
  batch?: string;
  /** ISO 8601. */
  expiresAt?: string;
}

export interface ReceiptInput {
  /** The supplier's paper, as the merchant writes it. */
  reference?: string;
  lines: ReceiptLine[];
}

export interface AdjustmentInput {
  reason: string;
  lines: { sku: string; locationId: string; quantity: number }[];
}

export interface TransferInput {
  fromLocationId: string;
  toLocationId: string;
  reason?: string;
  lines: { sku: string; quantity: number }[];
}

export interface PlannedMove {
  kind: MovementKind;
  sku: string;
  locationId: string;
  quantity: number;
  reason?: string;
  batch?: string;
  expiresAt?: Date;
}

/** A receipt, adjustment or transfer, ready to be written: what was asked, and the moves that it means. */
export interface StockPlan {
  id: string;
  kind: 'receipt' | 'adjustment' | 'transfer';
  text?: string;
  lines: { sku: string; locationId: string; toLocationId?: string; quantity: number; batch?: string; expiresAt?: string }[];
  moves: PlannedMove[];
}

/** A receipt: each line books its goods in; 400 naming every faulty line. */
export function planReceipt(id: string, input: ReceiptInput): StockPlan {
  const faults = makeFaults();
  const text = optionalText(input.reference);
  const lines = input.lines.map((line, i) => {
    const expiresAt = line.expiresAt === undefined ? undefined : new Date(line.expiresAt);
    if (expiresAt && Number.isNaN(expiresAt.getTime())) faults.add(`lines.${i}.expiresAt`, 'must be a time such as 2026-01-31T00:00:00Z');
    const batch = optionalText(line.batch);
    const { locationId, quantity } = line;
    const common = { sku: skuOf(line.sku, i, faults), locationId, quantity, ...(batch === undefined ? {} : { batch }) };
    return { common, ...(expiresAt ? { expiresAt } : {}) };
  });
  faults.throwIfAny();
  return {
    id,
    kind: 'receipt',
    ...(text === undefined ? {} : { text }),
    lines: lines.map(({ common, expiresAt }) => ({ ...common, ...(expiresAt ? { expiresAt: expiresAt.toISOString() } : {}) })),
    moves: lines.map(({ common, expiresAt }) => ({
      kind: 'receipt',
      ...common,
      ...(expiresAt ? { expiresAt } : {}),
      ...(text === undefined ? {} : { reason: text }),
    })),
  };
}

/** An adjustment: signed quantities, for a reason. */
export function planAdjustment(id: string, input: AdjustmentInput): StockPlan {
  const faults = makeFaults();
  const text = input.reason.trim();
  if (text === '') faults.add('reason', 'must not be empty');
  const lines = input.lines.map(({ sku, locationId, quantity }, i) => {
    if (quantity === 0) faults.add(`lines.${i}.quantity`, 'must not be 0');
    return { sku: skuOf(sku, i, faults), locationId, quantity };
  });
  faults.throwIfAny();
  return { id, kind: 'adjustment', text, lines, moves: lines.map((line) => ({ kind: 'adjust', ...line, reason: text })) };
}

/** A transfer: each line leaves one location and arrives at the other in the same transaction. */
export function planTransfer(id: string, { fromLocationId, toLocationId, reason, lines }: TransferInput): StockPlan {
  const faults = makeFaults();
  if (fromLocationId === toLocationId) faults.add('toLocationId', 'must be another location');
  const text = optionalText(reason);
  const checked = lines.map(({ sku, quantity }, i) => ({ sku: skuOf(sku, i, faults), quantity }));
  faults.throwIfAny();
  const why = text === undefined ? {} : { reason: text };
  return {
    id,
    kind: 'transfer',
    ...(text === undefined ? {} : { text }),
    lines: checked.map((line) => ({ ...line, locationId: fromLocationId, toLocationId })),
    moves: checked.flatMap((line): PlannedMove[] => [
      { kind: 'transfer_out', ...line, locationId: fromLocationId, ...why },
      { kind: 'transfer_in', ...line, locationId: toLocationId, ...why },
    ]),
  };
}

function skuOf(sku: string, i: number, faults: Faults): string {
  const trimmed = sku.trim();
  if (trimmed === '') faults.add(`lines.${i}.sku`, 'must not be empty');
  return trimmed;
}

function optionalText(text: string | undefined): string | undefined {
  const trimmed = text?.trim();
  return trimmed === '' ? undefined : trimmed;
}

/** Free units by company, SKU and location; changes while plans are taken from it. */
export type Shelf = Map<string, number>;

/** The shelf of some stock rows. */
export function shelfOf(rows: readonly { companyId: string; sku: string; locationId: string; available: number }[]): Shelf {
  return new Map(rows.map((row) => [`${row.companyId}|${row.sku}|${row.locationId}`, row.available]));
}

/** Takes a whole plan from the shelf, or nothing: then answers 409 `out_of_stock` naming the SKU. */
export function takePlan(shelf: Shelf, companyId: string, plan: StockPlan): AppError | undefined {
  const after = new Map<string, { sku: string; before: number; free: number }>();
  for (const { kind, sku, locationId, quantity } of plan.moves) {
    const key = `${companyId}|${sku}|${locationId}`;
    const entry = after.get(key) ?? { sku, before: shelf.get(key) ?? 0, free: shelf.get(key) ?? 0 };
    after.set(key, { ...entry, free: entry.free + deltaOf(kind, quantity).available });
  }
  for (const { sku, before, free } of after.values()) {
    if (free < 0) return conflict('out_of_stock', `Not enough of ${sku} in stock`, { sku, available: before });
  }
  for (const [key, { free }] of after) shelf.set(key, free);
  return undefined;
}
