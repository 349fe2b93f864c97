import type mongoose from 'mongoose';
import { now } from '../clock.ts';
import { ERASED } from '../privacy.ts';
import { declaredCollections } from './collection.ts';
import { recordChange } from './collection.write.ts';
import { database } from './connect.ts';
import { ownCompany } from './scope.ts';
import { inTransaction, type Tx } from './tx.ts';
import type { CollectionSpec } from './types.ts';

type Plain = Record<string, unknown>;

/** Collections that hold something of a company when its key is gone: masks and blind indexes, or personal fields in clear. */
export function erasableCollections(): string[] {
  return declaredCollections()
    .filter((spec) => spec.sealed !== undefined || spec.personal !== undefined)
    .map((spec) => spec.name);
}

/**
 * Puts markers in the place of masks and of the declared `personal` fields of some rows of the Tx's company, and removes
 * their blind indexes. Answers the last id, or undefined when no row comes after `after`. The sealed values themselves end
 * with their key.
 */
export async function eraseRows(tx: Tx, collection: string, { after, most }: { after: string; most: number }): Promise<string | undefined> {
  const spec = declaredCollections().find((one) => one.name === collection);
  if (!spec) return undefined;
  return inTransaction(tx, async (session) => {
    const db = database();
    const rows = db.collection<Plain & { _id: string }>(collection);
    const found = await rows.find({ companyId: ownCompany(tx), _id: { $gt: after } }, { session }).sort({ _id: 1 }).limit(most).toArray();
    const writes = found.flatMap((row) => {
      const change = erasureOf(spec, row);
      if (!change) return [];
      recordChange(spec, tx, row._id, 'update', [...change.fields]);
      return [{ updateOne: { filter: { _id: row._id, companyId: row['companyId'] }, update: change.update as mongoose.mongo.UpdateFilter<Plain> } }];
    });
    if (writes.length > 0) await rows.bulkWrite(writes as never, { session });
    return found.length < most ? undefined : found.at(-1)?._id;
  });
}

/** The change that erases one row; undefined when nothing personal is left in it. */
function erasureOf(spec: CollectionSpec, row: Plain & { _id: string }): { update: Plain; fields: string[] } | undefined {
  const set: Plain = {};
  const unset: Plain = {};
  for (const [path, marker] of Object.entries(spec.personal ?? {})) {
    const [top = '', ...inner] = path.split('.');
    // Two paths may lead into one field.
    const before = set[top] ?? row[top];
    if (before === undefined) continue;
    const after = marked(before, inner, typeof marker === 'function' ? marker(row._id) : marker);
    if (JSON.stringify(after) === JSON.stringify(before)) continue;
    if (after === null) unset[top] = '';
    else set[top] = after;
  }
  if (row['masks'] !== undefined && JSON.stringify(row['masks']) !== JSON.stringify(erased(row['masks']))) set['masks'] = erased(row['masks']);
  if (row['blind'] !== undefined) unset['blind'] = '';
  const fields = [...Object.keys(set), ...Object.keys(unset)];
  if (fields.length === 0) return undefined;
  return { fields, update: { $set: { ...set, updatedAt: now() }, $inc: { version: 1 }, ...(Object.keys(unset).length > 0 ? { $unset: unset } : {}) } };
}

/** A value with the marker wherever the path leads; a field whose marker is null is left out. */
function marked(value: unknown, [head, ...rest]: readonly string[], marker: unknown): unknown {
  if (head === undefined) return marker;
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (Array.isArray(value)) return head === '*' ? value.map((element) => marked(element, rest, marker)) : value;
  const entries = Object.entries(value as Plain).flatMap(([key, old]): [string, unknown][] => {
    if (head !== '*' && head !== key) return [[key, old]];
    return rest.length === 0 && marker === null ? [] : [[key, marked(old, rest, marker)]];
  });
  return Object.fromEntries(entries);
}

function erased(mask: unknown): unknown {
  if (Array.isArray(mask)) return mask.map(erased);
  if (typeof mask === 'object' && mask !== null) return Object.fromEntries(Object.entries(mask).map(([key, value]) => [key, erased(value)]));
  return ERASED;
}
