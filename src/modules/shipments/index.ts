import { job } from '../../platform/jobs.ts';
import type { Module } from '../../platform/module.ts';
import { openBookingLane } from './booking.service.ts';
import { closePaperWorkers } from './papers/paper-worker.ts';
import { shipmentChecks } from './shipment.checks.ts';
import { shipmentJobs } from './shipment.courier.jobs.ts';
import { shipmentPrivacy } from './shipment.privacy.ts';
import { shipmentDevRoutes, shipmentRoutes } from './shipment.routes.ts';
import { settleReportedCancel } from './shipment.service.ts';

export { bookBatch, bookMany, bookShipment, type BulkResult } from './booking.service.ts';
export type { Booking, BookingRequest } from './booking.shelf.ts';
export { untilUnchanged } from './shipment.courier.jobs.ts';
export {
  eachToFold,
  ordersTouched,
  quotesOf,
  shipmentsByAwb,
  shipmentsToFold,
  writeFolds,
  type FoldedShipment,
  type FoldState,
  type FoldWrite,
} from './shipment.fold.ts';
export { SHIPMENT_BOUNDS, type FrozenQuote, type KeptScan, type Shipment } from './shipment.model.ts';
export { priceWayBack } from './shipment.quote.ts';
export { makeManifest, schedulePickup } from './handover.service.ts';
export { shipmentIdsOf } from './shipment.privacy.ts';
export { labelsOf, manifestPdf } from './paper.service.ts';
export { cancelShipment, findPublicShipment, findShipment, getShipment, getShipments, ownPlaces, setEwayBill } from './shipment.service.ts';
export {
  isNdrReason,
  isPickedUpOrLater,
  isRto,
  isRtoDue,
  isShipmentStatus,
  manualStatusRefusal,
  ndrActionRefusal,
  NDR_ACTIONS,
  NDR_REASONS,
  SHIPMENT_STATUSES,
  type NdrAction,
  type NdrReason,
  type ShipmentDirection,
  type ShipmentStatus,
} from '../couriers/index.ts';
export { shipmentShape, shipmentView, type ShipmentView } from './shipment.views.ts';

/** Makes a cancellation that the courier reported final, once a late pickup scan is not to be expected any more. */
const settleCancel = job<{ shipmentId: string }>({
  name: 'shipments.settle_reported_cancel',
  attempts: 10,
  backoffMs: 1_000,
  handle: (ctx, { shipmentId }) => settleReportedCancel(ctx, shipmentId),
});

export const shipmentsModule: Module = {
  name: 'shipments',
  routes: shipmentRoutes,
  devRoutes: shipmentDevRoutes,
  jobs: [...shipmentJobs, settleCancel],
  checks: shipmentChecks,
  customerData: [shipmentPrivacy],
  start() {
    const drain = openBookingLane();
    return Promise.resolve(async () => {
      await drain();
      await closePaperWorkers();
    });
  },
};
