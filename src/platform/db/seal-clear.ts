import { randomBytes } from 'node:crypto';
import type mongoose from 'mongoose';
import { AppError } from '../errors.ts';
import { sealedCollections, storedChange } from './collection.ts';
import { connection } from './connect.ts';
import { keyVault } from './keyring.ts';
import { ENVELOPE, erased, seal } from './sealed.ts';
import type { SealedField } from './sealed-fields.ts';
import { valueAt } from './value-at.ts';

type Plain = Record<string, unknown>;
type Stored = Plain & { _id: string; companyId: string; version: number };

/**
 * Seals what stands in clear at the sealed paths of a collection: rows of a version in which those paths were not sealed
 * yet. Called before the collection gets the validator that refuses them; may be cut off and repeated. Neither version nor
 * times of a row move. Answers how many rows.
 */
export async function sealClearRows(collection: string): Promise<number> {
  const { db } = connection();
  const declared = sealedCollections().find(({ spec }) => spec.name === collection);
  // In arrays nothing ever stood in clear.
  const fields = declared?.fields.filter((field) => field.array === undefined) ?? [];
  if (!db || fields.length === 0) return 0;
  const rows = db.collection<Stored>(collection);
  const isClear = fields.map(({ path }) => ({ [path]: { $exists: true, $ne: null, $not: ENVELOPE } }));
  // Rows of the former product, which have ObjectIds, are for their own migration.
  const filter = { _id: { $type: 'string' }, $or: isClear } as unknown as mongoose.mongo.Filter<Stored>;
  let count = 0;
  for await (const row of rows.find(filter, { batchSize: 500 })) {
    const update = await sealingChange(collection, fields, row);
    const same = { _id: row._id, version: row.version } as mongoose.mongo.Filter<Stored>;
    count += (await rows.updateOne(same, update as mongoose.mongo.UpdateFilter<Stored>, { bypassDocumentValidation: true })).modifiedCount;
  }
  return count;
}

async function sealingChange(collection: string, fields: readonly SealedField[], row: Stored): Promise<Plain> {
  const found = fields.flatMap(({ path, mask }) => {
    const value = valueAt(row, path);
    return value === undefined || value === null || (typeof value === 'string' && ENVELOPE.test(value)) ? [] : [{ path, mask, value }];
  });
  try {
    return await storedChange(collection, row, { $set: Object.fromEntries(found.map(({ path, value }) => [path, seal(value)])) });
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'data_erased')) throw error;
    const envelope = await erasedEnvelope(row.companyId);
    return { $set: Object.fromEntries(found.flatMap(({ path, mask, value }) => [[path, envelope], [`masks.${path}`, erased(mask(value))]])) };
  }
}

/** What stands where a value was whose key is destroyed: it opens as little, and shows `[erased]`. */
async function erasedEnvelope(companyId: string): Promise<string> {
  const key = await keyVault().findOne({ companyId, closed: true });
  return `e1.${key?._id ?? '0'}.${randomBytes(96).toString('base64url')}`;
}
