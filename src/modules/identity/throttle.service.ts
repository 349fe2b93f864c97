import { now, nowMs } from '../../platform/clock.ts';
import { limited, unavailable } from '../../platform/errors.ts';
import { pause } from '../../platform/pause.ts';
import { addressKey, type WindowState } from '../../platform/rate-limit.ts';
import type { ConnectionFacts } from '../../platform/route.ts';
import { runtime } from '../../platform/runtime.ts';
import { kit } from './identity.kit.ts';
import { lockedForSeconds } from './identity.rules.ts';
import { throttles, type ThrottleRow } from './session.model.ts';

const MAX_IN_TURN = 256;
const MAX_ACCOUNTS = 20;
/** The longest wait before an attempt, in steps of SIGN_IN_DELAY_MS. */
const MAX_DELAYS = 5;

/** The counters that one attempt counts against: by address and account, or by a known device alone. */
export interface Counters {
  keys: readonly string[];
  /** The account's counter, when it is among the keys. */
  account?: string;
  /** Told what is left, when somebody asks over HTTP. */
  tell?: ConnectionFacts['tellAttempts'];
  /** Told when the account has failures from before this attempt. */
  onFailedBefore?: () => void;
  /** Told once when this attempt has locked the account. */
  onLocked?: () => Promise<void>;
}

/** Counters of an attempt from somewhere: the address (not with RATE_LIMITS=off) and the account, known or not. */
export function attemptCounters(address: string, email: string): Counters {
  const account = accountKey(email);
  return { keys: runtime().config.rateLimits ? [account, addressCounter(address)] : [account], account };
}

/** Counters of an attempt from a device that has signed in before: its own only, so nobody else can lock it out. */
export function deviceCounters(deviceId: string): Counters {
  return { keys: [`device:${kit().blind(deviceId)}`] };
}

/** Counters of somebody who is signed in and proves again who he is: nobody else can lock them. */
export function sessionCounters(sid: string): Counters {
  return { keys: [`session:${kit().blind(sid)}`] };
}

/** Counters of calls that must not tell who exists, by address alone; none with RATE_LIMITS=off. */
export function addressCounters(address: string): Counters {
  return { keys: runtime().config.rateLimits ? [addressCounter(address)] : [] };
}

/**
 * Runs one attempt under its counters: 429 `too_many_attempts` with Retry-After while one is locked, otherwise the
 * attempt, whose failure (as `isFailure` says) is counted; tells how many failures are left. After two failures the next attempt waits, longer with each.
 * Attempts under one counter run one after the other in this process, so a burst of guesses cannot pass the check
 * together; with several processes as many more as there are processes may.
 */
export async function underThrottle<T>(counters: Counters, attempt: () => Promise<T>, isFailure: (error: unknown) => boolean): Promise<T> {
  const seen = new Map<string, WindowState>();
  const judge = async (): Promise<T> => {
    try {
      const result = await attempt();
      if (counters.account !== undefined) seen.delete(counters.account);
      return result;
    } catch (error) {
      if (isFailure(error)) for (const [key, row] of await countFailure(counters)) seen.set(key, stateOf(row));
      throw error;
    }
  };
  // One key inside the other: who waits for an account's delay does not hold up his whole address.
  const inTurns = counters.keys.reduceRight<() => Promise<T>>((inner, key) => () => inTurn(key, async () => {
    await assertOpen(key, seen);
    if (key === counters.account && seen.has(key)) counters.onFailedBefore?.();
    return inner();
  }), judge);
  try {
    return await inTurns();
  } finally {
    if (counters.keys.length > 0) counters.tell?.({ max: runtime().config.rateLimitAuthFailures, ...fullest([...seen.values()]) });
  }
}

/** What a counter says at this moment; one whose window or lock is over counts nothing. */
function stateOf(row: ThrottleRow): WindowState {
  const end = row.lockedUntil ?? row.windowEndsAt;
  return end > now() ? { used: row.count, resetAtMs: end.getTime() } : { used: 0, resetAtMs: nowMs() };
}

