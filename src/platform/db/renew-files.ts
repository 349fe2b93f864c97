import mongoose from 'mongoose';
import { connection, database } from './connect.ts';
import { BUCKET } from './files.ts';
import { heldKey, settleKeys, type DataKey, type KeyOwner } from './keyring.ts';
import { newestKey, noteUnreadable, type Renewed, type RenewOptions } from './renewal.ts';
import { UnreadableError } from './sealed.ts';
import { keysOfFrames, renewedFrames } from './sealed-stream.ts';

interface FileRow {
  _id: string;
  chunkSize: number;
}

interface ChunkRow {
  _id: unknown;
  files_id: string;
  n: number;
  data: mongoose.mongo.Binary;
}

const CHUNKS_A_READ = 4;

/**
 * Seals the pieces of every sealed file with its owner's newest key: piece by piece, and all of one file in one transaction,
 * so that a reader gets it as it was or as it is (in the middle of more than 16 MB he may have to begin again). A file never
 * is in memory whole.
 */
export async function renewFiles({ companyId, onProgress }: RenewOptions): Promise<Renewed> {
  const done: Renewed = { collection: `${BUCKET}.files`, rows: 0, renewed: 0, erased: 0, unreadable: 0 };
  const files = database().collection<FileRow>(`${BUCKET}.files`);
  const total = await files.estimatedDocumentCount();
  for await (const file of files.find({}, { projection: { chunkSize: 1 }, sort: { _id: 1 } })) {
    await renewFile(file, companyId, done);
    done.rows += 1;
    onProgress?.(done, Math.max(total, done.rows));
  }
  return done;
}

async function renewFile(file: FileRow, companyId: string | undefined, done: Renewed): Promise<void> {
  const place = { collection: BUCKET, id: file._id, path: 'content' };
  const { keys, whole } = await keysOf(file._id);
  const [first] = keys;
  if (!first) return;
  if (keys.some((key) => key.state === 'destroyed') || (companyId !== undefined && first.companyId !== companyId)) return;
  const owner = { companyId: first.companyId, purpose: first.purpose };
  const newest = await newestKey(owner);
  if (!newest || (whole && keys.every((key) => key === newest))) return;
  try {
    if (!whole || keys.some((key) => key.state !== 'usable')) throw new UnreadableError();
    if (await inOneTransaction((session) => rewrite(file, owner, session))) done.renewed += 1;
  } catch (error) {
    // Removed meanwhile, or damaged.
    if (!(error instanceof UnreadableError)) throw error;
    if (await database().collection<FileRow>(`${BUCKET}.files`).findOne({ _id: file._id })) noteUnreadable(done, place, first);
  }
}

/** The keys that its pieces name, none for a file that is not sealed; and whether it holds together. */
async function keysOf(id: string): Promise<{ keys: DataKey[]; whole: boolean }> {
  const ids = new Set<string>();
  const whole = await keysOfFrames(bytesOf(id), ids).then(
    () => true,
    (error: unknown) => (error instanceof UnreadableError ? false : Promise.reject(error)),
  );
  const keys = [...ids].map(heldKey);
  await settleKeys(keys);
  return { keys, whole };
}

async function* bytesOf(id: string, session?: mongoose.mongo.ClientSession): AsyncGenerator<Buffer> {
  const chunks = database().collection<ChunkRow>(`${BUCKET}.chunks`);
  for await (const { data } of chunks.find({ files_id: id }, { sort: { n: 1 }, batchSize: CHUNKS_A_READ, ...(session ? { session } : {}) })) yield Buffer.from(data.buffer);
}

/** Every piece keeps its length, so each chunk gets other bytes and nothing else of the file changes. */
async function rewrite({ _id, chunkSize }: FileRow, owner: KeyOwner, session: mongoose.mongo.ClientSession): Promise<boolean> {
  const chunks = database().collection<ChunkRow>(`${BUCKET}.chunks`);
  let [waiting, n]: [Buffer, number] = [Buffer.alloc(0), 0];
  const write = async (bytes: Buffer): Promise<void> => {
    const { matchedCount } = await chunks.updateOne({ files_id: _id, n }, { $set: { data: new mongoose.mongo.Binary(bytes) } }, { session });
    if (matchedCount !== 1) throw new UnreadableError();
    n += 1;
  };
  for await (const frame of renewedFrames({ owner, id: _id }, bytesOf(_id, session))) {
    waiting = Buffer.concat([waiting, frame]);
    for (; waiting.length >= chunkSize; waiting = waiting.subarray(chunkSize)) await write(waiting.subarray(0, chunkSize));
  }
  if (waiting.length > 0) await write(waiting);
  return n > 0;
}

async function inOneTransaction(work: (session: mongoose.mongo.ClientSession) => Promise<boolean>): Promise<boolean> {
  return connection()
    .getClient()
    .withSession((session) => session.withTransaction(() => work(session), { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority', journal: true } }));
}
