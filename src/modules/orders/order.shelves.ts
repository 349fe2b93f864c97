import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx } from '../../platform/context.ts';
import type { Row, RowRef } from '../../platform/db/collection.ts';
import { sellableBySku } from '../catalog/index.ts';
import { couponRows, customerKeyOf, readCouponUses, type Coupon } from '../coupons/index.ts';
import { stockRows } from '../inventory/index.ts';
import type { CompanyShelf, FreeStock, Sellable } from './order.allocate.rules.ts';
import { orders, type Order } from './order.model.ts';
import type { OrderRequest } from './order.rules.ts';

/** One order to place, on whose behalf. */
export interface Placement {
  ctx: OutsideTx;
  request: OrderRequest;
}

/** Coupons of one company with the uses that this batch has already promised. */
export interface CouponShelf {
  byCode: Map<string, Row<Coupon>>;
  used: Map<string, number>;
  usedBy: Map<string, number>;
  /** The customers' counters that were read, under the same keys. */
  uses: Map<string, RowRef>;
  /** Under which key the customer of a request with a coupon is counted. */
  customers: Map<OrderRequest, string>;
}

/** What one company has for a batch: products, free stock, coupons, and the orders with the wished external ids. */
export interface Shelf extends CompanyShelf {
  coupons: CouponShelf;
  existing: Map<string, string>;
}

/** Reads everything that a batch is decided on, for all of its companies together: a few commands, whatever its size. */
export async function readShelves(placements: readonly Placement[]): Promise<Map<string, Shelf>> {
  const [shelves, existing] = await Promise.all([readGoods(placements, 'see'), readExisting(placements)]);
  for (const row of existing) if (row.externalId !== undefined) shelves.get(row.companyId)?.existing.set(row.externalId, row._id);
  return shelves;
}

/** Shelves with products, stock and coupons, and no orders yet: as they are, or as they are recalled (see `makeRecall`). */
export async function readGoods(placements: readonly Placement[], how: 'see' | 'recall'): Promise<Map<string, Shelf>> {
  const ctx = laneCtx();
  const byCompany = groupedBy(placements, (p) => p.ctx.companyId);
  const wanted = [...byCompany].map(([companyId, list]) => ({ companyId, skus: unique(list.flatMap((p) => p.request.lines.map((l) => l.sku))) }));
  const codes = [...byCompany]
    .map(([companyId, list]) => ({ companyId, names: unique(list.flatMap((p) => (p.request.couponCode ? [p.request.couponCode] : []))) }))
    .filter((c) => c.names.length > 0);
  const [products, stock, coupons] = await Promise.all([
    sellableBySku(ctx, wanted),
    stockRows[how](ctx, wanted.map(({ companyId, skus }) => ({ companyId, names: skus }))),
    couponRows[how](ctx, codes),
  ]);
  const couponShelves = await readCouponShelves(ctx, byCompany, coupons);
  const shelves = new Map<string, Shelf>();
  for (const { companyId, skus } of wanted) {
    const own = new Map<string, Sellable>();
    for (const sku of skus) {
      const product = products.get(`${companyId}|${sku}`);
      if (product) own.set(sku, product);
    }
    shelves.set(companyId, { products: own, stock: new Map(), coupons: couponShelves(companyId), existing: new Map() });
  }
  for (const row of stock) {
    const list = shelves.get(row.companyId)?.stock;
    if (!list) continue;
    const places: FreeStock[] = list.get(row.sku) ?? [];
    places.push({ _id: row._id, sku: row.sku, locationId: row.locationId, available: row.available });
    list.set(row.sku, places);
  }
  // Ids sort by birth, so the oldest location comes first.
  for (const shelf of shelves.values()) for (const places of shelf.stock.values()) places.sort((a, b) => (a.locationId < b.locationId ? -1 : 1));
  return shelves;
}

/** Has stock and coupons of these read again: what an attempt took and gave back when it failed was taken off what is recalled. */
export function forgetGoods(placements: readonly Placement[]): void {
  for (const { ctx, request } of placements) {
    for (const { sku } of request.lines) stockRows.forget(ctx.companyId, sku);
    if (request.couponCode) couponRows.forget(ctx.companyId, request.couponCode);
  }
}

type ExistingOrder = Pick<Row<Order>, '_id' | 'companyId' | 'externalId'>;

/** The orders that have an external id of these by now. */
export async function readExisting(placements: readonly Placement[]): Promise<ExistingOrder[]> {
  const wished = placements.filter((p) => p.request.externalId !== undefined);
  const branches = [...groupedBy(wished, (p) => p.ctx.companyId)].map(([companyId, list]) => ({
    companyId,
    externalId: { $in: list.flatMap(({ request }) => (request.externalId === undefined ? [] : [request.externalId])) },
  }));
  if (branches.length === 0) return [];
  return orders.find(laneCtx(), { $or: branches }, { fields: ['companyId', 'externalId'] });
}

function laneCtx(): Ctx {
  return acrossCompanies(systemCtx('order-lane', PLATFORM_COMPANY_ID), 'orders of many companies are placed together');
}

async function readCouponShelves(ctx: Ctx, byCompany: ReadonlyMap<string, Placement[]>, rows: readonly Row<Coupon>[]): Promise<(companyId: string) => CouponShelf> {
  const shelves = new Map<string, CouponShelf>();
  const shelfOf = (companyId: string): CouponShelf => {
    const shelf = shelves.get(companyId) ?? { byCode: new Map(), used: new Map(), usedBy: new Map(), uses: new Map(), customers: new Map() };
    shelves.set(companyId, shelf);
    return shelf;
  };
  for (const row of rows) {
    shelfOf(row.companyId).byCode.set(row.code, row);
    shelfOf(row.companyId).used.set(row._id, row.used);
  }
  const uses: { companyId: string; couponId: string; customerKey: string }[] = [];
  for (const [companyId, list] of byCompany) {
    for (const { request } of list) {
      const coupon = request.couponCode === undefined ? undefined : shelfOf(companyId).byCode.get(request.couponCode);
      if (!coupon) continue;
      const customerKey = customerKeyOf(companyId, request.customer);
      shelfOf(companyId).customers.set(request, customerKey);
      if (coupon.perCustomerLimit !== undefined) uses.push({ companyId, couponId: coupon._id, customerKey });
    }
  }
  if (uses.length > 0) {
    for (const use of await readCouponUses(ctx, uses)) {
      const key = `${use.couponId}|${use.customerKey}`;
      shelfOf(use.companyId).usedBy.set(key, use.count);
      shelfOf(use.companyId).uses.set(key, { _id: use._id, companyId: use.companyId });
    }
  }
  return shelfOf;
}

/** Items by key, in the order of their first. */
export function groupedBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
