import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, invalidFields, notFound, stale } from '../../platform/errors.ts';
import { isId } from '../../platform/ids.ts';
import { assertRange, type Page, type PageRequest } from '../../platform/pagination.ts';
import { awbText } from '../couriers/index.ts';
import { assertLive } from './booking.rules.ts';
import { cancelInside } from './shipment.cancel.ts';
import { askToCancel, untilUnchanged } from './shipment.courier.jobs.ts';
import { shipments, type Shipment } from './shipment.model.ts';
import { isEwayBillNumber } from './shipment.rules.ts';
import { canCancel, type ShipmentStatus } from '../couriers/index.ts';

/** A member who is limited to some locations sees the shipments that are picked up there. */
export function ownPlaces(ctx: Ctx): Filter<Shipment> {
  return ctx.actor.locationIds ? { pickupLocationId: { $in: ctx.actor.locationIds } } : {};
}

/** One shipment of the company; 404 outside a member's own locations. */
export async function getShipment(ctx: Ctx, id: string): Promise<Row<Shipment>> {
  const row = await shipments.findOne(ctx, { _id: id, ...ownPlaces(ctx) });
  if (!row) throw notFound('shipment');
  return row;
}

/** Several shipments in the order asked for; 404 when any is missing. */
export async function getShipments(ctx: Ctx, ids: readonly string[]): Promise<Row<Shipment>[]> {
  const rows = await shipments.find(ctx, { _id: { $in: ids }, ...ownPlaces(ctx) });
  const byId = new Map(rows.map((row) => [row._id, row]));
  return ids.map((id) => {
    const row = byId.get(id);
    if (!row) throw notFound('shipment');
    return row;
  });
}

/** One shipment by its id or its AWB; of several couriers' equal numbers the latest that is not cancelled. */
export async function findShipment(ctx: Ctx, idOrAwb: string): Promise<Row<Shipment>> {
  const byId = isId(idOrAwb) ? await shipments.findOne(ctx, { _id: idOrAwb, ...ownPlaces(ctx) }) : undefined;
  if (byId) return byId;
  const rows = await shipments.find(ctx, { awb: awbText(idOrAwb), ...ownPlaces(ctx) }, { sort: { createdAt: -1 }, limit: 20 });
  const row = rows.find((one) => !one.cancelledAt) ?? rows[0];
  if (!row) throw notFound('shipment');
  return row;
}

/** The shipment that anybody who knows its AWB may ask about. */
export async function findPublicShipment(ctx: Ctx, awb: string): Promise<Row<Shipment>> {
  return findShipment(acrossCompanies(ctx, 'whoever has the number may track the parcel'), awb);
}

export interface ShipmentSearch extends PageRequest {
  status?: ShipmentStatus;
  courier?: string;
  awb?: string;
  orderId?: string;
  from?: Date;
  to?: Date;
}

/** One page of shipments, newest first; 400 when `from` is after `to`. */
export async function listShipments(ctx: Ctx, search: ShipmentSearch): Promise<Page<Row<Shipment>>> {
  const { status, courier, awb, orderId, from, to } = search;
  assertRange(search);
  const filter: Filter<Shipment> = {
    ...ownPlaces(ctx),
    ...(status === undefined ? {} : { status }),
    ...(courier === undefined ? {} : { courier }),
    ...(awb === undefined ? {} : { awb: awbText(awb) }),
    ...(orderId === undefined ? {} : { orderId }),
    ...(from || to ? { createdAt: { ...(from ? { $gte: from } : {}), ...(to ? { $lte: to } : {}) } } : {}),
  };
  return shipments.list(ctx, filter, search);
}

/**
 * Cancels a shipment that nobody has picked up: lines open again, hold released, the courier told by a job. Confirms a
 * cancellation that so far only the courier reported. 409 `shipment_not_cancellable`, 412 with the current version.
 */
export async function cancelShipment(ctx: OutsideTx, id: string, version: number, reason?: string): Promise<Row<Shipment>> {
  return untilUnchanged(() =>
    withTransaction(ctx, async (ctx) => {
      const shipment = await getShipment(ctx, id);
      if (shipment.version !== version) throw stale('shipment', shipment.version);
      const reported = shipment.status === 'cancelled' && !shipment.cancelledAt && !shipment.pickedUpAt;
      if (!reported && !canCancel(shipment)) {
        throw conflict('shipment_not_cancellable', `A shipment that is ${shipment.status} cannot be cancelled`, { status: shipment.status });
      }
      const row = await cancelInside(ctx, shipment, reason === undefined ? {} : { reason });
      askToCancel(ctx, id);
      return row;
    }),
  );
}

/** Makes a cancellation that the courier reported final, unless a pickup became known meanwhile. */
export async function settleReportedCancel(ctx: OutsideTx, id: string): Promise<void> {
  await untilUnchanged(() =>
    withTransaction(ctx, async (ctx) => {
      const shipment = await shipments.get(ctx, id);
      if (shipment.status !== 'cancelled' || shipment.cancelledAt || shipment.pickedUpAt) return;
      await cancelInside(ctx, shipment, { reason: 'Cancelled by the courier' });
    }),
  );
}

/** Notes the e-way bill of a shipment: twelve digits, else 400. 409 for a cancelled one. */
export async function setEwayBill(ctx: OutsideTx, id: string, text: string): Promise<Row<Shipment>> {
  if (!isEwayBillNumber(text)) throw invalidFields([{ path: 'number', message: 'must be the 12 digits of an e-way bill' }]);
  const ewayBillNumber = text.replace(/[\s-]+/g, '');
  return withTransaction(ctx, async (ctx) => {
    const shipment = await getShipment(ctx, id);
    assertLive(shipment);
    return shipments.update(ctx, id, { $set: { ewayBillNumber } }, { version: shipment.version });
  });
}

/** Development: gives a shipment another courier's number, so that its recorded scans can be replayed. */
export async function setAwb(ctx: OutsideTx, id: string, awb: string, courier: string): Promise<Row<Shipment>> {
  const across = acrossCompanies(systemCtx('dev', PLATFORM_COMPANY_ID), 'development routes have no company');
  const found = await shipments.findOne(ctx.companyId === PLATFORM_COMPANY_ID ? across : ctx, { _id: id });
  if (!found) throw notFound('shipment');
  return withTransaction(systemCtx('dev', found.companyId), async (ctx) => {
    const ownStatus = found.ownStatus === 'created' ? ('awb_assigned' as const) : found.ownStatus;
    const status = found.status === 'created' ? ('awb_assigned' as const) : found.status;
    return shipments.update(ctx, id, { $set: { awb: awbText(awb), courier, ownStatus, status } }, { version: found.version });
  });
}
