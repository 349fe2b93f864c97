import type { NdrReason, ShipmentStatus } from '../couriers/index.ts';
import { statusRank } from '../couriers/index.ts';
import type { RawScan } from '../couriers/index.ts';
import type { CodeMeaning } from '../couriers/index.ts';
import { sha256 } from '../../platform/ids.ts';

export const SCAN_SOURCES = ['courier', 'manual', 'api', 'simulated'] as const;

export type ScanSource = (typeof SCAN_SOURCES)[number];

/** One event of one parcel. Without `status` it is unmapped: kept and counted, and it moves nothing. */
export interface Scan {
  scanId: string;
  awb: string;
  courier: string;
  /** As the courier wrote it; with group and rawReason a part of the scan's identity. */
  rawCode: string;
  /** What we show: the courier's code, tidied. */
  code: string;
  group?: string;
  rawReason?: string;
  status?: ShipmentStatus;
  /** What the reason means; only an undelivered scan has one. */
  reason?: NdrReason;
  occurredAt: Date;
  receivedAt: Date;
  location?: string;
  source: ScanSource;
}

export interface ScanIdentity {
  courier: string;
  awb: string;
  rawCode: string;
  group?: string;
  rawReason?: string;
  occurredAt: Date;
}

/**
 * The scan's fingerprint: SHA-256 (base64url) over courier, AWB, raw code, group, reason and time of occurrence in
 * milliseconds UTC. The parts are joined as JSON, so that no two different scans can share one text.
 */
export function scanIdOf(scan: ScanIdentity): string {
  return sha256(
    JSON.stringify([
      scan.courier,
      scan.awb,
      scan.rawCode,
      scan.group ?? '',
      scan.rawReason ?? '',
      scan.occurredAt.toISOString(),
    ]),
  );
}

/** The stored scan of what a courier, a person or the API said, with the meaning that the status table gave to it. */
export function makeScan(
  raw: RawScan,
  meaning: CodeMeaning | 'unmapped',
  seen: { courier: string; source: ScanSource; receivedAt: Date },
): Scan {
  const scan: Scan = {
    scanId: scanIdOf({ ...raw, courier: seen.courier }),
    awb: raw.awb,
    courier: seen.courier,
    rawCode: raw.rawCode,
    code: raw.code ?? raw.rawCode.trim(),
    occurredAt: raw.occurredAt,
    receivedAt: seen.receivedAt,
    source: seen.source,
  };
  if (raw.group !== undefined) scan.group = raw.group;
  if (raw.rawReason !== undefined) scan.rawReason = raw.rawReason;
  if (raw.location !== undefined) scan.location = raw.location;
  if (meaning === 'unmapped') return scan;
  scan.status = meaning.status;
  if (meaning.reason !== undefined) scan.reason = meaning.reason;
  return scan;
}

/** Total order of different scans: time of occurrence, then place along the life, then the raw code's UTF-8 bytes. */
export function compareScans(a: Scan, b: Scan): number {
  return (
    a.occurredAt.getTime() - b.occurredAt.getTime() ||
    statusRank(a.status) - statusRank(b.status) ||
    compareBytes(a.rawCode, b.rawCode) ||
    compareBytes(a.scanId, b.scanId)
  );
}

/** Each scan id once, in the order of `compareScans`. Of several copies the same one stays whatever their order. */
export function orderedOnce(scans: readonly Scan[]): Scan[] {
  const kept = new Map<string, Scan>();
  for (const scan of scans) {
    const other = kept.get(scan.scanId);
    if (other === undefined || (other !== scan && compareCopies(scan, other) < 0)) kept.set(scan.scanId, scan);
  }
  return [...kept.values()].sort(compareScans);
}

function compareCopies(a: Scan, b: Scan): number {
  return (
    statusRank(b.status) - statusRank(a.status) ||
    a.receivedAt.getTime() - b.receivedAt.getTime() ||
    compareBytes(a.source, b.source) ||
    compareBytes(a.reason ?? '', b.reason ?? '') ||
    compareBytes(a.location ?? '', b.location ?? '') ||
    compareBytes(a.code, b.code)
  );
}

function compareBytes(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}
