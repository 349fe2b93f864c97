import { setTimeout as sleep } from 'node:timers/promises';

/** Waits `ms` milliseconds; an aborted signal ends the wait early without an error. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal?.aborted) throw error;
  });
}

/** Waits until what is ready now has been done: other calls, and commands that are about to be sent. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
