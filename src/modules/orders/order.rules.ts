import { makeFaults, type Faults } from '../../platform/faults.ts';
import { parseHsn, parseMobile } from '../../platform/identifiers.ts';
import { findState } from '../../platform/identifiers.states.ts';
import { parseKnownPincode, type KnownPincode } from '../pincodes/index.ts';
import type { Address, Customer, Order, OrderStatus, Parcel, PaymentMethod } from './order.model.ts';

export interface AddressInput {
  line1: string;
  line2?: string;
  city: string;
  state: string;
  pincode: string;
  country: string;
}

export interface LineInput {
  sku: string;
  name?: string;
  quantity: number;
  unitPricePaise?: number;
  hsnCode?: string;
}

/** POST orders, as the contract names it. */
export interface OrderInput {
  channel?: string;
  externalId?: string;
  customer: { name: string; phone: string; email?: string };
  shippingAddress: AddressInput;
  billingAddress?: AddressInput;
  lines: LineInput[];
  paymentMethod: PaymentMethod;
  collectPayment?: boolean;
  couponCode?: string;
  parcel?: Parcel;
  tags?: string[];
  notes?: string;
  pickupLocationId?: string;
}

/** What only a file of another shop system brings along: its own totals, dates and codes. */
export interface ImportedFacts {
  discountPaise?: number;
  shippingPaise?: number;
  taxPaise?: number;
  discountCodeText?: string;
  placedAt?: Date;
  importId?: string;
}

/** An order as it may be placed: every value normalised, every rule about single values kept. */
export interface OrderRequest extends OrderInput {
  channel: string;
  customer: Customer;
  shippingAddress: Address;
  imported?: ImportedFacts;
  idempotencyKey?: string;
}

const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,255}$/;

/** Normalises an order (phone E.164, e-mail lower case, SKU and texts trimmed); 400 naming every faulty field. */
export function normalizeOrder(input: OrderInput, knownPincode: KnownPincode): OrderRequest {
  const faults = makeFaults();
  const text = (path: string, value: string): string => readText(path, value, faults.add);
  const address = (path: string, given: AddressInput): Address => readAddress(path, given, knownPincode, faults.add);
  const request: OrderRequest = {
    ...input,
    channel: input.channel === undefined ? 'api' : text('channel', input.channel),
    ...(input.externalId === undefined ? {} : { externalId: text('externalId', input.externalId) }),
    customer: readCustomer(input.customer, faults),
    shippingAddress: address('shippingAddress', input.shippingAddress),
    ...(input.billingAddress === undefined ? {} : { billingAddress: address('billingAddress', input.billingAddress) }),
    lines: input.lines.map((line, i) => ({
      ...line,
      sku: text(`lines.${i}.sku`, line.sku),
      ...(line.hsnCode === undefined ? {} : { hsnCode: faults.take(`lines.${i}.hsnCode`, parseHsn(line.hsnCode)) }),
    })),
    ...(input.couponCode === undefined ? {} : { couponCode: text('couponCode', input.couponCode).toUpperCase() }),
    ...(input.tags === undefined ? {} : { tags: [...new Set(input.tags.map((t) => t.trim()).filter(Boolean))] }),
  };
  if (input.collectPayment && input.paymentMethod === 'cod') faults.add('collectPayment', 'only prepaid orders collect a payment');
  faults.throwIfAny();
  return request;
}

function readText(path: string, value: string, fault: (path: string, message: string) => void): string {
  const trimmed = value.trim();
  if (trimmed === '') fault(path, 'must not be empty');
  return trimmed;
}

/** Normalises a customer; notes faults under `customer`. */
export function readCustomer({ name, phone, email }: OrderInput['customer'], faults: Faults): Customer {
  return {
    name: readText('customer.name', name, faults.add),
    phone: faults.take('customer.phone', parseMobile(phone)),
    ...(email === undefined ? {} : { email: readEmail('customer.email', email, faults.add) }),
  };
}

function readEmail(path: string, email: string, fault: (path: string, message: string) => void): string {
  const normalized = email.trim().toLowerCase();
  if (!EMAIL.test(normalized)) fault(path, 'must be an e-mail address such as name@example.in');
  return normalized;
}

/** Normalises an address; notes faults under `path`. */
export function readAddress(path: string, given: AddressInput, knownPincode: KnownPincode, fault: (path: string, message: string) => void): Address {
  const trimmed = (key: 'line1' | 'city' | 'state'): string => {
    const value = given[key].trim();
    if (value === '') fault(`${path}.${key}`, 'must not be empty');
    return value;
  };
  const state = findState(given.state);
  if (!state && given.state.trim() !== '') fault(`${path}.state`, 'must be an Indian state or union territory');
  const pincode = parseKnownPincode(given.pincode, knownPincode);
  if (!pincode.ok) fault(`${path}.pincode`, pincode.problem);
  if (given.country.trim().toUpperCase() !== 'IN') fault(`${path}.country`, 'must be IN');
  return {
    line1: trimmed('line1'),
    ...(given.line2 === undefined || given.line2.trim() === '' ? {} : { line2: given.line2.trim() }),
    city: trimmed('city'),
    state: state?.name ?? trimmed('state'),
    pincode: pincode.ok ? pincode.value : '',
    country: 'IN',
  };
}

const CANCELLABLE: ReadonlySet<OrderStatus> = new Set(['draft', 'pending_payment', 'placed', 'confirmed']);

/** True while no parcel of the order is booked or gone. */
export function canCancel(order: Pick<Order, 'status' | 'shipments'>): boolean {
  return CANCELLABLE.has(order.status) && order.shipments.every((s) => s.status === 'cancelled');
}

const EDITABLE: ReadonlySet<OrderStatus> = new Set(['draft', 'pending_payment', 'placed', 'confirmed', 'partially_shipped']);

/** Tags and notes may change always; where and to whom it goes only while nothing is booked and the order is open. */
export function editRefusal(order: Pick<Order, 'status' | 'shipments'>, fields: readonly string[]): string | undefined {
  const travel = fields.filter((f) => f !== 'tags' && f !== 'notes');
  if (travel.length === 0) return undefined;
  if (!EDITABLE.has(order.status)) return `An order that is ${order.status} keeps its ${travel.join(', ')}`;
  if (order.shipments.some((s) => s.status !== 'cancelled')) return `A shipment is booked: cancel it before you change ${travel.join(', ')}`;
  return undefined;
}
