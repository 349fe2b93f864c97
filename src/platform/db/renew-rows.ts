import mongoose from 'mongoose';
import { database } from './connect.ts';
import { heldKey, settleKeys, type DataKey } from './keyring.ts';
import { newestKey, noteUnreadable, type Renewed, type RenewOptions } from './renewal.ts';
import { keyIdOf, openEnvelope, sealEnvelope, UnreadableError, type Place } from './sealed.ts';
import { bytesOf, keyIdOfBytes, openBytes, sealBytes } from './sealed-bytes.ts';
import { valueAt } from './value-at.ts';

type Plain = Record<string, unknown>;

/** Where rows of the machinery keep something sealed: a text or bytes at `path`, bound to the text at `idPath` (`_id` without it). */
export interface SealedRows {
  collection: string;
  path: string;
  idPath?: string;
}

const BATCH = 500;
const declared: SealedRows[] = [];

/** Tells that rows outside of the declared collections hold something sealed, so that `keys reencrypt` reaches them. */
export function declareSealedRows(rows: SealedRows): void {
  declared.push(rows);
}

/**
 * Seals mails that wait, answers that are kept for repeats, raw events and the like with the newest key of whoever's key
 * they have now. A row that changes or goes meanwhile is left alone: what replaces it is sealed with the newest key.
 */
export async function renewMachineRows(options: RenewOptions): Promise<Renewed[]> {
  const results: Renewed[] = [];
  for (const where of declared) results.push(await renewDeclared(where, options));
  return results;
}

async function renewDeclared({ collection, path, idPath = '_id' }: SealedRows, { companyId, onProgress }: RenewOptions): Promise<Renewed> {
  const db = database();
  const rows = db.collection<Plain>(collection);
  const done: Renewed = { collection, rows: 0, renewed: 0, erased: 0, unreadable: 0 };
  const holds = { [path]: { $type: ['string', 'binData'] }, [idPath]: { $type: 'string' } };
  const total = await rows.countDocuments(holds as never);
  const cursor = rows.find(holds as never, { projection: { [path]: 1, [idPath]: 1 }, batchSize: BATCH });
  while (await cursor.hasNext()) {
    const batch = cursor.readBufferedDocuments();
    const writes: { updateOne: { filter: Plain; update: { $set: Plain } } }[] = [];
    for (const row of batch) {
      const stored = valueAt(row, path);
      const sealed = await renewed({ collection, id: String(valueAt(row, idPath)), path }, stored, { companyId, done });
      if (sealed !== undefined) writes.push({ updateOne: { filter: { _id: row['_id'], [path]: stored }, update: { $set: { [path]: sealed } } } });
    }
    if (writes.length > 0) done.renewed += (await rows.bulkWrite(writes as never, { ordered: false })).matchedCount;
    done.rows += batch.length;
    onProgress?.(done, Math.max(total, done.rows));
  }
  return done;
}

/** The same value under the newest key; undefined when it has that one, is not sealed, is erased, or does not open. */
async function renewed(place: Place, stored: unknown, { companyId, done }: { companyId: string | undefined; done: Renewed }): Promise<unknown> {
  const bytes = typeof stored === 'string' ? undefined : bytesOf(stored as mongoose.mongo.Binary);
  const keyId = bytes ? keyIdOfBytes(bytes) : keyIdOf(String(stored));
  if (keyId === '') return undefined;
  const key = heldKey(keyId);
  await settleKeys([key]);
  if (key.state === 'destroyed' || (companyId !== undefined && key.companyId !== companyId)) return undefined;
  try {
    return await underNewest(key, place, bytes ?? String(stored));
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    noteUnreadable(done, place, key);
    return undefined;
  }
}

async function underNewest(key: DataKey, place: Place, stored: Buffer | string): Promise<unknown> {
  if (key.state !== 'usable') throw new UnreadableError();
  const owner = { companyId: key.companyId, purpose: key.purpose };
  const newest = await newestKey(owner);
  if (!newest || newest === key) return undefined;
  if (typeof stored === 'string') return sealEnvelope(newest, place, openEnvelope(key, place, stored));
  return new mongoose.mongo.Binary(await sealBytes(owner, place, await openBytes(owner, place, stored)));
}
