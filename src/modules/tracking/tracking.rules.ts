import type { NdrReason, ShipmentStatus } from '../couriers/index.ts';
import {
  isCorrection,
  isPickedUpOrLater,
  isRto,
  isTerminal,
  statusRank,
} from '../couriers/index.ts';
import type { Scan, ScanSource } from './scan.rules.ts';
import { orderedOnce } from './scan.rules.ts';

/** Couriers' clocks run ahead a little; a time further in the future than this waits until it has come. */
export const FUTURE_TOLERANCE_MS = 10 * 60 * 1000;

export const TRACKING_ALERTS = [
  'picked_up_after_cancel',
  'cancelled_after_pickup',
  'delivered_then_rto',
  'rto_then_delivered',
  'future_scan',
] as const;

export type TrackingAlert = (typeof TRACKING_ALERTS)[number];

export interface TrackingEvent {
  scanId: string;
  code: string;
  status: ShipmentStatus | 'unmapped';
  reason?: NdrReason;
  occurredAt: Date;
  location?: string;
  source: ScanSource;
  /** Set while the scan's time has not come: it does not count yet. */
  future?: true;
}

/** Which scan raised which alert; each code once, with its first scan. */
export interface AlertFact {
  code: TrackingAlert;
  scanId: string;
  at: Date;
}

export interface FailedAttempt {
  reason: NdrReason;
  at: Date;
  scanId: string;
}

/** What a parcel's scans say together. The facts are those that stand: a correction takes its opposite back. */
export interface Tracking {
  status: ShipmentStatus;
  /** Time of the scan (or cancellation) that made the status; absent while only our own steps made it. */
  statusAt?: Date;
  events: TrackingEvent[];
  unmapped: number;
  alerts: TrackingAlert[];
  alertFacts: AlertFact[];
  ndr: FailedAttempt[];
  /** Failed delivery attempts so far. */
  attempts: number;
  pickedUpAt?: Date;
  firstPickupScanId?: string;
  deliveredAt?: Date;
  rtoInitiatedAt?: Date;
  rtoDeliveredAt?: Date;
  /** True while the parcel counts as delivered; the amount is the order's matter. */
  codDue: boolean;
  /** When a waiting future scan starts to count, so that a job can fold again. */
  nextDueAt?: Date;
}

export interface FoldOptions {
  now: Date;
  /** When our own cancel command succeeded; it ends the life whatever scans say. */
  cancelledAt?: Date;
  /** What our own steps (booking, manifest, pick-up request) reached; only a further status of a scan replaces it. */
  initial?: ShipmentStatus;
}

interface Walk {
  status?: ShipmentStatus;
  statusAt?: Date;
  deliveredAt?: Date;
  rtoInitiatedAt?: Date;
  rtoDeliveredAt?: Date;
  firstPickup?: Scan;
  alerts: AlertFact[];
}

/**
 * Folds the scans of one AWB into its present state, the same for every order of arrival and any number of repeats.
 * Time of occurrence decides; at equal times the further status along the life, then the greater raw code in bytes.
 * After an end scans only fill the timeline, but for delivered to RTO and rto_delivered to delivered. A scan more than
 * ten minutes ahead of `now` is listed, flagged and waits. Never throws; unmapped scans are counted and move nothing.
 */
export function foldScans(scans: readonly Scan[], options: FoldOptions): Tracking {
  const ordered = orderedOnce(scans);
  const horizon = options.now.getTime() + FUTURE_TOLERANCE_MS;
  const firstFuture = ordered.findIndex((scan) => scan.occurredAt.getTime() > horizon);
  const come = firstFuture < 0 ? ordered : ordered.slice(0, firstFuture);
  const waiting = firstFuture < 0 ? undefined : ordered[firstFuture];
  const walk = options.cancelledAt === undefined ? walkScans(come) : walkCancelled(come, options.cancelledAt);
  if (waiting !== undefined) raise(walk, 'future_scan', waiting);
  const ndr = failedAttempts(come);
  const tracking: Tracking = {
    ...standing(walk, options.initial ?? 'created'),
    events: ordered.map((scan, index) => toEvent(scan, index >= come.length)),
    unmapped: ordered.reduce((count, scan) => (scan.status === undefined ? count + 1 : count), 0),
    alerts: walk.alerts.map((alert) => alert.code),
    alertFacts: walk.alerts,
    ndr,
    attempts: ndr.length,
    codDue: walk.status === 'delivered',
  };
  if (walk.firstPickup !== undefined) {
    tracking.pickedUpAt = walk.firstPickup.occurredAt;
    tracking.firstPickupScanId = walk.firstPickup.scanId;
  }
  if (walk.deliveredAt !== undefined) tracking.deliveredAt = walk.deliveredAt;
  if (walk.rtoInitiatedAt !== undefined) tracking.rtoInitiatedAt = walk.rtoInitiatedAt;
  if (walk.rtoDeliveredAt !== undefined) tracking.rtoDeliveredAt = walk.rtoDeliveredAt;
  if (waiting !== undefined) tracking.nextDueAt = new Date(waiting.occurredAt.getTime() - FUTURE_TOLERANCE_MS);
  return tracking;
}

