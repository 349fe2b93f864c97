import { now } from '../../platform/clock.ts';
import { systemCtx, type Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { getOrders, updateOrders } from '../orders/index.ts';
import { releaseHolds } from '../wallet/index.ts';
import { orderEntry, orderStatusOf, withEntries } from './booking.rules.ts';
import { shipments, type Shipment } from './shipment.model.ts';

/**
 * Ends a shipment that nobody has picked up: its lines are open again, its hold is released. Scans that come later
 * cannot bring it back. BatchConflict when the order changed meanwhile, 412 when the shipment did.
 */
export async function cancelInside(tx: Tx, shipment: Row<Shipment>, end: { reason?: string; bookingState?: 'failed' }): Promise<Row<Shipment>> {
  const at = now();
  const { reason, bookingState } = end;
  const row = await shipments.update(
    tx,
    shipment._id,
    {
      $set: {
        status: 'cancelled',
        statusAt: at,
        cancelledAt: at,
        ...(reason === undefined ? {} : { cancelReason: reason }),
        ...(bookingState === undefined ? {} : { bookingState }),
      },
    },
    { version: shipment.version },
  );
  // Not as the member who asks: one who is limited to some locations may see the shipment and not its order.
  const [order] = await getOrders(tx.for(systemCtx('shipments', tx.companyId)), [shipment.orderId]);
  if (order) {
    const entries = withEntries(order.shipments, [orderEntry(row)]);
    await updateOrders(tx, [{ tx, order, shipments: entries, status: orderStatusOf(order.lines, entries), reason: 'shipment cancelled' }]);
  }
  tx.emit({
    type: 'shipment.cancelled',
    key: shipment._id,
    payload: { shipmentId: shipment._id, orderId: shipment.orderId, awb: shipment.awb ?? null, from: shipment.status },
  });
  await releaseHolds(tx, [{ tx, shipmentId: shipment._id, cause: 'Shipment cancelled', awb: shipment.awb }]);
  return row;
}
