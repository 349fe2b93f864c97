import type { AnyJob } from './jobs.ts';
import type { Subscriber } from './outbox.ts';
import type { CustomerData } from './privacy.ts';
import type { Retention } from './retention.ts';
import type { AnyRoute } from './route.ts';
import type { Schedule } from './scheduler.ts';

/** A rule over stored data that must hold at any time; answers one sentence per violation, none when all is well. */
export interface Check {
  name: string;
  run(): Promise<string[]>;
}

/** What a module gives to the system; modules.ts lists them all. */
export interface Module {
  name: string;
  routes?: readonly AnyRoute[];
  /** Routes under /dev that do not exist in production. */
  devRoutes?: readonly AnyRoute[];
  jobs?: readonly AnyJob[];
  subscribers?: readonly Subscriber[];
  schedules?: readonly Schedule[];
  checks?: readonly Check[];
  /** What it keeps for a time only. */
  retention?: readonly Retention[];
  /** Customers' personal data that it holds, in the order in which it may be erased. */
  customerData?: readonly CustomerData[];
  /** Called once when the process starts serving, after the database is ready; answers how to stop. */
  start?: () => Promise<() => Promise<void>>;
}
