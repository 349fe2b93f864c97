/** The only file that asks the machine for the time; tests put their own clock here. */
export interface Clock {
  /** Milliseconds since the epoch, UTC. */
  ms(): number;
}

const systemClock: Clock = { ms: () => Date.now() };
let current: Clock = systemClock;

/** The present moment as a Date (UTC). */
export function now(): Date {
  return new Date(current.ms());
}

/** The present moment in milliseconds since the epoch. */
export function nowMs(): number {
  return current.ms();
}

/** Milliseconds of a clock that never goes back; for durations only, not affected by `useClock`. */
export function monotonicMs(): number {
  return performance.now();
}

/** False for ISO 8601 text whose day no calendar has: `Date` takes 31 February for 3 March. */
export function isRealDay(text: string): boolean {
  const day = /^\d{4}-\d{2}-\d{2}/.exec(text)?.[0];
  if (day === undefined) return true;
  const start = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(start) && new Date(start).toISOString().startsWith(day);
}

/** Replaces the clock until the returned function is called. For tests and simulations. */
export function useClock(clock: Clock): () => void {
  const before = current;
  current = clock;
  return () => {
    current = before;
  };
}
