import { defineCollection } from '../../platform/db/collection.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import type { Place } from '../companies/index.ts';
import { SEALED_ADDRESS, SEALED_CUSTOMER, type SealedAddress, type SealedCustomer } from '../orders/index.ts';
import type { Parcel } from './shipment.rules.ts';
import { SHIPMENT_STATUSES, type NdrReason, type ShipmentDirection, type ShipmentStatus } from '../couriers/index.ts';

export interface ShipmentLine {
  sku: string;
  name: string;
  quantity: number;
  unitPricePaise: number;
  hsnCode?: string;
}

/** A line of a frozen quote. */
export interface QuoteLine {
  code: string;
  amountPaise: number;
  why: string;
}

/** The price as it was promised: card and version, what went in, what came out, and why this one was chosen. */
export interface FrozenQuote {
  optionId: string;
  rateCardId: string;
  rateCardVersion: number;
  zone: string;
  zoneReason: string;
  volumetricGrams: number;
  chargeableGrams: number;
  taxablePaise: number;
  totalPaise: number;
  lines: QuoteLine[];
  estimatedDays: number | null;
  /** What was asked, so that the way back is priced from the same facts. */
  inputs: { originPincode: string; destinationPincode: string; paymentMethod: 'prepaid' | 'cod'; codPaise: number; declaredValuePaise: number } & Parcel;
  /** Every option there was, best first, and why this one was taken. */
  ranking: { optionId: string; totalPaise: number; estimatedDays: number | null; rank: number }[];
  chosen: 'option' | 'courier_and_service' | 'first_ranked';
  reasons: string[];
}

/** Where the parcel was picked up, as it was that day; the mask shows where it lies. */
export type SealedPlace = Sealed<Place, Pick<Place, 'name' | 'city' | 'state' | 'pincode'>>;

/** One scan as a shipment keeps it for its fold; all of them are rows of `scans`. */
export interface KeptScan {
  scanId: string;
  rawCode: string;
  code: string;
  status?: ShipmentStatus;
  reason?: NdrReason;
  occurredAt: Date;
  receivedAt: Date;
  location?: string;
  source: 'courier' | 'manual' | 'api' | 'simulated';
}

/** `requested`: the courier is being told; `failed`: it refused, and the shipment is cancelled. */
export type BookingState = 'requested' | 'confirmed' | 'failed';

/** What our own steps can reach; scans bring everything further. */
export type OwnStatus = 'created' | 'awb_assigned' | 'manifested' | 'pickup_scheduled';

export interface Shipment {
  orderId: string;
  orderNumber: string;
  direction: ShipmentDirection;
  courier: string;
  service: string;
  /** Absent: the open sandbox, or a number that the courier gave outside of us. */
  connectionId?: string;
  awb?: string;
  sortCode?: string;
  courierReference?: string;
  bookingState: BookingState;
  idempotencyKey?: string;
  lines: ShipmentLine[];
  parcel: Parcel;
  parcelSource: 'shipment' | 'order' | 'products' | 'default';
  paymentMethod: 'prepaid' | 'cod';
  /** What the courier collects at the door; 0 for prepaid. */
  codPaise: number;
  /** Value of the goods, tax included, after discount. */
  valuePaise: number;
  consignee: SealedCustomer;
  destination: SealedAddress;
  pickupLocationId: string;
  pickup: SealedPlace;
  quote: FrozenQuote;
  ewayBillNumber?: string;
  manifestId?: string;
  pickupId?: string;

  /** What our own steps reached; the fold starts from it. */
  ownStatus: OwnStatus;
  cancelledAt?: Date;
  cancelReason?: string;

  /** The rest is the fold of the scans, as of `foldedAt`. */
  status: ShipmentStatus;
  statusAt?: Date;
  foldedAt?: Date;
  history: KeptScan[];
  /** How many scans there are; above the bound of `history` the fold reads the rows of `scans`. */
  scanCount: number;
  lastScanAt?: Date;
  unmapped: number;
  alerts: string[];
  attempts: number;
  ndr: { reason: NdrReason; at: Date }[];
  pickedUpAt?: Date;
  deliveredAt?: Date;
  rtoInitiatedAt?: Date;
  rtoDeliveredAt?: Date;
  /** True while cash that the courier collected is due to the company. */
  codDue: boolean;
  /** True once the way back was charged. */
  rtoCharged: boolean;
  /** When a scan from the future starts to count. */
  nextDueAt?: Date;
}

export const SHIPMENT_BOUNDS = { history: 500, lines: 200, ndr: 50, alerts: 20 } as const;

