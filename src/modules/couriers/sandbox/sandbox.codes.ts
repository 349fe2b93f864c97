import type { NdrReason } from '../shipment-status.rules.ts';
import type { StatusRow } from '../status-table.rules.ts';
import { statusTable } from '../status-table.rules.ts';

/** The sandbox courier's own reason codes, so that playing it goes through the same tables as a real courier. */
export const SANDBOX_NDR_CODES: Readonly<Record<NdrReason, string>> = {
  customer_unavailable: 'R01',
  refused: 'R02',
  rescheduled: 'R03',
  not_attempted: 'R04',
  unreachable: 'R05',
  address_issue: 'R06',
  cash_not_ready: 'R07',
  out_of_delivery_area: 'R08',
  already_cancelled: 'R09',
  self_collect: 'R10',
  wants_open_delivery: 'R11',
  misrouted: 'R12',
  restricted_entry: 'R13',
  other: 'R99',
};

const ROWS: readonly StatusRow[] = [
  { code: 'MAN', status: 'manifested' },
  { code: 'PSC', status: 'pickup_scheduled' },
  { code: 'OFP', status: 'out_for_pickup' },
  { code: 'PUF', status: 'pickup_failed' },
  { code: 'QCF', direction: 'reverse', status: 'qc_failed' },
  { code: 'CAN', status: 'cancelled' },
  { code: 'PKD', status: 'picked_up' },
  { code: 'IT', status: 'in_transit' },
  { code: 'IT', group: 'RT', status: 'rto_in_transit' },
  { code: 'HLD', status: 'on_hold' },
  { code: 'MIS', status: 'misrouted' },
  { code: 'OFD', status: 'out_for_delivery' },
  { code: 'OFD', group: 'RT', status: 'rto_out_for_delivery' },
  { code: 'UD', status: 'undelivered' },
  { code: 'UD', group: 'RT', status: 'rto_undelivered' },
  { code: 'DLV', status: 'delivered' },
  { code: 'DLV', group: 'RT', status: 'rto_delivered' },
  { code: 'RTI', status: 'rto_initiated' },
  { code: 'DMG', status: 'damaged' },
  { code: 'DST', status: 'destroyed' },
  { code: 'LST', status: 'lost' },
];

const NDR_ROWS = (Object.entries(SANDBOX_NDR_CODES) as [NdrReason, string][]).map(
  ([ndr, reason]): StatusRow => ({ code: 'UD', group: 'FW', reason, status: 'undelivered', ndr }),
);

/** The sandbox courier's table: a code, and the group `RT` for the way back to the seller. */
export const SANDBOX_STATUS_TABLE = statusTable('sandbox', [...ROWS, ...NDR_ROWS]);
