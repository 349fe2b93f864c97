import { monotonicMs, now } from '../../platform/clock.ts';
import { runtime } from '../../platform/runtime.ts';
import type { CourierAnswer, CourierCall } from './adapter.ts';
import type { ConnectionMode } from './connection.rules.ts';

/** What a call is made with, whoever makes it. */
export interface CourierAccess {
  connectionId: string;
  mode: ConnectionMode;
  credentials: Readonly<Record<string, string>>;
}

export type BreakerState = 'closed' | 'open' | 'half_open';

export interface CourierHealth {
  breaker: BreakerState;
  p95Ms: number | null;
  lastSuccessAt: Date | null;
  lastFailureAt: Date | null;
  calls: number;
  failures: number;
}

interface CallRecord {
  consecutiveFailures: number;
  successesSinceOpen: number;
  openedAtMs?: number;
  lastSuccessAt?: Date;
  lastFailureAt?: Date;
  calls: number;
  failures: number;
  durations: number[];
}

const CALL_TIMEOUT_MS = 10_000;
const FAILURES_TO_OPEN = 5;
const OPEN_MS = 30_000;
const SUCCESSES_TO_CLOSE = 2;
const KEPT_DURATIONS = 200;

/** One breaker per connection, so that one company's bad account does not stop the others. */
const records = new Map<string, CallRecord>();

function recordOf(key: string): CallRecord {
  const found = records.get(key) ?? { consecutiveFailures: 0, successesSinceOpen: 0, calls: 0, failures: 0, durations: [] };
  records.set(key, found);
  return found;
}

function breakerOf(record: CallRecord): BreakerState {
  if (record.openedAtMs === undefined) return 'closed';
  return monotonicMs() - record.openedAtMs < OPEN_MS ? 'open' : 'half_open';
}

/**
 * Calls a courier under a time limit and a breaker: five failures of the courier's side in a row stop the calls of that
 * connection for 30 s, two good answers close it again. A refusal is an answer, not a failure. Never throws for what
 * the courier does.
 */
export async function callCourier<T>(
  courier: string,
  access: CourierAccess,
  attempt: number,
  call: (call: CourierCall) => Promise<CourierAnswer<T>>,
): Promise<CourierAnswer<T>> {
  const record = recordOf(`${courier}|${access.connectionId}`);
  if (breakerOf(record) === 'open') {
    return { ok: false, kind: 'retryable', code: 'courier_unavailable', message: 'The courier has failed several times; calls wait a little' };
  }
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), CALL_TIMEOUT_MS);
  const startedMs = monotonicMs();
  try {
    const answer = await call({ ...access, attempt, now: now(), signal: abort.signal });
    note(courier, record, answer.ok || answer.kind === 'refused', monotonicMs() - startedMs);
    return answer;
  } finally {
    clearTimeout(timer);
  }
}

function note(courier: string, record: CallRecord, good: boolean, ms: number): void {
  record.calls += 1;
  record.durations.push(Math.round(ms));
  if (record.durations.length > KEPT_DURATIONS) record.durations.shift();
  if (good) {
    record.lastSuccessAt = now();
    record.consecutiveFailures = 0;
    record.successesSinceOpen += 1;
    if (record.openedAtMs !== undefined && record.successesSinceOpen >= SUCCESSES_TO_CLOSE) delete record.openedAtMs;
    return;
  }
  record.failures += 1;
  record.lastFailureAt = now();
  record.consecutiveFailures += 1;
  record.successesSinceOpen = 0;
  if (record.consecutiveFailures < FAILURES_TO_OPEN && record.openedAtMs === undefined) return;
  record.openedAtMs = monotonicMs();
  runtime().log.warn('courier.breaker_open', { courier, failures: record.consecutiveFailures });
}

/** How a courier has answered this process lately, over all connections. */
export function courierHealth(courier: string): CourierHealth {
  const own = [...records].filter(([key]) => key.startsWith(`${courier}|`)).map(([, record]) => record);
  const states = own.map(breakerOf);
  const durations = own.flatMap((record) => record.durations).sort((a, b) => a - b);
  const latest = (times: (Date | undefined)[]): Date | null => times.reduce<Date | null>((best, at) => (at && (!best || at > best) ? at : best), null);
  return {
    breaker: states.includes('open') ? 'open' : states.includes('half_open') ? 'half_open' : 'closed',
    p95Ms: durations[Math.min(durations.length - 1, Math.floor(durations.length * 0.95))] ?? null,
    lastSuccessAt: latest(own.map((record) => record.lastSuccessAt)),
    lastFailureAt: latest(own.map((record) => record.lastFailureAt)),
    calls: own.reduce((sum, record) => sum + record.calls, 0),
    failures: own.reduce((sum, record) => sum + record.failures, 0),
  };
}
