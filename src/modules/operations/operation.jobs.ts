import { withTransaction } from '../../platform/db/transaction.ts';
import { job } from '../../platform/jobs.ts';
import type { Schedule } from '../../platform/scheduler.ts';
import { sweepRetention } from '../../platform/retention.ts';
import { forgetOldDeadJobs, reportChecks } from './operation.service.ts';

const RUN_CHECKS = 'operations.run_checks';
const DAY_SECONDS = 86_400;

export const operationsJobs = [
  job<Record<string, never>>({
    name: RUN_CHECKS,
    attempts: 3,
    backoffMs: 60_000,
    handle: () => reportChecks(),
  }),
];

export const operationsSchedules: readonly Schedule[] = [
  {
    name: 'checks.daily',
    everySeconds: DAY_SECONDS,
    // A job, because reading everything takes its time and other schedules must not wait for it.
    run: (ctx) => withTransaction(ctx, async (ctx) => ctx.enqueue({ name: RUN_CHECKS, payload: {}, dedupeKey: 'daily' })),
  },
  { name: 'retention.sweep', everySeconds: 3_600, run: async () => void (await sweepRetention()) },
  { name: 'jobs.forget_dead', everySeconds: DAY_SECONDS, run: () => forgetOldDeadJobs() },
];
