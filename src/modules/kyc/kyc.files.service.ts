import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { now } from '../../platform/clock.ts';
import { inCompany, type Ctx, type OutsideTx } from '../../platform/context.ts';
import { AlreadyAnswered } from '../../platform/db/answers.ts';
import type { Row } from '../../platform/db/collection.ts';
import { fileTooLarge, openFile, removeFile, storeFile } from '../../platform/db/files.ts';
import type { KeyOwner } from '../../platform/db/keyring.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict, invalid, invalidFields, notFound, unavailable } from '../../platform/errors.ts';
import { replayOnceHashed } from '../../platform/idempotency.ts';
import { newId, sha256 } from '../../platform/ids.ts';
import { readMultipart } from '../../platform/multipart.ts';
import { runtime } from '../../platform/runtime.ts';
import { scanForViruses } from '../../platform/virus-scan.ts';
import { noteSecurityEvent, reportSecurityEvent, type SecurityNote } from '../audit/index.ts';
import { FILE_TYPES, judgeFile } from './kyc.file.rules.ts';
import { fileKindOf } from './kyc.input.rules.ts';
import { kycReveals, MAX_FILES, type FileKind, type Kyc, type KycFile } from './kyc.model.ts';
import { statusOf } from './kyc.rules.ts';
import { changeKyc, findKyc, moveDocuments } from './kyc.steps.ts';

/** Marks files of this module among the stored ones. */
export const KYC_FILES = 'kyc';

const FORM_OVERHEAD_BYTES = 65_536;
/** Each upload is held whole, because it is judged, scanned and sealed before a byte is kept. */
const MAX_UPLOADS_AT_ONCE = 8;
let uploads = 0;

/** A file that was added, with the KYC it belongs to. */
export interface AddedFile {
  row: Row<Kyc>;
  file: KycFile;
}

/**
 * Takes one file: its bytes decide what it is, its name is forgotten. Refuses 413 while the bytes still come, 415 what is
 * no plain PDF, JPEG or PNG, 400 `file_infected`, 503 without the scanner's word, 409 `too_many_files`; nothing of a
 * refused file is kept.
 */
export async function addFile(ctx: OutsideTx, request: IncomingMessage): Promise<AddedFile> {
  const maxBytes = runtime().config.kycDocumentMaxBytes;
  if (Number(request.headers['content-length'] ?? 0) > maxBytes + FORM_OVERHEAD_BYTES) {
    request.resume();
    throw fileTooLarge(maxBytes);
  }
  if (uploads >= MAX_UPLOADS_AT_ONCE) {
    request.resume();
    throw unavailable('busy', 'Too many uploads at once; try again');
  }
  uploads += 1;
  try {
    const { bytes, kind } = await readForm(request, maxBytes);
    await replayOnceHashed(ctx.answer, sha256(`${kind}|${sha256(bytes)}`));
    return await keepFile(ctx, { bytes, kind, contentType: await judgeFile(bytes) });
  } finally {
    uploads -= 1;
  }
}

async function readForm(request: IncomingMessage, maxBytes: number): Promise<{ bytes: Buffer; kind: FileKind }> {
  const form = await readMultipart<Buffer>(request, {
    fields: ['document', 'type'],
    file: 'file',
    store: (stream) => readBounded(stream, maxBytes),
    discard: () => Promise.resolve(),
  });
  const { faults, stored } = form;
  const kind = fileKindOf(form.fields, (path, message) => faults.push({ path, message }));
  if (!stored) faults.push({ path: 'file', message: 'is required' });
  if (faults.length > 0 || !stored) throw invalidFields(faults);
  return { bytes: stored, kind };
}

