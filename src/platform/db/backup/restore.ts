import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import mongoose from 'mongoose';
import { SetupError } from '../../embedded/setup-error.ts';
import { connection, database } from '../connect.ts';
import { digestOf, insertExactly, makeDigest } from '../raw.ts';
import { readManifest, type BackupEntry } from './manifest.ts';

const { EJSON } = mongoose.mongo.BSON;
const MAX_DOCUMENT_BYTES = 17_825_792;
const BATCH_BYTES = 4_000_000;
/** What the server takes as the name of a database, on every system. */
const DATABASE_NAME = /^[\w-]{1,63}$/;

/** What the server keeps its own users, replica set and log in. */
const SERVER_DATABASES = new Set(['admin', 'config', 'local']);

export interface RestoreOptions {
  folder: string;
  /** Another database of the same server; the connection's own without it. */
  into?: string;
  /** Replaces what the database holds. */
  force: boolean;
  tell(phase: 'verify' | 'restore', collection: string, done: number, total: number): void;
}

/**
 * Brings a backup back. Every file is read to its end and compared with the manifest before the first write, and every
 * collection again after the last. Refuses a database that holds anything, unless forced.
 */
export async function restoreBackup({ folder, into, force, tell }: RestoreOptions): Promise<{ database: string; collections: number; rows: number }> {
  if (into !== undefined) await assertOurs(into);
  const { collections } = await readManifest(folder);
  for (const [i, entry] of collections.entries()) {
    await verifyFile(folder, entry);
    tell('verify', entry.name, i + 1, collections.length);
  }
  const db = targetDatabase(into);
  await empty(db, force);
  const marks = db.collection<{ _id: string; state: string }>('migrations');
  // While it stands here no service starts on the half of a database.
  await marks.insertOne({ _id: 'restore', state: 'running' });
  // The collection that holds the mark is completed last.
  const inOrder = [...collections].sort((a, b) => Number(a.name === 'migrations') - Number(b.name === 'migrations'));
  for (const [i, entry] of inOrder.entries()) {
    await restoreCollection(db, folder, entry).catch((cause: unknown) => {
      if (!(cause instanceof mongoose.mongo.MongoServerError)) throw cause;
      throw new SetupError(`The server refuses ${entry.name} as the backup describes it (${cause.codeName ?? 'error'}); the database is not usable, restore another backup with --force`, { cause });
    });
    tell('restore', entry.name, i + 1, inOrder.length);
  }
  for (const { name, sha256, rows } of inOrder) {
    const is = await digestOf(db, name, name === 'migrations' ? { _id: { $ne: 'restore' } } : {});
    if (is.sha256 !== sha256 || is.rows !== rows) throw new SetupError(`${name} reads back other than it was written; the database is not usable, restore again with --force`);
  }
  await marks.deleteOne({ _id: 'restore' });
  if (!collections.some(({ name }) => name === 'migrations')) await marks.drop();
  return { database: db.databaseName, collections: collections.length, rows: collections.reduce((sum, { rows }) => sum + rows, 0) };
}

/** A name that the server takes, not its own, and not one that differs from another only by its case. */
async function assertOurs(into: string): Promise<void> {
  if (!DATABASE_NAME.test(into)) throw new SetupError('--into takes a name of 1 to 63 letters, digits, _ and -');
  if (SERVER_DATABASES.has(into.toLowerCase())) throw new SetupError(`--into ${into}: the server keeps its own data there; take another name`);
  const { databases } = await connection().getClient().db('admin').admin().listDatabases({ nameOnly: true });
  const twin = databases.find(({ name }) => name !== into && name.toLowerCase() === into.toLowerCase());
  if (twin) throw new SetupError(`--into ${into}: there is a database ${twin.name}, and names may not differ by their case alone`);
}

function targetDatabase(into: string | undefined): mongoose.mongo.Db {
  const db = database();
  return into === undefined ? db : connection().getClient().db(into);
}

async function empty(db: mongoose.mongo.Db, force: boolean): Promise<void> {
  const present = (await db.listCollections({}, { nameOnly: true }).toArray()).filter(({ name }) => !name.startsWith('system.'));
  if (present.length > 0 && !force) throw new SetupError(`The database ${db.databaseName} is not empty (${present.length} collections). Restore into another one with --into NAME, or replace it with --force`);
  for (const { name } of present) await db.collection(name).drop();
}

/** The file is there, a plain file, and holds what the manifest says, to the last byte. */
async function verifyFile(folder: string, { name, file, fileBytes, fileSha256, sha256, rows }: BackupEntry): Promise<void> {
  const broken = (why: string): SetupError => new SetupError(`${file} (${name}) ${why}; nothing was restored`);
  const found = await lstat(join(folder, file)).catch(() => undefined);
  if (!found) throw broken('is missing');
  if (!found.isFile()) throw broken('is no plain file');
  if (found.size !== fileBytes) throw broken(`has ${found.size} bytes and not ${fileBytes}`);
  const onDisk = createHash('sha256');
  for await (const chunk of createReadStream(join(folder, file)) as AsyncIterable<Buffer>) onDisk.update(chunk);
  if (onDisk.digest('hex') !== fileSha256) throw broken('was changed');
  const digest = makeDigest();
  for await (const batch of readDocuments(join(folder, file))) batch.forEach(digest.add);
  const is = digest.end();
  if (is.sha256 !== sha256 || is.rows !== rows) throw broken('does not hold the documents that the manifest names');
}

async function* readDocuments(path: string): AsyncGenerator<Buffer[]> {
  const bytes = createReadStream(path);
  const gunzip = path.endsWith('.gz') ? createGunzip() : undefined;
  if (gunzip) bytes.on('error', (error) => gunzip.destroy(error));
  const source = gunzip ? bytes.pipe(gunzip) : bytes;
  let rest: Buffer = Buffer.alloc(0);
  let batch: Buffer[] = [];
  let size = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const length = rest.length >= 4 ? rest.readInt32LE(0) : 0;
      if (rest.length >= 4 && (length < 5 || length > MAX_DOCUMENT_BYTES)) throw new SetupError('A file holds something that is no document; nothing was restored');
      if (rest.length < 4 || rest.length < length) break;
      batch.push(rest.subarray(0, length));
      size += length;
      rest = rest.subarray(length);
      if (size < BATCH_BYTES) continue;
      yield batch;
      batch = [];
      size = 0;
    }
  }
  if (rest.length > 0) throw new SetupError('A file ends in the middle of a document; nothing was restored');
  if (batch.length > 0) yield batch;
}

async function restoreCollection(db: mongoose.mongo.Db, folder: string, { name, file, options, indexes }: BackupEntry): Promise<void> {
  const shape = EJSON.parse(options, { relaxed: true }) as mongoose.mongo.CreateCollectionOptions;
  if (name !== 'migrations') await db.createCollection(name, shape);
  for await (const batch of readDocuments(join(folder, file))) await insertExactly(db, name, batch);
  const wanted = (EJSON.parse(indexes, { relaxed: true }) as Record<string, unknown>[]).filter((index) => index['name'] !== '_id_');
  if (wanted.length > 0) await db.command({ createIndexes: name, indexes: wanted.map(({ v: _v, ns: _ns, ...index }) => index) });
}
