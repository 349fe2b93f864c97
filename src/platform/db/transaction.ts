import mongoose from 'mongoose';
import { insideTransaction, type Ctx, type OutsideTx } from '../context.ts';
import { nowMs, now } from '../clock.ts';
import { AppError, unavailable } from '../errors.ts';
import { newId } from '../ids.ts';
import { connection } from './connect.ts';
import { AlreadyAnswered, answersCollection, answerRow } from './answers.ts';
import { noteCommitted, openTransaction, Tx, type TxState } from './tx.ts';
import { tellCommitted } from './watch.ts';
import { pause } from '../pause.ts';

const { MongoError } = mongoose.mongo;
const OPTIONS = { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } } as const;

/** Settings and listeners of all transactions; main.ts sets the deadline, metrics.ts listens. */
export const transactionSettings = {
  deadlineMs: 5_000,
  onFinished: (_attempts: number, _committed: boolean): void => undefined,
  onCommitted: (_wrote: { events: number; jobs: number }): void => undefined,
};

/**
 * Runs `body` in one transaction (snapshot reads, majority + journal) and commits audit rows, outbox rows, jobs and
 * the idempotent answer with it. `body` may run several times and must touch only what is born inside it. Conflicts
 * are retried with jitter until the deadline, then the caller gets 503 `busy`. Any error inside aborts and leaves.
 */
export async function withTransaction<T>(ctx: OutsideTx, body: (ctx: Tx) => Promise<T>): Promise<T> {
  if (insideTransaction in ctx || openTransaction.getStore()?.open) throw new Error('Transactions do not nest: call the step, not the command');
  const deadline = nowMonotonic() + transactionSettings.deadlineMs;
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
        if (nowMonotonic() >= deadline || ctx.signal?.aborted) throw busy(error);
        await pause(Math.random() * Math.min(80, 4 * 2 ** Math.min(attempts, 5)));
      }
    }
  } finally {
    transactionSettings.onFinished(attempts, committed);
    await session.endSession();
  }
}

function nowMonotonic(): number {
  return performance.now();
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
    await writeRecords(state);
    state.open = false;
    await commit(session, deadline);
    tellCommitted(state.changes);
    noteCommitted(state);
    transactionSettings.onCommitted({ events: state.events.length, jobs: state.jobs.length });
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
      await session.commitTransaction();
      return;
    } catch (error) {
      const unknown = error instanceof MongoError && error.hasErrorLabel('UnknownTransactionCommitResult');
      if (!unknown) throw error;
      if (nowMonotonic() >= deadline) throw unavailable('commit_unknown', 'The database did not confirm in time; try again with the same Idempotency-Key', 1, error);
      await pause(20);
    }
  }
}

/** The last act of every transaction: what happened, who must hear of it, and what a replay answers. */
async function writeRecords(state: TxState): Promise<void> {
  const { session } = state;
  const db = connection().db;
  if (!db) throw new Error('Not connected');
  const at = now();
  if (state.changes.length > 0) {
    const rows = state.changes.map((change) => ({ _id: newId(), at, ...change }));
    await db.collection<{ _id: string }>('audit').insertMany(rows, { session });
  }
  if (state.events.length > 0) {
    const rows = state.events.map((event) => ({ _id: newId(), at, ...event, pending: true }));
    await db.collection<{ _id: string }>('outbox').insertMany(rows, { session });
  }
  if (state.jobs.length > 0) await insertJobs(state, at);
  if (state.answers.length > 0) {
    try {
      await answersCollection().insertMany(state.answers.map(({ recorder: _recorder, ...answer }) => answerRow(answer, nowMs())), { session });
    } catch (error) {
      if (isDuplicateKey(error)) throw new AlreadyAnswered();
      throw error;
    }
  }
}

async function insertJobs(state: TxState, at: Date): Promise<void> {
  const operations = state.jobs.map(({ runAt, dedupeKey, ...job }) => {
    const row = { _id: newId(), ...job, state: 'queued', runAt: runAt ?? at, attempts: 0, log: [], createdAt: at };
    if (dedupeKey === undefined) return { insertOne: { document: row } };
    const key = `${job.name}:${job.companyId}:${dedupeKey}`;
    return { updateOne: { filter: { dedupeKey: key }, update: { $setOnInsert: row }, upsert: true } };
  });
  await connection().db?.collection<{ _id: string; dedupeKey?: string }>('jobs').bulkWrite(operations, { session: state.session });
}

/** True for MongoDB's duplicate key error, single or bulk. */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoError && error.code === 11000;
}
