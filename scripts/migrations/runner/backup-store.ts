import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import mongoose from 'mongoose';
import { PLATFORM_COMPANY_ID } from '../../../src/platform/context.ts';
import { database } from '../../../src/platform/db/connect.ts';
import { makeDigest, rawBatches, type Digest } from '../../../src/platform/db/raw.ts';
import { declareSealedRows } from '../../../src/platform/db/renew-rows.ts';
import { openText, sealText } from '../../../src/platform/db/sealed.ts';
import { MigrationError } from '../migration.ts';

const { BSON, Binary } = mongoose.mongo;
const COLLECTION = 'migration_backups';
const OWNER = { companyId: PLATFORM_COMPANY_ID, purpose: 'system' } as const;
const [pack, unpack] = [promisify(gzip), promisify(gunzip)];

declareSealedRows({ collection: COLLECTION, path: 'key' });

/** Some documents of one collection as they were, sealed. */
interface ChunkRow {
  _id: string;
  of: string;
  collection: string;
  seq: number;
  rows: number;
  first: unknown;
  last: unknown;
  sha256: string;
  data: mongoose.mongo.Binary;
}

interface HeadRow {
  _id: string;
  key: string;
}

/** One piece of a backup, without its content. */
export type Chunk = Omit<ChunkRow, 'data'>;

/** The backup of one step and direction, kept in the database and sealed under a key of its own. */
export interface BackupStore {
  /** Forgets what an earlier run kept. */
  reset(): Promise<void>;
  /** Keeps the documents that match, in the order of their ids, after what is kept already; answers their digest. */
  add(collection: string, filter: object, rowsPerChunk: number, tell: (done: number) => void): Promise<Digest>;
  chunks(collection: string): Promise<Chunk[]>;
  /** The documents of a piece; throws when it does not open or its digest differs. */
  read(chunk: Chunk): Promise<Buffer[]>;
  exists(): Promise<boolean>;
}

/** The store of one step (`migrate-encrypt-kyc/up`). */
export function backupStore(name: string): BackupStore {
  const heads = () => database().collection<HeadRow>(COLLECTION);
  const rows = () => database().collection<ChunkRow>(COLLECTION);
  const place = { collection: COLLECTION, id: name, path: 'key' };
  let key: Buffer | undefined;
  const theKey = async (): Promise<Buffer> => {
    if (key) return key;
    const head = await heads().findOne({ _id: name });
    if (!head) throw new MigrationError(`The backup of ${name} is gone, so this step cannot be undone`);
    key = Buffer.from(await openText(OWNER, place, head.key), 'base64');
    return key;
  };

  return {
    async reset() {
      await rows().deleteMany({ of: name });
      key = randomBytes(32);
      await heads().replaceOne({ _id: name }, { key: await sealText(OWNER, place, key.toString('base64')) }, { upsert: true });
    },
    exists: async () => (await heads().findOne({ _id: name })) !== null,
    async add(collection, filter, rowsPerChunk, tell) {
      const digest = makeDigest();
      const last = await rows().findOne({ of: name, collection }, { sort: { seq: -1 }, projection: { seq: 1 } });
      let seq = last?.seq ?? 0;
      let waiting: Buffer[] = [];
      let done = 0;
      let writing: Promise<unknown> = Promise.resolve();
      const flush = async (): Promise<void> => {
        const documents = waiting;
        waiting = [];
        if (documents.length === 0) return;
        seq += 1;
        const row = await chunkRow({ name, collection, seq }, documents, await theKey());
        await writing;
        done += documents.length;
        tell(done);
        writing = rows().insertOne(row);
        writing.catch(() => undefined);
      };
      for await (const batch of rawBatches(database().collection(collection).find(filter, { raw: true, sort: { _id: 1 }, batchSize: 1000 }))) {
        for (const document of batch) {
          digest.add(document);
          waiting.push(document);
          if (waiting.length >= rowsPerChunk) await flush();
        }
      }
      await flush();
      await writing;
      return digest.end();
    },
    chunks: async (collection) => (await rows().find({ of: name, collection }, { projection: { data: 0 }, sort: { seq: 1 } }).toArray()) as Chunk[],
    async read({ _id, sha256 }) {
      const row = await rows().findOne({ _id });
      if (!row) throw new MigrationError(`The piece ${_id} of the backup is missing`);
      const documents = await openChunk(row, await theKey());
      const digest = makeDigest();
      documents.forEach(digest.add);
      if (digest.end().sha256 !== sha256) throw new MigrationError(`The piece ${_id} of the backup was changed; nothing was written from it`);
      return documents;
    },
  };
}

/** Removes every backup of the migrations: what they keep can then not be brought back. */
export async function discardBackups(): Promise<number> {
  return (await database().collection(COLLECTION).deleteMany({})).deletedCount;
}

async function chunkRow({ name, collection, seq }: { name: string; collection: string; seq: number }, documents: readonly Buffer[], key: Buffer): Promise<ChunkRow> {
  const digest = makeDigest();
  documents.forEach(digest.add);
  const _id = `${name}/${collection}/${String(seq).padStart(6, '0')}`;
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(_id));
  const packed = await pack(Buffer.concat(documents), { level: 1 });
  const data = Buffer.concat([iv, cipher.update(packed), cipher.final(), cipher.getAuthTag()]);
  const idOf = (document: Buffer | undefined): unknown => (document ? (BSON.deserialize(document) as { _id: unknown })._id : undefined);
  return { _id, of: name, collection, seq, ...digest.end(), first: idOf(documents[0]), last: idOf(documents.at(-1)), data: new Binary(data) };
}

async function openChunk({ _id, data }: ChunkRow, key: Buffer): Promise<Buffer[]> {
  const bytes = Buffer.from(data.buffer);
  let packed: Buffer;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12)).setAAD(Buffer.from(_id)).setAuthTag(bytes.subarray(-16));
    packed = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
  } catch {
    throw new MigrationError(`The piece ${_id} of the backup does not open; nothing was written from it`);
  }
  const all = await unpack(packed);
  const documents: Buffer[] = [];
  for (let at = 0; at < all.length; ) {
    const size = all.readInt32LE(at);
    documents.push(all.subarray(at, at + size));
    at += size;
  }
  return documents;
}
