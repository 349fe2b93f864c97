import type { Check } from '../../platform/module.ts';
import { reservedByStock } from '../inventory/index.ts';
import { orders } from './order.model.ts';
import { allOrders } from './order.service.ts';

/** What orders have reserved is what the stock has reserved, per company, SKU and location. */
const reservedAddsUp: Check = {
  name: 'reserved stock is the sum of the orders’ reservations',
  async run() {
    const rows = await orders.aggregate<{ _id: { companyId: string; sku: string; locationId: string }; reserved: number }>(allOrders('check'), [
      { $match: { 'lines.reservedQuantity': { $gt: 0 } } },
      { $unwind: '$lines' },
      { $match: { 'lines.reservedQuantity': { $gt: 0 } } },
      { $group: { _id: { companyId: '$companyId', sku: '$lines.sku', locationId: '$lines.locationId' }, reserved: { $sum: '$lines.reservedQuantity' } } },
    ]);
    const wanted = new Map(rows.map((r) => [`${r._id.companyId} ${r._id.locationId} ${r._id.sku}`, r.reserved]));
    const faults: string[] = [];
    for (const stock of await reservedByStock(allOrders('check'))) {
      const key = `${stock.companyId} ${stock.locationId} ${stock.sku}`;
      if ((wanted.get(key) ?? 0) !== stock.reserved) faults.push(`stock ${key}: reserved ${stock.reserved}, orders hold ${wanted.get(key) ?? 0}`);
      wanted.delete(key);
    }
    for (const [key, reserved] of wanted) faults.push(`stock ${key}: there is no stock row, orders hold ${reserved}`);
    return faults;
  },
};

/** Totals are what the lines say, and an ended order holds nothing. */
const totalsAddUp: Check = {
  name: 'order totals add up and ended orders hold no stock',
  async run() {
    const faults: string[] = [];
    for await (const order of orders.each(allOrders('check'), {}, { fields: ['lines', 'totals', 'status'] })) {
      const { totals, lines, status } = order;
      if (totals.totalPaise !== totals.subtotalPaise - totals.discountPaise + totals.shippingPaise) faults.push(`order ${order._id}: total is not subtotal − discount + shipping`);
      if (lines.reduce((sum, l) => sum + l.totalPaise, 0) !== totals.subtotalPaise) faults.push(`order ${order._id}: lines do not sum to the subtotal`);
      if (lines.reduce((sum, l) => sum + l.discountPaise, 0) !== totals.discountPaise) faults.push(`order ${order._id}: line discounts do not sum to the discount`);
      const ended = status === 'cancelled' || status === 'expired';
      if (ended && lines.some((l) => l.reservedQuantity > 0)) faults.push(`order ${order._id}: is ${status} and holds stock`);
    }
    return faults;
  },
};

export const orderChecks = [reservedAddsUp, totalsAddUp];
