import type { Config } from '../config.ts';
import { nowMs } from './clock.ts';
import { AppError } from './errors.ts';
import { runtime } from './runtime.ts';

export type BreakerState = 'closed' | 'open' | 'half_open';

/** Guards one service outside: while it is away nobody waits for its timeout, and it is left in peace. */
export interface Breaker {
  /**
   * Makes the call. Refuses at once, without one, while the breaker is open; and with a half-open one while another
   * call is trying whether the service is back. `failed` tells of answers that are failures too.
   */
  run<T>(call: () => Promise<T>, failed?: (answer: T) => boolean): Promise<T>;
  /** What a call would meet now. */
  state(): BreakerState;
}

export interface BreakerOptions {
  name: string;
  /** What an open breaker throws: for requests the 503 with the code that a failed call has. */
  refusal(retryAfterSeconds: number): Error;
  /**
   * True for errors that say that the service is away, undefined for those that say nothing of it; without it all but our
   * own refusals that are no 503.
   */
  isFailure?(error: unknown): boolean | undefined;
}

const FAILURES_TO_OPEN = 5;
const OPEN_MS = 30_000;
const SUCCESSES_TO_CLOSE = 2;

interface Memory {
  /** In a row. */
  failures: number;
  /** Of a half-open one. */
  successes: number;
  openedAtMs?: number;
  trying: boolean;
}

const records = new WeakMap<Config, Map<string, Memory>>();
const byName = new Map<string, Breaker>();

/** Of this process, as its limits of memory are: each finds out for itself that a service is away. */
function recordOf(name: string): Memory {
  const { config } = runtime();
  const all = records.get(config) ?? new Map<string, Memory>();
  records.set(config, all);
  const record = all.get(name) ?? { failures: 0, successes: 0, trying: false };
  all.set(name, record);
  return record;
}

/** Makes a breaker: five failures in a row open it, after 30 seconds one call at a time may try, two successes close it. */
export function makeBreaker({ name, refusal, isFailure = notOurs }: BreakerOptions): Breaker {
  const stateOf = ({ openedAtMs }: Memory): BreakerState => {
    if (openedAtMs === undefined) return 'closed';
    const since = nowMs() - openedAtMs;
    // A clock that was set back must not keep it open.
    return since >= 0 && since < OPEN_MS ? 'open' : 'half_open';
  };
  const succeeded = (record: Memory): void => {
    record.failures = 0;
    if (record.openedAtMs === undefined) return;
    record.successes += 1;
    if (record.successes < SUCCESSES_TO_CLOSE) return;
    delete record.openedAtMs;
    runtime().log.info('breaker.closed', { breaker: name });
  };
  const failedOnce = (record: Memory): void => {
    record.failures += 1;
    if (record.openedAtMs === undefined && record.failures < FAILURES_TO_OPEN) return;
    record.openedAtMs = nowMs();
    record.successes = 0;
    runtime().log.warn('breaker.opened', { breaker: name, failures: record.failures });
  };
  const breaker: Breaker = {
    state: () => stateOf(recordOf(name)),
    async run(call, failed = () => false) {
      const record = recordOf(name);
      const state = stateOf(record);
      if (state === 'open') throw refusal(Math.max(1, Math.ceil((OPEN_MS - (nowMs() - (record.openedAtMs ?? 0))) / 1000)));
      if (state === 'half_open' && record.trying) throw refusal(1);
      const tries = state === 'half_open';
      if (tries) record.trying = true;
      try {
        const answer = await call();
        if (failed(answer)) failedOnce(record);
        else succeeded(record);
        return answer;
      } catch (error) {
        const away = isFailure(error);
        if (away === true) failedOnce(record);
        else if (away === false) succeeded(record);
        throw error;
      } finally {
        if (tries) record.trying = false;
      }
    },
  };
  byName.set(name, breaker);
  return breaker;
}

/** A refusal of ours that is no 503 means that the service has answered. */
function notOurs(error: unknown): boolean {
  return !(error instanceof AppError) || error.kind === 'unavailable';
}

/** The state of every breaker of this process, by name. */
export function breakerStates(): { [name: string]: BreakerState } {
  return Object.fromEntries([...byName].map(([name, breaker]) => [name, breaker.state()]));
}
