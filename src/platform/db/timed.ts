import { monotonicMs } from '../clock.ts';

/** Who hears of slow commands; set by `connect`. */
export const slowCommands = {
  slowMs: Infinity,
  /** Names only, never values. */
  told: (_command: string, _collection: string, _ms: number): void => undefined,
};

/**
 * The outcome of one command of a door, told of when it took longer than SLOW_QUERY_MS from the asking to the answer. The
 * driver's own events would have every answer decoded a second time.
 */
export async function timed<T>(command: string, collection: string, sent: Promise<T>): Promise<T> {
  const startedMs = monotonicMs();
  try {
    return await sent;
  } finally {
    const ms = monotonicMs() - startedMs;
    if (ms >= slowCommands.slowMs) slowCommands.told(command, collection, Math.round(ms));
  }
}