function fullest(states: readonly WindowState[]): WindowState {
  const fresh = { used: 0, resetAtMs: nowMs() + runtime().config.rateLimitAuthWindowSeconds * 1000 };
  return states.reduce((found, state) => (state.used > found.used ? state : found), fresh);
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

async function assertOpen(key: string, seen: Map<string, WindowState>): Promise<void> {
  const row = await throttles.findOne({ _id: key });
  if (row) seen.set(key, stateOf(row));
  const seconds = lockedForSeconds(row, now());
  if (seconds > 0) throw limited('too_many_attempts', `Too many failed attempts; try again in ${seconds} s`, seconds);
  const waitMs = row ? waitOf(row) : 0;
  if (waitMs > 0) await pause(waitMs);
}

/** Milliseconds until the next attempt is judged; bounded, whatever the clock did since. */
function waitOf(row: ThrottleRow): number {
  const ms = (row.waitUntil?.getTime() ?? 0) - nowMs();
  return Math.min(ms, MAX_DELAYS * runtime().config.signInDelayMs);
}

async function countFailure({ keys, account, onLocked }: Counters): Promise<Map<string, ThrottleRow>> {
  const counted = new Map<string, ThrottleRow>();
  const { rateLimitAuthFailures: max, rateLimitAuthWindowSeconds, lockoutSeconds, signInDelayMs } = runtime().config;
  const delays = { $min: [MAX_DELAYS, { $pow: [2, { $subtract: ['$count', 2] }] }] };
  const waitUntil = { $cond: [{ $gte: ['$count', 2] }, { $add: [now(), { $toLong: { $multiply: [signInDelayMs, delays] } }] }, '$$REMOVE'] };
  const windowEndsAt = new Date(nowMs() + rateLimitAuthWindowSeconds * 1000);
  const lockedUntil = new Date(nowMs() + lockoutSeconds * 1000);
  const expireAt = new Date(nowMs() + (rateLimitAuthWindowSeconds + lockoutSeconds) * 1000);
  // A new count begins when the window ends, and when a lock has run out.
  const over = { $or: [{ $lte: [{ $ifNull: ['$windowEndsAt', new Date(0)] }, now()] }, { $lte: [{ $ifNull: ['$lockedUntil', expireAt] }, now()] }] };
  for (const key of keys) {
    const seen = { $cond: [over, [], { $ifNull: ['$accounts', []] }] };
    const accounts = account === undefined || key === account ? {} : { accounts: { $slice: [{ $setUnion: [seen, [account]] }, -MAX_ACCOUNTS] } };
    const grown = { count: { $cond: [over, 1, { $add: ['$count', 1] }] }, windowEndsAt: { $cond: [over, windowEndsAt, '$windowEndsAt'] } };
    const pipeline = [
      { $set: { ...grown, ...accounts, expireAt } },
      { $set: { lockedUntil: { $cond: [{ $gte: ['$count', max] }, lockedUntil, '$$REMOVE'] }, ...(key.startsWith('address:') ? {} : { waitUntil }) } },
    ];
    const row = await throttles.change({ _id: key }, pipeline as never, { upsert: true });
    if (row) counted.set(key, row);
    if (key === account && row?.count === max) await onLocked?.();
  }
  return counted;
}

const turns = new Map<string, { tail: Promise<unknown>; waiting: number }>();

/** Runs `work` when everybody who came before under the key is done; 503 `busy` when too many wait. */
async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
  const turn = turns.get(key) ?? { tail: Promise.resolve(), waiting: 0 };
  if (turn.waiting >= MAX_IN_TURN) throw unavailable('busy', 'Too many sign-ins at once; try again in a moment', 2);
  turns.set(key, turn);
  turn.waiting += 1;
  const mine = turn.tail.then(work);
  turn.tail = mine.catch(() => undefined);
  try {
    return await mine;
  } finally {
    turn.waiting -= 1;
    if (turn.waiting === 0) turns.delete(key);
  }
}
