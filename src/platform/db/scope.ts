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
  for (const key in filter) if (key in scope || key.startsWith('$')) return { $and: [scope, filter] };
  return { ...scope, ...filter };
}

const OWNED_BY_THE_DOOR = /^(?:_id|companyId|version|createdAt|updatedAt)(?:\.|$)/;
const OPERATORS = new Set(['$set', '$unset', '$inc', '$push', '$pull', '$addToSet', '$min', '$max']);

/** Checks a change and adds what every change does: version + 1 and the time. Answers the names of changed fields. */
export function completeChange(change: object, at: Date): { update: Plain; fields: string[] } {
  const update: Record<string, Plain> = {};
  const fields: string[] = [];
  for (const [operator, body] of Object.entries(change) as [string, Plain | undefined][]) {
    if (!OPERATORS.has(operator)) throw new Error(`A change uses operators only, not ${operator}`);
    if (body === undefined) continue;
    const entries = Object.entries(body).filter(([, value]) => value !== undefined);
    if (entries.length === 0) continue;
    for (const [path] of entries) {
      if (OWNED_BY_THE_DOOR.test(path)) throw new Error(`${path} belongs to the collection door`);
      if (path.startsWith('$')) throw new Error(`${path} is not a field`);
      fields.push(path);
    }
    update[operator] = Object.fromEntries(entries);
  }
  update['$inc'] = { ...update['$inc'], version: 1 };
  update['$set'] = { ...update['$set'], updatedAt: at };
  return { update, fields };
}

const WRITING_STAGES = /"\$(?:out|merge|lookup|graphLookup|unionWith|function|where)"/;

/** Refuses pipelines that write, leave the collection, or run code. */
export function assertReadingPipeline(pipeline: readonly object[]): void {
  const found = WRITING_STAGES.exec(JSON.stringify(pipeline));
  if (found) throw new Error(`${found[0]} is not allowed in an aggregate`);
}
