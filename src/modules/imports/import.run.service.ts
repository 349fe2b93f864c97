import { now } from '../../platform/clock.ts';
import type { OutsideTx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import { openFile, removeFile } from '../../platform/db/files.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { nextTurn, pause } from '../../platform/pause.ts';
import { runtime } from '../../platform/runtime.ts';
import type { RowFault } from './grouping.rules.ts';
import { openSink, type Refused, type Sink } from './import.kinds.service.ts';
import { imports, MAX_LISTED, type Import } from './import.model.ts';
import { addCounts, isOver, refusalFault, type Candidate } from './import.rules.ts';
import { advance, isBatchTrouble, isConflict, listFaults, metered, MOVED_ON, patiently, QUANTUM, refusalOf, rejectFile, SINGLE_TRIES, tellEnd, type Run } from './import.steps.service.ts';
import { runWhole } from './import.whole.service.ts';
import { isRowFault } from './orders.rules.ts';

type Result = Candidate<unknown> | RowFault;

/** Records that go into one transaction. */
interface Slice {
  results: Result[];
  /** Bytes of the file read when the slice was full. */
  bytesRead: number;
  last: boolean;
}

const SLICE_RECORDS = 500;
const SLICE_RESULTS = 2_000;
const BATCH_TRIES = 6;

/** How an import can be driven: who aborts it, and whether this is the last try before it is given up. */
export interface RunOptions {
  signal: AbortSignal;
  lastTry: boolean;
}

/**
 * Runs an import to its end, from where the last commit left it: a run that was killed loses nothing and repeats
 * nothing, because counts, listed faults and the stored rows of a batch commit together. Does nothing for an ended one.
 */
export async function runImport(ctx: OutsideTx, id: string, { signal, lastTry }: RunOptions): Promise<void> {
  const row = await beginRun(ctx, id);
  if (row) {
    const sink = await openSink(row);
    if (!sink) throw new Error(`Imports of ${row.kind} have no reader`);
    const run: Run = { ctx, id, sink, signal, version: row.version, counts: row.counts, listed: row.listed, sizeBytes: row.sizeBytes };
    try {
      await (row.mode === 'all_or_nothing' ? runWhole(run, row) : runInSlices(run, row));
    } catch (error) {
      if (isFileFault(error)) await rejectFile(run, error);
      else if (lastTry && !(error instanceof AppError && error.code === MOVED_ON)) await giveUp(run, error);
      else throw error;
    }
  }
  const { fileId, status } = await imports.get(ctx, id);
  if (isOver(status)) await removeFile(fileId);
}

async function beginRun(ctx: OutsideTx, id: string): Promise<Row<Import> | undefined> {
  return withTransaction(ctx, async (ctx) => {
    const row = await imports.get(ctx, id);
    if (isOver(row.status)) return undefined;
    if (row.status === 'running') return row;
    return imports.update(ctx, id, { $set: { status: 'running', startedAt: now() } }, { version: row.version });
  });
}

/** Refusals of the file as a whole; the reader throws them before its first record. */
function isFileFault(error: unknown): error is AppError {
  return error instanceof AppError && error.kind === 'invalid' && error.code.startsWith('import_');
}

async function runInSlices(run: Run, row: Row<Import>): Promise<void> {
  const slices = readSlices(run.sink, row, run.counts.records);
  let coming = slices.next();
  try {
    for (;;) {
      const { value: slice } = await coming;
      if (!slice) return;
      // The next slice is parsed while this one commits.
      coming = slices.next();
      coming.catch(() => undefined);
      await commitSlice(run, slice);
    }
  } finally {
    await coming.catch(() => undefined);
    await slices.return(undefined);
  }
}

async function* readSlices(sink: Sink, row: Row<Import>, skip: number): AsyncGenerator<Slice, undefined> {
  const { source, read } = metered(openFile(row.fileId, { companyId: row.companyId, purpose: 'company' }));
  let results: Result[] = [];
  let candidates = 0;
  let seen = 0;
  for await (const result of sink.read(source, row.fileName)) {
    seen += 1;
    if (seen % QUANTUM === 0) await nextTurn();
    if (seen <= skip) continue;
    if (candidates === SLICE_RECORDS || results.length === SLICE_RESULTS) {
      yield { results, bytesRead: read(), last: false };
      [results, candidates] = [[], 0];
    }
    results.push(result);
    if (!isRowFault(result)) candidates += 1;
  }
  yield { results, bytesRead: read(), last: true };
  return undefined;
}

/** Commits a slice with its counts, again after a conflict; a slice that keeps failing is halved until one record is left. */
async function commitSlice(run: Run, slice: Slice): Promise<void> {
  const tries = slice.results.length > 1 ? BATCH_TRIES : SINGLE_TRIES;
  for (let attempt = 1; ; attempt += 1) {
    if (run.signal.aborted) throw conflict(MOVED_ON, 'Another worker has taken this import');
    try {
      return await patiently(run, () => storeSlice(run, slice));
    } catch (error) {
      if (!isBatchTrouble(error)) throw error;
      if (isConflict(error) && attempt < tries) {
        await pause(Math.random() * Math.min(80, 2 ** attempt));
        continue;
      }
      if (slice.results.length > 1) return commitHalves(run, slice);
      if (error instanceof BatchConflict || isConflict(error)) throw error;
      const [only] = slice.results;
      if (!only || isRowFault(only)) throw error;
      return storeSlice(run, { ...slice, results: [refusalFault(only, error)] });
    }
  }
}

async function commitHalves(run: Run, { results, bytesRead, last }: Slice): Promise<void> {
  const middle = results.length >> 1;
  await commitSlice(run, { results: results.slice(0, middle), bytesRead, last: false });
  await commitSlice(run, { results: results.slice(middle), bytesRead, last });
}

async function storeSlice(run: Run, { results, bytesRead, last }: Slice): Promise<void> {
  const candidates = results.filter((r): r is Candidate<unknown> => !isRowFault(r));
  const parsed = results.filter(isRowFault);
  const atEnd = last ? { status: 'completed' as const, progress: 1, finishedAt: now() } : { progress: progressOf(run, bytesRead) };
  let committed = run.counts;
  let listed = run.listed;
  const checkpoint = async (tx: Tx, refused: readonly Refused[]): Promise<void> => {
    const own = tx.for(run.ctx);
    const faulty = [...parsed, ...refused.map(({ index, error }) => refusalOf(candidates, index, error))];
    const stored = candidates.filter((_, i) => !refused.some(({ index }) => index === i));
    committed = addCounts(run.counts, stored, faulty);
    const list = faulty.slice(0, Math.max(0, MAX_LISTED - run.listed));
    listed = run.listed + list.length;
    await listFaults(own, run.id, list);
    await advance(own, run, { $set: { ...atEnd, counts: committed, listed } });
    if (last) tellEnd(own, run.id, 'completed', committed);
  };
  if (candidates.length === 0) await withTransaction(run.ctx, async (ctx) => checkpoint(ctx, []));
  else await run.sink.store(run.ctx, candidates.map((c) => c.value), checkpoint);
  Object.assign(run, { counts: committed, listed, version: run.version + 1 });
}

function progressOf(run: Run, bytesRead: number): number {
  return Math.floor(Math.min(0.999, bytesRead / Math.max(1, run.sizeBytes)) * 1000) / 1000;
}

/** The last try has failed for reasons that are ours: what was stored stays, and the merchant is told. */
async function giveUp(run: Run, cause: unknown): Promise<void> {
  runtime().log.error('import.failed', { importId: run.id, error: cause });
  const { version, counts } = await imports.get(run.ctx, run.id);
  await withTransaction(run.ctx, async (ctx) => {
    await advance(ctx, { ...run, version }, { $set: { status: 'failed', finishedAt: now(), reason: 'Our side could not finish this import; send the file again with force=true, what is stored counts as duplicates' } });
    tellEnd(ctx, run.id, 'failed', counts);
  });
}
