import { createHash } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import mongoose from 'mongoose';
import { now } from '../../clock.ts';
import { SetupError } from '../../embedded/setup-error.ts';
import { makeFolder } from '../../folders.ts';
import { connection, database } from '../connect.ts';
import { makeDigest, rawBatches } from '../raw.ts';
import { writeManifest, type BackupEntry } from './manifest.ts';

const { EJSON } = mongoose.mongo.BSON;

export interface BackupOptions {
  folder: string;
  /** Files are compressed. */
  gzip: boolean;
  version: string;
  tell(collection: string, done: number, total: number): void;
}

interface Source {
  name: string;
  options: object;
  indexes: object[];
}

/**
 * Writes every collection as it was at one moment of the cluster into a new folder, files readable by their owner only.
 * The manifest comes last: a backup that was cut short is never taken for one.
 */
export async function writeBackup({ folder, gzip, version, tell }: BackupOptions): Promise<{ collections: number; rows: number }> {
  const db = database();
  await prepareFolder(folder);
  const sources = await readSources(db);
  const session = connection().getClient().startSession({ snapshot: true });
  const createdAt = now().toISOString();
  try {
    const entries: BackupEntry[] = [];
    for (const [i, source] of sources.entries()) {
      const file = `${String(i + 1).padStart(4, '0')}.bson${gzip ? '.gz' : ''}`;
      entries.push(await writeCollection({ db, session, folder }, source, file));
      tell(source.name, i + 1, sources.length);
    }
    const clusterTime = String((session as unknown as { snapshotTime?: unknown }).snapshotTime ?? 'unknown');
    await writeManifest(folder, { format: 'dakiya-backup-1', version, database: db.databaseName, createdAt, clusterTime, collections: entries });
    return { collections: entries.length, rows: entries.reduce((sum, { rows }) => sum + rows, 0) };
  } finally {
    await session.endSession();
  }
}

async function prepareFolder(folder: string): Promise<void> {
  await makeFolder(folder, 0o700).catch((error: NodeJS.ErrnoException) => {
    throw new SetupError(`${folder} cannot be made (${error.code ?? error.message}); name a folder that does not exist or is empty`);
  });
  if ((await readdir(folder)).length > 0) throw new SetupError(`${folder} is not empty; a backup goes into a folder of its own`);
}

async function readSources(db: mongoose.mongo.Db): Promise<Source[]> {
  const found = await db.listCollections({}, { nameOnly: false }).toArray();
  const sources: Source[] = [];
  for (const { name, type, options } of found as { name: string; type?: string; options?: object }[]) {
    if (name.startsWith('system.')) continue;
    if (type !== undefined && type !== 'collection') throw new SetupError(`${name} is a ${type}; only plain collections can be backed up`);
    sources.push({ name, options: options ?? {}, indexes: await db.collection(name).listIndexes().toArray() });
  }
  return sources.sort((a, b) => (a.name < b.name ? -1 : 1));
}

interface Where {
  db: mongoose.mongo.Db;
  session: mongoose.mongo.ClientSession;
  folder: string;
}

async function writeCollection({ db, session, folder }: Where, { name, options, indexes }: Source, file: string): Promise<BackupEntry> {
  const documents = makeDigest();
  const onDisk = createHash('sha256');
  let fileBytes = 0;
  const source = async function* (): AsyncGenerator<Buffer> {
    for await (const batch of rawBatches(db.collection(name).find({}, { raw: true, sort: { _id: 1 }, session, batchSize: 1000 }))) {
      batch.forEach(documents.add);
      yield Buffer.concat(batch);
    }
  };
  const handle = await open(join(folder, file), 'wx', 0o600);
  const target = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) {
      onDisk.update(chunk);
      fileBytes += chunk.length;
      await handle.writeFile(chunk);
    }
  };
  try {
    if (file.endsWith('.gz')) await pipeline(Readable.from(source(), { objectMode: false }), createGzip({ level: 3 }), target);
    else await target(source());
    await handle.sync();
  } finally {
    await handle.close();
  }
  const json = (value: unknown): string => EJSON.stringify(value as object, { relaxed: false });
  return { name, file, ...documents.end(), fileSha256: onDisk.digest('hex'), fileBytes, options: json(options), indexes: json(indexes) };
}
