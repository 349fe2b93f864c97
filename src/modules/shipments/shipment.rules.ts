import type { AppError } from '../../platform/errors.ts';
import { conflict, forbidden, invalid } from '../../platform/errors.ts';
import type { ShipmentDirection, ShipmentStatus } from '../couriers/index.ts';
import { isPickedUpOrLater, isTerminal } from '../couriers/index.ts';

export interface BookingFacts {
  orderStatus: string;
  emailVerified: boolean;
  kycVerified: boolean;
  courier: string;
  hasPickupLocation: boolean;
}

const BOOKABLE_ORDERS: ReadonlySet<string> = new Set(['placed', 'confirmed', 'partially_shipped', 'shipped']);
const COURIERS_WITHOUT_KYC: ReadonlySet<string> = new Set(['sandbox']);

/**
 * Why this booking is refused, or undefined: 403 `email_not_verified`, 403 `kyc_required` (without verified KYC only
 * the sandbox courier), 409 `order_not_bookable`, 409 `pickup_location_required`. A shipped order may still have open
 * lines of its own; `linesToBook` says so.
 */
export function bookingRefusal(facts: BookingFacts): AppError | undefined {
  if (!facts.emailVerified) return forbidden('email_not_verified', 'Verify your e-mail address before you book');
  if (!facts.kycVerified && !COURIERS_WITHOUT_KYC.has(facts.courier)) {
    return forbidden('kyc_required', 'Until your KYC is verified you can book with the sandbox courier only');
  }
  if (!BOOKABLE_ORDERS.has(facts.orderStatus)) {
    const details = { status: facts.orderStatus };
    return conflict('order_not_bookable', `An order that is ${facts.orderStatus} cannot be booked`, details);
  }
  if (facts.hasPickupLocation) return undefined;
  return conflict('pickup_location_required', 'Add a location first: the courier must know where to pick up');
}

export interface LineQuantity {
  sku: string;
  quantity: number;
}

/** What of the order no shipment carries: a cancelled shipment gives its lines back, any other keeps them. */
export function openLines(
  ordered: readonly LineQuantity[],
  shipments: readonly { status: ShipmentStatus; lines: readonly LineQuantity[] }[],
): LineQuantity[] {
  const left = new Map<string, number>();
  for (const line of ordered) left.set(line.sku, (left.get(line.sku) ?? 0) + line.quantity);
  for (const shipment of shipments) {
    if (shipment.status === 'cancelled') continue;
    for (const line of shipment.lines) left.set(line.sku, (left.get(line.sku) ?? 0) - line.quantity);
  }
  return [...left].filter(([, quantity]) => quantity > 0).map(([sku, quantity]) => ({ sku, quantity }));
}

/**
 * The lines of a new shipment: those asked for, or all that are open. Throws 409 `order_already_booked` when nothing
 * or too little is open, 400 `line_not_in_order` for a SKU that the order does not have.
 */
export function linesToBook(
  ordered: readonly LineQuantity[],
  open: readonly LineQuantity[],
  wanted?: readonly LineQuantity[],
): LineQuantity[] {
  const none = (details?: { sku: string; openQuantity: number }): AppError =>
    conflict('order_already_booked', 'These lines are in a shipment already', details);
  if (open.length === 0) throw none();
  if (wanted === undefined || wanted.length === 0) return open.map((line) => ({ ...line }));
  const sums = new Map<string, number>();
  for (const line of wanted) sums.set(line.sku, (sums.get(line.sku) ?? 0) + line.quantity);
  return [...sums].map(([sku, quantity]) => {
    if (!ordered.some((line) => line.sku === sku)) {
      throw invalid('line_not_in_order', 'The order has no line with this SKU', { sku });
    }
    const openQuantity = open.find((line) => line.sku === sku)?.quantity ?? 0;
    if (quantity > openQuantity) throw none({ sku, openQuantity });
    return { sku, quantity };
  });
}

export interface Parcel {
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
}

export interface ResolvedParcel {
  parcel: Parcel;
  source: 'shipment' | 'order' | 'products' | 'default';
  /** True when nobody gave a size and the default stands in: the seller should be asked. */
  assumed: boolean;
}

/**
 * Weight and size of a shipment: as given with it, else with its order, else from its products (weights times
 * quantities added up, the greatest of each length), else the default, flagged. A line without a full product leaves
 * the products out, because half a sum would be priced too low.
 */
