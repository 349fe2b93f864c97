import { conflict } from '../../platform/errors.ts';
import type { CourierAdapter } from './adapter.ts';
import { GENERIC_STATUS_TABLE } from './generic.rules.ts';
import { SANDBOX_AWB_PREFIX, SANDBOX_COURIER, sandboxAdapter } from './sandbox/sandbox.adapter.ts';
import { SANDBOX_STATUS_TABLE } from './sandbox/sandbox.codes.ts';
import type { StatusTable } from './status-table.rules.ts';

/** All that the product knows of one courier it can talk to. */
export interface CourierEntry {
  adapter: CourierAdapter;
  table: StatusTable;
  /** Set when we give the numbers from a pool of our own. */
  awbPrefix?: string;
}

const ENTRIES: ReadonlyMap<string, CourierEntry> = new Map([
  [SANDBOX_COURIER, { adapter: sandboxAdapter, table: SANDBOX_STATUS_TABLE, awbPrefix: SANDBOX_AWB_PREFIX }],
]);

/** The courier's entry, or undefined for one that nothing can be sent to. */
export function findCourier(courier: string): CourierEntry | undefined {
  return ENTRIES.get(courier);
}

/** The courier's entry; 409 `courier_not_available` for one that nothing can be sent to. */
export function courierEntry(courier: string): CourierEntry {
  const entry = ENTRIES.get(courier);
  if (!entry) throw conflict('courier_not_available', 'This courier cannot be booked with here yet; choose another', { courier });
  return entry;
}

/** What the courier's codes mean; for couriers without a table of their own the one of our scan API. */
export function statusTableOf(courier: string): StatusTable {
  return ENTRIES.get(courier)?.table ?? GENERIC_STATUS_TABLE;
}
