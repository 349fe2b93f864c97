import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type OutsideTx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { activeLocations, ownCompany, type Company, type Location } from '../companies/index.ts';
import { connectionsOf, type Connection } from '../couriers/index.ts';
import { getOrders, type Order, type OrderShipment } from '../orders/index.ts';
import { readWallets } from '../wallet/index.ts';
import type { OptionWish } from './booking.rules.ts';
import { shipments, type Shipment } from './shipment.model.ts';
import type { LineQuantity, Parcel } from './shipment.rules.ts';

/** POST shipments, with the key of its request. */
export interface BookingRequest extends OptionWish {
  orderId: string;
  connectionId?: string;
  /** A number that the courier gave outside of us. */
  awb?: string;
  parcel?: Parcel;
  lines?: LineQuantity[];
  idempotencyKey?: string;
}

/** One shipment to book, on whose behalf. */
export interface Booking {
  ctx: OutsideTx;
  request: BookingRequest;
}

/** An order as the batch sees it: what earlier bookings of the batch have taken counts already. */
export interface ShelfOrder {
  row: Row<Order>;
  entries: OrderShipment[];
  /** Its shipments that are not cancelled, with what each collects. */
  live: { codPaise: number; lines: readonly LineQuantity[] }[];
}

export interface ShelfCompany {
  company: Row<Company>;
  /** In use, oldest first. */
  locations: readonly Row<Location>[];
  connections: readonly Row<Connection>[];
  availablePaise: number;
}

/** Everything that a batch of bookings is decided from, read before its transaction. */
export interface BookingShelf {
  orders: Map<string, ShelfOrder>;
  companies: Map<string, ShelfCompany>;
  /** Shipments that were booked under one of the batch's keys: company|key → id. */
  booked: Map<string, string>;
}

/** Reads the shelf: a fixed number of commands for the batch, and two for each of its companies. */
export async function readShelf(bookings: readonly Booking[]): Promise<BookingShelf> {
  const ctx = acrossCompanies(systemCtx('booking', PLATFORM_COMPANY_ID), 'shipments of many companies are booked together');
  const companyIds = [...new Set(bookings.map((b) => b.ctx.companyId))];
  const [orders, wallets, connections, booked, companies] = await Promise.all([
    getOrders(ctx, [...new Set(bookings.map((b) => b.request.orderId))]),
    readWallets(ctx, companyIds),
    connectionsOf(ctx, companyIds),
    readBooked(ctx, bookings),
    Promise.all(companyIds.map(readCompany)),
  ]);
  const live = await readLive(ctx, orders);
  return {
    orders: new Map(orders.map((row) => [row._id, { row, entries: row.shipments, live: live.get(row._id) ?? [] }])),
    companies: new Map(
      companies.map(({ company, locations }) => {
        const own = connections.filter((row) => row.companyId === company._id);
        return [company._id, { company, locations, connections: own, availablePaise: wallets.get(company._id)?.availablePaise ?? 0 }];
      }),
    ),
    booked,
  };
}

async function readCompany(companyId: string): Promise<{ company: Row<Company>; locations: Row<Location>[] }> {
  const ctx = systemCtx('booking', companyId);
  const [company, locations] = await Promise.all([ownCompany(ctx), activeLocations(ctx)]);
  return { company, locations };
}

async function readLive(ctx: OutsideTx, orders: readonly Row<Order>[]): Promise<Map<string, ShelfOrder['live']>> {
  const ids = orders.flatMap((order) => order.shipments.filter((s) => s.status !== 'cancelled').map((s) => s.shipmentId));
  const live = new Map<string, ShelfOrder['live']>();
  if (ids.length === 0) return live;
  for (const { orderId, codPaise, lines } of await shipments.find(ctx, { _id: { $in: ids } }, { fields: ['orderId', 'codPaise', 'lines'] })) {
    live.set(orderId, [...(live.get(orderId) ?? []), { codPaise, lines }]);
  }
  return live;
}

async function readBooked(ctx: OutsideTx, bookings: readonly Booking[]): Promise<Map<string, string>> {
  const keys = new Map<string, string[]>();
  for (const { ctx: own, request } of bookings) {
    if (request.idempotencyKey !== undefined) keys.set(own.companyId, [...(keys.get(own.companyId) ?? []), request.idempotencyKey]);
  }
  if (keys.size === 0) return new Map();
  const branches = [...keys].map(([companyId, own]): Filter<Shipment> => ({ companyId, idempotencyKey: { $in: own, $exists: true } }));
  const rows = await shipments.find(ctx, { $or: branches }, { fields: ['companyId', 'idempotencyKey'] });
  return new Map(rows.map((row) => [`${row.companyId}|${row.idempotencyKey ?? ''}`, row._id]));
}
