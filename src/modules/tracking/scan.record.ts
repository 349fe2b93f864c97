import { now } from '../../platform/clock.ts';
import { type Ctx, type OutsideTx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import { AppError, stale, unavailable } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { pause } from '../../platform/pause.ts';
import { shipmentsByAwb, shipmentsToFold, type FoldedShipment, type ShipmentDirection } from '../shipments/index.ts';
import { foldShipment, isUnchanged, scansOf, type Fold } from './effect.rules.ts';
import { commitFolds } from './fold.commit.ts';
import { orderedOnce, type Scan } from './scan.rules.ts';
import { scanBatches, scanRows, type ScanRow } from './tracking.model.ts';

/** One event on its way in: whose parcel, and how it becomes a scan once the parcel is known. */
export interface Arrival {
  awb: string;
  /** Only a parcel of this courier is meant. */
  courier?: string;
  toScan(parcel: { awb: string; courier: string; direction: ShipmentDirection }, receivedAt: Date): Scan;
}

export interface ScanReport {
  /** New scans; `unmapped` of them have a code that we do not know. */
  accepted: number;
  duplicates: number;
  unmapped: number;
  /** AWBs that no shipment, as far as the ctx reads, has. */
  unknownAwbs: string[];
}

/** Arrivals taken in together: the more there are of one shipment, the fewer folds it needs. Bounds the memory. */
const CHUNK = 20_000;
const SCANS_PER_COMMAND = 1_000;
const SHIPMENTS_PER_TRANSACTION = 500;
const WHOLE_TRIES = 4;
const SINGLE_TRIES = 60;

/**
 * Takes scans in, of any number of shipments and companies that the ctx reads: stores what is new, folds the touched
 * shipments and commits what that means, 500 shipments a transaction. Repeats and disorder change nothing. A process
 * killed half-way leaves a mark from which the fold is made up for.
 */
export async function recordScans(ctx: OutsideTx, arrivals: readonly Arrival[]): Promise<ScanReport> {
  const report: ScanReport = { accepted: 0, duplicates: 0, unmapped: 0, unknownAwbs: [] };
  let folding: Promise<void> | undefined;
  for (const { part, continued } of inChunks(arrivals)) {
    if (continued) await folding;
    const chunk = await storeChunk(ctx, part, report);
    await folding;
    folding = chunk && foldChunk(ctx, chunk);
    // The next chunk is stored meanwhile; a failure is thrown where it is waited for.
    folding?.catch(() => undefined);
  }
  await folding;
  return report;
}

/** Scans of one parcel stay together, so that it is folded and written once; `continued` when there were too many. */
function* inChunks(arrivals: readonly Arrival[]): Iterable<{ part: readonly Arrival[]; continued: boolean }> {
  const together = arrivals.length > CHUNK ? [...arrivals].sort((a, b) => (a.awb < b.awb ? -1 : a.awb > b.awb ? 1 : 0)) : arrivals;
  for (let start = 0; start < together.length; ) {
    let end = Math.min(start + CHUNK, together.length);
    const next = together[end]?.awb;
    while (next !== undefined && end > start && together[end - 1]?.awb === next) end -= 1;
    if (end === start) end = Math.min(start + CHUNK, together.length);
    yield { part: together.slice(start, end), continued: start > 0 && together[start]?.awb === together[start - 1]?.awb };
    start = end;
  }
}

interface StoredChunk {
  mark: string;
  groups: Group[];
}

async function storeChunk(ctx: OutsideTx, arrivals: readonly Arrival[], report: ScanReport): Promise<StoredChunk | undefined> {
  const { groups, unknownAwbs, count } = await arrange(ctx, arrivals);
  report.unknownAwbs.push(...unknownAwbs);
  if (groups.size === 0) return undefined;
  const mark = await markBatch([...groups.keys()]);
  const fresh = await storeScans(groups);
  report.accepted += fresh.size;
  report.duplicates += count - fresh.size;
  for (const { scans } of groups.values()) report.unmapped += orderedOnce(scans).filter((s) => s.status === undefined && fresh.has(s.scanId)).length;
  return { mark, groups: [...groups.values()] };
}

async function foldChunk(ctx: OutsideTx, { mark, groups }: StoredChunk): Promise<void> {
  for (let from = 0; from < groups.length; from += SHIPMENTS_PER_TRANSACTION) await foldAll(ctx, groups.slice(from, from + SHIPMENTS_PER_TRANSACTION), now());
  await scanBatches.remove({ _id: mark });
}

/**
 * Takes one scan in under the version that its sender saw: 412 when the shipment changed. The fold commits first, so
 * that a refused scan is not stored.
 */
export async function recordUnderVersion(ctx: OutsideTx, shipment: FoldedShipment, scan: Scan): Promise<void> {
  const mark = await markBatch([shipment._id]);
  try {
    await foldOnce(ctx, [{ shipment, scans: [scan] }], now());
  } catch (error) {
    await scanBatches.remove({ _id: mark });
    if (!(error instanceof BatchConflict)) throw error;
    const [current] = await shipmentsToFold(ctx, [shipment._id]);
    if (current && current.version !== shipment.version) throw stale('shipment', current.version);
    throw unavailable('busy', 'The order of this shipment is being changed; try again', 1, error);
  }
  await scanRows.insertNew([rowOf(shipment, scan)]);
  await scanBatches.remove({ _id: mark });
}

/** Folds shipments again from all their stored scans: leftovers of a killed process, and scans whose time has come. */
export async function refold(ctx: OutsideTx, shipmentIds: readonly string[]): Promise<void> {
  const shipments = await shipmentsToFold(ctx, shipmentIds);
  const stored = await storedScans(shipmentIds);
  const groups = shipments.map((shipment): Group => ({ shipment, scans: stored.get(shipment._id) ?? [] }));
  const missing = groups.flatMap(({ shipment, scans }) => {
    const known = new Set(scans.map((scan) => scan.scanId));
    return scansOf(shipment, shipment.history).filter((scan) => !known.has(scan.scanId)).map((scan) => rowOf(shipment, scan));
  });
  await scanRows.insertNew(missing);
  await foldAll(ctx, groups, now());
}

/** The scans of some shipments as they are stored. */
export async function storedScans(shipmentIds: readonly string[]): Promise<Map<string, Scan[]>> {
  const found = new Map<string, Scan[]>();
  for (const { _id, companyId: _company, shipmentId, ...scan } of await scanRows.find({ shipmentId: { $in: [...shipmentIds] } })) {
    const own = found.get(shipmentId);
    if (own) own.push({ scanId: _id, ...scan });
    else found.set(shipmentId, [{ scanId: _id, ...scan }]);
  }
  return found;
}

interface Group {
  shipment: FoldedShipment;
  scans: Scan[];
}

async function arrange(ctx: Ctx, arrivals: readonly Arrival[]): Promise<{ groups: Map<string, Group>; unknownAwbs: string[]; count: number }> {
  const receivedAt = now();
  const byAwb = new Map<string, FoldedShipment[]>();
  for (const row of await shipmentsByAwb(ctx, [...new Set(arrivals.map((a) => a.awb))])) {
    const own = byAwb.get(row.awb ?? '');
    if (own) own.push(row);
    else byAwb.set(row.awb ?? '', [row]);
  }
  const groups = new Map<string, Group>();
  const unknown = new Set<string>();
  let count = 0;
  for (const { awb, courier, toScan } of arrivals) {
    const shipment = chosen(byAwb.get(awb) ?? [], courier);
    if (!shipment) {
      unknown.add(awb);
      continue;
    }
    const group = groups.get(shipment._id) ?? { shipment, scans: [] };
    groups.set(shipment._id, group);
    group.scans.push(toScan({ awb, courier: shipment.courier, direction: shipment.direction }, receivedAt));
    count += 1;
  }
  return { groups, unknownAwbs: [...unknown], count };
}

/** Equal numbers of several couriers: the latest parcel that is not cancelled. */
function chosen(rows: readonly FoldedShipment[], courier: string | undefined): FoldedShipment | undefined {
  const fitting = courier === undefined ? rows : rows.filter((row) => row.courier === courier);
  return fitting.find((row) => !row.cancelledAt) ?? fitting[0];
}

async function markBatch(shipmentIds: string[]): Promise<string> {
  const _id = newId();
  await scanBatches.insert({ _id, at: now(), shipmentIds });
  return _id;
}

async function storeScans(groups: ReadonlyMap<string, Group>): Promise<Set<string>> {
  const rows: ScanRow[] = [];
  const improved: ScanRow[] = [];
  for (const { shipment, scans } of groups.values()) {
    const known = new Map(shipment.history.map((scan) => [scan.scanId, scan]));
    for (const scan of orderedOnce([...scansOf(shipment, shipment.history), ...scans])) {
      const kept = known.get(scan.scanId);
      if (!kept) rows.push(rowOf(shipment, scan));
      else if (kept.status !== scan.status || kept.reason !== scan.reason) improved.push(rowOf(shipment, scan));
    }
  }
  const fresh = new Set<string>();
  for (let from = 0; from < rows.length; from += SCANS_PER_COMMAND) {
    for (const id of await scanRows.insertNew(rows.slice(from, from + SCANS_PER_COMMAND))) fresh.add(id);
  }
  // Of two copies of one scan that say different things the same one stays, whichever came first.
  for (const { _id, ...row } of improved) await scanRows.change({ _id }, { $set: row });
  return fresh;
}

function rowOf(shipment: Pick<FoldedShipment, '_id' | 'companyId'>, { scanId, ...scan }: Scan): ScanRow {
  return { _id: scanId, companyId: shipment.companyId, shipmentId: shipment._id, ...scan };
}

/** Whole, then in halves: one shipment that many change at once does not hold up its neighbours. */
async function foldAll(ctx: OutsideTx, groups: readonly Group[], at: Date): Promise<void> {
  if (groups.length === 0) return;
  const tries = groups.length === 1 ? SINGLE_TRIES : WHOLE_TRIES;
  let current = groups;
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    try {
      await foldOnce(ctx, current, at);
      return;
    } catch (error) {
      if (!isContention(error)) throw error;
      if (attempt === tries && groups.length === 1) throw unavailable('busy', 'Too many changes at once; try again', 1, error);
    }
    await pause(Math.random() * Math.min(50, 2 ** attempt));
    const rows = new Map((await shipmentsToFold(ctx, current.map((g) => g.shipment._id))).map((row) => [row._id, row]));
    current = current.flatMap(({ shipment, scans }): Group[] => {
      const row = rows.get(shipment._id);
      return row ? [{ shipment: row, scans }] : [];
    });
  }
  const middle = Math.ceil(current.length / 2);
  await foldAll(ctx, current.slice(0, middle), at);
  await foldAll(ctx, current.slice(middle), at);
}

function isContention(error: unknown): boolean {
  return error instanceof BatchConflict || (error instanceof AppError && (error.code === 'busy' || error.code.endsWith('_exists')));
}

async function foldOnce(ctx: OutsideTx, groups: readonly Group[], at: Date): Promise<void> {
  // A shipment keeps a bounded history; with more scans than that, all of them are read.
  const long = groups.filter(({ shipment }) => shipment.scanCount > shipment.history.length).map(({ shipment }) => shipment._id);
  const stored = long.length > 0 ? await storedScans(long) : new Map<string, Scan[]>();
  const folds: Fold[] = [];
  for (const { shipment, scans } of groups) {
    const all = [...(stored.get(shipment._id) ?? []), ...scansOf(shipment, shipment.history), ...scans];
    const fold = foldShipment(shipment, all, at);
    if (!isUnchanged(fold)) folds.push(fold);
  }
  await commitFolds(ctx, folds);
}
