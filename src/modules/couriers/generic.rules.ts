import type { NdrReason, ShipmentDirection, ShipmentStatus } from './shipment-status.rules.ts';
import type { RawScan } from './adapter.ts';
import { awbText } from './awb.rules.ts';
import type { CodeMeaning, StatusRow } from './status-table.rules.ts';
import { mapCode, statusTable } from './status-table.rules.ts';

/** One event of our own scan API. An explicit `status` wins over what the code means. */
export interface GenericEvent {
  code: string;
  status?: ShipmentStatus;
  reason?: string;
  occurredAt: Date;
  location?: string;
  rawCode?: string;
  group?: string;
}

const STATUS_CODES: Record<ShipmentStatus, true> = {
  created: true,
  awb_assigned: true,
  manifested: true,
  pickup_scheduled: true,
  out_for_pickup: true,
  pickup_failed: true,
  qc_failed: true,
  cancelled: true,
  picked_up: true,
  in_transit: true,
  on_hold: true,
  misrouted: true,
  out_for_delivery: true,
  undelivered: true,
  delivered: true,
  rto_initiated: true,
  rto_in_transit: true,
  rto_out_for_delivery: true,
  rto_undelivered: true,
  rto_delivered: true,
  damaged: true,
  destroyed: true,
  lost: true,
};

const REASON_CODES: Record<NdrReason, true> = {
  customer_unavailable: true,
  refused: true,
  rescheduled: true,
  not_attempted: true,
  unreachable: true,
  address_issue: true,
  cash_not_ready: true,
  out_of_delivery_area: true,
  already_cancelled: true,
  self_collect: true,
  wants_open_delivery: true,
  misrouted: true,
  restricted_entry: true,
  other: true,
};

/** For couriers that integrate with us: the codes are our own status names, the reasons our own NDR reasons. */
export const GENERIC_STATUS_TABLE = statusTable('generic', [
  ...(Object.keys(STATUS_CODES) as ShipmentStatus[]).map((status): StatusRow => ({ code: status, status })),
  ...(Object.keys(REASON_CODES) as NdrReason[]).map(
    (ndr): StatusRow => ({ code: 'undelivered', reason: ndr, status: 'undelivered', ndr }),
  ),
]);

/** What an event of the scan API means: by its explicit status, else by its code; 'unmapped' when neither is known. */
export function mapGenericEvent(event: GenericEvent, direction: ShipmentDirection): CodeMeaning | 'unmapped' {
  return mapCode(GENERIC_STATUS_TABLE, { ...event, direction, code: event.status ?? event.code });
}

/** An event of the scan API as a raw scan; its identity uses `rawCode`, or else the code as it was written. */
export function genericRawScan(awb: string, event: GenericEvent): RawScan {
  const raw: RawScan = {
    awb: awbText(awb),
    rawCode: event.rawCode ?? event.code,
    code: event.code.trim(),
    occurredAt: event.occurredAt,
  };
  if (event.group !== undefined) raw.group = event.group;
  if (event.reason !== undefined) raw.rawReason = event.reason;
  if (event.location !== undefined) raw.location = event.location;
  return raw;
}
