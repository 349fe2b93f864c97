import mongoose from 'mongoose';
import { connection } from './connect.ts';
import { bulkDoor, type BulkDoor } from './collection.bulk.ts';
import { readDoor, type ReadDoor } from './collection.read.ts';
import { writeDoor, type WriteDoor } from './collection.write.ts';
import { prepareKeyVault } from './keyring.ts';
import { sealedFields, sealedSchema, type SealedField } from './sealed-fields.ts';
import { makeSealing } from './sealing.ts';
import { serverValidator } from './validator.ts';
import { indexName, type CollectionSpec, type IndexSpec } from './types.ts';

export type { BulkChange, ChangeOf, Filter, FindOptions, Guard, IndexSpec, Row, Stored } from './types.ts';

export type Model = mongoose.Model<Record<string, unknown>>;

/** One typed door to one collection: reads take a Ctx, writes a Tx; scope, version, audit and bounds are added here only. */
export interface Collection<T extends object> extends ReadDoor<T>, WriteDoor<T>, BulkDoor<T> {
  readonly name: string;
}

interface Registered {
  spec: CollectionSpec;
  model: Model;
  sealed: readonly SealedField[];
  door: Collection<object>;
}

/** What every keyset list of a company walks along. */
const LIST_INDEX: IndexSpec = { keys: { companyId: 1, createdAt: -1, _id: -1 } };

const registry = new Map<string, Registered>();

/**
 * Declares a collection once: fields (mongoose), indexes, bounds. Answers its door; the mongoose model stays inside
 * platform/db. Array bounds and required fields are also enforced by the server, whatever client writes.
 */
export function defineCollection<T extends object>(spec: CollectionSpec): Collection<T> {
  if (registry.has(spec.name)) throw new Error(`Collection ${spec.name} is declared twice`);
  const schema = new mongoose.Schema(
    {
      _id: { type: String, required: true },
      companyId: { type: String, required: true },
      version: { type: Number, required: true },
      createdAt: { type: Date, required: true },
      updatedAt: { type: Date, required: true },
      ...spec.fields,
      ...sealedSchema(spec),
    },
    { versionKey: false, strict: 'throw', strictQuery: 'throw', collection: spec.name, minimize: false, id: false },
  );
  const model: Model = mongoose.model<Record<string, unknown>>(spec.name, schema as unknown as mongoose.Schema<Record<string, unknown>>);
  const sealed = sealedFields(spec, schema as unknown as mongoose.Schema);
  const sealing = makeSealing(spec, sealed);
  const door = { name: spec.name, ...readDoor<T>(spec, model, sealing), ...writeDoor<T>(spec, model, sealing), ...bulkDoor<T>(spec, sealing) };
  registry.set(spec.name, { spec, model, sealed, door: door as unknown as Collection<object> });
  return door;
}

/** Every declared collection: for index creation, conformance tests and checks. */
export function declaredCollections(): readonly CollectionSpec[] {
  return [...registry.values()].map((r) => r.spec);
}

/** The sealed paths of every collection that has some: for rotation of keys and for tests. */
export function sealedCollections(): readonly { spec: CollectionSpec; fields: readonly SealedField[] }[] {
  return [...registry.values()].filter((r) => r.sealed.length > 0).map(({ spec, sealed }) => ({ spec, fields: sealed }));
}

/** The door of a declared collection, without its row's type; for the conformance test of all doors. */
export function doorOf(name: string): Collection<object> {
  const found = registry.get(name);
  if (!found) throw new Error(`No collection ${name} is declared`);
  return found.door;
}

/** Creates missing collections with their validators, and missing indexes; changes nothing that is right already. */
export async function prepareCollections(): Promise<void> {
  const { db } = connection();
  if (!db) throw new Error('Not connected');
  await prepareKeyVault();
  const existing = new Map((await db.listCollections({}, { nameOnly: false }).toArray()).map((c) => [c.name, c]));
  for (const { spec, model, sealed } of registry.values()) {
    const validator = serverValidator(spec, model, sealed);
    const found = existing.get(spec.name);
    if (!found) await db.createCollection(spec.name, { validator }).catch(ignoreExisting);
    else if (JSON.stringify((found as { options?: { validator?: unknown } }).options?.validator) !== JSON.stringify(validator)) {
      await db.command({ collMod: spec.name, validator });
    }
    await prepareIndexes(spec.name, [...(spec.listed === false ? [] : [LIST_INDEX]), ...(spec.indexes ?? [])], found !== undefined);
  }
}

/** Creates the missing ones of some indexes; one read when all are there, so that a second start is quick. */
export async function prepareIndexes(name: string, indexes: readonly IndexSpec[], exists: boolean): Promise<void> {
  const { db } = connection();
  if (!db || indexes.length === 0) return;
  const wanted = indexes.map((index) => ({
    key: index.keys,
    name: indexName(index),
    ...(index.unique ? { unique: true } : {}),
    ...(index.partial ? { partialFilterExpression: index.partial } : {}),
    ...(index.expireAfterSeconds === undefined ? {} : { expireAfterSeconds: index.expireAfterSeconds }),
  }));
  const present = exists ? new Set((await db.collection(name).listIndexes().toArray()).map((i) => String(i['name']))) : new Set<string>();
  const missing = wanted.filter((w) => !present.has(w.name));
  if (missing.length > 0) await db.collection(name).createIndexes(missing);
}

function ignoreExisting(error: unknown): void {
  // Two processes may start at once; NamespaceExists means that the other one was quicker.
  if (!(error instanceof mongoose.mongo.MongoServerError && error.code === 48)) throw error;
}
