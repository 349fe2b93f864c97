import { BoundedMap } from '../../platform/bounded-map.ts';
import { nowMs } from '../../platform/clock.ts';
import { acrossCompanies, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { metrics } from '../../platform/metrics.ts';
import { assertRange, type Page, type PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { SECURITY_EVENTS, securityEvents, type SecurityDetails, type SecurityEvent, type SecurityEventType, type Severity } from './security-event.model.ts';

/** What is told of a security event; severity is the type's own unless given. */
export interface SecurityNote {
  type: SecurityEventType;
  severity?: Severity | undefined;
  /** Whose account it is about; decides who is told by mail. */
  userId?: string | undefined;
  address?: string | undefined;
  details?: SecurityDetails | undefined;
}

const MAX_DETAILS = 12;
const MAX_DETAIL_TEXT = 200;
const MAX_KEYS = 10_000;

/**
 * Notes a security event with the caller's transaction, in the Tx's company. After the commit it is logged, counted and,
 * for the kinds of the table in the alerts module, mailed to the people concerned. Details are names, counts and ids.
 */
export async function noteSecurityEvent(tx: Tx, note: SecurityNote, count = 1): Promise<Row<SecurityEvent>> {
  const { type, severity = SECURITY_EVENTS[note.type], userId, address, details } = note;
  const row = await securityEvents.insert(tx, {
    type,
    severity,
    actorKind: tx.actor.kind,
    actorId: tx.actor.id,
    requestId: tx.requestId,
    ...(userId === undefined ? {} : { userId }),
    ...(address === undefined ? {} : { address: address.slice(0, 100) }),
    ...(details === undefined ? {} : { details: bounded(details) }),
    count,
  });
  tx.emit({ type, key: row._id, payload: { eventId: row._id, severity, userId, count } });
  return row;
}

/** Notes a security event where no transaction is open (a refused sign-in, a finished download), in one of its own. */
export async function reportSecurityEvent(ctx: OutsideTx, note: SecurityNote, count = 1): Promise<void> {
  await withTransaction({ ...ctx, answer: undefined } as OutsideTx, async (ctx) => {
    await noteSecurityEvent(ctx, note, count);
  });
}

interface Gathered {
  until: number;
  held: number;
}

const gathered = new BoundedMap<string, Gathered>(MAX_KEYS);

/**
 * Like `reportSecurityEvent`, for what strangers can cause as often as they like (failed sign-ins, forged tokens): of one
 * `key` at most one row a minute in this process; the next row says how many it stands for. The metric counts them all.
 */
export async function reportBounded(ctx: OutsideTx, key: string, note: SecurityNote): Promise<void> {
  const whole = `${note.type}|${key}`;
  const known = gathered.get(whole);
  if (known && known.until > nowMs()) {
    known.held += 1;
    metrics.securityEvent(note.type, note.severity ?? SECURITY_EVENTS[note.type]);
    return;
  }
  gathered.delete(whole);
  gathered.set(whole, { until: nowMs() + 60_000, held: 0 });
  await reportSecurityEvent(ctx, note, 1 + (known?.held ?? 0)).catch((error: unknown) => {
    // What strangers cause must not turn their refusal into another one.
    runtime().log.error('security.not_noted', { requestId: ctx.requestId, type: note.type, error });
  });
}

/** At most 12 flat facts with short texts. */
function bounded(details: SecurityDetails): SecurityDetails {
  const facts = Object.entries(details).slice(0, MAX_DETAILS);
  return Object.fromEntries(facts.map(([key, value]) => [key.replace(/[$.]/g, '_'), typeof value === 'string' ? value.slice(0, MAX_DETAIL_TEXT) : value]));
}

export interface SecurityQuery extends PageRequest {
  type?: SecurityEventType | undefined;
  severity?: Severity | undefined;
  userId?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** One page of the company's security events, newest first; 400 when `from` is after `to`. */
export async function companySecurityEvents(ctx: Ctx, query: SecurityQuery): Promise<Page<Row<SecurityEvent>>> {
  return securityEvents.list(ctx, securityFilter(query), query);
}

/** One page of the security events of all companies or one, for our staff. */
export async function staffSecurityEvents(ctx: Ctx, { companyId, ...query }: SecurityQuery & { companyId?: string | undefined }): Promise<Page<Row<SecurityEvent>>> {
  const filter = { ...(companyId === undefined ? {} : { companyId }), ...securityFilter(query) };
  return securityEvents.list(acrossCompanies(ctx, 'staff security events'), filter, query);
}

function securityFilter({ type, severity, userId, from, to }: SecurityQuery): Filter<SecurityEvent> {
  assertRange({ from, to });
  return {
    ...(type === undefined ? {} : { type }),
    ...(severity === undefined ? {} : { severity }),
    ...(userId === undefined ? {} : { userId }),
    ...(from || to ? { createdAt: { ...(from ? { $gte: from } : {}), ...(to ? { $lte: to } : {}) } } : {}),
  };
}

/** A security event once more, for those who tell of it; undefined when retention took it. */
export async function findSecurityEvent(ctx: Ctx, id: string): Promise<Row<SecurityEvent> | undefined> {
  return securityEvents.findOne(ctx, { _id: id });
}

/** Takes the right to mail about an event: true once, then false. */
export async function takeMailing(tx: Tx, event: Row<SecurityEvent>, at: Date): Promise<boolean> {
  const seen = await securityEvents.findOne(tx, { _id: event._id });
  if (!seen || seen.mailedAt !== undefined) return false;
  await securityEvents.update(tx, event._id, { $set: { mailedAt: at } }, { version: seen.version });
  return true;
}
