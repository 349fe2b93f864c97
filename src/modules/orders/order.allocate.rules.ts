import { conflict, invalidFields, type AppError } from '../../platform/errors.ts';
import { taxIncluded } from '../../platform/money.ts';
import type { OrderLine, Parcel, Totals } from './order.model.ts';
import type { OrderRequest } from './order.rules.ts';

/** What the catalogue says of one SKU. */
export interface Sellable {
  sku: string;
  name: string;
  pricePaise: number;
  hsnCode?: string;
  taxBp: number;
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
  status: string;
}

/** Free stock of one SKU at one place. */
export interface FreeStock {
  /** The stock row's id. */
  _id: string;
  sku: string;
  locationId: string;
  available: number;
}

/** What a coupon takes off; worked out by the coupons module's rules. */
export type CouponVerdict = { ok: true; discountPaise: number; freeShipping: boolean } | { ok: false; error: AppError };

/** Everything read for one company before deciding; `take` marks what earlier requests of the batch have used. */
export interface CompanyShelf {
  products: ReadonlyMap<string, Sellable>;
  /** By SKU, oldest location first. Mutated while allocating. */
  stock: Map<string, FreeStock[]>;
}

/** A request priced and with its stock chosen. */
export interface Allocation {
  lines: OrderLine[];
  totals: Totals;
  parcel: Parcel;
  parcelSource: 'order' | 'products' | 'default';
}

/**
 * Decides one request against the shelf, first come first served, and takes its stock off the shelf. Pure apart from
 * the shelf; the single command and the batch use this same function. Refusals: 400 for a line without a price, 409
 * `product_not_sold`, 409 `out_of_stock` naming the SKU.
 */
export function allocate(request: OrderRequest, shelf: CompanyShelf, coupon: (lines: OrderLine[]) => CouponVerdict, defaults: Parcel): Allocation {
  const lines = priceLines(request, shelf.products);
  const places = choosePlaces(request, lines, shelf);
  const verdict = request.couponCode === undefined ? undefined : coupon(lines);
  if (verdict && !verdict.ok) throw verdict.error;
  lines.forEach((line, i) => {
    const place = places[i];
    if (!place) return;
    place.available -= line.quantity;
    line.locationId = place.locationId;
    line.reservedQuantity = line.quantity;
  });
  const totals = settleTotals(request, lines, verdict ?? { discountPaise: 0, freeShipping: false });
  return { lines, totals, ...parcelOf(request, shelf.products, defaults) };
}

/** The largest amount of the contract (`field.paise`): payments, shipments and COD of an order could not show more. */
const MAX_ORDER_PAISE = 1_000_000_000_000;

function priceLines(request: OrderRequest, products: ReadonlyMap<string, Sellable>): OrderLine[] {
  const faults: { path: string; message: string }[] = [];
  const lines = request.lines.map((line, i): OrderLine => {
    const product = products.get(line.sku);
    if (product && product.status !== 'active') {
      throw conflict('product_not_sold', `The product ${line.sku} is not on sale`, { sku: line.sku });
    }
    const unitPricePaise = line.unitPricePaise ?? product?.pricePaise;
    const name = line.name?.trim() || product?.name;
    if (unitPricePaise === undefined) faults.push({ path: `lines.${i}.unitPricePaise`, message: 'is needed: this SKU is not in the catalogue' });
    if (name === undefined) faults.push({ path: `lines.${i}.name`, message: 'is needed: this SKU is not in the catalogue' });
    const hsnCode = line.hsnCode ?? product?.hsnCode;
    return {
      sku: line.sku,
      name: name ?? '',
      quantity: line.quantity,
      unitPricePaise: unitPricePaise ?? 0,
      totalPaise: (unitPricePaise ?? 0) * line.quantity,
      discountPaise: 0,
      taxPaise: 0,
      taxBp: product?.taxBp ?? 0,
      ...(hsnCode === undefined ? {} : { hsnCode }),
      ...(product ? { weightGrams: product.weightGrams } : {}),
      reservedQuantity: 0,
    };
  });
  if (lines.reduce((sum, line) => sum + line.totalPaise, 0) > MAX_ORDER_PAISE) {
    faults.push({ path: 'lines', message: `must be worth ${MAX_ORDER_PAISE} paise at most together` });
  }
  if (faults.length > 0) throw invalidFields(faults);
  return lines;
}

