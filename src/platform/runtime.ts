import type { Config } from '../config.ts';
import type { Log } from './logger.ts';

/** What the process was started with: read once by main.ts or a test, then the same for every module. */
export interface Runtime {
  config: Config;
  log: Log;
}

let current: Runtime | undefined;

/** Sets the runtime of this process; called once at start. */
export function useRuntime(runtime: Runtime): void {
  current = runtime;
}

/** The runtime of this process; throws before `useRuntime`. */
export function runtime(): Runtime {
  if (!current) throw new Error('The runtime is not set: main.ts or the test setup must call useRuntime first');
  return current;
}
