import type { Readable } from 'node:stream';
import type { Ctx } from '../../platform/context.ts';
import { csvRow, csvStream } from '../../platform/csv.ts';
import { listOrders, type OrderSearch } from './order.service.ts';

const HEADER = ['id', 'orderNumber', 'status', 'channel', 'externalId', 'customerName', 'customerPhone', 'customerEmail', 'city', 'state', 'pincode', 'paymentMethod', 'lines', 'subtotalPaise', 'discountPaise', 'shippingPaise', 'taxPaise', 'totalPaise', 'placedAt', 'createdAt'];

/** The orders of a search as CSV, a page at a time, so that any number fits in memory. Phone and e-mail masked. */
export function exportOrdersCsv(ctx: Ctx, search: Omit<OrderSearch, 'limit' | 'cursor'>): Promise<Readable> {
  return csvStream(rows(ctx, search));
}

async function* rows(ctx: Ctx, search: Omit<OrderSearch, 'limit' | 'cursor'>): AsyncGenerator<string> {
  yield csvRow(HEADER);
  let cursor: string | undefined;
  do {
    const page = await listOrders(ctx, { ...search, limit: 1000, cursor });
    for (const o of page.data) {
      const { totals } = o;
      const [customer, address] = [o.customer.mask, o.shippingAddress.mask];
      yield csvRow([
        ...[o._id, o.orderNumber, o.status, o.channel, o.externalId, o.customer.shown().name, customer.phone, customer.email],
        ...[address.city, address.state, address.pincode, o.paymentMethod, o.lines.length],
        ...[totals.subtotalPaise, totals.discountPaise, totals.shippingPaise, totals.taxPaise, totals.totalPaise],
        ...[o.placedAt.toISOString(), o.createdAt.toISOString()],
      ]);
    }
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
}
