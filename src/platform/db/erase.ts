import type mongoose from 'mongoose';
import { now } from '../clock.ts';
import { ERASED } from '../privacy.ts';
import { declaredCollections } from './collection.ts';
import { recordChange } from './collection.write.ts';
import { database } from './connect.ts';
import { ownCompany } from './scope.ts';
import { inTransaction, type Tx } from './tx.ts';
import type { CollectionSpec } from './types.ts';
import { valueAt } from './value-at.ts';

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
    const wanted = typeof marker === 'function' ? marker(row._id) : marker;
    if (path.includes('*')) {
      const [top = '', ...inner] = path.split('.');
      // Two paths may lead into one list.
      const before = set[top] ?? row[top];
      const after = marked(before, inner, wanted);
      if (after !== before) set[top] = after;
      continue;
    }
    const value = valueAt(row, path);
    if (value === undefined || JSON.stringify(value) === JSON.stringify(wanted)) continue;
    if (wanted === null) unset[path] = '';
    else set[path] = wanted;
  }
  if (row['masks'] !== undefined && JSON.stringify(row['masks']) !== JSON.stringify(erased(row['masks']))) set['masks'] = erased(row['masks']);
  if (row['blind'] !== undefined) unset['blind'] = '';
  const fields = [...Object.keys(set), ...Object.keys(unset)];
  if (fields.length === 0) return undefined;
  return { fields, update: { $set: { ...set, updatedAt: now() }, $inc: { version: 1 }, ...(Object.keys(unset).length > 0 ? { $unset: unset } : {}) } };
}

/** A value with the marker wherever the path leads; the same one when there is nothing to replace. */
function marked(value: unknown, [head = '', ...rest]: readonly string[], marker: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  const replace = (old: unknown): unknown => (rest.length > 0 ? marked(old, rest, marker) : (marker ?? undefined));
  if (Array.isArray(value)) {
    if (head !== '*') return value;
    const elements = (value as unknown[]).map(replace);
    return elements.some((element, i) => element !== value[i]) ? elements : value;
  }
  const entries = Object.entries(value).map(([key, old]) => [key, head === '*' || head === key ? replace(old) : old] as const);
  if (entries.every(([key, now]) => now === (value as Plain)[key])) return value;
  return Object.fromEntries(entries.filter(([, now]) => now !== undefined));
}

function erased(mask: unknown): unknown {
  if (Array.isArray(mask)) return mask.map(erased);
  if (typeof mask === 'object' && mask !== null) return Object.fromEntries(Object.entries(mask).map(([key, value]) => [key, erased(value)]));
  return ERASED;
}
