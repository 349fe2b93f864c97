import type { NdrReason, ShipmentDirection, ShipmentStatus } from './shipment-status.rules.ts';

/** One row of a courier's table. An absent direction, group or reason means: whatever it is. */
export interface StatusRow {
  code: string;
  group?: string;
  reason?: string;
  direction?: ShipmentDirection;
  status: ShipmentStatus;
  ndr?: NdrReason;
}

export interface StatusTable {
  courier: string;
  rows: ReadonlyMap<string, CodeMeaning>;
}

/** `reason` is set for undelivered only. */
export interface CodeMeaning {
  status: ShipmentStatus;
  reason?: NdrReason;
}

export interface CodedScan {
  direction: ShipmentDirection;
  code: string;
  group?: string;
  reason?: string;
}

/**
 * A courier's codes, ready to look up; letter case and outer spaces do not matter. Throws when two rows stand for the
 * same direction, code, group and reason, because one of them would be lost.
 */
export function statusTable(courier: string, rows: readonly StatusRow[]): StatusTable {
  const compiled = new Map<string, CodeMeaning>();
  for (const row of rows) {
    const key = keyOf(row);
    if (compiled.has(key)) throw new Error(`Two rows of the ${courier} status table stand for ${key}`);
    compiled.set(key, meaningOf(row));
  }
  return { courier, rows: compiled };
}

/**
 * What a courier's code means, or 'unmapped': never a guess. The most exact row wins: group and reason, then reason,
 * then group, then the code alone; at each step a row for the scan's direction before a row for any.
 */
export function mapCode(table: StatusTable, scan: CodedScan): CodeMeaning | 'unmapped' {
  const { direction, code, group, reason } = scan;
  for (const form of [{ group, reason }, { reason }, { group }, {}]) {
    const exact = table.rows.get(keyOf({ direction, code, ...form }));
    const meaning = exact ?? table.rows.get(keyOf({ code, ...form }));
    if (meaning !== undefined) return meaning;
  }
  return 'unmapped';
}

function meaningOf(row: StatusRow): CodeMeaning {
  if (row.status !== 'undelivered') return { status: row.status };
  return { status: row.status, reason: row.ndr ?? 'other' };
}

function keyOf(part: { direction?: string; code: string; group?: string; reason?: string }): string {
  return JSON.stringify([part.direction ?? '', tidy(part.code), tidy(part.group), tidy(part.reason)]);
}

function tidy(text: string | undefined): string {
  return text === undefined ? '' : text.trim().toUpperCase();
}
