import { setTimeout as delay } from 'node:timers/promises';
import type { CourierCall, CourierFailure } from '../adapter.ts';
import { seededRandom } from './sandbox.random.ts';

/** How the sandbox answers a call; `slow` answers well, but late. */
export type Misbehaviour = 'ok' | 'slow' | '429' | '500' | 'timeout' | 'refused';

const DEFAULT_SLOW_MS = 3000;
const CHAOS: readonly Misbehaviour[] = ['429', '500', 'timeout'];

const FAILURES: Readonly<Record<'429' | '500' | 'timeout' | 'refused', CourierFailure>> = {
  '429': {
    ok: false,
    kind: 'retryable',
    code: 'courier_rate_limited',
    message: 'The courier asks for fewer calls',
    retryAfterSeconds: 1,
  },
  '500': { ok: false, kind: 'retryable', code: 'courier_error', message: 'The courier failed' },
  timeout: { ok: false, kind: 'retryable', code: 'courier_timeout', message: 'The courier did not answer in time' },
  refused: { ok: false, kind: 'refused', code: 'courier_refused', message: 'The courier refused the request' },
};

export interface SandboxBehaviour {
  kind: Misbehaviour;
  slowMs: number;
}

/**
 * What the seed's words say about one call. `slow`, `429`, `500`, `timeout` and `refused` hold for every call, with a
 * number (`500:2`) only for that many attempts, `slow:250` for ms; `chaos:0.3` fails that share of the calls, chosen
 * by seed, operation, reference and attempt, so that a retry is a new draw. Other words only seed the dice.
 */
export function behaviourOf(
  seed: string,
  call: { operation: string; reference: string; attempt: number },
): SandboxBehaviour {
  for (const word of seed.split(/[\s,;]+/)) {
    const [name = '', value] = word.split(':');
    const amount = value === undefined ? undefined : Number(value);
    if (name === 'slow') return { kind: 'slow', slowMs: amount ?? DEFAULT_SLOW_MS };
    if (isFailure(name) && call.attempt <= (amount ?? Infinity)) return { kind: name, slowMs: 0 };
    if (name === 'chaos') return { kind: chaosOf(seed, call, amount ?? 0), slowMs: 0 };
  }
  return { kind: 'ok', slowMs: 0 };
}

function chaosOf(
  seed: string,
  call: { operation: string; reference: string; attempt: number },
  share: number,
): Misbehaviour {
  const random = seededRandom(seed, 'chaos', call.operation, call.reference, String(call.attempt));
  return random.next() < share ? random.pick(CHAOS) : 'ok';
}

function isFailure(name: string): name is keyof typeof FAILURES {
  return Object.hasOwn(FAILURES, name);
}

/**
 * Plays the behaviour: undefined when the call may be answered, else its failure. `timeout` hangs until the caller's
 * signal aborts, as a dead courier does; without a signal it fails at once. Never rejects.
 */
export async function misbehave(behaviour: SandboxBehaviour, call: CourierCall): Promise<CourierFailure | undefined> {
  if (call.signal?.aborted) return FAILURES.timeout;
  if (behaviour.kind === 'ok') return undefined;
  if (behaviour.kind === 'slow') return (await waited(behaviour.slowMs, call.signal)) ? undefined : FAILURES.timeout;
  if (behaviour.kind === 'timeout' && call.signal !== undefined) await aborted(call.signal);
  return FAILURES[behaviour.kind];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function waited(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  return delay(ms, true, { signal }).catch(() => false);
}
