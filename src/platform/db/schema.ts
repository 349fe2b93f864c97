import { createHash } from 'node:crypto';
import mongoose from 'mongoose';
import { declaredSchema } from './collection.ts';
import { database } from './connect.ts';
import { declaredFiles } from './files.ts';
import { prepareKeyVault } from './keyring.ts';
import { declaredMachineRows } from './machine-rows.ts';
import { sealClearRows } from './seal-clear.ts';
import { indexName, type IndexSpec } from './types.ts';

type Plain = Record<string, unknown>;

/** So many new collections are made at the same time. */
const TOGETHER = 8;

/** What one collection must be on the server. */
interface Declared {
  name: string;
  validator?: Plain;
  indexes: readonly IndexSpec[];
}

/** What a collection is, as far as migrations change it. */
export interface SchemaOf {
  validator?: Plain;
  indexes: Plain[];
}

export interface PrepareOptions {
  /** Only tells what is missing. */
  dryRun?: boolean;
  only?: readonly string[];
  /** Collections that still hold rows of another shape: neither validator nor unique index would fit them. */
  except?: readonly string[];
}

/** Some collections have two doors, each with its indexes. */
function declared(): Declared[] {
  const merged = new Map<string, Declared>();
  for (const each of [...declaredMachineRows(), ...declaredSchema(), declaredFiles()] as Declared[]) {
    const known = merged.get(each.name);
    merged.set(each.name, { ...known, ...each, indexes: [...(known?.indexes ?? []), ...each.indexes] });
  }
  return [...merged.values()];
}

/** The names of every declared collection. */
export function declaredNames(): string[] {
  return declared().map(({ name }) => name);
}

/** Another value whenever a declared collection, validator or index changes. */
export function schemaFingerprint(): string {
  return createHash('sha256').update(JSON.stringify(declared())).digest('base64url');
}

/**
 * Creates missing collections, validators and indexes and nothing else; what is right stays untouched. Before a collection
 * gets another validator, values in clear at paths that are sealed by now are sealed where they stand. Answers what was
 * (with `dryRun`: what is) missing, such as `orders.status_1`.
 */
export async function prepareSchema({ dryRun = false, only, except = [] }: PrepareOptions = {}): Promise<string[]> {
  const db = database();
  if (!dryRun) await prepareKeyVault();
  const existing = new Map((await db.listCollections({}, { nameOnly: false }).toArray()).map((c) => [c.name, c as { options?: { validator?: unknown } }]));
  const wanted = declared().filter(({ name }) => !except.includes(name) && only?.includes(name) !== false);
  const changed: string[][] = [];
  for (let at = 0; at < wanted.length; ) {
    // Empty collections are made several at a time: each waits for the journal, hardly ever for the machine.
    const firstThere = wanted.slice(at).findIndex(({ name }) => existing.has(name));
    const together = wanted.slice(at, at + Math.min(TOGETHER, Math.max(1, firstThere < 0 ? TOGETHER : firstThere)));
    changed.push(...(await Promise.all(together.map((one) => prepareOne(one, existing.get(one.name), dryRun)))));
    at += together.length;
  }
  return changed.flat();
}

async function prepareOne({ name, validator, indexes }: Declared, found: { options?: { validator?: unknown } } | undefined, dryRun: boolean): Promise<string[]> {
  const db = database();
  const changed: string[] = [];
  if (!found) {
    changed.push(name);
    if (!dryRun) await db.createCollection(name, validator ? { validator } : {}).catch(ignoreExisting);
  } else if (validator && JSON.stringify(found.options?.validator) !== JSON.stringify(validator)) {
    changed.push(`${name}.validator`);
    if (!dryRun) await sealClearRows(name);
    if (!dryRun) await db.command({ collMod: name, validator });
  }
  return [...changed, ...(await prepareIndexes(name, indexes, { exists: found !== undefined, dryRun }))];
}

async function prepareIndexes(name: string, indexes: readonly IndexSpec[], { exists, dryRun }: { exists: boolean; dryRun: boolean }): Promise<string[]> {
  const present = new Set(exists ? (await database().collection(name).listIndexes().toArray()).map((i) => String(i['name'])) : []);
  const missing = indexes.filter((index) => !present.has(indexName(index)));
  if (missing.length > 0 && !dryRun) {
    await database()
      .collection(name)
      .createIndexes(
        missing.map((index) => ({
          key: index.keys,
          name: indexName(index),
          ...(index.unique ? { unique: true } : {}),
          ...(index.partial ? { partialFilterExpression: index.partial } : {}),
          ...(index.expireAfterSeconds === undefined ? {} : { expireAfterSeconds: index.expireAfterSeconds }),
        })),
      );
  }
  return missing.map((index) => `${name}.${indexName(index)}`);
}

/** The validators and indexes of some collections as they are; those that do not exist are left out. */
export async function readSchema(names: readonly string[]): Promise<Record<string, SchemaOf>> {
  const db = database();
  const result: Record<string, SchemaOf> = {};
  for (const found of await db.listCollections({ name: { $in: [...names] } }, { nameOnly: false }).toArray()) {
    const { validator } = ((found as { options?: { validator?: Plain } }).options ?? {}) as { validator?: Plain };
    const indexes = (await db.collection(found.name).listIndexes().toArray()) as Plain[];
    result[found.name] = { ...(validator ? { validator } : {}), indexes: indexes.filter((i) => i['name'] !== '_id_') };
  }
  return result;
}

/** Gives collections the validators and indexes that `readSchema` saw, and no others; empty `to` takes all of them away. */
export async function restoreSchema(names: readonly string[], to: Readonly<Record<string, SchemaOf>>): Promise<void> {
  const db = database();
  const now = await readSchema(names);
  for (const [name, { indexes }] of Object.entries(now)) {
    const wanted = to[name] ?? { indexes: [] };
    const kept = new Set(wanted.indexes.map((i) => JSON.stringify(i)));
    for (const index of indexes) if (!kept.has(JSON.stringify(index))) await db.collection(name).dropIndex(String(index['name']));
    await db.command({ collMod: name, validator: wanted.validator ?? {} });
    const present = new Set(indexes.map((i) => JSON.stringify(i)));
    const missing = wanted.indexes.filter((i) => !present.has(JSON.stringify(i)));
    if (missing.length > 0) await db.command({ createIndexes: name, indexes: missing.map(({ v: _v, ns: _ns, ...index }) => index) });
  }
}

function ignoreExisting(error: unknown): void {
  // Two processes may start at once; NamespaceExists means that the other one was quicker.
  if (!(error instanceof mongoose.mongo.MongoServerError && error.code === 48)) throw error;
}
