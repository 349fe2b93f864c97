import { PLATFORM_COMPANY_ID, type Ctx } from '../context.ts';
import { isId } from '../ids.ts';
import type { CollectionSpec } from './types.ts';

type Plain = Record<string, unknown>;

const FORBIDDEN_OPERATORS = new Set(['$where', '$function', '$accumulator', '$text', '$jsonSchema']);

/** Refuses filters that run code, and undefined values, which the driver would drop and so widen the filter. */
export function assertSafeFilter(filter: unknown, path = 'filter'): void {
  if (filter === undefined) throw new Error(`${path} is undefined: a forgotten value must not widen a filter`);
  if (filter === null || typeof filter !== 'object' || filter instanceof Date || filter instanceof RegExp) return;
  if (Array.isArray(filter)) {
    for (const item of filter) assertSafeFilter(item, `${path}[]`);
    return;
  }
  for (const key in filter) {
    if (FORBIDDEN_OPERATORS.has(key)) throw new Error(`${path}.${key} is not allowed`);
    assertSafeFilter((filter as Plain)[key], `${path}.${key}`);
  }
}

/** Refuses a condition that every row meets, such as `{}` or `{ $or: [{}] }`: it would guard nothing. */
export function assertRealGuard(where: object): void {
  if (holdsAlways(where)) throw new Error('An empty guard guards nothing');
  assertSafeFilter(where, 'guard');
}

function holdsAlways(condition: unknown): boolean {
  if (condition === null || typeof condition !== 'object') return false;
  return Object.entries(condition).every(([key, value]) => {
    if (!Array.isArray(value)) return false;
    return (key === '$and' && value.every(holdsAlways)) || (key === '$or' && value.some(holdsAlways));
  });
}

/** The company condition of a read: own rows, own and the platform's for shared collections, none across companies. */
export function readScope(spec: CollectionSpec, ctx: Ctx): Plain {
  if (ctx.across !== undefined) return {};
  if (spec.scope === 'shared') return { companyId: { $in: [ctx.companyId, PLATFORM_COMPANY_ID] } };
  return { companyId: ownCompany(ctx) };
}

/** The company of a write: always exactly one, also for staff. */
export function ownCompany(ctx: Ctx): string {
  if (!isId(ctx.companyId)) throw new Error('This context has no company');
  return ctx.companyId;
}

/** Joins scope and wish with $and, so that a wish can narrow the scope and never widen it. */
export function scoped(scope: Plain, filter: object): Plain {
  assertSafeFilter(filter);
  if (Object.keys(scope).length === 0) return filter as Plain;
  const { $or: branches, ...rest } = filter as { $or?: unknown };
  // Only below an outermost $or does the server use partial indexes, so the scope goes into each branch.
  if (Array.isArray(branches) && branches.length > 0 && Object.keys(rest).length === 0) {
    return { $or: branches.map((branch: unknown) => ({ $and: [scope, branch] })) };
  }
  for (const key in filter) if (key in scope || key.startsWith('$')) return { $and: [scope, filter] };
  return { ...scope, ...filter };
}

const OWNED_BY_THE_DOOR = /^(?:_id|companyId|version|createdAt|updatedAt)(?:\.|$)/;
const OPERATORS = new Set(['$set', '$unset', '$inc', '$push', '$pull', '$addToSet', '$min', '$max']);

/** Refuses paths that belong to the door or are no fields. */
export function assertOwnFields(paths: readonly string[]): void {
  for (const path of paths) {
    if (OWNED_BY_THE_DOOR.test(path)) throw new Error(`${path} belongs to the collection door`);
    if (path.startsWith('$')) throw new Error(`${path} is not a field`);
  }
}

/** Checks a change and adds what every change does: version + 1 and the time. Answers the names of changed fields. */
export function completeChange(change: object, at: Date): { update: Plain; fields: string[] } {
  const update: Record<string, Plain> = {};
  const fields: string[] = [];
  for (const [operator, body] of Object.entries(change) as [string, Plain | undefined][]) {
    if (!OPERATORS.has(operator)) throw new Error(`A change uses operators only, not ${operator}`);
    if (body === undefined) continue;
    const entries = Object.entries(body).filter(([, value]) => value !== undefined);
    if (entries.length === 0) continue;
    const paths = entries.map(([path]) => path);
    assertOwnFields(paths);
    fields.push(...paths);
    update[operator] = Object.fromEntries(entries);
  }
  update['$inc'] = { ...update['$inc'], version: 1 };
  update['$set'] = { ...update['$set'], updatedAt: at };
  return { update, fields };
}

const WRITING_STAGES = /"\$(?:out|merge|lookup|graphLookup|unionWith|function|where)"/;

/** Refuses pipelines that write, leave the collection, run code, or hold undefined values. */
export function assertReadingPipeline(pipeline: readonly object[]): void {
  assertSafeFilter(pipeline, 'pipeline');
  const found = WRITING_STAGES.exec(JSON.stringify(pipeline));
  if (found) throw new Error(`${found[0]} is not allowed in an aggregate`);
}
