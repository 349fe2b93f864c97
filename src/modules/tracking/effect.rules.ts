import { SHIPMENT_BOUNDS, type FoldedShipment, type FoldState, type KeptScan, type NdrReason } from '../shipments/index.ts';
import { orderedOnce, type Scan } from './scan.rules.ts';
import { foldScans, type Tracking } from './tracking.rules.ts';

/** What a fold means beyond the shipment's own row. */
export interface Effects {
  /** The first pickup: the hold becomes a charge, stock leaves the house. */
  pickedUp: boolean;
  /** The parcel went back: its freight is charged, once. */
  wayBack: boolean;
  codDue: 'none' | 'note' | 'reverse';
  /** The courier says cancelled; we wait before the lines are open again, because a pickup may become known. */
  reportedCancel: boolean;
  statusChanged: boolean;
  newAlerts: string[];
}

export interface Fold {
  before: FoldedShipment;
  state: FoldState;
  effects: Effects;
  ndr: { reason: NdrReason; at: Date }[];
}

/** A scan as a shipment keeps it. */
export function keptScan({ scanId, rawCode, code, status, reason, occurredAt, receivedAt, location, source }: Scan): KeptScan {
  const kept: KeptScan = { scanId, rawCode, code, occurredAt, receivedAt, source };
  if (status !== undefined) kept.status = status;
  if (reason !== undefined) kept.reason = reason;
  if (location !== undefined) kept.location = location;
  return kept;
}

/** Kept scans as scans of their shipment again. */
export function scansOf(shipment: Pick<FoldedShipment, 'awb' | 'courier'>, kept: readonly KeptScan[]): Scan[] {
  return kept.map((scan) => ({ ...scan, awb: shipment.awb ?? '', courier: shipment.courier }));
}

/**
 * Folds a shipment with all its scans (any order, any repeats) into the state to store and what that state means. The
 * effects compare with the stored state, so folding again with the same scans has none.
 */
export function foldShipment(before: FoldedShipment, scans: readonly Scan[], now: Date): Fold {
  const ordered = orderedOnce(scans);
  const tracking = foldScans(ordered, { now, cancelledAt: before.cancelledAt, initial: before.ownStatus });
  const history = ordered.slice(-SHIPMENT_BOUNDS.history).map(keptScan);
  const counts = before.cancelledAt === undefined;
  const codDue = tracking.codDue && before.codPaise > 0;
  const wayBack = counts && !before.rtoCharged && wentBack(tracking);
  const state: FoldState = {
    status: tracking.status,
    statusAt: tracking.statusAt,
    foldedAt: now,
    history,
    scanCount: ordered.length,
    lastScanAt: ordered.at(-1)?.occurredAt,
    unmapped: tracking.unmapped,
    alerts: tracking.alerts,
    attempts: tracking.attempts,
    ndr: tracking.ndr.slice(-SHIPMENT_BOUNDS.ndr).map(({ reason, at }) => ({ reason, at })),
    pickedUpAt: tracking.pickedUpAt,
    deliveredAt: tracking.deliveredAt,
    rtoInitiatedAt: tracking.rtoInitiatedAt,
    rtoDeliveredAt: tracking.rtoDeliveredAt,
    codDue,
    rtoCharged: before.rtoCharged || wayBack,
    nextDueAt: tracking.nextDueAt,
  };
  const effects: Effects = {
    pickedUp: counts && before.pickedUpAt === undefined && tracking.pickedUpAt !== undefined,
    wayBack,
    codDue: codDue === before.codDue ? 'none' : codDue ? 'note' : 'reverse',
    reportedCancel: counts && tracking.status === 'cancelled' && before.status !== 'cancelled',
    statusChanged: tracking.status !== before.status,
    newAlerts: tracking.alerts.filter((alert) => !before.alerts.includes(alert)),
  };
  return { before, state, effects, ndr: state.ndr };
}

/** Also when a delivery was told afterwards: the charge must not depend on which of the scans came first. */
function wentBack(tracking: Tracking): boolean {
  return tracking.rtoInitiatedAt !== undefined || tracking.alerts.includes('rto_then_delivered');
}

/** True when folding brought nothing that is not stored already. */
export function isUnchanged({ before, state, effects }: Fold): boolean {
  const same = before.scanCount === state.scanCount && !effects.statusChanged && effects.codDue === 'none' && effects.newAlerts.length === 0;
  return same && timeOf(before.nextDueAt) === timeOf(state.nextDueAt) && before.attempts === state.attempts && sameScans(before.history, state.history);
}

function timeOf(at: Date | undefined): number {
  return at?.getTime() ?? 0;
}

function sameScans(a: readonly KeptScan[], b: readonly KeptScan[]): boolean {
  const known = new Map(a.map((scan) => [scan.scanId, scan]));
  return a.length === b.length && b.every((scan) => known.get(scan.scanId)?.status === scan.status && known.get(scan.scanId)?.reason === scan.reason);
}

export interface StoredNdr {
  _id: string;
  version: number;
  companyId: string;
  shipmentId: string;
  at: Date;
  reason: NdrReason;
  status: 'open' | 'actioned' | 'closed';
}

export interface NdrPlan {
  insert: { fold: Fold; at: Date; reason: NdrReason; status: 'open' | 'closed' }[];
  change: { fold: Fold; row: StoredNdr; reason: NdrReason; status: StoredNdr['status'] }[];
}

/** The NDR rows that folds ask for: one per failed attempt; only the last one, of a parcel that still waits, is open. */
export function planNdrs(folds: readonly Fold[], stored: readonly StoredNdr[]): NdrPlan {
  const plan: NdrPlan = { insert: [], change: [] };
  for (const fold of folds) {
    const rows = new Map(stored.filter((row) => row.shipmentId === fold.before._id).map((row) => [row.at.getTime(), row]));
    const waits = fold.state.status === 'undelivered' || fold.state.status === 'on_hold';
    const last = fold.ndr.at(-1)?.at.getTime();
    for (const { at, reason } of fold.ndr) {
      const row = rows.get(at.getTime());
      const open = waits && at.getTime() === last;
      if (!row) plan.insert.push({ fold, at, reason, status: open ? 'open' : 'closed' });
      else {
        const status = !open ? 'closed' : row.status === 'closed' ? 'open' : row.status;
        if (status !== row.status || reason !== row.reason) plan.change.push({ fold, row, reason, status });
      }
    }
  }
  return plan;
}
