import type mongoose from 'mongoose';
import { sealedCollections } from './collection.ts';
import { blindIndex } from './blind-index.ts';
import { database } from './connect.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import { runtime } from '../runtime.ts';
import { heldKey, keyVault, settleKeys, type DataKey, type KeyRow } from './keyring.ts';
import { renewFiles } from './renew-files.ts';
import { renewMachineRows } from './renew-rows.ts';
import { newestKey, type Renewed, type RenewOptions } from './renewal.ts';
import { erased, keyIdOf, openEnvelope, sealEnvelope, UnreadableError } from './sealed.ts';
import type { SealedField } from './sealed-fields.ts';
import { valueAt } from './value-at.ts';

export type { Renewed, RenewOptions } from './renewal.ts';

type Plain = Record<string, unknown>;
type Stored = Plain & { _id: string; companyId: string; version: number };

const BATCH = 200;
const MAX_ROUNDS = 20;
const CHECKPOINT = 'reencrypt';

/** How far a run over all rows has come. */
interface Checkpoint {
  collection: string;
  after: string;
}

/**
 * Seals every row, file and waiting text with its owner's newest key, while traffic runs: a row that changed since it was read is read again,
 * and neither version nor times of a row move. A killed run goes on where it was. Masks and blind indexes of values whose
 * key is destroyed go too.
 */
export async function reencryptAll(options: RenewOptions = {}): Promise<Renewed[]> {
  const resumed = options.companyId === undefined && !options.indexes;
  const from = resumed ? ((await keyVault().findOne({ _id: CHECKPOINT })) as unknown as Checkpoint | null) : null;
  const collections = [...sealedCollections()].sort((a, b) => (a.spec.name < b.spec.name ? -1 : 1));
  const results: Renewed[] = [];
  for (const { spec, fields } of collections) {
    if (from && spec.name < from.collection) continue;
    const after = from?.collection === spec.name ? from.after : '';
    const noteAt = resumed ? (id: string) => noteCheckpoint({ collection: spec.name, after: id }) : undefined;
    results.push(await renewCollection(spec.name, fields, { ...options, after, ...(noteAt ? { noteAt } : {}) }));
  }
  results.push(...(await renewMachineRows(options)), await renewFiles(options));
  await forgetCheckpoint();
  return results;
}

/** Lets the next run begin at the first row; called when a key was rotated. */
export async function forgetCheckpoint(): Promise<void> {
  await keyVault().deleteOne({ _id: CHECKPOINT });
}

async function noteCheckpoint(at: Checkpoint): Promise<void> {
  await keyVault().updateOne({ _id: CHECKPOINT }, { $set: at } as unknown as mongoose.mongo.UpdateFilter<KeyRow>, { upsert: true });
}

interface Walk extends RenewOptions {
  after: string;
  noteAt?: (id: string) => Promise<void>;
}

async function renewCollection(collection: string, fields: readonly SealedField[], walk: Walk): Promise<Renewed> {
  const done: Renewed = { collection, rows: 0, renewed: 0, erased: 0, unreadable: 0 };
  const own = walk.companyId === undefined ? {} : { companyId: walk.companyId };
  const total = walk.companyId === undefined ? await rowsOf(collection).estimatedDocumentCount() : await rowsOf(collection).countDocuments(own);
  let { after } = walk;
  for (;;) {
    const ids = (await rowsOf(collection).find({ ...own, _id: { $gt: after } }, { projection: { _id: 1 } }).sort({ _id: 1 }).limit(BATCH).toArray()).map((row) => row._id);
    const last = ids.at(-1);
    if (last === undefined) return done;
    await renewRows(collection, fields, { ids, done, indexes: walk.indexes === true });
    done.rows += ids.length;
    after = last;
    await walk.noteAt?.(after);
    walk.onProgress?.(done, Math.max(total, done.rows));
  }
}

function rowsOf(collection: string): mongoose.mongo.Collection<Stored> {
  const db = database();
  return db.collection<Stored>(collection);
}

