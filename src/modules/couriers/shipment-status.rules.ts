/** Every status of a shipment in its order along the life: of two that happened at one time the later one here wins. */
export const SHIPMENT_STATUSES = [
  'created',
  'awb_assigned',
  'manifested',
  'pickup_scheduled',
  'out_for_pickup',
  'pickup_failed',
  'qc_failed',
  'cancelled',
  'picked_up',
  'in_transit',
  'on_hold',
  'misrouted',
  'out_for_delivery',
  'undelivered',
  'delivered',
  'rto_initiated',
  'rto_in_transit',
  'rto_out_for_delivery',
  'rto_undelivered',
  'rto_delivered',
  'damaged',
  'destroyed',
  'lost',
] as const;

export type ShipmentStatus = (typeof SHIPMENT_STATUSES)[number];

/** forward: to the buyer; reverse: a return from the buyer. An RTO is a part of a forward shipment's life. */
export type ShipmentDirection = 'forward' | 'reverse';

export const NDR_REASONS = [
  'customer_unavailable',
  'refused',
  'rescheduled',
  'not_attempted',
  'unreachable',
  'address_issue',
  'cash_not_ready',
  'out_of_delivery_area',
  'already_cancelled',
  'self_collect',
  'wants_open_delivery',
  'misrouted',
  'restricted_entry',
  'other',
] as const;

export type NdrReason = (typeof NDR_REASONS)[number];

export const NDR_ACTIONS = ['reattempt', 'hold_for_self_collect', 'start_rto', 'dispute'] as const;

export type NdrAction = (typeof NDR_ACTIONS)[number];

/** After so many failed attempts the parcel goes back. */
export const MAX_DELIVERY_ATTEMPTS = 3;

const RANK: ReadonlyMap<string, number> = new Map(SHIPMENT_STATUSES.map((status, index) => [status, index]));
const REASONS: ReadonlySet<string> = new Set(NDR_REASONS);
/** How a parcel ends. */
export const TERMINAL_STATUSES: readonly ShipmentStatus[] = ['delivered', 'rto_delivered', 'cancelled', 'lost', 'damaged', 'destroyed'];
const TERMINAL: ReadonlySet<ShipmentStatus> = new Set(TERMINAL_STATUSES);
const RTO: ReadonlySet<ShipmentStatus> = new Set([
  'rto_initiated',
  'rto_in_transit',
  'rto_out_for_delivery',
  'rto_undelivered',
  'rto_delivered',
]);
/** Without on_hold, which also happens before the pick-up, so that it alone proves nothing. */
const PICKED_UP_OR_LATER: ReadonlySet<ShipmentStatus> = new Set([
  'picked_up',
  'in_transit',
  'misrouted',
  'out_for_delivery',
  'undelivered',
  'delivered',
  ...RTO,
  'damaged',
  'destroyed',
  'lost',
]);
/** What a person may not say with a scan, because only our own commands (book, cancel) make it true. */
const ONLY_BY_COMMAND: ReadonlySet<ShipmentStatus> = new Set(['created', 'awb_assigned', 'cancelled']);

/** True for one of our own status names, exactly as written in SHIPMENT_STATUSES. */
export function isShipmentStatus(value: unknown): value is ShipmentStatus {
  return typeof value === 'string' && RANK.has(value);
}

/** True for one of our own NDR reasons, exactly as written in NDR_REASONS. */
export function isNdrReason(value: unknown): value is NdrReason {
  return typeof value === 'string' && REASONS.has(value);
}

/** Place along the life, 0 = created; no status (an unmapped code) stands before all, at -1. */
export function statusRank(status: ShipmentStatus | undefined): number {
  return status === undefined ? -1 : (RANK.get(status) ?? -1);
}

/** True for a status that ends the life: only the corrections of `isCorrection` leave it. */
export function isTerminal(status: ShipmentStatus): boolean {
  return TERMINAL.has(status);
}

/** True for every step of the way back, rto_delivered included. */
export function isRto(status: ShipmentStatus): boolean {
  return RTO.has(status);
}

/** True when the status proves that the courier has, or had, the parcel: charge the hold, take the stock down. */
export function isPickedUpOrLater(status: ShipmentStatus): boolean {
  return PICKED_UP_OR_LATER.has(status);
}

/** True for the two legal ways out of a terminal status: delivered to any RTO step, and rto_delivered to delivered. */
export function isCorrection(from: ShipmentStatus, to: ShipmentStatus): boolean {
  return (from === 'delivered' && isRto(to)) || (from === 'rto_delivered' && to === 'delivered');
}

export interface ShipmentState {
  status: ShipmentStatus;
  statusAt?: Date;
  pickedUpAt?: Date;
}

/** True while nothing has been picked up and the life has not ended; a parcel on hold counts by its pick-up. */
export function canCancel(state: ShipmentState): boolean {
  return state.pickedUpAt === undefined && !isTerminal(state.status) && !isPickedUpOrLater(state.status);
}

/** True for a shipment with a number that no manifest has taken yet and no courier has picked up. */
export function canManifest(state: ShipmentState): boolean {
  return state.pickedUpAt === undefined && (state.status === 'awb_assigned' || state.status === 'pickup_scheduled');
}

/** True while a pick-up can still be asked for, again after a failed one. */
export function canSchedulePickup(state: ShipmentState): boolean {
  const waiting: readonly ShipmentStatus[] = ['awb_assigned', 'manifested', 'pickup_failed'];
  return state.pickedUpAt === undefined && waiting.includes(state.status);
}

export type ManualStatusRefusal = 'status_only_by_command' | 'shipment_ended' | 'already_picked_up';

/**
 * Why a person may not set `to` at `occurredAt`, or undefined. A time before the present status is always welcome,
 * because such a scan only fills the timeline; a later one may neither leave an end except by a correction, nor
 * undo a pick-up.
 */
export function manualStatusRefusal(
  state: ShipmentState,
  to: ShipmentStatus,
  occurredAt: Date,
): ManualStatusRefusal | undefined {
  if (ONLY_BY_COMMAND.has(to)) return 'status_only_by_command';
  if (state.statusAt !== undefined && occurredAt < state.statusAt) return undefined;
  if (isTerminal(state.status)) return isCorrection(state.status, to) ? undefined : 'shipment_ended';
  const beforePickup = statusRank(to) < statusRank('picked_up');
  return state.pickedUpAt !== undefined && beforePickup ? 'already_picked_up' : undefined;
}

export type NdrActionRefusal = 'no_ndr' | 'ndr_closed' | 'attempts_used_up';

/**
 * Why an answer to an NDR is refused, or undefined. The attempt may be disputed at any later time; the other answers
 * need a parcel that still waits (undelivered, or held), and a further attempt needs one of the attempts to be left.
 */
export function ndrActionRefusal(
  facts: { status: ShipmentStatus; attempts: number; maxAttempts?: number },
  action: NdrAction,
): NdrActionRefusal | undefined {
  if (facts.attempts === 0) return 'no_ndr';
  if (action === 'dispute') return undefined;
  if (facts.status !== 'undelivered' && facts.status !== 'on_hold') return 'ndr_closed';
  const usedUp = facts.attempts >= (facts.maxAttempts ?? MAX_DELIVERY_ATTEMPTS);
  return action === 'reattempt' && usedUp ? 'attempts_used_up' : undefined;
}

/** True when the attempts are used up and the parcel still waits: the RTO is to be started. */
export function isRtoDue(status: ShipmentStatus, attempts: number, maxAttempts = MAX_DELIVERY_ATTEMPTS): boolean {
  return status === 'undelivered' && attempts >= maxAttempts;
}
