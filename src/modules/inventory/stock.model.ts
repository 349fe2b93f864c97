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
export interface Movement {
  sku: string;
  locationId: string;
  kind: MovementKind;
  onHandDelta: number;
  reservedDelta: number;
  /** What caused it: an order, a receipt, an adjustment. */
  reference: { type: string; id: string };
  reason?: string;
  batch?: string;
  /** Last day of use, as written on the goods. */
  expiresAt?: Date;
  actorId: string;
}

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
export const movements = defineCollection<Movement>({
  name: 'stock_movements',
  rowName: 'stock_movement',
  fields: {
    sku: { type: String, required: true },
    locationId: { type: String, required: true },
    kind: { type: String, required: true, enum: MOVEMENT_KINDS },
    onHandDelta: { type: Number, required: true },
    reservedDelta: { type: Number, required: true },
    reference: { type: Object, required: true },
    reason: { type: String },
    batch: { type: String },
    expiresAt: { type: Date },
    actorId: { type: String, required: true },
  },
  audited: false,
  indexes: [
    { keys: { companyId: 1, sku: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, 'reference.id': 1 } },
  ],
});
