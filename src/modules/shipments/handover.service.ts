import type { Ctx, OutsideTx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, invalid, notFound, type AppError } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { activeLocation } from '../companies/index.ts';
import { further } from './booking.rules.ts';
import { untilUnchanged } from './shipment.courier.jobs.ts';
import { manifests, pickups, shipments, type Manifest, type OwnStatus, type Pickup, type Shipment } from './shipment.model.ts';
import { getShipments } from './shipment.service.ts';
import { withoutEwayBill } from './shipment.rules.ts';
import { canManifest, canSchedulePickup } from '../couriers/index.ts';

const MOST = 500;
const IST_OFFSET_MS = 19_800_000;
const FIRST_NUMBER = 1001;

const numbers = machineRows<{ _id: string; next: number }>('number_blocks', []);

export interface ManifestRequest {
  shipmentIds?: string[];
  courier?: string;
  locationId?: string;
  /** The day in India; shipments booked until its end that are on no manifest yet. */
  date?: string;
}

/** A day in India as the first moment after it; undefined for text that is no day. */
export function endOfIndianDay(date: string): Date | undefined {
  const startMs = Date.parse(`${date}T00:00:00.000Z`);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(date) || Number.isNaN(startMs)) return undefined;
  const start = new Date(startMs);
  return start.toISOString().startsWith(date) ? new Date(startMs + 86_400_000 - IST_OFFSET_MS) : undefined;
}

/**
 * Puts shipments of one courier at one pickup location on a numbered manifest. Refuses 409 `eway_bill_required` listing
 * those without a number, `shipment_not_manifestable` listing those that are past it, `manifest_mixed`, `nothing_to_manifest`.
 */
export async function makeManifest(ctx: OutsideTx, request: ManifestRequest): Promise<Row<Manifest>> {
  const select = manifestSelection(request);
  const number = `MF-${FIRST_NUMBER - 1 + ((await numbers.change({ _id: `manifest:${ctx.companyId}` }, { $inc: { next: 1 } }, { upsert: true }))?.next ?? 1)}`;
  return untilUnchanged(() =>
    withTransaction(ctx, async (ctx) => {
      const rows = await select(ctx);
      const [first] = rows;
      if (!first) throw conflict('nothing_to_manifest', 'There is no shipment that waits for a manifest here');
      assertManifestable(rows);
      const manifest = await manifests.insert(ctx, {
        number,
        courier: first.courier,
        pickupLocationId: first.pickupLocationId,
        shipmentIds: rows.map((row) => row._id),
      });
      await step(ctx, rows, 'manifested', { manifestId: manifest._id });
      ctx.emit({ type: 'manifest.created', key: manifest._id, payload: { manifestId: manifest._id, number, count: rows.length } });
      return manifest;
    }),
  );
}

function manifestSelection({ shipmentIds, courier, locationId, date }: ManifestRequest): (ctx: Ctx) => Promise<Row<Shipment>[]> {
  if (shipmentIds) return (ctx) => getShipments(ctx, [...new Set(shipmentIds)]);
  const faults = makeFaults();
  if (courier === undefined) faults.add('courier', 'is needed without shipmentIds');
  if (locationId === undefined) faults.add('locationId', 'is needed without shipmentIds');
  const until = date === undefined ? undefined : endOfIndianDay(date);
  if (!until) faults.add('date', 'must be a day such as 2026-11-24');
  faults.throwIfAny();
  return async (ctx) => {
    await activeLocation(ctx, locationId ?? '');
    const rows = await shipments.find(
      ctx,
      { pickupLocationId: locationId, courier, status: { $in: ['awb_assigned', 'pickup_scheduled'] }, manifestId: { $exists: false }, createdAt: { $lt: until } },
      { sort: { createdAt: 1 }, limit: MOST },
    );
    return rows.filter(canManifest);
  };
}

function assertManifestable(rows: readonly Row<Shipment>[]): void {
  const [first] = rows;
  const past = rows.filter((row) => !canManifest(row) || row.manifestId !== undefined || row.cancelledAt);
  if (past.length > 0) throw listing('shipment_not_manifestable', 'Some shipments are on a manifest already, have no AWB, or are past it', past);
  if (rows.some((row) => row.courier !== first?.courier || row.pickupLocationId !== first.pickupLocationId)) {
    throw conflict('manifest_mixed', 'A manifest is of one courier and one pickup location');
  }
  const limitPaise = runtime().config.ewaybillLimitPaise;
  const bare = withoutEwayBill(rows, { limitPaise, comparison: 'over' });
  if (bare.length > 0) throw listing('eway_bill_required', 'Goods of this value need an e-way bill number first', bare);
}

