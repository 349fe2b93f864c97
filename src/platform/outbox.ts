import { nowMs } from './clock.ts';
import { makeConsumer, type Consumer } from './consumer.ts';
import { systemCtx, type OutsideTx } from './context.ts';
import { machineRows } from './db/machine-rows.ts';
import { makeLease } from './lease.ts';
import { runtime } from './runtime.ts';

/** An event as subscribers get it: at least once, in the order of commit within one key. */
export interface OutboxEvent {
  _id: string;
  at: Date;
  type: string;
  key: string;
  payload: Record<string, unknown>;
  companyId: string;
  requestId: string;
}

interface OutboxRow extends OutboxEvent {
  pending?: true;
  attempts?: number;
  nextAt?: Date;
  dead?: true;
  expireAt?: Date;
}

/** Somebody who hears of events; must be safe to hear of one twice. */
export interface Subscriber {
  name: string;
  types: readonly string[];
  handle(ctx: OutsideTx, event: OutboxEvent): Promise<void>;
}

const BATCH = 500;
const GATHER_MS = 50;
const MAX_ATTEMPTS = 8;

const rows = machineRows<OutboxRow>('outbox', [
  { keys: { pending: 1, type: 1, _id: 1 }, partial: { pending: { $exists: true } } },
  { keys: { expireAt: 1 }, expireAfterSeconds: 0 },
]);

export interface OutboxDispatcher extends Consumer {
  /** Delivers everything that is due; answers how many events. For tests and the command line. */
  deliverDue(): Promise<number>;
}

/**
 * Makes the dispatcher of this process. One process at a time holds the lease and delivers, so events keep their order
 * and nothing is claimed row by row; a failing event waits aside with back-off, with the later ones of its key, and never
 * holds up the others.
 */
export function makeOutboxDispatcher(subscribers: readonly Subscriber[]): OutboxDispatcher {
  const lease = makeLease('outbox');
  const byType = new Map<string, Subscriber[]>();
  for (const s of subscribers) {
    for (const type of s.types) {
      byType.set(type, [...(byType.get(type) ?? []), s]);
      heardTypes.add(type);
    }
  }
  const markDone = (which: { _id: { $in: string[] } } | { pending: true; type: { $nin: string[] } }): Promise<number> =>
    rows.changeAll(which, { $unset: { pending: '' }, $set: { expireAt: doneUntil() } });

  const deliverOne = async (event: OutboxRow): Promise<boolean> => {
    for (const subscriber of byType.get(event.type) ?? []) {
      try {
        await subscriber.handle(systemCtx(`event:${subscriber.name}`, event.companyId, event.requestId), event);
      } catch (error) {
        await putAside(event, subscriber.name, error);
        return false;
      }
    }
    return true;
  };

  const deliver = async (): Promise<number> => {
    if (!(await lease.hold())) return 0;
    const heard = [...byType.keys()];
    let total = await markDone({ pending: true, type: { $nin: heard } });
    const waiting = new Set<string>();
    for (let after = ''; ; ) {
      const page = await rows.find({ pending: true, type: { $in: heard }, _id: { $gt: after } }, { sort: { _id: 1 }, limit: BATCH });
      const done: string[] = [];
      for (const event of page) {
        const key = `${event.companyId}|${event.key}`;
        if (waiting.has(key)) continue;
        if (!(await lease.hold())) break;
        if ((event.nextAt?.getTime() ?? 0) <= nowMs() && (await deliverOne(event))) done.push(event._id);
        else waiting.add(key);
      }
      if (done.length > 0) await markDone({ _id: { $in: done } });
      total += done.length;
      if (page.length < BATCH || !(await lease.hold())) return total;
      after = page.at(-1)?._id ?? after;
    }
  };

  const consumer = makeConsumer({ lease, gatherMs: GATHER_MS, pollMs: () => runtime().config.outboxPollMs, failure: 'outbox.failed', run: deliver });
  return { ...consumer, deliverDue: deliver };
}

async function putAside(event: OutboxRow, subscriber: string, error: unknown): Promise<void> {
  const attempts = (event.attempts ?? 0) + 1;
  const dead = attempts >= MAX_ATTEMPTS;
  runtime().log[dead ? 'error' : 'warn'](dead ? 'event.dead' : 'event.failed', { type: event.type, eventId: event._id, subscriber, attempts, error });
  const wait = Math.min(3_600_000, 500 * 2 ** attempts) * (0.5 + Math.random() / 2);
  await rows.change(
    { _id: event._id },
    dead ? { $set: { dead: true, attempts }, $unset: { pending: '' } } : { $set: { attempts, nextAt: new Date(nowMs() + wait) } },
  );
}

/** Types that somebody in this process hears of; the index leads to the oldest pending event of each. */
const heardTypes = new Set<string>();

/** How long a delivered event stays. */
function doneUntil(): Date {
  return new Date(nowMs() + runtime().config.retentionOutboxDays * 86_400_000);
}

/** How an event of this type is born in this process: delivered already when it has a dispatcher and nobody hears of the type. */
export function bornState(type: string): { pending: true } | { expireAt: Date } {
  return heardTypes.has(type) ? { pending: true } : { expireAt: doneUntil() };
}

/** The age of the oldest event that still waits, in milliseconds; 0 when none waits. For health and metrics. */
export async function outboxAgeMs(): Promise<number> {
  const heard = [...heardTypes];
  const which = [...heard.map((type) => ({ pending: true as const, type })), { pending: true as const, type: { $nin: heard } }];
  const oldest = await Promise.all(which.map((filter) => rows.findOne(filter, { sort: { type: 1, _id: 1 } })));
  const born = oldest.flatMap((row) => (row ? [row.at.getTime()] : []));
  return born.length === 0 ? 0 : Math.max(0, nowMs() - Math.min(...born));
}
