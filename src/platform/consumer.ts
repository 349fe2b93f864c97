import type { Lease } from './lease.ts';
import { runtime } from './runtime.ts';

/** Background work over what transactions leave behind, done by the one process that holds the lease. */
export interface Consumer {
  start(): void;
  /** Ends the polling, waits for the run in hand and gives the lease back. */
  stop(): Promise<void>;
  /** Something was left: runs soon, together with what others leave meanwhile. */
  poke(): void;
}

/** What a consumer does, and how eagerly. */
export interface ConsumerOptions {
  lease: Lease;
  /** Pokes of this long share a run: a run is a few commands, whatever it carries. */
  gatherMs: number;
  /** How often it looks without being poked, for what other processes left. */
  pollMs: () => number;
  /** The event of the log line when a run fails; the next poke or poll tries again. */
  failure: string;
  run(): Promise<unknown>;
}

/** Makes a consumer that never runs twice at once in this process, and once more after a poke during a run. */
export function makeConsumer({ lease, gatherMs, pollMs, failure, run }: ConsumerOptions): Consumer {
  let running = false;
  let polling: NodeJS.Timeout | undefined;
  let gathering: NodeJS.Timeout | undefined;
  let current: Promise<void> | undefined;
  let again = false;

  const begin = (): void => {
    gathering = undefined;
    if (!running || current) return;
    current = run()
      .then(() => undefined)
      .catch((error: unknown) => runtime().log.warn(failure, { error }))
      .finally(() => {
        current = undefined;
        if (again) poke();
        again = false;
      });
  };
  const poke = (): void => {
    if (!running) return;
    if (current) again = true;
    else gathering ??= setTimeout(begin, gatherMs);
  };
  return {
    start() {
      running = true;
      polling = setInterval(poke, pollMs());
      poke();
    },
    async stop() {
      running = false;
      clearInterval(polling);
      clearTimeout(gathering);
      await current;
      await lease.release();
    },
    poke,
  };
}
