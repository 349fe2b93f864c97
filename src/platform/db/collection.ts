import mongoose from 'mongoose';
import { bulkDoor, type BulkDoor } from './collection.bulk.ts';
import { readDoor, type ReadDoor } from './collection.read.ts';
import { writeDoor, type WriteDoor } from './collection.write.ts';
import { prepareKeys } from './keyring.ts';
import { sealedFields, sealedSchema, type SealedField } from './sealed-fields.ts';
import { makeSealing, type Sealing } from './sealing.ts';
import { serverValidator } from './validator.ts';
import type { CollectionSpec, IndexSpec } from './types.ts';

export type { MadeRow } from './collection.bulk.ts';
export type { BulkChange, ChangeOf, Filter, FindOptions, Guard, IndexSpec, Row, RowRef, Stored } from './types.ts';

export type Model = mongoose.Model<Record<string, unknown>>;

/** One typed door to one collection: reads take a Ctx, writes a Tx; scope, version, audit and bounds are added here only. */
export interface Collection<T extends object> extends ReadDoor<T>, WriteDoor<T>, BulkDoor<T> {
  readonly name: string;
}

interface Registered {
  spec: CollectionSpec;
  model: Model;
  sealed: readonly SealedField[];
  sealing: Sealing | undefined;
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
  registry.set(spec.name, { spec, model, sealed, sealing, door: door as unknown as Collection<object> });
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

/** What the server must know of each declared collection: its validator and its indexes. */
export function declaredSchema(): { name: string; validator: Record<string, unknown>; indexes: readonly IndexSpec[] }[] {
  return [...registry.values()].map(({ spec, model, sealed }) => ({
    name: spec.name,
    validator: serverValidator(spec, model, sealed),
    indexes: [...(spec.listed === false ? [] : [LIST_INDEX]), ...(spec.indexes ?? [])],
  }));
}

/** Complete rows as they are stored, each sealed for its company: for data migrations, which have their own transactions. */
export async function storedRows(name: string, rows: readonly (Record<string, unknown> & { _id: string; companyId: string })[]): Promise<Record<string, unknown>[]> {
  const found = registry.get(name);
  if (!found) throw new Error(`No collection ${name} is declared`);
  const { sealing } = found;
  if (!sealing) return [...rows];
  const companies = [...new Set(rows.map(({ companyId }) => companyId))];
  const purposes = [...new Set(sealing.fields.map(({ purpose }) => purpose))];
  await prepareKeys(companies.flatMap((companyId) => purposes.map((purpose) => ({ companyId, purpose }))));
  const writers = new Map(await Promise.all(companies.map(async (companyId) => [companyId, await sealing.writer(companyId)] as const)));
  return rows.map((row) => {
    const writer = writers.get(row.companyId);
    if (!writer) throw new Error(`No key seals rows of ${name} for this company`);
    return writer.row(row).stored;
  });
}

/** A change of a stored row, sealed for its company: for what seals rows in place. */
export async function storedChange(name: string, row: { _id: string; companyId: string }, change: Record<string, unknown>): Promise<Record<string, unknown>> {
  const sealer = await registry.get(name)?.sealing?.writer(row.companyId);
  if (!sealer) throw new Error(`No collection ${name} with sealed paths is declared`);
  return sealer.change(row._id, change);
}
