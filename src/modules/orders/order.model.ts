import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
import { maskEmail, maskName, maskPhone } from '../../platform/db/masks.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import type { SealedSpec } from '../../platform/db/sealed-fields.ts';
import { ERASED, unlessErased } from '../../platform/privacy.ts';

export const ORDER_STATUSES = [
  'draft',
  'pending_payment',
  'placed',
  'confirmed',
  'partially_shipped',
  'shipped',
  'delivered',
  'cancelled',
  'expired',
  'returned',
] as const;
export type OrderStatus = (typeof ORDER_STATUSES)[number];
export type PaymentMethod = 'prepaid' | 'cod';

export interface Customer {
  name: string;
  /** E.164. */
  phone: string;
  email?: string;
}

export interface Address {
  line1: string;
  line2?: string;
  city: string;
  state: string;
  pincode: string;
  /** ISO 3166-1; only IN today. */
  country: string;
}

/** The mask has the same shape: initials, masked phone and e-mail. */
export type SealedCustomer = Sealed<Customer, Customer>;
/** The mask shows city, state and pincode: prices and filters need them, and they are nobody's own. */
export type SealedAddress = Sealed<Address, Address>;

/** How customers are sealed on orders and shipments: found again by phone and by e-mail. */
export const SEALED_CUSTOMER: SealedSpec = {
  required: true,
  mask: ({ name, phone, email }: Customer): Customer =>
    name === ERASED ? { name, phone } : { name: maskName(name), phone: maskPhone(phone), ...(email === undefined ? {} : { email: maskEmail(email) }) },
  search: { phone: (v: Customer) => unlessErased(v.phone), email: { of: (v: Customer) => v.email, form: 'email' } },
};

/** How addresses are sealed on orders and shipments. */
export const SEALED_ADDRESS: SealedSpec = {
  mask: ({ city, state, pincode, country }: Address): Address => ({ line1: '***', city, state, pincode, country }),
};

export interface Parcel {
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
}

export interface OrderLine {
  sku: string;
  name: string;
  quantity: number;
  unitPricePaise: number;
  /** quantity × unit price, before the order's discount. */
  totalPaise: number;
  /** This line's part of the order's discount. */
  discountPaise: number;
  /** Tax contained in total − discount. */
  taxPaise: number;
  taxBp: number;
  hsnCode?: string;
  weightGrams?: number;
  /** Where the stock of this line is reserved; absent for a SKU outside the catalogue, which has no stock. */
  locationId?: string;
  /** Still reserved: goes down at the pickup scan, on cancel and on expiry. Summed over orders it is the stock's `reserved`. */
  reservedQuantity: number;
}

export interface Totals {
  subtotalPaise: number;
  discountPaise: number;
  shippingPaise: number;
  taxPaise: number;
  /** subtotal − discount + shipping. */
  totalPaise: number;
}

/** One entry of the timeline: a status reached, or an edit with the names of what changed. */
export interface HistoryEntry {
  at: Date;
  kind: 'status' | 'edit';
  status?: OrderStatus;
  fields?: string[];
  reason?: string;
  actorKind: string;
  actorId: string;
}

/** What the order knows of one of its shipments; kept by the shipments module in the transaction of the change. */
export interface OrderShipment {
  shipmentId: string;
  status: string;
  lines: { sku: string; quantity: number }[];
}

export interface Order {
  orderNumber: string;
  channel: string;
  externalId?: string;
  /** The key of the request that made it; unique for ever. */
  idempotencyKey?: string;
  status: OrderStatus;
  customer: SealedCustomer;
  shippingAddress: SealedAddress;
  billingAddress?: SealedAddress;
  lines: OrderLine[];
  paymentMethod: PaymentMethod;
  collectPayment: boolean;
  /** Until when an unpaid order keeps its stock. */
  paymentDueAt?: Date;
  paidAt?: Date;
  couponCode?: string;
  /** A discount code of another shop system; text only. */
  discountCodeText?: string;
  totals: Totals;
  parcel: Parcel;
  parcelSource: 'order' | 'products' | 'default';
  pickupLocationId?: string;
  tags: string[];
  notes?: string;
  history: HistoryEntry[];
  shipments: OrderShipment[];
  importId?: string;
  /** When the sale was made in its own channel; else when it was placed here. */
  placedAt: Date;
}

export const ORDER_BOUNDS = { lines: 200, history: 500, tags: 50, shipments: 200 } as const;

export const orders = defineCollection<Order>({
  name: 'orders',
  rowName: 'order',
  fields: {
    orderNumber: { type: String, required: true },
    channel: { type: String, required: true },
    externalId: { type: String },
    idempotencyKey: { type: String },
    status: { type: String, required: true, enum: ORDER_STATUSES },
    lines: { type: [Object], required: true },
    paymentMethod: { type: String, required: true, enum: ['prepaid', 'cod'] },
    collectPayment: { type: Boolean, required: true },
    paymentDueAt: { type: Date },
    paidAt: { type: Date },
    couponCode: { type: String },
    discountCodeText: { type: String },
    totals: { type: Object, required: true },
    parcel: { type: Object, required: true },
    parcelSource: { type: String, required: true },
    pickupLocationId: { type: String },
    tags: { type: [String], required: true },
    notes: { type: String },
    history: { type: [Object], required: true },
    shipments: { type: [Object], required: true },
    importId: { type: String },
    placedAt: { type: Date, required: true },
  },
  sealed: { customer: SEALED_CUSTOMER, shippingAddress: { ...SEALED_ADDRESS, required: true }, billingAddress: SEALED_ADDRESS },
  // People write names and numbers into tags and reasons as well.
  personal: { notes: null, tags: [], 'history.*.reason': null },
  bounds: ORDER_BOUNDS,
  indexes: [
    { keys: { companyId: 1, orderNumber: 1 }, unique: true },
    { keys: { companyId: 1, externalId: 1 }, unique: true, partial: { externalId: { $exists: true } } },
    { keys: { companyId: 1, idempotencyKey: 1 }, unique: true, partial: { idempotencyKey: { $exists: true } } },
    { keys: { companyId: 1, status: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, 'blind.phone': 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, 'blind.email': 1, createdAt: -1, _id: -1 }, partial: { 'blind.email': { $exists: true } } },
    { keys: { companyId: 1, tags: 1, createdAt: -1, _id: -1 }, partial: { 'tags.0': { $exists: true } } },
  ],
});

interface NumberBlock {
  _id: string;
  next: number;
}

/** Numbers leased in blocks outside any transaction: a counter inside would be the main conflict of all orders. */
export const numberBlocks = machineRows<NumberBlock>('number_blocks', []);
