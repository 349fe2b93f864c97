import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx } from '../../platform/context.ts';
import type { Check } from '../../platform/module.ts';
import { getOrders } from '../orders/index.ts';
import { entryStatus } from './booking.rules.ts';
import { shipments } from './shipment.model.ts';

const BATCH = 500;

/** A Ctx that reads the shipments of all companies. */
export function allShipments(reason: string): Ctx {
  return acrossCompanies(systemCtx('shipments', PLATFORM_COMPANY_ID), reason);
}

interface Carried {
  _id: string;
  orderId: string;
  status: string;
  lines: readonly { sku: string; quantity: number }[];
}

/** Live shipments carry no more than was ordered, and the order lists exactly its shipments, as they are. */
const ordersAgree: Check = {
  name: 'orders list their shipments, and no line is shipped twice',
  async run() {
    const faults: string[] = [];
    const byOrder = new Map<string, Carried[]>();
    const fields = ['orderId', 'status', 'cancelledAt', 'pickedUpAt', 'lines', 'direction'] as const;
    for await (const row of shipments.each(allShipments('check'), {}, { fields })) {
      if (row.direction === 'reverse') continue;
      const own = byOrder.get(row.orderId) ?? [];
      byOrder.set(row.orderId, own);
      own.push({ _id: row._id, orderId: row.orderId, status: entryStatus(row), lines: row.lines });
    }
    const ids = [...byOrder.keys()];
    for (let at = 0; at < ids.length; at += BATCH) {
      const found = new Map((await getOrders(allShipments('check'), ids.slice(at, at + BATCH))).map((order) => [order._id, order]));
      for (const id of ids.slice(at, at + BATCH)) {
        const order = found.get(id);
        const own = byOrder.get(id) ?? [];
        if (!order) faults.push(`order ${id}: has shipments and does not exist`);
        else faults.push(...overBooked(id, order.lines, own), ...unlisted(id, order.shipments, own));
      }
    }
    return faults;
  },
};

function overBooked(orderId: string, lines: readonly { sku: string; quantity: number }[], own: readonly Carried[]): string[] {
  const left = new Map<string, number>();
  for (const { sku, quantity } of lines) left.set(sku, (left.get(sku) ?? 0) + quantity);
  for (const shipment of own) {
    if (shipment.status === 'cancelled') continue;
    for (const { sku, quantity } of shipment.lines) left.set(sku, (left.get(sku) ?? 0) - quantity);
  }
  return [...left].filter(([, quantity]) => quantity < 0).map(([sku, quantity]) => `order ${orderId}: ${-quantity} of ${sku} are in more shipments than ordered`);
}

function unlisted(orderId: string, entries: readonly { shipmentId: string; status: string }[], own: readonly Carried[]): string[] {
  const listed = new Map(entries.map((entry) => [entry.shipmentId, entry.status]));
  const faults = own.flatMap(({ _id, status }) => {
    const seen = listed.get(_id);
    listed.delete(_id);
    if (seen === undefined) return [`order ${orderId}: does not list shipment ${_id}`];
    return seen === status ? [] : [`order ${orderId}: lists shipment ${_id} as ${seen}, it is ${status}`];
  });
  return [...faults, ...[...listed.keys()].map((id) => `order ${orderId}: lists shipment ${id}, which does not exist`)];
}

/** One courier's number is on one shipment; the unique index says so, this looks. */
const awbsUnique: Check = {
  name: 'an AWB belongs to one shipment of its courier',
  async run() {
    const rows = await shipments.aggregate<{ _id: { awb: string; courier: string }; count: number }>(allShipments('check'), [
      { $match: { awb: { $exists: true } } },
      { $group: { _id: { awb: '$awb', courier: '$courier' }, count: { $sum: 1 } } },
      { $match: { count: { $gt: 1 } } },
    ]);
    return rows.map(({ _id, count }) => `AWB ${_id.awb} of ${_id.courier} is on ${count} shipments`);
  },
};

export const shipmentChecks = [ordersAgree, awbsUnique];
