import { now, nowMs } from '../../platform/clock.ts';
import { systemCtx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict } from '../../platform/errors.ts';
import { job } from '../../platform/jobs.ts';
import { datedBack, disorder, planScenario, playDelaysMs, SANDBOX_COURIER, type Disorder, type RawScan, type Scenario } from '../couriers/index.ts';
import type { Shipment } from '../shipments/index.ts';
import { recordScans, type ScanReport } from './scan.record.ts';
import { courierArrival, everyCompany, parcelOf } from './tracking.service.ts';
import { reportWeights } from './webhook.service.ts';

export interface PlayRequest {
  scenario: Scenario;
  disorder?: Disorder;
  /** Simulated hours per real second, or all at once. */
  speed?: number | 'instant';
}

export interface PlayResult {
  awb: string;
  scenario: Scenario;
  /** How many events the courier will have sent. */
  scans: number;
  report: ScanReport;
  status: string;
}

/** So few at a time that disorder really reaches the fold. */
const AT_ONCE = 2;

/**
 * Plays a parcel's life as the sandbox courier, through the same door as a courier's webhook. Instantly: dated back so
 * that the last scan is now. At a speed: each scan when its time comes. 409 for a parcel of another courier.
 */
export async function playParcel(awb: string, request: PlayRequest): Promise<PlayResult> {
  const shipment = await parcelOf(awb);
  if (shipment.courier !== SANDBOX_COURIER) throw conflict('not_a_sandbox_shipment', 'Only parcels of the sandbox courier can be played', { courier: shipment.courier });
  const { scenario, disorder: kind = 'none', speed = 'instant' } = request;
  const number = shipment.awb ?? awb;
  const planned = planScenario({
    awb: number,
    seed: 'play',
    scenario,
    startAt: now(),
    originCity: shipment.pickup.mask.city,
    destinationCity: shipment.destination.mask.city,
    paymentMethod: shipment.paymentMethod,
    declaredGrams: shipment.parcel.weightGrams,
  });
  const life = datedBack(planned, now());
  const line = disorder(life.scans, kind, number);
  const report = speed === 'instant' ? await playNow(line, kind) : await playLater(shipment, line, speed);
  await reportWeights(systemCtx('sandbox', shipment.companyId), SANDBOX_COURIER, life.weight ? [life.weight] : []);
  return { awb: number, scenario, scans: line.length, report, status: (await parcelOf(number)).status };
}

async function playNow(line: readonly RawScan[], kind: Disorder): Promise<ScanReport> {
  const total: ScanReport = { accepted: 0, duplicates: 0, unmapped: 0, unknownAwbs: [] };
  const size = kind === 'none' ? line.length : AT_ONCE;
  for (let at = 0; at < line.length; at += size) {
    const report = await recordScans(everyCompany('the sandbox courier plays'), line.slice(at, at + size).map((raw) => courierArrival(SANDBOX_COURIER, raw, 'simulated')));
    total.accepted += report.accepted;
    total.duplicates += report.duplicates;
    total.unmapped += report.unmapped;
  }
  return total;
}

async function playLater(shipment: Row<Shipment>, line: readonly RawScan[], hoursPerSecond: number): Promise<ScanReport> {
  const delays = playDelaysMs(line, hoursPerSecond);
  await withTransaction(systemCtx('sandbox', shipment.companyId), (tx) => {
    line.forEach((raw, i) => {
      const payload = { ...raw, occurredAt: raw.occurredAt.toISOString() };
      tx.enqueue({ name: 'tracking.play_scan', payload: { scan: payload }, runAt: new Date(nowMs() + (delays[i] ?? 0)) });
    });
    return Promise.resolve();
  });
  return { accepted: 0, duplicates: 0, unmapped: 0, unknownAwbs: [] };
}

/** One scan of a life that is played at a speed. */
export const playScan = job<{ scan: Omit<RawScan, 'occurredAt'> & { occurredAt: string } }>({
  name: 'tracking.play_scan',
  attempts: 8,
  backoffMs: 500,
  async handle(_ctx, { scan }) {
    const raw: RawScan = { ...scan, occurredAt: new Date(scan.occurredAt) };
    await recordScans(everyCompany('the sandbox courier plays'), [courierArrival(SANDBOX_COURIER, raw, 'simulated')]);
  },
});
