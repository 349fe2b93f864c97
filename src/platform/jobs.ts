import { now, nowMs } from './clock.ts';
import { systemCtx, type OutsideTx } from './context.ts';
import { machineRows } from './db/machine-rows.ts';
import { newId } from './ids.ts';
import { runtime } from './runtime.ts';

/** What a job's handler is told besides its payload. */
export interface JobRun {
  id: string;
  /** 1 for the first try. */
  attempt: number;
  /** Aborted when the lease is lost or the process shuts down hard. */
  signal: AbortSignal;
}

/** A kind of background work; must be safe to run twice. */
export interface JobSpec<P> {
  name: string;
  /** Tries before the job is dead. */
  attempts: number;
  /** Wait before the second try; doubles with each further one, with jitter, up to an hour. */
  backoffMs: number;
  handle(ctx: OutsideTx, payload: P, run: JobRun): Promise<void>;
}

export type AnyJob = JobSpec<Record<string, unknown>>;

/** Declares a job. */
export function job<P extends object>(spec: JobSpec<P>): AnyJob {
  return spec as unknown as AnyJob;
}

export interface JobRow {
  _id: string;
  name: string;
  companyId: string;
  requestId: string;
  payload: Record<string, unknown>;
  state: 'queued' | 'running' | 'done' | 'dead';
  runAt: Date;
  attempts: number;
  owner?: string;
  leaseUntil?: Date;
  dedupeKey?: string;
  log: { at: Date; error: string }[];
  createdAt: Date;
  expireAt?: Date;
}

const KEEP_DONE_MS = 7 * 86_400_000;
const MAX_BACKOFF_MS = 3_600_000;

/** The rows of all jobs; `jobs dead|retry` and the admin routes read them. */
export const jobRows = machineRows<JobRow>('jobs', [
  { keys: { state: 1, runAt: 1 } },
  { keys: { state: 1, leaseUntil: 1 }, name: 'state_lease' },
  { keys: { dedupeKey: 1 }, unique: true, partial: { dedupeKey: { $exists: true } } },
  { keys: { expireAt: 1 }, expireAfterSeconds: 0 },
]);

export interface JobRunner {
  start(): void;
  /** Stops claiming, waits for what runs, up to `graceMs`, then releases the rest. */
  stop(graceMs: number): Promise<void>;
  /** Looks for due work now; called after commits that enqueued. */
  poke(): void;
  /** Runs everything that is due, to the end; answers how many ran. For tests and the command line. */
  runDue(): Promise<number>;
}

