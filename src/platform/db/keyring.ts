import { createHmac, createSecretKey, hkdfSync, randomBytes, type KeyObject } from 'node:crypto';
import mongoose from 'mongoose';
import { BoundedMap } from '../bounded-map.ts';
import { now } from '../clock.ts';
import { PLATFORM_COMPANY_ID } from '../context.ts';
import { conflict, unavailable, type AppError } from '../errors.ts';
import { runtime } from '../runtime.ts';
import { followChanges, hearsAll } from './change-feed.ts';
import { connection, connectionCount, database } from './connect.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import { unwrapKey, wrapKey } from './key-wrap.ts';
import { inTransaction, type Tx } from './tx.ts';

/** What a data key seals: a company's personal data, the service's own secrets, what the books must keep, Aadhaar numbers. */
export type KeyPurpose = 'company' | 'system' | 'books' | 'aadhaar';

/** Whose key it is. Keys of the purpose `system` belong to the platform, whatever company is named. */
export interface KeyOwner {
  companyId: string;
  purpose: KeyPurpose;
}

/** A data key as it is kept: wrapped by a key-encryption key; without `wrapped` it is destroyed and what it sealed is erased. */
export interface KeyRow {
  _id: string;
  companyId: string;
  purpose: KeyPurpose;
  generation: number;
  wrapped?: string;
  createdAt: Date;
  destroyedAt?: Date;
  /** The company is erased: nothing of this purpose is ever sealed again. */
  closed?: boolean;
}

type KeyState = 'unknown' | 'usable' | 'locked' | 'missing' | 'destroyed';

/** One data key in memory. Sealed values hold it, so a key that leaves the cache stays readable for what was read before. */
export class DataKey {
  readonly id: string;
  state: KeyState = 'unknown';
  companyId = '';
  purpose: KeyPurpose = 'company';
  generation = 0;
  checkedAt = 0;
  #cipher: KeyObject | undefined;
  #mac: KeyObject | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** Takes what the vault says of this key; undefined when it does not know it. */
  take(row: KeyRow | undefined): this {
    this.checkedAt = performance.now();
    if (!row) return this.#end('missing');
    this.companyId = row.companyId;
    this.purpose = row.purpose;
    this.generation = row.generation;
    if (row.wrapped === undefined) return this.#end('destroyed');
    if (this.state === 'usable') return this;
    const bytes = unwrapKey(row.wrapped, row);
    if (!bytes) return this.#end('locked');
    const derived = Buffer.from(hkdfSync('sha256', bytes, '', `dakiya/e1/${this.id}`, 64));
    this.#cipher = createSecretKey(derived.subarray(0, 32));
    this.#mac = createSecretKey(derived.subarray(32));
    derived.fill(0);
    bytes.fill(0);
    this.state = 'usable';
    return this;
  }

  /** The AES-256 key; undefined unless the key is usable. */
  get cipher(): KeyObject | undefined {
    return this.#cipher;
  }

  /** HMAC-SHA-512 under this key's authentication half; undefined unless the key is usable. */
  tag(data: Buffer): Buffer | undefined {
    return this.#mac && createHmac('sha512', this.#mac).update(data).digest().subarray(0, 32);
  }

  #end(state: KeyState): this {
    this.state = state;
    this.#cipher = undefined;
    this.#mac = undefined;
    return this;
  }
}

/** In this process at most so many keys, and so old at most when changes of other processes go unheard. */
const MAX_KEYS = 5_000;
const STALE_MS = 1_000;
const VAULT = 'keyvault';

const byId = new BoundedMap<string, DataKey>(MAX_KEYS);
const newest = new BoundedMap<string, DataKey>(MAX_KEYS);
const pending = new Map<string, Promise<DataKey>>();
let followed = false;
let cachedFor = -1;

/** The collection of data keys and of the canary; nothing else reads or writes it. */
export function keyVault(): mongoose.mongo.Collection<KeyRow> {
  forgetFormerDatabase();
  return database().collection<KeyRow>(VAULT);
}

/** Keys of a connection that is gone may be another database's. */
function forgetFormerDatabase(): void {
  if (cachedFor === connectionCount()) return;
  cachedFor = connectionCount();
  for (const cache of [byId, newest, pending]) cache.clear();
}

/** Creates the vault's collection and index. */
export async function prepareKeyVault(): Promise<void> {
  const vault = keyVault();
  await connection().db?.createCollection(VAULT).catch((error: unknown) => {
    if (!(error instanceof mongoose.mongo.MongoServerError && error.code === 48)) throw error;
  });
  await vault.createIndex({ companyId: 1, purpose: 1, generation: 1 }, { unique: true, partialFilterExpression: { generation: { $exists: true } } });
}

