import mongoose from 'mongoose';
import { readSchema } from '../../../src/platform/db/schema.ts';
import { migrationRows, type MigrationRow } from '../../../src/platform/db/migration-state.ts';
import type { Digest } from '../../../src/platform/db/raw.ts';
import { database } from '../../../src/platform/db/connect.ts';
import { MigrationError, type Run } from '../migration.ts';
import type { BackupStore } from './backup-store.ts';
import type { Takeover } from './takeover.types.ts';

/** Makes the indexes of the look-ups for as long as the step runs, and takes them away again. */
export async function indexLookups({ lookups = [] }: Takeover, on: boolean): Promise<void> {
  for (const lookup of lookups) {
    const [collection = '', field = ''] = lookup.split('.');
    const name = `migration_${field}`;
    const there = (await readSchema([collection]))[collection]?.indexes ?? [];
    const own = there.some((index) => index['name'] === name);
    const usable = there.some((index) => Object.keys((index['key'] ?? {}) as object)[0] === field);
    if (on && !usable) await database().collection(collection).createIndex({ [field]: 1 }, { name });
    if (!on && own) await database().collection(collection).dropIndex(name);
  }
}

/** The step's row as it is now. */
export async function stepRow({ name }: Takeover): Promise<MigrationRow> {
  const row = await migrationRows().findOne({ _id: name });
  if (!row) throw new MigrationError(`The row of ${name} is gone`);
  return row;
}

/** How many rows some digests count. */
export function total(digests: Readonly<Record<string, Digest>>): number {
  return Object.values(digests).reduce((sum, { rows }) => sum + rows, 0);
}

/** Keeps the matching rows sealed, with their digests, before anything of them is touched. */
export async function backUp(collections: readonly string[], filter: object, { store, run }: { store: BackupStore; run: Run }): Promise<Record<string, Digest>> {
  await store.reset();
  const digests: Record<string, Digest> = {};
  for (const collection of collections) {
    const rows = await database().collection(collection).countDocuments(filter);
    digests[collection] = await store.add(collection, filter, run.config.migrationBatchRows, (done) => run.step('backup', collection, done, rows));
  }
  return digests;
}

/** The id of a stored document, as text. */
export function idOf(bytes: Buffer): string {
  return String((mongoose.mongo.BSON.deserialize(bytes) as { _id: unknown })._id);
}