export function resolveParcel(from: {
  requested?: Parcel;
  order?: Parcel;
  lines: readonly { quantity: number; product?: Partial<Parcel> }[];
  fallback: Parcel;
}): ResolvedParcel {
  if (from.requested !== undefined) return { parcel: from.requested, source: 'shipment', assumed: false };
  if (from.order !== undefined) return { parcel: from.order, source: 'order', assumed: false };
  const parcel = parcelOfProducts(from.lines);
  if (parcel !== undefined) return { parcel, source: 'products', assumed: false };
  return { parcel: from.fallback, source: 'default', assumed: true };
}

function parcelOfProducts(
  lines: readonly { quantity: number; product?: Partial<Parcel> }[],
): Parcel | undefined {
  const sum: Parcel = { weightGrams: 0, lengthMm: 0, breadthMm: 0, heightMm: 0 };
  for (const { quantity, product } of lines) {
    const { weightGrams, lengthMm, breadthMm, heightMm } = product ?? {};
    if (!weightGrams || !lengthMm || !breadthMm || !heightMm) return undefined;
    sum.weightGrams += weightGrams * quantity;
    sum.lengthMm = Math.max(sum.lengthMm, lengthMm);
    sum.breadthMm = Math.max(sum.breadthMm, breadthMm);
    sum.heightMm = Math.max(sum.heightMm, heightMm);
  }
  return sum.weightGrams > 0 ? sum : undefined;
}

export interface EwayBillRule {
  limitPaise: number;
  /** `over`: more than the limit needs a bill; `from`: the limit itself too, as one courier asks. */
  comparison: 'over' | 'from';
}

/** CGST Rule 138(1): consignments of more than Rs 50,000. */
export const DEFAULT_EWAY_BILL_RULE: EwayBillRule = { limitPaise: 5_000_000, comparison: 'over' };

/** True for the twelve digits of an e-way bill number, after spaces and hyphens are dropped. */
export function isEwayBillNumber(text: string): boolean {
  return /^\d{12}$/.test(text.replace(/[\s-]+/g, ''));
}

/** True when the law asks for an e-way bill for goods of this value (tax included, in paise). */
export function needsEwayBill(valuePaise: number, rule: EwayBillRule = DEFAULT_EWAY_BILL_RULE): boolean {
  return rule.comparison === 'over' ? valuePaise > rule.limitPaise : valuePaise >= rule.limitPaise;
}

/** The shipments that may not go on a manifest, because they need an e-way bill and have no number. */
export function withoutEwayBill<T extends { valuePaise: number; ewayBillNumber?: string }>(
  shipments: readonly T[],
  rule: EwayBillRule = DEFAULT_EWAY_BILL_RULE,
): T[] {
  return shipments.filter((shipment) => !shipment.ewayBillNumber && needsEwayBill(shipment.valuePaise, rule));
}

export type OrderStatusByShipments = 'partially_shipped' | 'shipped' | 'delivered' | 'returned';

export interface OrderShipment {
  status: ShipmentStatus;
  pickedUpAt?: Date;
  direction?: ShipmentDirection;
}

/**
 * The order's status that its shipments make, or undefined while none has been picked up (it stays placed or
 * confirmed). Booking alone ships nothing: `partially_shipped` from the first pick-up on, `shipped` when every line
 * is booked and every parcel picked up. When also every parcel has come to its end: `delivered` if the buyer got one,
 * `returned` if none was delivered and one came back; all lost or damaged stays `shipped`. Cancelled and reverse
 * shipments do not count.
 */
export function orderStatusFrom(
  shipments: readonly OrderShipment[],
  everyLineBooked: boolean,
): OrderStatusByShipments | undefined {
  const live = shipments.filter((shipment) => shipment.direction !== 'reverse' && shipment.status !== 'cancelled');
  const picked = live.filter((one) => one.pickedUpAt !== undefined || isPickedUpOrLater(one.status));
  if (picked.length === 0) return undefined;
  if (!everyLineBooked || picked.length < live.length) return 'partially_shipped';
  if (!live.every((shipment) => isTerminal(shipment.status))) return 'shipped';
  if (live.some((shipment) => shipment.status === 'delivered')) return 'delivered';
  return live.some((shipment) => shipment.status === 'rto_delivered') ? 'returned' : 'shipped';
}