/** Hears of keys that other processes made, rotated or destroyed; the answer stops it. */
export async function followKeys(): Promise<() => Promise<void>> {
  const stop = await followChanges<KeyRow>({
    collection: VAULT,
    match: {},
    async onOpen() {
      forgetKeys();
      followed = true;
    },
    onBreak() {
      followed = false;
    },
    onChange({ id, row }) {
      if (row && row.generation === undefined) return;
      if (row) newest.delete(ownerName(row));
      // Retired without a row: what it sealed is not opened here any more either.
      byId.get(id)?.take(row);
    },
  });
  return async () => {
    followed = false;
    await stop();
  };
}

/** Lets every key be read again from the vault before its next use. */
export function forgetKeys(): void {
  newest.clear();
  for (const key of byId.values()) key.checkedAt = -Infinity;
}

/** Every data key as it is kept, or one company's, by company, purpose and generation. */
export async function keyRows(companyId?: string): Promise<KeyRow[]> {
  return keyVault()
    .find({ generation: { $gte: 1 }, ...(companyId === undefined ? {} : { companyId }) })
    .sort({ companyId: 1, purpose: 1, generation: 1 })
    .toArray();
}

/** The key with this id as far as this process knows it; `settleKeys` asks the vault. */
export function heldKey(id: string): DataKey {
  let key = byId.get(id);
  if (!key) {
    key = new DataKey(id);
    byId.set(id, key);
  }
  return key;
}

/** True when a key's state may be relied on without asking the vault. */
function isSettled(key: DataKey): boolean {
  if (key.state === 'unknown') return false;
  // A process that was stopped for a while must not seal with a key that was retired meanwhile.
  return (followed && hearsAll() && key.state !== 'missing' && key.checkedAt > 0) || key.checkedAt + STALE_MS > performance.now();
}

/** Asks the vault for keys that are unknown or known too long; one read for all of them. */
export async function settleKeys(keys: Iterable<DataKey>): Promise<void> {
  const open = [...keys].filter((key) => !isSettled(key));
  if (open.length === 0) return;
  const rows = await keyVault().find({ _id: { $in: open.map((key) => key.id) } }).toArray();
  const found = new Map(rows.map((row) => [row._id, row]));
  for (const key of open) key.take(found.get(key.id));
}

/**
 * The key that seals for this owner from now on: known ones at once, else read or made. Made outside any transaction:
 * a key without a row does no harm, a row without its key would be lost. 409 `data_erased` for an erased company.
 */
export function writingKey(owner: KeyOwner): DataKey | Promise<DataKey> {
  forgetFormerDatabase();
  const known = newest.get(ownerName(owner));
  return isAtHand(known) ? known : loadWritingKey(owner);
}

function isAtHand(key: DataKey | undefined): key is DataKey {
  return key?.state === 'usable' && isSettled(key);
}

/**
 * Has the keys of many owners at hand, or makes them, in two commands instead of two for each: for work in bulk. Keys that
 * cannot be had this way are left for `writingKey` to make or to refuse.
 */
export async function prepareKeys(owners: readonly KeyOwner[]): Promise<void> {
  forgetFormerDatabase();
  const open = new Map(owners.filter((owner) => !isAtHand(newest.get(ownerName(owner)))).map((owner) => [ownerName(owner), owner]));
  if (open.size === 0) return;
  const identities = [...open.values()].map(({ companyId, purpose }) => ({ _id: newKeyId(), companyId: vaultCompany(companyId, purpose), purpose, generation: 1 }));
  const known = await newestRows(identities);
  const missing = identities.filter((identity) => !known.has(ownerName(identity)));
  if (missing.length > 0) {
    const rows = missing.map((identity): KeyRow => ({ ...identity, wrapped: wrapKey(randomBytes(32), identity), createdAt: now() }));
    // Another process may make some of them at the same time: its keys count, and are read below.
    await keyVault().insertMany(rows, { ordered: false }).catch((error: unknown) => (isDuplicateKey(error) ? undefined : Promise.reject(error)));
    for (const [name, row] of await newestRows(missing)) known.set(name, row);
  }
  for (const [name, row] of known) {
    if (row.wrapped === undefined) continue;
    const key = heldKey(row._id).take(row);
    if (key.state === 'usable') newest.set(name, key);
  }
}

/** The refusal to seal anything for a company that is erased. */
export function dataErased(): AppError {
  return conflict('data_erased', 'The personal data of this company has been erased');
}

