import type { Readable } from 'node:stream';
import { setImmediate as otherWork } from 'node:timers/promises';
import { monotonicMs, now } from '../../platform/clock.ts';
import type { OutsideTx, Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { ChangeOf, Row } from '../../platform/db/collection.ts';
import { openFile, removeFile } from '../../platform/db/files.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict, invalid } from '../../platform/errors.ts';
import { pause } from '../../platform/pause.ts';
import { runtime } from '../../platform/runtime.ts';
import type { RowFault } from './grouping.rules.ts';
import { importFaults, imports, MAX_LISTED, NO_COUNTS, type Import, type ImportCounts } from './import.model.ts';
import { addCounts, isOver, listedFault, refusalFault, type Candidate } from './import.rules.ts';
import { openSink, type Refused, type Sink } from './import.kinds.service.ts';
import { isRowFault } from './orders.rules.ts';

type Result = Candidate<unknown> | RowFault;

/** What one run of one import knows; `version` and the counts are those of the last commit. */
interface Run {
  ctx: OutsideTx;
  id: string;
  sink: Sink;
  signal: AbortSignal;
  version: number;
  counts: ImportCounts;
  listed: number;
  sizeBytes: number;
}

/** Records that go into one transaction. */
interface Slice {
  results: Result[];
  /** Bytes of the file read when the slice was full. */
  bytesRead: number;
  last: boolean;
}

const SLICE_RECORDS = 500;
const SLICE_RESULTS = 2_000;
/** Records parsed in one go: about a millisecond, so that answers of the database and other requests are not kept waiting. */
const QUANTUM = 32;
const BATCH_TRIES = 6;
const SINGLE_TRIES = 30;
const PATIENCE_MS = 90_000;
const MOVED_ON = 'import_moved_on';

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

/** Counts bytes on their way from the stored file to the reader. */
function metered(file: Readable): { source: AsyncIterable<Buffer>; read: () => number } {
  let bytes = 0;
  async function* source(): AsyncGenerator<Buffer> {
    for await (const chunk of file as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  return { source: source(), read: () => bytes };
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
  const { source, read } = metered(openFile(row.fileId));
  let results: Result[] = [];
  let candidates = 0;
  let seen = 0;
  for await (const result of sink.read(source, row.fileName)) {
    seen += 1;
    if (seen % QUANTUM === 0) await otherWork();
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

/**
 * Tries again while the database says busy: the open transaction of a killed worker holds the import's row until the
 * server ends it (transactionLifetimeLimitSeconds, 60 by default).
 */
async function patiently(run: Run, store: () => Promise<void>): Promise<void> {
  const until = monotonicMs() + PATIENCE_MS;
  for (;;) {
    try {
      return await store();
    } catch (error) {
      const busy = error instanceof AppError && error.code === 'busy';
      if (!busy || run.signal.aborted || monotonicMs() > until) throw error;
    }
  }
}

async function commitHalves(run: Run, { results, bytesRead, last }: Slice): Promise<void> {
  const middle = results.length >> 1;
  await commitSlice(run, { results: results.slice(0, middle), bytesRead, last: false });
  await commitSlice(run, { results: results.slice(middle), bytesRead, last });
}

/** Trouble of the batch that a smaller batch may not have. */
function isBatchTrouble(error: unknown): error is AppError | BatchConflict {
  if (error instanceof BatchConflict) return true;
  return error instanceof AppError && (error.kind === 'conflict' || error.kind === 'invalid') && error.code !== MOVED_ON;
}

/** Somebody else changed or stored the same rows meanwhile: reading again shows them. */
function isConflict(error: AppError | BatchConflict): boolean {
  return error instanceof BatchConflict || error.code.endsWith('_exists');
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

function refusalOf(candidates: readonly Candidate<unknown>[], index: number, error: AppError): RowFault {
  const candidate = candidates[index];
  if (!candidate) throw new Error('A refusal names a record that was not handed over');
  return refusalFault(candidate, error);
}

async function listFaults(tx: Tx, importId: string, faults: readonly RowFault[]): Promise<void> {
  await importFaults.insertMany(tx, faults.map((fault) => ({ tx, doc: listedFault(importId, fault) })));
}

/** Moves the import on from exactly where this run left it; another run of it that came first is not overtaken. */
async function advance(tx: Tx, run: Run, change: ChangeOf<Import>): Promise<void> {
  await imports.update(tx, run.id, change, {
    where: { version: run.version, status: 'running' },
    otherwise: () => conflict(MOVED_ON, 'Another worker has moved this import on'),
  });
}

function tellEnd(tx: Tx, importId: string, status: 'completed' | 'rejected' | 'failed', counts: ImportCounts): void {
  tx.emit({ type: `import.${status}`, key: importId, payload: { importId, ...counts } });
}

/** Leaves the transaction of an all-or-nothing import in which a record was refused. */
class WholeRefused extends Error {
  readonly refused: readonly Refused[];

  constructor(refused: readonly Refused[]) {
    super('Some records of an all-or-nothing import were refused');
    this.name = 'WholeRefused';
    this.refused = refused;
  }
}

async function runWhole(run: Run, row: Row<Import>): Promise<void> {
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
  const { source } = metered(openFile(row.fileId));
  for await (const result of run.sink.read(source, row.fileName)) {
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

async function rejectFile(run: Run, error: AppError): Promise<void> {
  await reject(run, error.message, run.counts, [{ line: 1, record: 0, rows: 0, faults: [{ field: 'file', message: error.message }] }]);
}

async function reject(run: Run, reason: string, counts: ImportCounts, faulty: readonly RowFault[]): Promise<void> {
  await withTransaction(run.ctx, async (ctx) => {
    await listFaults(ctx, run.id, faulty);
    await advance(ctx, run, { $set: { status: 'rejected', progress: 1, finishedAt: now(), counts, listed: run.listed + faulty.length, reason: reason.slice(0, 1000) } });
    tellEnd(ctx, run.id, 'rejected', counts);
  });
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
