import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import mongoose from 'mongoose';
import { nowMs } from '../clock.ts';
import { AppError } from '../errors.ts';
import { newId } from '../ids.ts';
import { database } from './connect.ts';
import type { KeyOwner } from './keyring.ts';
import { openedFrames, sealedFrames } from './sealed-stream.ts';
import { openTransaction } from './tx.ts';
import type { IndexSpec } from './types.ts';

/** A file that has arrived whole; rows refer to it by its id. */
export interface StoredFile {
  id: string;
  sizeBytes: number;
  /** Base64url, of the bytes as they came. */
  sha256: string;
}

export interface StoreOptions {
  /** The file's id, when its bytes are bound to it. */
  id?: string;
  /** Whose file it is, so that sweeping one kind never touches another. */
  purpose: string;
  /** 413 `file_too_large` beyond it, while the bytes still come. */
  maxBytes: number;
  /** Whose key seals it, piece by piece as it comes; without it the bytes are kept as they are. */
  owner?: KeyOwner;
  /** Sees the first bytes before anything is kept; throws what the file is refused with. */
  inspect?: (head: Buffer) => void;
}

interface FileRow {
  _id: string;
  uploadDate: Date;
}

const HEAD_BYTES = 512;
/** The one bucket of files. */
export const BUCKET = 'uploads';
/** So many files are asked about at once; of unused ones a sweep removes about as many, the next one the rest. */
const SWEEP_BATCH = 1_000;

function filesDatabase(): mongoose.mongo.Db {
  // GridFS cannot join a transaction: upload first, refer to the file inside the Tx, sweep what nobody refers to.
  if (openTransaction.current()?.open) throw new Error('Files cannot be touched inside a transaction');
  return database();
}

function bucket(): mongoose.mongo.GridFSBucket {
  return new mongoose.mongo.GridFSBucket(filesDatabase(), { bucketName: BUCKET });
}

/** The index that sweeping walks along; GridFS makes its own with the first upload. */
export function declaredFiles(): { name: string; indexes: readonly IndexSpec[] } {
  return { name: `${BUCKET}.files`, indexes: [{ keys: { 'metadata.purpose': 1, uploadDate: 1 } }] };
}

/** Stores a stream as it comes, never whole in memory, or bytes that are there already; what a refused or broken one left behind is removed. */
export async function storeFile(source: Readable | Buffer, { id = newId(), purpose, maxBytes, owner, inspect }: StoreOptions): Promise<StoredFile> {
  const hash = createHash('sha256');
  const upload = bucket().openUploadStreamWithId(id as never, id, { metadata: { purpose } });
  let sizeBytes = 0;
  const measure = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let head: Buffer | undefined = Buffer.alloc(0);
    for await (const chunk of chunks) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw fileTooLarge(maxBytes);
      hash.update(chunk);
      if (!head) {
        yield chunk;
        continue;
      }
      head = Buffer.concat([head, chunk]);
      if (head.length < HEAD_BYTES) continue;
      inspect?.(head);
      yield head;
      head = undefined;
    }
    if (!head) return;
    inspect?.(head);
    yield head;
  };
  try {
    const bytes = Buffer.isBuffer(source) ? Readable.from([source]) : source;
    if (owner) await pipeline(bytes, measure, (chunks: AsyncIterable<Buffer>) => sealedFrames({ owner, id }, chunks), upload);
    else await pipeline(bytes, measure, upload);
  } catch (error) {
    await upload.abort().catch(() => undefined);
    throw error;
  }
  return { id, sizeBytes, sha256: hash.digest('base64url') };
}

/** 413 `file_too_large` naming the field. */
export function fileTooLarge(maxBytes: number): AppError {
  return new AppError('too_large', 'file_too_large', `The file may have ${maxBytes} bytes at most`, {
    fields: [{ path: 'file', message: `must have ${maxBytes} bytes at most` }],
  });
}

/** The bytes of a stored file, opened for its owner when it was stored for one; the stream fails when it is gone or was changed. */
export function openFile(id: string, owner?: KeyOwner): Readable {
  const stored = bucket().openDownloadStream(id as never);
  return owner ? Readable.from(openedFrames({ owner, id }, stored), { objectMode: false }) : stored;
}

/** Removes a file; one that is gone already is no error. */
export async function removeFile(id: string): Promise<void> {
  const db = filesDatabase();
  await db.collection<{ _id: string }>(`${BUCKET}.files`).deleteOne({ _id: id });
  await db.collection(`${BUCKET}.chunks`).deleteMany({ files_id: id as never });
}

/**
 * Removes the files of one purpose that are older than `olderThanMs` and that `used` does not name, and the pieces of
 * uploads that never ended. Answers how many were removed.
 */
export async function sweepFiles(purpose: string, olderThanMs: number, used: (ids: string[]) => Promise<ReadonlySet<string>>): Promise<number> {
  const db = filesDatabase();
  const before = nowMs() - olderThanMs;
  const files = db.collection<FileRow>(`${BUCKET}.files`);
  const unused: string[] = [];
  const old = files.find({ uploadDate: { $lt: new Date(before) }, 'metadata.purpose': purpose }, { projection: { _id: 1 }, batchSize: SWEEP_BATCH } as never);
  while (await old.hasNext()) {
    const ids = old.readBufferedDocuments().map((f) => f._id);
    const kept = await used(ids);
    unused.push(...ids.filter((id) => !kept.has(id)));
    if (unused.length >= SWEEP_BATCH) break;
  }
  await old.close();
  // Ids begin with the second of their birth, so the pieces of today's uploads are left alone.
  const youngest = Math.floor(before / 1000).toString(16).padStart(8, '0');
  const pieces = await db
    .collection(`${BUCKET}.chunks`)
    .find({ files_id: { $lt: youngest as never }, n: 0 }, { projection: { files_id: 1 }, limit: 1000 })
    .toArray();
  const ids = pieces.map((p) => String(p['files_id']));
  const whole = new Set((await files.find({ _id: { $in: ids } }, { projection: { _id: 1 } }).toArray()).map((f) => f._id));
  for (const id of [...unused, ...ids.filter((id) => !whole.has(id))]) await removeFile(id);
  return unused.length + ids.length - whole.size;
}
