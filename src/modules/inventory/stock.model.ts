import { defineCollection } from '../../platform/db/collection.ts';

/** Stock of one SKU at one location. `available` is stored, so that a guard is a plain comparison; it is onHand − reserved. */
export interface Stock {
  sku: string;
  locationId: string;
  onHand: number;
  reserved: number;
  available: number;
}

export const MOVEMENT_KINDS = [
  'receipt', 'reserve', 'release', 'ship', 'return', 'adjust', 'transfer_out', 'transfer_in', 'consume', 'count',
] as const;
export type MovementKind = (typeof MOVEMENT_KINDS)[number];

/** One change of one stock row; the sums of the movements are the row. */
export interface Movement extends MovementLine, MovementCause {}

interface MovementLine {
  sku: string;
  onHandDelta: number;
  reservedDelta: number;
  batch?: string;
  /** Last day of use, as written on the goods. */
  expiresAt?: Date;
}

interface MovementCause {
  locationId: string;
  kind: MovementKind;
  /** What caused it: an order, a receipt, an adjustment. */
  reference: { type: string; id: string };
  reason?: string;
  actorId: string;
}

/**
 * What is stored: the movements that one cause made at one place, in one row, so that an order writes one row and not one
 * for each of its lines. The movement at place n of `lines` has the id n after the row's.
 */
export interface MovementRow extends MovementCause {
  lines: MovementLine[];
}

export const MAX_MOVEMENT_LINES = 500;

const quantity = { type: Number, required: true, min: 0 };

/** Not audited: the movements are the record of every change. */
export const stock = defineCollection<Stock>({
  name: 'stock',
  rowName: 'stock',
  fields: {
    sku: { type: String, required: true },
    locationId: { type: String, required: true },
    onHand: quantity,
    reserved: quantity,
    available: quantity,
  },
  audited: false,
  indexes: [{ keys: { companyId: 1, sku: 1, locationId: 1 }, unique: true }],
});

/** Not audited: a movement is itself the record of a change. */
export const movements = defineCollection<MovementRow>({
  name: 'stock_movements',
  rowName: 'stock_movement',
  fields: {
    locationId: { type: String, required: true },
    kind: { type: String, required: true, enum: MOVEMENT_KINDS },
    lines: { type: [Object], required: true },
    reference: { type: Object, required: true },
    reason: { type: String },
    actorId: { type: String, required: true },
  },
  audited: false,
  personal: { reason: null },
  bounds: { lines: MAX_MOVEMENT_LINES },
  indexes: [
    { keys: { companyId: 1, 'lines.sku': 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, 'reference.id': 1 } },
  ],
});
