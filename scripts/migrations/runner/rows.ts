import { now } from '../../../src/platform/clock.ts';
import { LEGACY_ROW } from '../../../src/platform/db/migration-state.ts';
import { database } from '../../../src/platform/db/connect.ts';
import type { LegacyDoc } from './takeover.ts';

/** Rows of the former product that match, whole or some fields of them, in the order of their ids. */
export async function legacyRows(collection: string, filter: object, fields?: readonly string[]): Promise<LegacyDoc[]> {
  const projection = fields ? { projection: Object.fromEntries(fields.map((field) => [field, 1])) } : {};
  return (await database().collection(collection).find({ $and: [LEGACY_ROW, filter] }, { sort: { _id: 1 }, batchSize: 2000, ...projection }).toArray()) as LegacyDoc[];
}

/** A text of theirs, trimmed and cut; empty for anything else. */
export function text(value: unknown, max: number): string {
  return typeof value === 'string' ? value.trim().slice(0, max) : '';
}

/** A time of theirs, else the birth that the row's id tells. */
export function when(value: unknown, doc: LegacyDoc): Date {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value;
  const born = doc._id.getTimestamp();
  return born > now() ? now() : born;
}

/** When a row was made and changed last, as ours keep it. */
export function ourTimes(doc: LegacyDoc): { createdAt: Date; updatedAt: Date } {
  const createdAt = when(doc['createdAt'], doc);
  return { createdAt, updatedAt: doc['updatedAt'] === undefined ? createdAt : when(doc['updatedAt'], doc) };
}
