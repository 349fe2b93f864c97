import mongoose from 'mongoose';
import { insideTransaction, type Ctx, type OutsideTx } from '../context.ts';
import { monotonicMs, now } from '../clock.ts';
import { type AppError, unavailable } from '../errors.ts';
import { newId } from '../ids.ts';
import { meanwhile } from '../meanwhile.ts';
import { auditRow, pendingFirst, type AuditRow } from './audit-seal.ts';
import { insertDocuments, updateDocuments, type UpdateStatement } from './commands.ts';
import { connection } from './connect.ts';
import { AlreadyAnswered, answerRow } from './answers.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import { timed } from './timed.ts';
import { noteCommitted, openTransaction, Tx, type TxState } from './tx.ts';
import { tellCommitted } from './watch.ts';
import { pause } from '../pause.ts';

const { MongoError } = mongoose.mongo;
const OPTIONS = { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } } as const;

/** Settings and listeners of all transactions; main.ts sets the deadline, metrics.ts listens. */
export const transactionSettings = {
  deadlineMs: 5_000,
  onFinished: (_attempts: number, _committed: boolean): void => undefined,
  /** What an event's row is born with: it waits, or is as good as delivered when nobody hears of its type. */
  eventState: (_type: string): { pending: true } | { expireAt: Date } => ({ pending: true }),
  /** `audited` is the id of the first audit row. */
  onCommitted: (_wrote: { events: number; jobs: number; audited?: string | undefined }): void => undefined,
};

/**
 * Runs `body` in one transaction (snapshot reads, majority + journal) and commits audit rows, outbox rows, jobs and
 * the idempotent answer with it. `body` may run several times and must touch only what is born inside it. Conflicts
 * are retried with jitter until the deadline, then the caller gets 503 `busy`. Any error inside aborts and leaves.
 */
export async function withTransaction<T>(ctx: OutsideTx, body: (ctx: Tx) => Promise<T>): Promise<T> {
  if (insideTransaction in ctx || openTransaction.current()?.open) throw new Error('Transactions do not nest: call the step, not the command');
  const deadline = monotonicMs() + transactionSettings.deadlineMs;
  const session = connection().getClient().startSession();
  let attempts = 0;
  let committed = false;
  try {
    for (;;) {
      attempts += 1;
      try {
        const result = await attempt(ctx, session, body, deadline);
        committed = true;
        return result;
      } catch (error) {
        if (!isTransient(error)) throw error;
        if (monotonicMs() >= deadline || ctx.caller?.gone) throw busy(error);
        await pause(Math.random() * Math.min(80, 4 * 2 ** Math.min(attempts, 5)));
      }
    }
  } finally {
    transactionSettings.onFinished(attempts, committed);
    await session.endSession();
  }
}

function busy(cause: unknown): AppError {
  return unavailable('busy', 'Too many changes at once; try again', 1, cause);
}

function isTransient(error: unknown): boolean {
  return error instanceof MongoError && (error.hasErrorLabel('TransientTransactionError') || error instanceof mongoose.mongo.MongoNetworkError);
}

async function attempt<T>(ctx: Ctx, session: mongoose.mongo.ClientSession, body: (ctx: Tx) => Promise<T>, deadline: number): Promise<T> {
  const state: TxState = { session, open: true, changes: [], events: [], jobs: [], answers: [] };
  session.startTransaction(OPTIONS);
  try {
    const tx = Tx.begin(ctx, state);
    const result = await openTransaction.run(state, () => body(tx));
    if (state.failed !== undefined) throw state.failed;
    if (ctx.answer && state.answers.length === 0) tx.answerWith(result);
    const wrote = await writeRecords(state);
    state.open = false;
    await commit(session, deadline);
    tellCommitted(state.changes);
    noteCommitted(state);
    transactionSettings.onCommitted({ ...wrote, jobs: state.jobs.length });
    return result;
  } catch (error) {
    state.open = false;
    if (session.inTransaction()) await session.abortTransaction().catch(() => undefined);
    throw error;
  }
}

async function commit(session: mongoose.mongo.ClientSession, deadline: number): Promise<void> {
  for (;;) {
    try {
      await timed('commitTransaction', '', session.commitTransaction());
      return;
    } catch (error) {
      const unknown = error instanceof MongoError && error.hasErrorLabel('UnknownTransactionCommitResult');
      if (!unknown) throw error;
      if (monotonicMs() >= deadline) throw unavailable('commit_unknown', 'The database did not confirm in time; try again with the same Idempotency-Key', 1, error);
      await pause(20);
    }
  }
}

/**
 * The last act of every transaction: what happened, who must hear of it, and what a replay answers. Answers how many events
 * wait to be heard, and the id of the first audit row.
 */
async function writeRecords({ session, changes, events, jobs, answers }: TxState): Promise<{ events: number; audited: string | undefined }> {
  const at = now();
  const told = events.map((event) => ({ _id: newId(), at, ...event, ...transactionSettings.eventState(event.type) }));
  const seal = (): AuditRow[] => pendingFirst(changes.map((change) => auditRow(change, at)));
  // Audit rows carry their digests: these are made while the events are on their way, the answers while the rows are.
  const audited = told.length === 0 ? seal() : (await meanwhile(insertDocuments('outbox', told, session), seal))[1];
  const [, answered] = await meanwhile(insertDocuments('audit', audited, session), () =>
    Promise.all(answers.map(({ recorder: _recorder, ...answer }) => answerRow(answer, at.getTime()))),
  );
  if (jobs.length > 0) await insertJobs(jobs, at, session);
  await insertDocuments('idempotency', answered, session).catch((error: unknown) => {
    throw isDuplicateKey(error) ? new AlreadyAnswered() : error;
  });
  return { events: told.filter((event) => 'pending' in event).length, audited: audited[0]?._id };
}

/** A job with a dedupe key is made only when none with that key is open. */
async function insertJobs(jobs: TxState['jobs'], at: Date, session: mongoose.mongo.ClientSession): Promise<void> {
  const plain: object[] = [];
  const deduped: UpdateStatement[] = [];
  for (const { runAt, dedupeKey, ...job } of jobs) {
    const row = { _id: newId(), ...job, state: 'queued', runAt: runAt ?? at, attempts: 0, log: [], createdAt: at };
    if (dedupeKey === undefined) plain.push(row);
    else deduped.push({ q: { dedupeKey: `${job.name}:${job.companyId}:${dedupeKey}` }, u: { $setOnInsert: row }, upsert: true });
  }
  if (plain.length > 0) await insertDocuments('jobs', plain, session);
  if (deduped.length > 0) await updateDocuments('jobs', deduped, session);
}
