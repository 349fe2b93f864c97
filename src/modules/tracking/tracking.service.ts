import { isRealDay, now, nowMs } from '../../platform/clock.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { AppError, conflict, notFound, stale } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { awbText, genericRawScan, mapCode, mapGenericEvent, statusTableOf, type CodeMeaning, type GenericEvent, type RawScan } from '../couriers/index.ts';
import {
  findPublicShipment,
  findShipment,
  getShipment,
  manualStatusRefusal,
  shipmentsByAwb,
  type Shipment,
  type ShipmentDirection,
  type ShipmentStatus,
} from '../shipments/index.ts';
import { scansOf } from './effect.rules.ts';
import { recordScans, recordUnderVersion, refold, storedScans, type Arrival, type ScanReport } from './scan.record.ts';
import { makeScan, type ScanSource } from './scan.rules.ts';
import { scanBatches } from './tracking.model.ts';
import { foldScans, type Tracking } from './tracking.rules.ts';

/** An event of POST shipments/:awb/scans; `occurredAt` is text with a zone. */
export interface ScanEventInput {
  code: string;
  status?: ShipmentStatus;
  reason?: string;
  occurredAt: string;
  location?: string;
  rawCode?: string;
  group?: string;
}

const WITH_ZONE = /T.*(?:Z|[+-]\d{2}:?\d{2})$/i;

/**
 * Takes scans of one parcel from whoever may send them. 404 for an AWB of another company, 400 for a time without a
 * zone. Answers how many were new, repeated, and of an unknown code; those are kept and counted, never guessed.
 */
export async function acceptScans(ctx: OutsideTx, awb: string, inputs: readonly ScanEventInput[]): Promise<ScanReport> {
  const faults = makeFaults();
  const events = inputs.map((input, i): GenericEvent => ({ ...input, occurredAt: readTime(`events.${i}.occurredAt`, input.occurredAt, faults.add) }));
  faults.throwIfAny();
  const number = awbText(awb);
  const report = await recordScans(ctx, events.map((event) => genericArrival(number, event)));
  if (report.unknownAwbs.length > 0) throw notFound('shipment');
  return report;
}

const EARLIEST_MS = Date.parse('2000-01-01T00:00:00Z');
const LATEST_MS = Date.parse('2100-01-01T00:00:00Z');

function readTime(path: string, text: string, fault: (path: string, message: string) => void): Date {
  const ms = isRealDay(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(ms) || !WITH_ZONE.test(text)) fault(path, 'must be a time with its zone, such as 2026-11-24T10:00:00Z');
  else if (ms < EARLIEST_MS || ms >= LATEST_MS) fault(path, 'must lie between the years 2000 and 2100');
  return new Date(Number.isNaN(ms) ? 0 : ms);
}

/** An event of our own scan API: our status names first, else the courier's own table. */
function genericArrival(awb: string, event: GenericEvent): Arrival {
  return {
    awb,
    toScan(parcel, receivedAt) {
      const generic = mapGenericEvent(event, parcel.direction);
      const meaning = generic === 'unmapped' && event.status === undefined ? ofCourier(parcel.courier, parcel.direction, genericRawScan(awb, event)) : generic;
      return makeScan(genericRawScan(awb, event), meaning, { courier: parcel.courier, source: 'api', receivedAt });
    },
  };
}

function ofCourier(courier: string, direction: ShipmentDirection, raw: RawScan): CodeMeaning | 'unmapped' {
  return mapCode(statusTableOf(courier), { direction, code: raw.rawCode, group: raw.group, reason: raw.rawReason });
}

/** A courier's own event; what its code means is looked up in the courier's table. */
export function courierArrival(courier: string, raw: RawScan, source: ScanSource): Arrival {
  const awb = awbText(raw.awb);
  return {
    awb,
    courier,
    toScan: (parcel, receivedAt) => makeScan({ ...raw, awb }, ofCourier(courier, parcel.direction, raw), { courier, source, receivedAt }),
  };
}

export interface StatusInput {
  status: ShipmentStatus;
  occurredAt: string;
  reason?: string;
  location?: string;
}

