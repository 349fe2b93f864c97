import { conflict, invalid } from '../../platform/errors.ts';
import { present } from '../../platform/present.ts';
import type { Order, OrderLine, OrderShipment } from '../orders/index.ts';
import type { FrozenQuote, Shipment, ShipmentLine } from './shipment.model.ts';
import { openLines, orderStatusFrom, type LineQuantity, type OrderStatusByShipments } from './shipment.rules.ts';
import { isPickedUpOrLater, isTerminal, statusRank, type ShipmentStatus } from '../couriers/index.ts';

/** The order's lines that a shipment carries, in its quantities. */
export function shipmentLines(order: Pick<Order, 'lines'>, quantities: readonly LineQuantity[]): ShipmentLine[] {
  return quantities.map(({ sku, quantity }) => {
    const line = order.lines.find((one) => one.sku === sku);
    return present({ sku, name: line?.name ?? sku, quantity, unitPricePaise: line?.unitPricePaise ?? 0, hsnCode: line?.hsnCode });
  });
}

/** What the goods are worth, tax included and after discount; of a part of a line its share, rounded down. */
export function goodsValue(order: Pick<Order, 'lines'>, quantities: readonly LineQuantity[]): number {
  const left = new Map(quantities.map(({ sku, quantity }) => [sku, quantity]));
  let value = 0;
  for (const line of order.lines) {
    const quantity = Math.min(line.quantity, left.get(line.sku) ?? 0);
    if (quantity === 0) continue;
    left.set(line.sku, (left.get(line.sku) ?? 0) - quantity);
    value += shareOf(line.totalPaise - line.discountPaise, quantity, line.quantity);
  }
  return value;
}

function shareOf(paise: number, part: number, whole: number): number {
  return part === whole ? paise : Number((BigInt(paise) * BigInt(part)) / BigInt(whole));
}

/**
 * What the courier collects with a shipment of a COD order. A shipment that leaves no line open collects all that the
 * others do not, so that the sum is exactly the order's total; any other its share by value of goods, rounded down.
 */
export function codAmount(
  order: Pick<Order, 'lines' | 'totals' | 'paymentMethod'>,
  quantities: readonly LineQuantity[],
  others: { codPaise: number; lines: readonly LineQuantity[] }[],
): number {
  if (order.paymentMethod !== 'cod') return 0;
  const rest = Math.max(0, order.totals.totalPaise - others.reduce((sum, other) => sum + other.codPaise, 0));
  const booked = [...others, { lines: quantities }].map(({ lines }) => ({ status: 'awb_assigned' as const, lines }));
  if (openLines(order.lines, booked).length === 0) return rest;
  const whole = order.lines.reduce((sum, line) => sum + line.totalPaise - line.discountPaise, 0);
  if (whole <= 0) return 0;
  const share = Number((BigInt(order.totals.totalPaise) * BigInt(goodsValue(order, quantities))) / BigInt(whole));
  return Math.min(rest, share);
}

/** What a caller may say about the offer to take. */
export interface OptionWish {
  optionId?: string;
  courier?: string;
  service?: string;
}

/** The part of an offer that choosing needs. */
export interface Offer {
  optionId: string;
  courier: string;
  service: string;
}

/** What choosing among offers came to. */
export type Choice<O> = { ok: true; option: O; chosen: FrozenQuote['chosen'] } | { ok: false; reason: 'not_offered' | 'nothing_offered' };

/**
 * The offer that the wish names, or the best ranked one that `bookable` allows. Throws 400 `courier_required` for a
 * service without its courier.
 */
export function chooseOption<O extends Offer>(options: readonly O[], wish: OptionWish, bookable: (courier: string) => boolean): Choice<O> {
  if (wish.optionId !== undefined) {
    const named = options.find((option) => option.optionId === wish.optionId);
    return named ? { ok: true, option: named, chosen: 'option' } : { ok: false, reason: 'not_offered' };
  }
  if (wish.courier === undefined && wish.service !== undefined) throw invalid('courier_required', 'Name the courier of this service');
  if (wish.courier !== undefined) {
    const fitting = options.find((o) => o.courier === wish.courier && (wish.service === undefined || o.service === wish.service));
    return fitting ? { ok: true, option: fitting, chosen: 'courier_and_service' } : { ok: false, reason: 'nothing_offered' };
  }
  const first = options.find((option) => bookable(option.courier));
  return first ? { ok: true, option: first, chosen: 'first_ranked' } : { ok: false, reason: 'nothing_offered' };
}

type EntryFacts = Pick<Shipment, 'status' | 'cancelledAt' | 'pickedUpAt'>;

/**
 * A shipment's status as its order keeps it: only the steps that mean something for the order, so that scans on the way
 * leave it alone. A cancellation counts once it is final; until then the courier's word for it may be overtaken.
 */
export function entryStatus(shipment: EntryFacts): ShipmentStatus {
  if (shipment.cancelledAt) return 'cancelled';
  if (shipment.status === 'cancelled') return 'on_hold';
  if (isTerminal(shipment.status)) return shipment.status;
  if (shipment.pickedUpAt || isPickedUpOrLater(shipment.status)) return 'picked_up';
  return shipment.status === 'created' ? 'created' : 'awb_assigned';
}

/** A shipment as its order lists it. */
export function orderEntry(shipment: EntryFacts & { _id: string; lines: readonly LineQuantity[] }): OrderShipment {
  return { shipmentId: shipment._id, status: entryStatus(shipment), lines: shipment.lines.map(({ sku, quantity }) => ({ sku, quantity })) };
}

/** The order's entries with some of them replaced or added. */
export function withEntries(entries: readonly OrderShipment[], changed: readonly OrderShipment[]): OrderShipment[] {
  const byId = new Map(changed.map((entry) => [entry.shipmentId, entry]));
  const kept = entries.map((entry) => byId.get(entry.shipmentId) ?? entry);
  const known = new Set(entries.map((entry) => entry.shipmentId));
  return [...kept, ...changed.filter((entry) => !known.has(entry.shipmentId))];
}

/** What the entries make of the order's status; undefined leaves it as it is. Reverse shipments are not among them. */
export function orderStatusOf(lines: readonly Pick<OrderLine, 'sku' | 'quantity'>[], entries: readonly OrderShipment[]): OrderStatusByShipments | undefined {
  const live = entries.map(({ status, lines: carried }) => ({ status: status as ShipmentStatus, lines: carried }));
  return orderStatusFrom(live, openLines(lines, live).length === 0);
}

/** The further of two statuses that our own steps and the scans have reached. */
export function further<S extends ShipmentStatus>(a: S, b: S): S {
  return statusRank(b) > statusRank(a) ? b : a;
}

/** 409 for a shipment that is asked for something after its end. */
export function assertLive(shipment: Pick<Shipment, 'status' | 'cancelledAt'>): void {
  if (shipment.cancelledAt || shipment.status === 'cancelled') throw conflict('shipment_cancelled', 'This shipment is cancelled');
}