function walkScans(ordered: readonly Scan[]): Walk {
  const walk: Walk = { alerts: [] };
  for (const [index, scan] of ordered.entries()) {
    if (scan.status === undefined) continue;
    if (walk.firstPickup === undefined && isPickedUpOrLater(scan.status)) walk.firstPickup = scan;
    // Of one moment only the last in order moves the state: a lower-ranked end must not shut out the further status.
    if (ordered[index + 1]?.occurredAt.getTime() === scan.occurredAt.getTime()) continue;
    step(walk, scan, scan.status);
  }
  return walk;
}

/** Our own cancellation stands, also against a pick-up that happened before it and became known after it. */
function walkCancelled(ordered: readonly Scan[], cancelledAt: Date): Walk {
  const walk: Walk = { alerts: [], status: 'cancelled', statusAt: cancelledAt };
  const pickup = ordered.find((scan) => scan.status !== undefined && isPickedUpOrLater(scan.status));
  if (pickup === undefined) return walk;
  walk.firstPickup = pickup;
  raise(walk, 'picked_up_after_cancel', pickup);
  return walk;
}

function step(walk: Walk, scan: Scan, to: ShipmentStatus): void {
  const from = walk.status;
  if (from !== undefined && isTerminal(from) && !isCorrection(from, to)) {
    if (from === 'cancelled' && isPickedUpOrLater(to)) raise(walk, 'picked_up_after_cancel', scan);
    return;
  }
  if (to === 'cancelled' && walk.firstPickup !== undefined) {
    raise(walk, 'cancelled_after_pickup', scan);
    return;
  }
  walk.status = to;
  walk.statusAt = scan.occurredAt;
  if (isRto(to)) goBack(walk, scan, to);
  if (to === 'delivered') deliver(walk, scan);
}

function goBack(walk: Walk, scan: Scan, to: ShipmentStatus): void {
  if (walk.deliveredAt !== undefined) raise(walk, 'delivered_then_rto', scan);
  delete walk.deliveredAt;
  walk.rtoInitiatedAt ??= scan.occurredAt;
  if (to === 'rto_delivered') walk.rtoDeliveredAt = scan.occurredAt;
}

function deliver(walk: Walk, scan: Scan): void {
  if (walk.rtoInitiatedAt !== undefined) raise(walk, 'rto_then_delivered', scan);
  delete walk.rtoInitiatedAt;
  delete walk.rtoDeliveredAt;
  walk.deliveredAt = scan.occurredAt;
}

function raise(walk: Walk, code: TrackingAlert, scan: Scan): void {
  if (walk.alerts.some((alert) => alert.code === code)) return;
  walk.alerts.push({ code, scanId: scan.scanId, at: scan.occurredAt });
}

/** Scans win over our own steps unless they say less: a late "manifested" must not undo a pick-up request. */
function standing(walk: Walk, initial: ShipmentStatus): { status: ShipmentStatus; statusAt?: Date } {
  if (walk.status === undefined || statusRank(walk.status) < statusRank(initial)) return { status: initial };
  return walk.statusAt === undefined ? { status: walk.status } : { status: walk.status, statusAt: walk.statusAt };
}

/** One failed attempt a moment: two codes for one knock at the door are one attempt; the last in order names why. */
function failedAttempts(ordered: readonly Scan[]): FailedAttempt[] {
  const attempts = new Map<number, FailedAttempt>();
  for (const scan of ordered) {
    if (scan.status !== 'undelivered') continue;
    const at = scan.occurredAt;
    attempts.set(at.getTime(), { reason: scan.reason ?? 'other', at, scanId: scan.scanId });
  }
  return [...attempts.values()];
}

function toEvent(scan: Scan, future: boolean): TrackingEvent {
  const event: TrackingEvent = {
    scanId: scan.scanId,
    code: scan.code,
    status: scan.status ?? 'unmapped',
    occurredAt: scan.occurredAt,
    source: scan.source,
  };
  if (scan.reason !== undefined) event.reason = scan.reason;
  if (scan.location !== undefined) event.location = scan.location;
  if (future) event.future = true;
  return event;
}