/** The next generation of an owner's key: what is written from now on is sealed with it. None for a company that is erased. */
export async function rotateKey(owner: KeyOwner): Promise<DataKey | undefined> {
  const row = await newestRow(owner);
  if (row?.closed) return undefined;
  const key = await makeKey(owner, (row?.generation ?? 0) + 1);
  newest.delete(ownerName(owner));
  return key;
}

/**
 * Destroys a company's keys for good, in the transaction of the erasure: what they sealed shows `[erased]` afterwards.
 * Without a purpose those of all personal data, for ever; the books keep theirs unless named.
 */
export async function destroyKeys(tx: Tx, companyId: string, purpose?: KeyPurpose): Promise<void> {
  const purposes: KeyPurpose[] = purpose ? [purpose] : ['company', 'aadhaar'];
  await inTransaction(tx, async (session) => {
    await keyVault().updateMany(
      { companyId, purpose: { $in: purposes } },
      { $unset: { wrapped: '' }, $set: { destroyedAt: now(), ...(purpose ? {} : { closed: true }) } },
      { session },
    );
  });
  for (const p of purposes) newest.delete(ownerName({ companyId, purpose: p }));
  for (const key of byId.values()) if (key.companyId === companyId) key.checkedAt = -Infinity;
}

/** Whether a company is erased: nothing of it is ever sealed again. */
export async function isErased(companyId: string): Promise<boolean> {
  return (await keyVault().findOne({ companyId, closed: true }, { projection: { _id: 1 } })) !== null;
}

function ownerName({ companyId, purpose }: KeyOwner): string {
  return purpose === 'system' ? purpose : `${companyId}|${purpose}`;
}

/** One that closes its owner comes before all others: a rotation may have made another one just then. */
async function newestRow({ companyId, purpose }: KeyOwner): Promise<KeyRow | undefined> {
  const [row] = await keyVault().find({ companyId: vaultCompany(companyId, purpose), purpose, generation: { $gte: 1 } }).sort({ closed: -1, generation: -1 }).limit(1).toArray();
  return row;
}

/** The newest row of each owner that has one, by its name. */
async function newestRows(owners: readonly KeyOwner[]): Promise<Map<string, KeyRow>> {
  const purposes = [...new Set(owners.map(({ purpose }) => purpose))];
  const wanted = purposes.map((purpose) => ({ purpose, companyId: { $in: owners.filter((o) => o.purpose === purpose).map((o) => o.companyId) } }));
  const rows = await keyVault().find({ $or: wanted, generation: { $gte: 1 } }).sort({ closed: 1, generation: 1 }).toArray();
  return new Map(rows.map((row) => [ownerName(row), row]));
}

function vaultCompany(companyId: string, purpose: KeyPurpose): string {
  return purpose === 'system' ? PLATFORM_COMPANY_ID : companyId;
}

function loadWritingKey(owner: KeyOwner): Promise<DataKey> {
  const name = ownerName(owner);
  const load = async (): Promise<DataKey> => {
    const row = await newestRow(owner);
    const usable = row?.wrapped !== undefined;
    if (row && !usable && row.closed) throw dataErased();
    const key = usable ? heldKey(row._id).take(row) : await makeKey(owner, (row?.generation ?? 0) + 1);
    if (key.state !== 'usable') {
      runtime().log.error('keys.locked', { keyId: key.id, companyId: owner.companyId, purpose: owner.purpose });
      throw unavailable('keys_locked', 'The key of this data cannot be opened here: ENCRYPTION_KEYS lacks the one that wraps it', 60);
    }
    newest.set(name, key);
    return key;
  };
  const running = pending.get(name) ?? load().finally(() => pending.delete(name));
  pending.set(name, running);
  return running;
}

/** Two processes may make the first key at once: the unique index lets one win, and both use that one. */
async function makeKey({ companyId, purpose }: KeyOwner, generation: number): Promise<DataKey> {
  const identity = { _id: newKeyId(), companyId: vaultCompany(companyId, purpose), purpose, generation };
  const row: KeyRow = { ...identity, wrapped: wrapKey(randomBytes(32), identity), createdAt: now() };
  try {
    await keyVault().insertOne(row);
    return heldKey(row._id).take(row);
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
    const winner = await keyVault().findOne({ companyId: identity.companyId, purpose, generation });
    if (!winner) throw error;
    return heldKey(winner._id).take(winner);
  }
}

function newKeyId(): string {
  return randomBytes(8).toString('hex');
}