/**
 * A status that a person sets: a scan with source `manual`, under the version that was seen (412). 409
 * `status_only_by_command`, `shipment_ended`, `already_picked_up`.
 */
export async function setStatus(ctx: OutsideTx, id: string, input: StatusInput, version: number): Promise<Row<Shipment>> {
  const faults = makeFaults();
  const occurredAt = readTime('occurredAt', input.occurredAt, faults.add);
  faults.throwIfAny();
  const shipment = await getShipment(ctx, id);
  if (shipment.version !== version) throw stale('shipment', shipment.version);
  const refusal = shipment.cancelledAt ? 'shipment_ended' : manualStatusRefusal(shipment, input.status, occurredAt);
  if (refusal !== undefined) throw conflict(refusal, `A shipment that is ${shipment.status} cannot be set to ${input.status}`, { status: shipment.status });
  const event: GenericEvent = { code: input.status, status: input.status, occurredAt, group: 'manual' };
  if (input.reason !== undefined) event.reason = input.reason;
  if (input.location !== undefined) event.location = input.location;
  // Before the courier has given a number, the id stands for it: the scan belongs to the shipment all the same.
  const awb = shipment.awb ?? id.toUpperCase();
  const raw = genericRawScan(awb, event);
  const scan = makeScan(raw, mapGenericEvent(event, shipment.direction), { courier: shipment.courier, source: 'manual', receivedAt: now() });
  await recordUnderVersion(ctx, shipment, scan);
  return getShipment(ctx, id);
}

/** What is known of a parcel, by id or AWB. */
export interface Tracked {
  shipment: Row<Shipment>;
  tracking: Tracking;
}

/** The parcel's timeline and state, folded from its scans; 404 for another company's. */
export async function trackShipment(ctx: Ctx, idOrAwb: string): Promise<Tracked> {
  return tracked(await findShipment(ctx, idOrAwb));
}

/** The same for anybody who has the number; the caller shows nothing personal. */
export async function trackPublicly(ctx: Ctx, awb: string): Promise<Tracked> {
  return tracked(await findPublicShipment(ctx, awb));
}

/** The same for people: undefined where a page shall say that there is no such parcel. */
export async function trackForPage(ctx: Ctx, awb: string, wantsPage: boolean): Promise<Tracked | undefined> {
  return trackPublicly(ctx, awb).catch((error: unknown) => {
    if (wantsPage && error instanceof AppError && error.kind === 'not_found') return undefined;
    throw error;
  });
}

async function tracked(shipment: Row<Shipment>): Promise<Tracked> {
  const kept = scansOf(shipment, shipment.history);
  const scans = shipment.scanCount > kept.length ? [...((await storedScans([shipment._id])).get(shipment._id) ?? []), ...kept] : kept;
  return { shipment, tracking: foldScans(scans, { now: now(), cancelledAt: shipment.cancelledAt, initial: shipment.ownStatus }) };
}

const LEFTOVER_MS = 60_000;
const LEFTOVERS_AT_ONCE = 200;

/** Folds what killed processes have left; the marks go when their shipments are folded. */
export async function refoldLeftovers(): Promise<void> {
  const left = await scanBatches.find({ at: { $lt: new Date(nowMs() - LEFTOVER_MS) } }, { sort: { at: 1 }, limit: LEFTOVERS_AT_ONCE });
  for (const { _id, shipmentIds } of left) {
    await refold(everyCompany('refold'), shipmentIds);
    await scanBatches.remove({ _id });
  }
}

/** A Ctx that reads and, company by company, writes for all. */
export function everyCompany(reason: string): OutsideTx {
  return acrossCompanies(systemCtx('tracking', PLATFORM_COMPANY_ID), reason);
}

/** The parcel that a number stands for, in whatever company. */
export async function parcelOf(awb: string): Promise<Row<Shipment>> {
  const ctx = everyCompany('a courier names the number, not the company');
  const [found] = await shipmentsByAwb(ctx, [awbText(awb)]);
  if (!found) throw notFound('shipment');
  return findShipment(ctx, found._id);
}
