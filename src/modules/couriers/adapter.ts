import type { NdrReason, ShipmentDirection } from './shipment-status.rules.ts';

/** One event as a courier tells it: its own codes, our time (UTC) and our form of the AWB. */
export interface RawScan {
  awb: string;
  rawCode: string;
  /** A tidier code to show, when the raw one is not what people know. */
  code?: string;
  group?: string;
  rawReason?: string;
  occurredAt: Date;
  location?: string;
}

/** A courier's second weighing of a parcel; `reference` makes it unique per courier and AWB. */
export interface WeightReport {
  awb: string;
  reference: string;
  courierGrams: number;
  occurredAt: Date;
}

/** `retryable`: the outside world failed, the same call may work later. `refused`: it will never work like this. */
export type CourierFailureKind = 'retryable' | 'refused';

export interface CourierFailure {
  ok: false;
  kind: CourierFailureKind;
  code: string;
  message: string;
  /** What the courier asked for with a Retry-After. */
  retryAfterSeconds?: number;
}

export interface CourierSuccess<T> {
  ok: true;
  value: T;
}

/** An adapter answers failures of the courier as values; it throws only for a bug of its own. */
export type CourierAnswer<T> = CourierSuccess<T> | CourierFailure;

/** What each call is made with. `attempt` starts at 1; after `signal` aborts nobody waits for the answer. */
export interface CourierCall {
  connectionId: string;
  mode: 'sandbox' | 'live';
  credentials: Readonly<Record<string, string>>;
  attempt: number;
  now: Date;
  signal?: AbortSignal;
}

export interface CourierAddress {
  name: string;
  phone: string;
  line1: string;
  line2?: string;
  city: string;
  state: string;
  pincode: string;
  country: string;
}

export interface CourierParcel {
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
}

export interface CourierItem {
  sku: string;
  name: string;
  quantity: number;
  unitPricePaise: number;
  hsnCode?: string;
}

export interface ServiceabilityRequest {
  originPincode: string;
  destinationPincode: string;
  paymentMethod: 'prepaid' | 'cod';
  direction: ShipmentDirection;
}

export interface ServiceabilityAnswer {
  serviceable: boolean;
  /** Which condition failed; only when not serviceable. */
  reason?: string;
  oda?: boolean;
  sortCode?: string;
}

export interface CourierRateRequest extends ServiceabilityRequest {
  parcel: CourierParcel;
  codPaise: number;
  declaredValuePaise: number;
}

export interface CourierRateAnswer {
  service: string;
  totalPaise: number;
  estimatedDays?: number;
}

/** `reference` is ours and unique per booking: a repeated call with it must never make a second parcel. */
export interface BookRequest {
  reference: string;
  orderNumber: string;
  service: string;
  direction: ShipmentDirection;
  paymentMethod: 'prepaid' | 'cod';
  codPaise: number;
  declaredValuePaise: number;
  parcel: CourierParcel;
  pickup: CourierAddress;
  destination: CourierAddress;
  items: CourierItem[];
  /** A number from our pool; without it the courier gives one. */
  awb?: string;
  ewayBillNumber?: string;
}

export interface BookAnswer {
  awb: string;
  courierReference: string;
  sortCode?: string;
  /** True when the courier knew the reference already and answers the first booking. */
  repeated?: boolean;
}

export interface CancelRequest {
  awb: string;
  reference: string;
}

export interface PickupRequest {
  reference: string;
  pickup: CourierAddress;
  /** The day in India, `YYYY-MM-DD`. */
  date: string;
  slot?: string;
  awbs: string[];
}

export interface PickupAnswer {
  pickupReference: string;
}

/** Couriers ask for the AWB alone; the rest is for the sandbox, which remembers nothing. */
export interface TrackedParcel {
  awb: string;
  bookedAt: Date;
  originCity: string;
  destinationCity: string;
  paymentMethod: 'prepaid' | 'cod';
  declaredGrams: number;
}

export interface TrackRequest {
  parcels: TrackedParcel[];
}

export interface TrackAnswer {
  scans: RawScan[];
  weights: WeightReport[];
  /** Numbers that the courier does not know. */
  unknownAwbs: string[];
}

export type CourierNdrAction = 'reattempt' | 'hold_for_self_collect' | 'start_rto';

export interface NdrActionRequest {
  awb: string;
  reference: string;
  action: CourierNdrAction;
  reason?: NdrReason;
  /** The day in India, `YYYY-MM-DD`. */
  date?: string;
  phone?: string;
  address?: Partial<CourierAddress>;
}

/** `pendingReference`: the courier decides later; ask with it. */
export interface NdrActionAnswer {
  accepted: boolean;
  pendingReference?: string;
}

/** An inbound webhook exactly as received; header names in lower case. */
export interface InboundWebhook {
  rawBody: Buffer;
  headers: Readonly<Record<string, string | undefined>>;
  remoteAddress?: string;
}

/** What the connection was given at its creation to recognise its courier by. */
export interface WebhookSecret {
  header: string;
  token: string;
}

export interface ParsedWebhook {
  scans: RawScan[];
  weights: WeightReport[];
  /** Parts of the body that are not events of a parcel, or lack what an event needs; counted, never guessed. */
  ignored: number;
}

/**
 * What every courier is to us. Optional members are what not every courier offers. `verifyWebhook` compares in
 * constant time and `parseWebhook` throws on a body that is not the courier's shape at all.
 */
export interface CourierAdapter {
  courier: string;
  /** Names of the credentials that a connection needs. */
  credentialKeys: readonly string[];
  serviceability?(call: CourierCall, request: ServiceabilityRequest): Promise<CourierAnswer<ServiceabilityAnswer>>;
  rate?(call: CourierCall, request: CourierRateRequest): Promise<CourierAnswer<CourierRateAnswer[]>>;
  book(call: CourierCall, request: BookRequest): Promise<CourierAnswer<BookAnswer>>;
  cancel(call: CourierCall, request: CancelRequest): Promise<CourierAnswer<{ cancelled: true }>>;
  label?(call: CourierCall, request: { awb: string }): Promise<CourierAnswer<{ pdf: Buffer }>>;
  pickup(call: CourierCall, request: PickupRequest): Promise<CourierAnswer<PickupAnswer>>;
  track(call: CourierCall, request: TrackRequest): Promise<CourierAnswer<TrackAnswer>>;
  ndrAction(call: CourierCall, request: NdrActionRequest): Promise<CourierAnswer<NdrActionAnswer>>;
  verifyWebhook(secret: WebhookSecret, webhook: InboundWebhook): boolean;
  parseWebhook(webhook: InboundWebhook): ParsedWebhook;
}

/** Adapters by courier name. */
export type CourierRegistry = ReadonlyMap<string, CourierAdapter>;
