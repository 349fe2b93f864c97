import type mongoose from 'mongoose';
import { nowMs } from '../clock.ts';
import { database } from './connect.ts';
import { BUCKET } from './files.ts';
import { heldKey, keyRows, keyVault, settleKeys, type KeyRow } from './keyring.ts';
import { rawBatches } from './raw.ts';

/** What became of one key of an older generation. */
export interface Retirement {
  id: string;
  companyId: string;
  purpose: string;
  generation: number;
  /** Why it stays; removed without it. */
  kept?: string;
}

export interface RetireOptions {
  companyId?: string;
  /** Only tells what would be removed. */
  dryRun?: boolean;
  onProgress?: (collection: string, done: number, total: number) => void;
}

/** A process that hears late of a rotation, or is in the middle of a batch, may seal with the former key so long. */
const SETTLE_MS = 60_000;
const VAULT = 'keyvault';
const CHUNKS = `${BUCKET}.chunks`;
const NAMED = /e1\.([A-Za-z0-9-]{1,16})\./g;
/** As long as the longest name of a key in front of sealed bytes. */
const NAME_BYTES = 24;

/**
 * Removes data keys of older generations for good, after reading every byte of the database: one that anything still
 * names stays, and so does one whose successor is new or does not open. `keys reencrypt` goes first.
 */
export async function retireKeys({ companyId, dryRun = false, onProgress }: RetireOptions = {}): Promise<Retirement[]> {
  const { old, results } = await oldKeys(companyId);
  if (old.size === 0) return results;
  const named = await whereNamed(new Set(old.keys()), onProgress);
  const hidden = await hiddenPlace();
  for (const [id, row] of old) {
    const places = [...(named.get(id) ?? []), ...(hidden === undefined ? [] : [hidden])];
    if (places.length > 0) results.push(resultOf(row, `named in ${places.join(', ')}`));
    else if (dryRun || (await keyVault().deleteOne({ _id: id, wrapped: row.wrapped ?? '' })).deletedCount === 1) results.push(resultOf(row));
    else results.push(resultOf(row, 'changed meanwhile'));
  }
  return results;
}

/** Keys that a newer generation has replaced for long enough, and those that stay because it has not. */
async function oldKeys(companyId: string | undefined): Promise<{ old: Map<string, KeyRow>; results: Retirement[] }> {
  const rows = await keyRows(companyId);
  const newestOf = new Map(rows.map((row) => [`${row.companyId}|${row.purpose}`, row]));
  const former = rows.filter((row) => row.wrapped !== undefined && newestOf.get(`${row.companyId}|${row.purpose}`) !== row);
  const results: Retirement[] = [];
  const old = new Map<string, KeyRow>();
  for (const row of former) {
    const newest = newestOf.get(`${row.companyId}|${row.purpose}`) ?? row;
    const key = heldKey(newest._id);
    await settleKeys([key]);
    if (key.state !== 'usable') results.push(resultOf(row, `its successor ${newest._id} is ${key.state}`));
    else if (nowMs() - newest.createdAt.getTime() < SETTLE_MS) results.push(resultOf(row, `rotated less than ${SETTLE_MS / 1000} s ago`));
    else old.set(row._id, row);
  }
  return { old, results };
}

function resultOf({ _id: id, companyId, purpose, generation }: KeyRow, kept?: string): Retirement {
  return { id, companyId, purpose, generation, ...(kept === undefined ? {} : { kept }) };
}

/** Rows that a migration's way back put aside are compressed and sealed once more: what they name cannot be seen. */
async function hiddenPlace(): Promise<string | undefined> {
  const aside = await database().collection('migration_backups').findOne({ of: { $regex: '/down$' } }, { projection: { _id: 1 } });
  return aside ? 'rows that `migrate down` put aside (see `migrate discard-backups`)' : undefined;
}

/** Which collections name which of the keys, in whatever field: declared or not, in texts and in bytes. */
async function whereNamed(ids: ReadonlySet<string>, onProgress: RetireOptions['onProgress']): Promise<Map<string, Set<string>>> {
  const named = new Map<string, Set<string>>();
  const collections = await database().listCollections({ type: 'collection' }, { nameOnly: true }).toArray();
  for (const { name } of collections) {
    if (name === VAULT || name.startsWith('system.')) continue;
    const total = await database().collection(name).estimatedDocumentCount();
    let done = 0;
    for await (const { text, rows } of name === CHUNKS ? chunkTexts() : rowTexts(name)) {
      for (const [, id = ''] of text.matchAll(NAMED)) if (ids.has(id)) named.set(id, (named.get(id) ?? new Set()).add(name));
      done += rows;
      onProgress?.(name, done, Math.max(total, done));
    }
  }
  return named;
}

async function* rowTexts(collection: string): AsyncGenerator<{ text: string; rows: number }> {
  for await (const batch of rawBatches(database().collection(collection).find({}, { raw: true, batchSize: 1000 }))) {
    for (const bytes of batch) yield { text: bytes.toString('latin1'), rows: 1 };
  }
}

/** The bytes of files; the name of a key may begin in one chunk and end in the next. */
async function* chunkTexts(): AsyncGenerator<{ text: string; rows: number }> {
  let [file, tail] = ['', ''];
  const chunks = database().collection<{ _id: unknown; files_id: unknown; data: mongoose.mongo.Binary }>(CHUNKS);
  for await (const { files_id: id, data } of chunks.find({}, { sort: { files_id: 1, n: 1 }, batchSize: 16 })) {
    const text = (String(id) === file ? tail : '') + Buffer.from(data.buffer).toString('latin1');
    yield { text, rows: 1 };
    [file, tail] = [String(id), text.slice(-NAME_BYTES)];
  }
}
