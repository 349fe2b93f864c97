import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import type { ConnectionMode } from './connection.rules.ts';

/** A company's account with a courier. No view shows `credentials`. */
export interface Connection {
  courier: string;
  name: string;
  mode: ConnectionMode;
  credentials: Sealed<Record<string, string>>;
  /** SHA-256 of the random token that the courier sends with its webhooks. */
  webhookTokenHash: string;
  /** Set instead of a removal, because shipments refer to it. */
  archivedAt?: Date;
}

export const connections = defineCollection<Connection>({
  name: 'courier_connections',
  rowName: 'connection',
  fields: {
    courier: { type: String, required: true },
    name: { type: String, required: true },
    mode: { type: String, required: true, enum: ['sandbox', 'live'] },
    webhookTokenHash: { type: String, required: true },
    archivedAt: { type: Date },
  },
  personal: { name: '[erased]' },
  sealed: { credentials: { mask: 'none', required: true } },
  indexes: [{ keys: { companyId: 1, courier: 1, createdAt: 1 } }],
});

/** One row per series says where the next block begins; one row per block says who uses its serials until when. */
export interface AwbRow {
  _id: string;
  next?: number;
  awbCourier?: string;
  from?: number;
  to?: number;
  owner?: string;
  leaseUntil?: Date;
}

export const awbRows = machineRows<AwbRow>('number_blocks', [
  { keys: { awbCourier: 1, leaseUntil: 1 }, partial: { awbCourier: { $exists: true } } },
]);