function listing(code: string, message: string, rows: readonly Row<Shipment>[]): AppError {
  return conflict(code, message, { shipments: rows.map(({ _id, awb, status }) => ({ id: _id, awb: awb ?? null, status })) });
}

/** Moves shipments on by a step of our own; what scans have reached already stays. */
async function step(tx: Tx, rows: readonly Row<Shipment>[], to: OwnStatus, also: Partial<Shipment>): Promise<void> {
  await shipments.changeMany(
    tx,
    rows.map((row) => ({
      match: { _id: row._id },
      where: { version: row.version },
      change: { $set: { ownStatus: further(row.ownStatus, to), status: further(row.status, to), ...also } },
    })),
  );
  for (const row of rows) {
    const status = further(row.status, to);
    if (status === row.status) continue;
    tx.emit({
      type: 'shipment.status_changed',
      key: row._id,
      payload: { shipmentId: row._id, orderId: row.orderId, awb: row.awb ?? null, courier: row.courier, from: row.status, to: status },
    });
  }
}

/** One manifest; a member who is limited to some locations sees theirs. */
export async function getManifest(ctx: Ctx, id: string): Promise<Row<Manifest>> {
  const row = await manifests.findOne(ctx, { _id: id, ...placesOf(ctx) });
  if (!row) throw notFound('manifest');
  return row;
}

function placesOf(ctx: Ctx): { pickupLocationId?: { $in: readonly string[] } } {
  return ctx.actor.locationIds ? { pickupLocationId: { $in: ctx.actor.locationIds } } : {};
}

/** One page of manifests, newest first. */
export async function listManifests(ctx: Ctx, request: PageRequest): Promise<Page<Row<Manifest>>> {
  return manifests.list(ctx, placesOf(ctx), request);
}

export interface PickupRequestInput {
  locationId: string;
  courier: string;
  date: string;
  slot?: string;
  shipmentIds?: string[];
}

/**
 * Asks a courier to come, for the named shipments or all that wait at the location. Refuses 409 `nothing_to_pick_up`,
 * `shipment_not_schedulable`, `pickup_mixed`; 400 for a day that is none or is past.
 */
export async function schedulePickup(ctx: OutsideTx, input: PickupRequestInput, today: Date, idempotencyKey?: string): Promise<Row<Pickup>> {
  const { locationId, courier, date, slot, shipmentIds } = input;
  const end = endOfIndianDay(date);
  const faults = makeFaults();
  if (!end) faults.add('date', 'must be a day such as 2026-11-24');
  else if (end <= today) faults.add('date', 'must not be past');
  faults.throwIfAny();
  return untilUnchanged(() =>
    withTransaction(ctx, async (ctx) => {
      await activeLocation(ctx, locationId);
      const rows = shipmentIds ? await getShipments(ctx, [...new Set(shipmentIds)]) : await waiting(ctx, locationId, courier);
      if (rows.length === 0) throw conflict('nothing_to_pick_up', 'No shipment waits for this courier here');
      const past = rows.filter((row) => !canSchedulePickup(row) || row.cancelledAt);
      if (past.length > 0) throw listing('shipment_not_schedulable', 'Some shipments cannot be picked up any more, or have a pickup already', past);
      if (rows.some((row) => row.courier !== courier || row.pickupLocationId !== locationId)) {
        throw invalid('pickup_mixed', 'Every shipment must be of this courier and this location');
      }
      const pickup = await pickups.insert(ctx, {
        courier,
        pickupLocationId: locationId,
        date,
        ...(slot === undefined ? {} : { slot }),
        shipmentIds: rows.map((row) => row._id),
        state: 'requested',
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      });
      await step(ctx, rows, 'pickup_scheduled', { pickupId: pickup._id });
      ctx.emit({ type: 'pickup.requested', key: pickup._id, payload: { pickupId: pickup._id, courier, date } });
      ctx.enqueue({ name: 'shipments.request_pickup', payload: { pickupId: pickup._id } });
      return pickup;
    }),
  );
}

async function waiting(ctx: Ctx, locationId: string, courier: string): Promise<Row<Shipment>[]> {
  const rows = await shipments.find(
    ctx,
    { pickupLocationId: locationId, courier, status: { $in: ['awb_assigned', 'manifested', 'pickup_failed'] } },
    { sort: { createdAt: 1 }, limit: MOST },
  );
  return rows.filter(canSchedulePickup);
}
