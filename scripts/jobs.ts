import { now } from '../src/platform/clock.ts';
import { jobRows } from '../src/platform/jobs.ts';
import { say } from './lib/output.ts';
import { withSession } from './lib/session.ts';

/** Lists dead jobs, one JSON line each, without their payloads. */
export async function deadJobsCommand(): Promise<number> {
  return withSession(async () => {
    for (const row of await jobRows.find({ state: 'dead' }, { sort: { runAt: -1 }, limit: 1000 })) {
      say(JSON.stringify({ id: row._id, name: row.name, companyId: row.companyId, attempts: row.attempts, lastError: row.log.at(-1)?.error, at: row.log.at(-1)?.at }));
    }
    return 0;
  });
}

/** Queues one dead job again, or all; exit code 1 when there was none. */
export async function retryJobCommand(id: string): Promise<number> {
  return withSession(async () => {
    const which = id === 'all' ? { state: 'dead' as const } : { _id: id, state: 'dead' as const };
    const count = await jobRows.changeAll(which, { $set: { state: 'queued', runAt: now(), attempts: 0 } });
    say(JSON.stringify({ retried: count }));
    return count > 0 ? 0 : 1;
  });
}