async function renewRows(collection: string, fields: readonly SealedField[], { ids, done, indexes }: { ids: string[]; done: Renewed; indexes: boolean }): Promise<void> {
  let left = ids;
  for (let round = 0; left.length > 0; round += 1) {
    if (round === MAX_ROUNDS) throw new Error(`Rows of ${collection} change faster than they can be sealed again; run the command again`);
    const rows = await rowsOf(collection).find({ _id: { $in: left } }).toArray();
    const changes = new Map<string, { change: Change; version: number }>();
    for (const row of rows) {
      const change = await renewal(collection, fields, { row, indexes });
      if (round === 0) done.unreadable += change.unreadable;
      if (Object.keys(change.set).length + Object.keys(change.unset).length > 0) changes.set(row._id, { change, version: row.version });
    }
    left = [];
    for (const [id, { change, version }] of changes) {
      const update = { ...(Object.keys(change.set).length > 0 ? { $set: change.set } : {}), ...(Object.keys(change.unset).length > 0 ? { $unset: change.unset } : {}) };
      // The envelopes too: another run may have sealed the row again, which moves no version.
      const matched = await renewRow(collection, { _id: id, version, ...change.seen }, update);
      if (matched === undefined) done.unreadable += 1;
      else if (matched === 0) left.push(id);
      else if (change.erased) done.erased += 1;
      else done.renewed += 1;
    }
  }
}

/** How many rows matched; undefined, and logged, when another row has taken the value of a unique index meanwhile. */
async function renewRow(collection: string, filter: Plain & { _id: string }, update: Plain): Promise<number | undefined> {
  try {
    return (await rowsOf(collection).updateOne(filter as mongoose.mongo.Filter<Stored>, update as mongoose.mongo.UpdateFilter<Stored>)).matchedCount;
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
    runtime().log.error('sealed.index_taken', { collection, rowId: filter._id });
    return undefined;
  }
}

interface Change {
  seen: Plain;
  set: Plain;
  unset: Record<string, ''>;
  erased: boolean;
  unreadable: number;
}

/** One sealed value of a row as it stands in the database. */
interface Found {
  field: SealedField;
  path: string;
  maskPath: string;
  envelope: string;
}

async function renewal(collection: string, fields: readonly SealedField[], { row, indexes }: { row: Stored; indexes: boolean }): Promise<Change> {
  const change: Change = { seen: {}, set: {}, unset: {}, erased: false, unreadable: 0 };
  for (const found of fields.flatMap((field) => valuesOf(row, field))) {
    const key = heldKey(keyIdOf(found.envelope));
    await settleKeys([key]);
    if (key.state === 'destroyed') forgetTraces(row, found, change);
    else await renewValue({ collection, row, found, key, indexes }, change);
  }
  return change;
}

interface Work {
  collection: string;
  row: Stored;
  found: Found;
  key: DataKey;
  indexes: boolean;
}

async function renewValue({ collection, row, found, key, indexes }: Work, change: Change): Promise<void> {
  const { field, path, envelope } = found;
  const newest = await newestKey({ companyId: row.companyId, purpose: field.purpose });
  if (!newest || (newest === key && !indexes)) return;
  const place = { collection, id: row._id, path: field.path };
  try {
    const clear = openEnvelope(key, place, envelope);
    if (newest !== key) {
      change.seen[path] = envelope;
      change.set[path] = sealEnvelope(newest, place, clear);
    }
    if (!indexes) return;
    for (const { name, valueOf, blind } of field.searches) {
      const part = valueOf(JSON.parse(clear));
      if (part !== undefined) change.set[`blind.${name}`] = blindIndex(blind, row.companyId, part);
    }
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    change.unreadable += 1;
    runtime().log.error('sealed.unreadable', { collection, rowId: row._id, path, companyId: row.companyId, keyState: key.state });
  }
}

/** What an erased value has left beside it: a mask and blind indexes. */
function forgetTraces(row: Stored, { field, maskPath }: Found, change: Change): void {
  const mask = valueAt(row, maskPath);
  const gone = erased(mask);
  if (mask !== undefined && JSON.stringify(mask) !== JSON.stringify(gone)) {
    change.set[maskPath] = gone;
    change.erased = true;
  }
  for (const { name } of field.searches) {
    if (valueAt(row, `blind.${name}`) === undefined) continue;
    change.unset[`blind.${name}`] = '';
    change.erased = true;
  }
}

function valuesOf(row: Stored, field: SealedField): Found[] {
  const inner = field.inner.join('.');
  const places = field.array === undefined ? [''] : ((valueAt(row, field.array) ?? []) as unknown[]).map((_, i) => `${field.array ?? ''}.${i}.`);
  return places.flatMap((prefix) => {
    const envelope = valueAt(row, `${prefix}${inner}`);
    return typeof envelope === 'string' ? [{ field, path: `${prefix}${inner}`, maskPath: `${prefix}masks.${inner}`, envelope }] : [];
  });
}