async function readBounded(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw fileTooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

async function keepFile(ctx: OutsideTx, { bytes, kind, contentType }: { bytes: Buffer; kind: FileKind; contentType: string }): Promise<AddedFile> {
  if (((await findKyc(ctx))?.files.length ?? 0) >= MAX_FILES) throw tooManyFiles();
  if ((await scanForViruses(bytes)) === 'infected') {
    await reportSecurityEvent(ctx, { type: 'security.upload_refused', userId: ctx.actor.id, details: { kind, why: 'infected' } });
    throw invalid('file_infected', 'The virus scanner refuses this file', { fields: [{ path: 'file', message: 'must be free of viruses' }] });
  }
  const fileId = newId();
  await storeFile(bytes, { id: fileId, purpose: KYC_FILES, maxBytes: bytes.length, owner: ownerOf(ctx.companyId) });
  try {
    return await changeKyc(ctx, async (ctx, row) => {
      if (row.files.length >= MAX_FILES) throw tooManyFiles();
      const file: KycFile = { id: newId(), kind, contentType, sizeBytes: bytes.length, fileId, uploadedAt: now(), uploadedBy: ctx.actor.id };
      return { row: await moveDocuments(ctx, row, [], { $set: { files: [...row.files, file] } }), file };
    });
  } catch (error) {
    // After an unclear commit the file may have its entry: then the sweep decides.
    if (error instanceof AlreadyAnswered || (error instanceof AppError && error.kind !== 'unavailable')) await removeFile(fileId);
    throw error;
  }
}

/** Sealed with the company's key, so that it ends with it. */
function ownerOf(companyId: string): KeyOwner {
  return { companyId, purpose: 'company' };
}

function tooManyFiles(): AppError {
  return conflict('too_many_files', `A KYC holds ${MAX_FILES} files at most; remove one first`);
}

/** The files of the own KYC, oldest first. */
export async function listFiles(ctx: Ctx): Promise<KycFile[]> {
  return (await findKyc(ctx))?.files ?? [];
}

/** A file's bytes in clear, with what to call it. */
export interface OpenedFile {
  file: KycFile;
  content: Buffer;
}

/** One file of the own KYC in clear, noted as a reveal before its bytes are read; 404 for any other id. */
export async function readFile(ctx: OutsideTx, id: string, address: string): Promise<OpenedFile> {
  const file = fileOf(await findKyc(ctx), id);
  await noteLook(ctx, file, { reason: 'download', event: { type: 'security.reveal', userId: ctx.actor.id, address } });
  return openStored(ctx.companyId, file);
}

/** One file of any company for a reviewer, noted as a reveal before its bytes are read. */
export async function readFileForStaff(ctx: OutsideTx, kyc: Row<Kyc>, id: string): Promise<OpenedFile> {
  const file = fileOf(kyc, id);
  await noteLook(inCompany(ctx, kyc.companyId), file, { reason: 'review of the KYC', event: { type: 'security.staff_access' } });
  return openStored(kyc.companyId, file);
}

async function noteLook(ctx: OutsideTx, { id }: KycFile, { reason, event }: { reason: string; event: SecurityNote }): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    await kycReveals.insert(ctx, { what: 'file', fileId: id, reason, byKind: ctx.actor.kind, byId: ctx.actor.id });
    await noteSecurityEvent(ctx, { ...event, details: { what: 'kyc_file', fileId: id } });
  });
}

function fileOf(row: Row<Kyc> | undefined, id: string): KycFile {
  const file = row?.files.find((one) => one.id === id);
  if (!file) throw notFound('kyc_file');
  return file;
}

async function openStored(companyId: string, file: KycFile): Promise<OpenedFile> {
  const chunks: Buffer[] = [];
  for await (const chunk of openFile(file.fileId, ownerOf(companyId)) as AsyncIterable<Buffer>) chunks.push(chunk);
  return { file, content: Buffer.concat(chunks) };
}

/** The name under which a file is saved: ours, never the uploader's. */
export function savedName({ kind, id, contentType }: KycFile): string {
  return `kyc-${kind}-${id}.${FILE_TYPES[contentType] ?? 'bin'}`;
}

/** Removes a file; 409 `document_under_review` while the document that it proves is submitted or verified. */
export async function deleteFile(ctx: OutsideTx, id: string): Promise<void> {
  const removed = await changeKyc(ctx, async (ctx, row) => {
    const file = fileOf(row, id);
    const status = file.kind === 'address' || file.kind === 'other' ? row.status : statusOf(row.documents, file.kind);
    if (status === 'submitted' || status === 'verified') throw conflict('document_under_review', `What it proves is ${status}; the file stays with it`, { status });
    await moveDocuments(ctx, row, [], { $set: { files: row.files.filter((one) => one.id !== id) } });
    return file;
  });
  await removeFile(removed.fileId);
}
