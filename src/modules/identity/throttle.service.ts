import { now, nowMs } from '../../platform/clock.ts';
import { limited, unavailable } from '../../platform/errors.ts';
import { addressKey } from '../../platform/rate-limit.ts';
import { runtime } from '../../platform/runtime.ts';
import { kit } from './identity.kit.ts';
import { lockedForSeconds } from './identity.rules.ts';
import { throttles } from './session.model.ts';

const MAX_IN_TURN = 256;
const MAX_ACCOUNTS = 20;

/** The counters that one attempt counts against: by address and account, or by a known device alone. */
export interface Counters {
  keys: readonly string[];
  /** The account's counter, when it is among the keys. */
  account?: string;
}

/** Counters of an attempt from somewhere: the address (not with RATE_LIMITS=off) and the account, known or not. */
export function attemptCounters(address: string, email: string): Counters {
  const account = accountKey(email);
  return { keys: runtime().config.rateLimits ? [addressCounter(address), account] : [account], account };
}

/** Counters of an attempt from a device that has signed in before: its own only, so nobody else can lock it out. */
export function deviceCounters(deviceId: string): Counters {
  return { keys: [`device:${kit().blind(deviceId)}`] };
}

/** Counters of calls that must not tell who exists, by address alone; none with RATE_LIMITS=off. */
export function addressCounters(address: string): Counters {
  return { keys: runtime().config.rateLimits ? [addressCounter(address)] : [] };
}

/**
 * Runs one attempt under its counters: 429 `too_many_attempts` with Retry-After while one is locked, otherwise the
 * attempt, whose failure (as `isFailure` says) is counted. Attempts under one counter run one after the other in this
 * process, so a burst of guesses cannot pass the check together.
 */
export async function underThrottle<T>(counters: Counters, attempt: () => Promise<T>, isFailure: (error: unknown) => boolean): Promise<T> {
  return inTurn(counters.keys, async () => {
    await assertOpen(counters);
    try {
      return await attempt();
    } catch (error) {
      if (isFailure(error)) await countFailure(counters);
      throw error;
    }
  });
}

/** Forgets the failures of an account after a sign-in that succeeded. */
export async function forgetFailures(email: string): Promise<void> {
  await throttles.remove({ _id: accountKey(email) });
}

/** Opens an account's lock, and those of addresses that were locked with its help. */
export async function openLock(email: string): Promise<void> {
  const account = accountKey(email);
  await throttles.remove({ $or: [{ _id: account }, { accounts: account }] });
}

function accountKey(email: string): string {
  return `account:${kit().blind(email)}`;
}

function addressCounter(address: string): string {
  return `address:${kit().blind(addressKey(address))}`;
}

async function assertOpen({ keys }: Counters): Promise<void> {
  if (keys.length === 0) return;
  const rows = await throttles.find({ _id: { $in: [...keys] } });
  const seconds = Math.max(0, ...rows.map((row) => lockedForSeconds(row, now())));
  if (seconds > 0) throw limited('too_many_attempts', `Too many failed attempts; try again in ${seconds} s`, seconds);
}

async function countFailure({ keys, account }: Counters): Promise<void> {
  const { rateLimitAuthFailures: max, rateLimitAuthWindowSeconds, lockoutSeconds } = runtime().config;
  const windowEndsAt = new Date(nowMs() + rateLimitAuthWindowSeconds * 1000);
  const lockedUntil = new Date(nowMs() + lockoutSeconds * 1000);
  const expireAt = new Date(nowMs() + (rateLimitAuthWindowSeconds + lockoutSeconds) * 1000);
  // A new count begins when the window ends, and when a lock has run out.
  const over = { $or: [{ $lte: [{ $ifNull: ['$windowEndsAt', new Date(0)] }, now()] }, { $lte: [{ $ifNull: ['$lockedUntil', expireAt] }, now()] }] };
  for (const key of keys) {
    const seen = { $cond: [over, [], { $ifNull: ['$accounts', []] }] };
    const accounts = account === undefined || key === account ? {} : { accounts: { $slice: [{ $setUnion: [seen, [account]] }, -MAX_ACCOUNTS] } };
    const counted = { count: { $cond: [over, 1, { $add: ['$count', 1] }] }, windowEndsAt: { $cond: [over, windowEndsAt, '$windowEndsAt'] } };
    const pipeline = [
      { $set: { ...counted, ...accounts, expireAt } },
      { $set: { lockedUntil: { $cond: [{ $gte: ['$count', max] }, lockedUntil, '$$REMOVE'] } } },
    ];
    await throttles.change({ _id: key }, pipeline as never, { upsert: true });
  }
}

const turns = new Map<string, { tail: Promise<unknown>; waiting: number }>();

/** Runs `work` when everybody who came before under each of the keys is done; 503 `busy` when too many wait. */
async function inTurn<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
  const [key, ...rest] = keys;
  if (key === undefined) return work();
  const turn = turns.get(key) ?? { tail: Promise.resolve(), waiting: 0 };
  if (turn.waiting >= MAX_IN_TURN) throw unavailable('busy', 'Too many sign-ins at once; try again in a moment', 2);
  turns.set(key, turn);
  turn.waiting += 1;
  const mine = turn.tail.then(() => inTurn(rest, work));
  turn.tail = mine.catch(() => undefined);
  try {
    return await mine;
  } finally {
    turn.waiting -= 1;
    if (turn.waiting === 0) turns.delete(key);
  }
}