/** The place each catalogue line is taken from: the wished one, else one that has all lines, else any that has the line. */
function choosePlaces(request: OrderRequest, lines: readonly OrderLine[], shelf: CompanyShelf): (FreeStock | undefined)[] {
  const needed = new Map<string, number>();
  for (const line of lines) if (shelf.products.has(line.sku)) needed.set(line.sku, (needed.get(line.sku) ?? 0) + line.quantity);
  const at = (locationId: string, sku: string): FreeStock | undefined => shelf.stock.get(sku)?.find((s) => s.locationId === locationId);
  const hasAll = (locationId: string): boolean => [...needed].every(([sku, quantity]) => (at(locationId, sku)?.available ?? 0) >= quantity);
  const chosen = request.pickupLocationId ?? commonPlace(needed, shelf, hasAll);
  return lines.map((line) => {
    const quantity = needed.get(line.sku);
    if (quantity === undefined) return undefined;
    const place = chosen === undefined ? shelf.stock.get(line.sku)?.find((s) => s.available >= quantity) : at(chosen, line.sku);
    if (!place || place.available < quantity) {
      throw conflict('out_of_stock', `Not enough of ${line.sku} in stock`, { sku: line.sku, available: Math.max(0, place?.available ?? bestAvailable(shelf, line.sku)) });
    }
    return place;
  });
}

function commonPlace(needed: ReadonlyMap<string, number>, shelf: CompanyShelf, hasAll: (locationId: string) => boolean): string | undefined {
  const [first] = needed.keys();
  if (first === undefined) return undefined;
  return shelf.stock.get(first)?.find((s) => hasAll(s.locationId))?.locationId;
}

function bestAvailable(shelf: CompanyShelf, sku: string): number {
  return Math.max(0, ...(shelf.stock.get(sku) ?? []).map((s) => s.available));
}

/** Totals in exact paise; the discount is spread over the lines by value, the rest of the division on the last ones. */
function settleTotals(request: OrderRequest, lines: OrderLine[], coupon: { discountPaise: number; freeShipping: boolean }): Totals {
  const { imported } = request;
  const subtotalPaise = lines.reduce((sum, line) => sum + line.totalPaise, 0);
  const discountPaise = Math.min(subtotalPaise, coupon.discountPaise + (imported?.discountPaise ?? 0));
  const shippingPaise = coupon.freeShipping ? 0 : (imported?.shippingPaise ?? 0);
  let left = discountPaise;
  let base = subtotalPaise;
  for (const line of lines) {
    const part = base === 0 ? 0 : Number((BigInt(left) * BigInt(line.totalPaise)) / BigInt(base));
    line.discountPaise = part;
    line.taxPaise = taxIncluded(line.totalPaise - part, line.taxBp);
    left -= part;
    base -= line.totalPaise;
  }
  const taxPaise = imported?.taxPaise ?? lines.reduce((sum, line) => sum + line.taxPaise, 0);
  return { subtotalPaise, discountPaise, shippingPaise, taxPaise, totalPaise: subtotalPaise - discountPaise + shippingPaise };
}

/** The order's own parcel; else the products stacked (weights summed, heights stacked, widest base); else the default. */
function parcelOf(request: OrderRequest, products: ReadonlyMap<string, Sellable>, defaults: Parcel): Pick<Allocation, 'parcel' | 'parcelSource'> {
  if (request.parcel) return { parcel: request.parcel, parcelSource: 'order' };
  const parcel = { weightGrams: 0, lengthMm: 0, breadthMm: 0, heightMm: 0 };
  for (const line of request.lines) {
    const product = products.get(line.sku);
    if (!product) return { parcel: defaults, parcelSource: 'default' };
    parcel.weightGrams += product.weightGrams * line.quantity;
    parcel.lengthMm = Math.max(parcel.lengthMm, product.lengthMm);
    parcel.breadthMm = Math.max(parcel.breadthMm, product.breadthMm);
    parcel.heightMm += product.heightMm * line.quantity;
  }
  return { parcel: { ...parcel, heightMm: Math.min(parcel.heightMm, 5_000) }, parcelSource: 'products' };
}
