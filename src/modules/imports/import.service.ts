import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { PLATFORM_COMPANY_ID, type Ctx, type OutsideTx } from '../../platform/context.ts';
import { AlreadyAnswered } from '../../platform/db/answers.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { fileTooLarge, removeFile, storeFile, type StoredFile } from '../../platform/db/files.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict, forbidden, invalidFields, notFound } from '../../platform/errors.ts';
import { replayOnceHashed } from '../../platform/idempotency.ts';
import { sha256 } from '../../platform/ids.ts';
import { readMultipart } from '../../platform/multipart.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { ERRORS_CSV_HEADER, errorsCsvRows } from './errors.rules.ts';
import { importFaults, imports, MAX_LISTED, NO_COUNTS, type Import, type ImportKind, type ImportStatus } from './import.model.ts';
import { assertText, readWish, type ImportWish } from './import.rules.ts';

/** The job that works an import off. */
export const RUN_IMPORT = 'imports.run';

/** Marks uploads of this module among the stored files. */
export const IMPORT_FILES = 'import';

const PLATFORM_KINDS: ReadonlySet<ImportKind> = new Set(['pincodes', 'serviceability']);
const READY_KINDS: ReadonlySet<ImportKind> = new Set(['orders', 'products', 'pincodes', 'serviceability']);
const FORM_OVERHEAD_BYTES = 65_536;

/**
 * Takes an upload: the file is stored while it comes, then the import is queued in one transaction. Refuses 413
 * `file_too_large`, 415 for what is no text, 400 naming each faulty field, 409 `import_exists` with the id for the same
 * bytes of the same kind unless `force`, 409 `kind_not_supported`.
 */
export async function uploadImport(ctx: OutsideTx, request: IncomingMessage, forceInQuery: boolean): Promise<Row<Import>> {
  const maxBytes = runtime().config.importMaxBytes;
  if (Number(request.headers['content-length'] ?? 0) > maxBytes + FORM_OVERHEAD_BYTES) {
    request.resume();
    throw fileTooLarge(maxBytes);
  }
  const form = await readMultipart<StoredFile>(request, {
    fields: ['kind', 'mode', 'force', 'courier'],
    file: 'file',
    store: (stream) => storeImportFile(ctx, stream),
    discard: ({ id }) => removeFile(id),
  });
  try {
    const { faults } = form;
    const wish = readWish(form.fields, (path, message) => faults.push({ path, message }));
    if (!form.stored) faults.push({ path: 'file', message: 'is required' });
    if (faults.length > 0 || !form.stored) throw invalidFields(faults);
    return await createImport(ctx, { ...wish, force: wish.force || forceInQuery }, { ...form.stored, name: form.fileName });
  } catch (error) {
    // After an unclear commit the file may have its import: then the sweep decides.
    if (form.stored && isRefusal(error)) await removeFile(form.stored.id);
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof AlreadyAnswered || (error instanceof AppError && error.kind !== 'unavailable');
}

/** Stores the bytes of an import under its size limit, sealed, for they hold customers; refuses what is no text. */
export function storeImportFile({ companyId }: Ctx, source: Readable): Promise<StoredFile> {
  return storeFile(source, { purpose: IMPORT_FILES, owner: { companyId, purpose: 'company' }, maxBytes: runtime().config.importMaxBytes, inspect: assertText });
}

/** Queues the import of a stored file. The file stays the caller's to remove when this refuses. */
export async function createImport(ctx: OutsideTx, wish: ImportWish, file: StoredFile & { name: string }): Promise<Row<Import>> {
  await replayOnceHashed(ctx.answer, sha256(JSON.stringify([file.sha256, wish.kind, wish.mode, wish.force, wish.courier ?? ''])));
  assertKind(ctx, wish.kind);
  const earlier = wish.force ? undefined : await imports.findOne(ctx, { sha256: file.sha256, kind: wish.kind }, { fields: ['status'] });
  if (earlier) throw importExists(earlier._id);
  try {
    return await withTransaction(ctx, async (ctx) => {
      const row = await imports.insert(ctx, newImport(wish, file));
      ctx.enqueue({ name: RUN_IMPORT, payload: { importId: row._id }, dedupeKey: row._id });
      return row;
    });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'import_exists') throw error;
    const first = await imports.findOne(ctx, { sha256: file.sha256, kind: wish.kind }, { fields: ['status'] });
    throw first ? importExists(first._id) : error;
  }
}

