import type { Ctx } from '../../platform/context.ts';
import { orders } from './order.model.ts';

/** How many orders each import has stored, by import id; reads all orders, for checks. */
export async function countImportedOrders(ctx: Ctx): Promise<Map<string, number>> {
  const rows = await orders.aggregate<{ _id: string; count: number }>(ctx, [
    { $match: { importId: { $exists: true } } },
    { $group: { _id: '$importId', count: { $sum: 1 } } },
  ]);
  return new Map(rows.map((row) => [row._id, row.count]));
}
