import type mongoose from 'mongoose';
import { isId, newId } from '../../src/platform/ids.ts';

type Plain = Record<string, unknown>;
type Db = mongoose.mongo.Db;

/** One statement as it was sent, and how often its shape was. */
export interface Statement {
  collection: string;
  shape: string;
  command: Plain;
}

const PARTS: Record<string, readonly string[]> = {
  find: ['find', 'filter', 'sort', 'projection', 'limit', 'skip', 'hint', 'collation'],
  aggregate: ['aggregate', 'pipeline', 'hint', 'collation'],
  count: ['count', 'query', 'limit', 'skip', 'hint'],
  distinct: ['distinct', 'key', 'query'],
  findAndModify: ['findAndModify', 'query', 'sort', 'update', 'fields', 'upsert', 'new', 'remove', 'arrayFilters', 'hint'],
};

/** The statements of one command that look something up; writes come apart into their parts. */
export function statementsOf(name: string, body: Readonly<Plain>): Statement[] {
  const collection = body[name];
  if (typeof collection !== 'string') return [];
  const made = (command: Plain): Statement => ({ collection, command, shape: `${name} ${collection} ${shapeOf(command)}` });
  if (name === 'update' || name === 'delete') {
    const list = body[`${name}s`] as Plain[];
    return list.map((one) => made({ [name]: collection, [`${name}s`]: [one] }));
  }
  const parts = PARTS[name];
  if (!parts) return [];
  const command = Object.fromEntries(parts.flatMap((part) => (body[part] === undefined ? [] : [[part, body[part]]])));
  return [made(name === 'aggregate' ? { ...command, cursor: {} } : command)];
}

/** A command with its values left out. */
function shapeOf(value: unknown): string {
  if (Array.isArray(value)) return `[${[...new Set(value.map(shapeOf))].join()}]`;
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return '?';
  return `{${Object.entries(value).map(([key, inner]) => `${key}:${shapeOf(inner)}`).join()}}`;
}

export interface Explained {
  stages: Set<string>;
  docsExamined: number;
  returned: number;
}

/** Runs the statement under explain, without its effect. `returned` counts what a write matched and what a count counted. */
export async function explain(db: Db, { command }: Statement): Promise<Explained> {
  const answer = (await db.command({ explain: command, verbosity: 'executionStats' })) as Plain;
  const [first] = (answer['stages'] as { $cursor?: Plain }[] | undefined) ?? [];
  const stats = (first?.$cursor ?? answer)['executionStats'] as Plain;
  const stages = new Set<string>();
  let matched = Number(stats['nReturned']);
  const counts = JSON.stringify(command['pipeline'] ?? '').includes('"$group"') || 'count' in command;
  const walk = (stage: Plain): void => {
    const name = String(stage['stage']);
    stages.add(name);
    for (const figure of ['nMatched', 'nWouldModify', 'nWouldDelete', 'nWouldUpsert', 'nCounted']) matched = Math.max(matched, Number(stage[figure] ?? 0));
    if (counts) matched = Math.max(matched, Number(stage['nReturned'] ?? 0));
    for (const inner of [stage['inputStage'], stage['outerStage'], stage['innerStage'], ...((stage['inputStages'] as Plain[] | undefined) ?? [])]) {
      if (inner) walk(inner as Plain);
    }
  };
  walk(stats['executionStages'] as Plain);
  return { stages, docsExamined: Number(stats['totalDocsExamined']), returned: matched };
}

/** Adds `n` copies of a row for its own company and for another one, a second older each, unique fields made different. */
export async function multiply(db: Db, name: string, row: Plain, n: number, otherCompany: string): Promise<void> {
  const unique = (await db.collection(name).indexes()).filter((index) => index.unique).map((index) => Object.keys(index.key));
  const copies = Array.from({ length: n }, (_, i) => {
    const copy = structuredClone(row);
    const id = String(row['_id']);
    copy['_id'] = isId(id) ? newId() : `${id}~${i}`;
    if (i % 2 === 1 && 'companyId' in copy) copy['companyId'] = otherCompany;
    for (const field of ['createdAt', 'at', 'runAt']) if (copy[field] instanceof Date) copy[field] = new Date(copy[field].getTime() - (i + 1) * 1000);
    for (const fields of unique) {
      const field = fields.find((f) => f !== 'companyId' && f !== '_id' && read(copy, f) !== undefined);
      if (field !== undefined) write(copy, field, changed(read(copy, field), i));
    }
    return copy;
  });
  // Where there can be only one of a company, copies collide and are left out.
  await db
    .collection(name)
    .insertMany(copies as never, { ordered: false, bypassDocumentValidation: true })
    .catch((error: { code?: number }) => {
      if (error.code !== 11000) throw error;
    });
}

function changed(value: unknown, i: number): unknown {
  if (typeof value === 'number') return value + i + 1;
  if (value instanceof Date) return new Date(value.getTime() - (i + 1) * 1000);
  return isId(value) ? newId() : `${String(value)}~${i}`;
}

function read(row: Plain, path: string): unknown {
  return path.split('.').reduce<unknown>((at, key) => (at as Plain | undefined)?.[key], row);
}

function write(row: Plain, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const holder = keys.reduce<unknown>((at, key) => (at as Plain)[key], row) as Plain;
  holder[last] = value;
}