function newImport({ kind, mode, force, courier }: ImportWish, file: StoredFile & { name: string }): Import {
  return {
    kind,
    mode,
    status: 'queued',
    counts: NO_COUNTS,
    progress: 0,
    fileName: file.name,
    fileId: file.id,
    sizeBytes: file.sizeBytes,
    sha256: file.sha256,
    ...(force ? {} : { fileKey: `${kind}:${file.sha256}` }),
    ...(courier === undefined ? {} : { courier }),
    listed: 0,
  };
}

/** Reference data is our staff's to import, a company's rows its own members'; the command line may do both. */
function assertKind(ctx: Ctx, kind: ImportKind): void {
  const ofPlatform = PLATFORM_KINDS.has(kind);
  if (ctx.actor.kind !== 'system') {
    if (ofPlatform && !ctx.actor.permissions.has('serviceability:write')) throw forbidden();
    if (kind === 'orders' && ctx.actor.locationIds) throw forbidden('forbidden', 'You are limited to some locations, and the orders of a file name none');
    if (!ofPlatform && ctx.companyId === PLATFORM_COMPANY_ID) throw forbidden('company_required', 'Sign in as a member of the company whose rows these are');
  }
  if (!READY_KINDS.has(kind)) throw conflict('kind_not_supported', `Files of the kind ${kind} cannot be imported yet`, { kind });
}

function importExists(id: string): AppError {
  return conflict('import_exists', 'This very file was sent before; send force=true to import it again, rows that exist then count as duplicates', { id });
}

export interface ImportQuery extends PageRequest {
  kind?: ImportKind;
  status?: ImportStatus;
}

/** The records of such files belong to locations, the file to none: who is limited to some sees neither it nor its faults. */
const OF_ANY_LOCATION: ImportKind[] = ['orders', 'remittance'];

function seenBy(ctx: Ctx): Filter<Import> {
  return ctx.actor.locationIds ? { kind: { $nin: OF_ANY_LOCATION } } : {};
}

/** One page of the company's imports, newest first; without files of orders for a member limited to some locations. */
export async function listImports(ctx: Ctx, { kind, status, ...page }: ImportQuery): Promise<Page<Row<Import>>> {
  const filter: Filter<Import> = { ...(kind === undefined ? {} : { kind }), ...(status === undefined ? {} : { status }) };
  return imports.list(ctx, { $and: [filter, seenBy(ctx)] }, page);
}

/** One import of the company that the asker may see. */
export async function getImport(ctx: Ctx, id: string): Promise<Row<Import>> {
  const row = await imports.findOne(ctx, { _id: id, ...seenBy(ctx) });
  if (!row) throw notFound('import');
  return row;
}

/** The faults of an import as CSV, in the order of the file, streamed; 404 for another company's. */
export async function importErrorsCsv(ctx: Ctx, id: string): Promise<{ id: string; content: Readable }> {
  const row = await getImport(ctx, id);
  return { id, content: Readable.from(errorLines(ctx, row)) };
}

async function* errorLines(ctx: Ctx, row: Row<Import>): AsyncGenerator<string> {
  yield ERRORS_CSV_HEADER;
  let piece = '';
  for await (const fault of importFaults.each(ctx, { importId: row._id }, { sort: { importId: 1, record: 1 } })) {
    piece += errorsCsvRows(fault);
    if (piece.length < 65_536) continue;
    yield piece;
    piece = '';
  }
  if (row.listed >= MAX_LISTED) piece += errorsCsvRows({ line: 0, record: 0, faults: [{ field: '', message: `Only the first ${MAX_LISTED} faulty records are listed` }] });
  if (piece !== '') yield piece;
}
