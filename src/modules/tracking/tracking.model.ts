import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
import { declareSealedRows } from '../../platform/db/renew-rows.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import { SEALED_FIELD } from '../../platform/db/sealed-fields.ts';
import { NDR_ACTIONS, NDR_REASONS, type NdrAction, type NdrReason } from '../shipments/index.ts';
import type { Scan } from './scan.rules.ts';

/** A scan as it is stored, for ever: `_id` is its fingerprint, so a repeat is a duplicate key. */
export interface ScanRow extends Omit<Scan, 'scanId'> {
  _id: string;
  companyId: string;
  shipmentId: string;
}

export const scanRows = machineRows<ScanRow>('scans', [{ keys: { shipmentId: 1, occurredAt: 1 } }]);

/** Written before scans and removed after their fold: what a killed process leaves tells which shipments to fold again. */
export interface ScanBatch {
  _id: string;
  at: Date;
  shipmentIds: string[];
}

export const scanBatches = machineRows<ScanBatch>('scan_batches', [{ keys: { at: 1 } }]);

/** A corrected phone or address of a consignee. */
export interface NdrCorrection {
  phone?: string;
  address?: { line1?: string; line2?: string; city?: string; state?: string; pincode?: string };
}

/** What somebody asked the courier to do about a failed attempt. */
export interface NdrRequest {
  action: NdrAction;
  at: Date;
  actorId: string;
  /** The day in India, `YYYY-MM-DD`. */
  date?: string;
  /** Where and whom to try next time. */
  correction?: Sealed<NdrCorrection>;
  state: 'requested' | 'accepted' | 'failed';
  failure?: string;
}

/** One failed delivery attempt. `open` waits for an answer, `actioned` has one, `closed` is past. */
export interface Ndr {
  shipmentId: string;
  orderId: string;
  awb: string;
  pickupLocationId: string;
  reason: NdrReason;
  at: Date;
  status: 'open' | 'actioned' | 'closed';
  actions: NdrRequest[];
}

export const ndrs = defineCollection<Ndr>({
  name: 'ndrs',
  rowName: 'ndr',
  fields: {
    shipmentId: { type: String, required: true },
    orderId: { type: String, required: true },
    awb: { type: String, required: true },
    pickupLocationId: { type: String, required: true },
    reason: { type: String, required: true, enum: NDR_REASONS },
    at: { type: Date, required: true },
    status: { type: String, required: true, enum: ['open', 'actioned', 'closed'] },
    actions: {
      type: [
        {
          _id: false,
          action: { type: String, required: true, enum: NDR_ACTIONS },
          at: { type: Date, required: true },
          actorId: { type: String, required: true },
          date: { type: String },
          correction: SEALED_FIELD,
          state: { type: String, required: true },
          failure: { type: String },
        },
      ],
      required: true,
    },
  },
  sealed: { 'actions.correction': { mask: 'none' } },
  bounds: { actions: 20 },
  indexes: [
    { keys: { companyId: 1, shipmentId: 1, at: 1 }, unique: true },
    { keys: { companyId: 1, status: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, awb: 1, createdAt: -1, _id: -1 } },
  ],
});

/** An inbound webhook exactly as it came, its body sealed; kept 30 days, so that it can be parsed again. */
export interface RawEvent {
  _id: string;
  kind: 'courier';
  courier: string;
  connectionId: string;
  companyId: string;
  receivedAt: Date;
  body: Buffer;
  headers: Record<string, string>;
  /** `dead`: it could not be parsed; it stays visible. */
  state: 'pending' | 'done' | 'dead';
  note?: string;
  expireAt: Date;
}

export const rawEvents = machineRows<RawEvent>('raw_events', [
  { keys: { kind: 1, state: 1, receivedAt: 1 } },
  { keys: { expireAt: 1 }, expireAfterSeconds: 0 },
]);
declareSealedRows({ collection: 'raw_events', path: 'body' });
