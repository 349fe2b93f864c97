import { now } from '../../platform/clock.ts';
import type { Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { openFile } from '../../platform/db/files.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { invalid, type AppError } from '../../platform/errors.ts';
import { nextTurn, pause } from '../../platform/pause.ts';
import { runtime } from '../../platform/runtime.ts';
import type { RowFault } from './grouping.rules.ts';
import type { Refused } from './import.kinds.service.ts';
import { NO_COUNTS, type Import, type ImportCounts } from './import.model.ts';
import { addCounts, type Candidate } from './import.rules.ts';
import { advance, isBatchTrouble, isConflict, metered, patiently, QUANTUM, refusalOf, reject, SINGLE_TRIES, tellEnd, type Run } from './import.steps.service.ts';
import { isRowFault } from './orders.rules.ts';

/** Leaves the transaction of an all-or-nothing import in which a record was refused. */
class WholeRefused extends Error {
  readonly refused: readonly Refused[];

  constructor(refused: readonly Refused[]) {
    super('Some records of an all-or-nothing import were refused');
    this.name = 'WholeRefused';
    this.refused = refused;
  }
}

/** Runs an all-or-nothing import: reads everything, then stores everything in one transaction, or rejects with every fault. */
export async function runWhole(run: Run, row: Row<Import>): Promise<void> {
  const { candidates, faulty, tooMany } = await readWhole(run, row);
  if (tooMany) throw tooManyRecords(runtime().config.importAllOrNothingMaxOrders);
  if (faulty.length > 0) return rejectWhole(run, candidates, faulty);
  const counts = addCounts(NO_COUNTS, candidates, []);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await patiently(run, () => storeWhole(run, candidates, counts));
    } catch (error) {
      if (error instanceof WholeRefused) return rejectWhole(run, candidates, error.refused.map((r) => refusalOf(candidates, r.index, r.error)));
      if (isTooLargeForServer(error)) throw tooLargeForServer(candidates.length);
      if (!isBatchTrouble(error) || !isConflict(error) || attempt >= SINGLE_TRIES || run.signal.aborted) throw error;
      await pause(Math.random() * Math.min(80, 2 ** attempt));
    }
  }
}

async function storeWhole(run: Run, candidates: readonly Candidate<unknown>[], counts: ImportCounts): Promise<void> {
  if (candidates.length === 0) return withTransaction(run.ctx, async (ctx) => completeWhole(ctx, run, counts));
  await run.sink.store(run.ctx, candidates.map((c) => c.value), async (tx, refused) => {
    if (refused.length > 0) throw new WholeRefused(refused);
    await completeWhole(tx.for(run.ctx), run, counts);
  });
}

/** All records of the file; stops as soon as there are more than one transaction may take. */
async function readWhole(run: Run, row: Row<Import>): Promise<{ candidates: Candidate<unknown>[]; faulty: RowFault[]; tooMany: boolean }> {
  const max = runtime().config.importAllOrNothingMaxOrders;
  const candidates: Candidate<unknown>[] = [];
  const faulty: RowFault[] = [];
  const { source } = metered(openFile(row.fileId, { companyId: row.companyId, purpose: 'company' }));
  for await (const result of run.sink.read(source, row.fileName)) {
    if ((candidates.length + faulty.length) % QUANTUM === 0) await nextTurn();
    if (candidates.length + faulty.length >= max) return { candidates, faulty, tooMany: true };
    if (isRowFault(result)) faulty.push(result);
    else candidates.push(result);
  }
  return { candidates, faulty, tooMany: false };
}

function tooManyRecords(max: number): AppError {
  return invalid('import_too_many_records', `All-or-nothing takes ${max} records at most in one file; split it, or use skip_invalid`);
}

/** TransactionTooLargeForCache: trying again never helps, another server setting or a smaller file does. */
function isTooLargeForServer(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 388;
}

function tooLargeForServer(records: number): AppError {
  return invalid('import_too_large', `${records} records are more than the database server's cache can hold in one transaction; split the file, or use skip_invalid`);
}

async function completeWhole(tx: Tx, run: Run, counts: ImportCounts): Promise<void> {
  await advance(tx, run, { $set: { status: 'completed', progress: 1, finishedAt: now(), counts } });
  tellEnd(tx, run.id, 'completed', counts);
}

async function rejectWhole(run: Run, candidates: readonly Candidate<unknown>[], faulty: readonly RowFault[]): Promise<void> {
  const refusedAt = new Set(faulty.map((f) => f.record));
  const good = candidates.filter((c) => !refusedAt.has(c.record));
  const counts = { ...addCounts(NO_COUNTS, good, faulty), imported: 0 };
  await reject(run, `Nothing was stored: ${faulty.length} of ${counts.records} records cannot be imported`, counts, faulty);
}
