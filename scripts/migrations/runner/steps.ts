import mongoose from 'mongoose';
import { now } from '../../../src/platform/clock.ts';
import { connection } from '../../../src/platform/db/connect.ts';
import type { MigrationName } from '../../../src/platform/db/migration-names.ts';
import { migrationRows, type MigrationRow } from '../../../src/platform/db/migration-state.ts';
import { MigrationError, type Run } from '../migration.ts';

type Session = mongoose.mongo.ClientSession;
const TRIES = 8;

/** Begins a step, or takes over what a killed runner left of it; the row as it is then. */
export async function beginStep(name: MigrationName, run: Run, { state, phase }: { state: 'running' | 'undoing'; phase: string }): Promise<MigrationRow> {
  const found = await migrationRows().findOne({ _id: name });
  const resumes = found?.state === state;
  await migrationRows().updateOne(
    { _id: name },
    { $set: { owner: run.owner, ...(resumes ? {} : { state, phase, progress: {}, startedAt: now() }) } },
    { upsert: true },
  );
  if (resumes) run.note('resumed', { migration: name, phase: found.phase });
  const row = await migrationRows().findOne({ _id: name });
  if (!row) throw new MigrationError(`The row of ${name} is gone`);
  return row;
}

/** Notes how far a step is; throws when another runner has taken it over. */
export async function noteStep(name: MigrationName, { owner }: Run, fields: Record<string, unknown>, session?: Session): Promise<void> {
  const result = await migrationRows().updateOne({ _id: name, owner }, { $set: fields }, session ? { session } : {});
  if (result.matchedCount !== 1) throw new MigrationError(`Another runner has taken ${name} over, so this one stopped. Nothing is lost`);
}

/** One batch and its checkpoint in one transaction: both are in, or neither. */
export async function inBatch(work: (session: Session) => Promise<void>): Promise<void> {
  const session = connection().getClient().startSession();
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await session.withTransaction(() => work(session), { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } });
        return;
      } catch (error) {
        const passing = error instanceof mongoose.mongo.MongoError && (error.hasErrorLabel('TransientTransactionError') || error instanceof mongoose.mongo.MongoNetworkError);
        if (!passing || attempt >= TRIES) throw error;
      }
    }
  } finally {
    await session.endSession();
  }
}