/** Makes the worker of this process: claims by lease and owner, heartbeats, finishes only what it still owns. */
export function makeJobRunner(jobs: readonly AnyJob[], options: { concurrency?: number } = {}): JobRunner {
  const owner = newId();
  const byName = new Map(jobs.map((j) => [j.name, j]));
  const concurrency = options.concurrency ?? 4;
  const active = new Map<string, { done: Promise<void>; abort: AbortController }>();
  let running = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let again = false;

  const claim = async (): Promise<JobRow | undefined> => {
    const at = now();
    const leaseUntil = new Date(nowMs() + runtime().config.jobLeaseMs);
    const take = { $set: { state: 'running' as const, owner, leaseUntil }, $inc: { attempts: 1 } };
    const names = { $in: [...byName.keys()] };
    return (
      (await jobRows.change({ state: 'queued', runAt: { $lte: at }, name: names }, take, { sort: { runAt: 1 } })) ??
      (await jobRows.change({ state: 'running', leaseUntil: { $lt: at }, name: names }, take, { sort: { leaseUntil: 1 } }))
    );
  };

  const run = async (row: JobRow): Promise<void> => {
    const spec = byName.get(row.name);
    if (!spec) return;
    const abort = new AbortController();
    const leaseMs = runtime().config.jobLeaseMs;
    const beat = setInterval(() => {
      void jobRows
        .change({ _id: row._id, owner, attempts: row.attempts, state: 'running' }, { $set: { leaseUntil: new Date(nowMs() + leaseMs) } })
        .then((kept) => (kept ? undefined : abort.abort()))
        .catch(() => undefined);
    }, Math.max(20, leaseMs / 3));
    const work = (async () => {
      try {
        // Counted before the work begins: a job that ends its process each time must come to an end too.
        if (row.attempts > spec.attempts) throw new Error('The process ended during every attempt');
        await spec.handle(systemCtx(`job:${row.name}`, row.companyId, row.requestId), row.payload, { id: row._id, attempt: row.attempts, signal: abort.signal });
        await finish(row, owner);
      } catch (error) {
        await fail(row, owner, spec, error);
      } finally {
        clearInterval(beat);
        active.delete(row._id);
      }
    })();
    active.set(row._id, { done: work, abort });
    await work;
  };

  const look = async (): Promise<void> => {
    try {
      do {
        again = false;
        while (running && active.size < concurrency) {
          const row = await claim();
          if (!row) break;
          if (!running) {
            await giveBack(row, owner);
            break;
          }
          void run(row)
            .catch((error: unknown) => runtime().log.warn('jobs.outcome_not_kept', { job: row.name, jobId: row._id, error }))
            .then(() => poke());
        }
      } while (again && running && active.size < concurrency);
    } catch (error) {
      runtime().log.warn('jobs.look_failed', { error });
    }
  };

  const poke = (): void => {
    if (!running) return;
    if (looking) again = true;
    else {
      looking = look().finally(() => {
        looking = undefined;
        if (again && active.size < concurrency) poke();
      });
    }
  };

  return {
    start() {
      running = true;
      timer = setInterval(poke, runtime().config.jobPollMs);
      poke();
    },
    async stop(graceMs) {
      running = false;
      clearInterval(timer);
      await looking;
      const all = Promise.allSettled([...active.values()].map((a) => a.done));
      let late: NodeJS.Timeout | undefined;
      await Promise.race([all, new Promise((resolve) => (late = setTimeout(resolve, graceMs)))]);
      clearTimeout(late);
      for (const { abort } of active.values()) abort.abort();
      if (active.size > 0) await jobRows.changeAll({ owner, state: 'running' }, { $set: { state: 'queued' }, $unset: { owner: '', leaseUntil: '' } });
    },
    poke,
    async runDue() {
      let count = 0;
      for (let row = await claim(); row; row = await claim()) {
        await run(row);
        count += 1;
      }
      return count;
    },
  };
}

/** Returns what was claimed while the runner stopped, as if it had not been taken. */
async function giveBack(row: JobRow, owner: string): Promise<void> {
  await jobRows.change({ _id: row._id, owner }, { $set: { state: 'queued' }, $unset: { owner: '', leaseUntil: '' }, $inc: { attempts: -1 } });
}

async function finish(row: JobRow, owner: string): Promise<void> {
  await jobRows.change(
    { _id: row._id, owner, attempts: row.attempts },
    { $set: { state: 'done', expireAt: new Date(nowMs() + KEEP_DONE_MS) }, $unset: { owner: '', leaseUntil: '', dedupeKey: '' } },
  );
}

async function fail(row: JobRow, owner: string, spec: AnyJob, error: unknown): Promise<void> {
  const message = error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 500) : 'unknown error';
  const dead = row.attempts >= spec.attempts;
  const wait = Math.min(MAX_BACKOFF_MS, spec.backoffMs * 2 ** Math.min(row.attempts - 1, 20)) * (0.5 + Math.random() / 2);
  runtime().log[dead ? 'error' : 'warn'](dead ? 'job.dead' : 'job.failed', { job: row.name, jobId: row._id, attempt: row.attempts, error });
  await jobRows.change(
    { _id: row._id, owner, attempts: row.attempts },
    {
      $set: dead ? { state: 'dead' } : { state: 'queued', runAt: new Date(nowMs() + wait) },
      $push: { log: { $each: [{ at: now(), error: message }], $slice: -20 } },
      $unset: dead ? { owner: '', leaseUntil: '', dedupeKey: '' } : { owner: '', leaseUntil: '' },
    } as never,
  );
}
