import type { Readable } from 'node:stream';
import { monotonicMs, now } from '../../platform/clock.ts';
import type { OutsideTx, Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { ChangeOf } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import type { RowFault } from './grouping.rules.ts';
import type { Sink } from './import.kinds.service.ts';
import { importFaults, imports, type Import, type ImportCounts } from './import.model.ts';
import { listedFault, refusalFault, type Candidate } from './import.rules.ts';

/** The code with which a run leaves that another run of the same import has overtaken. */
export const MOVED_ON = 'import_moved_on';

/** Records parsed in one go: about a millisecond, so that answers of the database and other requests are not kept waiting. */
export const QUANTUM = 32;

/** Tries of a single record against changed rows before its job waits. */
export const SINGLE_TRIES = 30;

const PATIENCE_MS = 90_000;

/** What one run of one import knows; `version` and the counts are those of the last commit. */
export interface Run {
  ctx: OutsideTx;
  id: string;
  sink: Sink;
  signal: AbortSignal;
  version: number;
  counts: ImportCounts;
  listed: number;
  sizeBytes: number;
}

/**
 * Tries again while the database says busy: the open transaction of a killed worker holds the import's row until the
 * server ends it (transactionLifetimeLimitSeconds, 60 by default).
 */
export async function patiently(run: Run, store: () => Promise<void>): Promise<void> {
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

/** Trouble of the batch that a smaller batch may not have. */
export function isBatchTrouble(error: unknown): error is AppError | BatchConflict {
  if (error instanceof BatchConflict) return true;
  return error instanceof AppError && (error.kind === 'conflict' || error.kind === 'invalid') && error.code !== MOVED_ON;
}

/** Somebody else changed or stored the same rows meanwhile: reading again shows them. */
export function isConflict(error: AppError | BatchConflict): boolean {
  return error instanceof BatchConflict || error.code.endsWith('_exists');
}

/** A refusal of the business rules as a fault of the record it was about. */
export function refusalOf(candidates: readonly Candidate<unknown>[], index: number, error: AppError): RowFault {
  const candidate = candidates[index];
  if (!candidate) throw new Error('A refusal names a record that was not handed over');
  return refusalFault(candidate, error);
}

/** Lists faulty records for errors.csv. */
export async function listFaults(tx: Tx, importId: string, faults: readonly RowFault[]): Promise<void> {
  await importFaults.insertMany(tx, faults.map((fault) => ({ tx, doc: listedFault(importId, fault) })));
}

/** Moves the import on from exactly where this run left it; another run of it that came first is not overtaken. */
export async function advance(tx: Tx, run: Run, change: ChangeOf<Import>): Promise<void> {
  await imports.update(tx, run.id, change, {
    where: { version: run.version, status: 'running' },
    otherwise: () => conflict(MOVED_ON, 'Another worker has moved this import on'),
  });
}

/** Tells subscribers how an import ended. */
export function tellEnd(tx: Tx, importId: string, status: 'completed' | 'rejected' | 'failed', counts: ImportCounts): void {
  tx.emit({ type: `import.${status}`, key: importId, payload: { importId, ...counts } });
}

/** Ends an import whose file cannot be read as a whole. */
export async function rejectFile(run: Run, error: AppError): Promise<void> {
  await reject(run, error.message, run.counts, [{ line: 1, record: 0, rows: 0, faults: [{ field: 'file', message: error.message }] }]);
}

/** Ends an import of which nothing is stored, with the reason and every fault. */
export async function reject(run: Run, reason: string, counts: ImportCounts, faulty: readonly RowFault[]): Promise<void> {
  await withTransaction(run.ctx, async (ctx) => {
    await listFaults(ctx, run.id, faulty);
    await advance(ctx, run, { $set: { status: 'rejected', progress: 1, finishedAt: now(), counts, listed: run.listed + faulty.length, reason: reason.slice(0, 1000) } });
    tellEnd(ctx, run.id, 'rejected', counts);
  });
}

/** Counts bytes on their way from the stored file to the reader. */
export function metered(file: Readable): { source: AsyncIterable<Buffer>; read: () => number } {
  let bytes = 0;
  async function* source(): AsyncGenerator<Buffer> {
    for await (const chunk of file as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  return { source: source(), read: () => bytes };
}
