import { createReadStream } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { getAnyCompany } from '../src/modules/companies/index.ts';
import { createImport, getImport, importErrorsCsv, importJobs, isOver, readWish, storeImportFile, type Import } from '../src/modules/imports/index.ts';
import { systemCtx, type OutsideTx } from '../src/platform/context.ts';
import type { Row } from '../src/platform/db/collection.ts';
import { removeFile } from '../src/platform/db/files.ts';
import { AppError } from '../src/platform/errors.ts';
import { makeJobRunner } from '../src/platform/jobs.ts';
import { pause } from '../src/platform/pause.ts';
import { makeProgress, say, table, type Progress } from './lib/output.ts';
import { withSession } from './lib/session.ts';
import { demoCompanyId } from './seed.ts';

export interface ImportFileOptions {
  file: string;
  companyId: string;
  kind: string;
  mode: string;
  force: boolean;
  courier?: string;
}

/** Where the command tells what happens; tests put their own. */
export interface ImportIo {
  say(line: string): void;
  progress: Progress;
}

const POLL_MS = 100;
const SHOWN_FAULTS = 20;

/**
 * Imports a local file: streams it into the database, works its job off (or waits for the server that took it) and shows
 * how far it is. Answers the ended import; throws what the upload is refused with (400, 409 `import_exists`, 413, 415).
 */
export async function importFile({ file, companyId, kind, mode, force, courier }: ImportFileOptions, io: ImportIo): Promise<Row<Import>> {
  const ctx = systemCtx('cli:import', companyId);
  const wish = readWish({ kind, mode, force: String(force), ...(courier === undefined ? {} : { courier }) }, (path, message) => {
    throw new AppError('invalid', 'validation_failed', `--${path} ${message}`);
  });
  const stored = await storeImportFile(ctx, createReadStream(file));
  let created: Row<Import>;
  try {
    created = await createImport(ctx, wish, { ...stored, name: basename(file) });
  } catch (error) {
    if (error instanceof AppError && error.kind !== 'unavailable') await removeFile(stored.id);
    throw error;
  }
  return workOff(ctx, created._id, io);
}

async function workOff(ctx: OutsideTx, id: string, io: ImportIo): Promise<Row<Import>> {
  const runner = makeJobRunner(importJobs);
  let failure: unknown;
  let working: Promise<unknown> | undefined;
  for (;;) {
    working ??= runner
      .runDue()
      .catch((error: unknown) => {
        failure = error;
      })
      .finally(() => {
        working = undefined;
      });
    const row = await getImport(ctx, id);
    io.progress.set(Math.round(row.progress * 100), 100, `${row.counts.records} records`);
    if (isOver(row.status)) {
      await working;
      io.progress.stop();
      return row;
    }
    if (failure !== undefined) throw failure;
    await pause(POLL_MS);
  }
}

/** What is wrong with the file, before anything is opened. */
export async function wrongUse(file: string): Promise<string | undefined> {
  const readable = await access(file).then(
    () => true,
    () => false,
  );
  return readable && (await stat(file)).isFile() ? undefined : `There is no file ${file} that can be read`;
}

/**
 * `import <file>`. Exit code 0: everything is in (duplicates were in before); 1: refused, rejected, failed, or some
 * records are invalid; 2: wrong use.
 */
export async function importCommand(file: string, options: { company?: string; kind: string; mode: string; force: boolean; courier?: string }): Promise<number> {
  const wrong = await wrongUse(file);
  if (wrong !== undefined) {
    process.stderr.write(`${wrong}\n`);
    return 2;
  }
  return withSession(async () => {
    const companyId = options.company ?? (await demoCompanyId());
    if (companyId === undefined) {
      process.stderr.write('There is no demo company yet: name one with --company, or run `npm run -s dakiya -- seed --demo`\n');
      return 2;
    }
    await getAnyCompany(systemCtx('cli:import', companyId), companyId);
    const { kind, mode, force, courier } = options;
    const row = await importFile({ file, companyId, kind, mode, force, ...(courier === undefined ? {} : { courier }) }, { say, progress: makeProgress('import') });
    await showResult(systemCtx('cli:import', companyId), row, say);
    return row.status === 'completed' && row.counts.invalid === 0 ? 0 : 1;
  });
}

/** Says what became of an import: one table, then its first faults. */
export async function showResult(ctx: OutsideTx, row: Row<Import>, tell: (line: string) => void): Promise<void> {
  const { rows, records, imported, invalid, duplicates } = row.counts;
  tell(table(['import', 'status', 'rows', 'records', 'imported', 'invalid', 'duplicates'], [[row._id, row.status, rows, records, imported, invalid, duplicates]]));
  if (row.reason !== undefined) tell(row.reason);
  const { content } = await importErrorsCsv(ctx, row._id);
  const lines: string[] = [];
  for await (const piece of content as AsyncIterable<string>) {
    lines.push(...piece.split('\r\n').filter((line) => line !== ''));
    if (lines.length > SHOWN_FAULTS + 1) break;
  }
  if (lines.length <= 1) return;
  for (const line of lines.slice(0, SHOWN_FAULTS + 1)) tell(line);
  if (lines.length > SHOWN_FAULTS + 1) tell(`… all of them: GET /v1/imports/${row._id}/errors.csv`);
}