export const shipments = defineCollection<Shipment>({
  name: 'shipments',
  rowName: 'shipment',
  fields: {
    orderId: { type: String, required: true },
    orderNumber: { type: String, required: true },
    direction: { type: String, required: true, enum: ['forward', 'reverse'] },
    courier: { type: String, required: true },
    service: { type: String, required: true },
    connectionId: { type: String },
    awb: { type: String },
    sortCode: { type: String },
    courierReference: { type: String },
    bookingState: { type: String, required: true, enum: ['requested', 'confirmed', 'failed'] },
    idempotencyKey: { type: String },
    lines: { type: [Object], required: true },
    parcel: { type: Object, required: true },
    parcelSource: { type: String, required: true },
    paymentMethod: { type: String, required: true, enum: ['prepaid', 'cod'] },
    codPaise: { type: Number, required: true },
    valuePaise: { type: Number, required: true },
    pickupLocationId: { type: String, required: true },
    quote: { type: Object, required: true },
    ewayBillNumber: { type: String },
    manifestId: { type: String },
    pickupId: { type: String },
    ownStatus: { type: String, required: true },
    cancelledAt: { type: Date },
    cancelReason: { type: String },
    status: { type: String, required: true, enum: SHIPMENT_STATUSES },
    statusAt: { type: Date },
    foldedAt: { type: Date },
    history: { type: [Object], required: true },
    scanCount: { type: Number, required: true },
    lastScanAt: { type: Date },
    unmapped: { type: Number, required: true },
    alerts: { type: [String], required: true },
    attempts: { type: Number, required: true },
    ndr: { type: [Object], required: true },
    pickedUpAt: { type: Date },
    deliveredAt: { type: Date },
    rtoInitiatedAt: { type: Date },
    rtoDeliveredAt: { type: Date },
    codDue: { type: Boolean, required: true },
    rtoCharged: { type: Boolean, required: true },
    nextDueAt: { type: Date },
  },
  sealed: {
    consignee: SEALED_CUSTOMER,
    destination: { ...SEALED_ADDRESS, required: true },
    pickup: { required: true, mask: ({ name, city, state, pincode }: Place) => ({ name, city, state, pincode }) },
  },
  personal: { cancelReason: null },
  bounds: SHIPMENT_BOUNDS,
  indexes: [
    { keys: { awb: 1, courier: 1 }, unique: true, partial: { awb: { $exists: true } } },
    { keys: { companyId: 1, idempotencyKey: 1 }, unique: true, partial: { idempotencyKey: { $exists: true } } },
    { keys: { companyId: 1, orderId: 1 } },
    { keys: { companyId: 1, 'blind.phone': 1 } },
    { keys: { companyId: 1, 'blind.email': 1 }, partial: { 'blind.email': { $exists: true } } },
    { keys: { companyId: 1, status: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, courier: 1, createdAt: -1, _id: -1 } },
    // Without the status, which changes with every other scan.
    { keys: { companyId: 1, pickupLocationId: 1, createdAt: -1, _id: -1 } },
  ],
});

/** The hand-over list of one courier at one pickup location. */
export interface Manifest {
  number: string;
  courier: string;
  pickupLocationId: string;
  shipmentIds: string[];
}

export const manifests = defineCollection<Manifest>({
  name: 'manifests',
  rowName: 'manifest',
  fields: {
    number: { type: String, required: true },
    courier: { type: String, required: true },
    pickupLocationId: { type: String, required: true },
    shipmentIds: { type: [String], required: true },
  },
  bounds: { shipmentIds: 500 },
  indexes: [{ keys: { companyId: 1, number: 1 }, unique: true }],
});

/** A request that the courier comes to a pickup location. */
export interface Pickup {
  courier: string;
  pickupLocationId: string;
  /** The day in India, `YYYY-MM-DD`. */
  date: string;
  slot?: string;
  shipmentIds: string[];
  state: 'requested' | 'confirmed' | 'failed';
  pickupReference?: string;
  failure?: string;
  idempotencyKey?: string;
}

export const pickups = defineCollection<Pickup>({
  name: 'pickups',
  rowName: 'pickup',
  fields: {
    courier: { type: String, required: true },
    pickupLocationId: { type: String, required: true },
    date: { type: String, required: true },
    slot: { type: String },
    shipmentIds: { type: [String], required: true },
    state: { type: String, required: true, enum: ['requested', 'confirmed', 'failed'] },
    pickupReference: { type: String },
    failure: { type: String },
    idempotencyKey: { type: String },
  },
  bounds: { shipmentIds: 500 },
  indexes: [{ keys: { companyId: 1, idempotencyKey: 1 }, unique: true, partial: { idempotencyKey: { $exists: true } } }],
});
