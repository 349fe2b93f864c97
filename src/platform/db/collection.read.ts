import type { Ctx } from '../context.ts';
import { notFound } from '../errors.ts';
import { pageLimit, readCursor, writeCursor, type Page, type PageRequest } from '../pagination.ts';
import type { Model } from './collection.ts';
import { assertReadingPipeline, ownCompany, readScope, scoped } from './scope.ts';
import { type Sealing } from './sealing.ts';
import { timed } from './timed.ts';
import { sessionFor } from './tx.ts';
import type { CollectionSpec, Filter, FindOptions, Row } from './types.ts';

type Plain = Record<string, unknown>;

interface SortBy {
  field: string;
  direction: 1 | -1;
  hint?: string;
}

const NEWEST_FIRST: SortBy = { field: 'createdAt', direction: -1 };

/** Reading: always inside the ctx's company, always in the Tx's session when the ctx is a Tx. */
export interface ReadDoor<T> {
  /** The row with this id, or 404 `<row>_not_found`; another company's row is not found either. */
  get(ctx: Ctx, id: string): Promise<Row<T>>;
  findOne(ctx: Ctx, filter: Filter<T>, options?: Pick<FindOptions<T>, 'fields' | 'sort'>): Promise<Row<T> | undefined>;
  find(ctx: Ctx, filter: Filter<T>, options?: FindOptions<T>): Promise<Row<T>[]>;
  /** One page by keyset, newest first by `sortBy` (default createdAt); 400 for a foreign cursor. */
  list(ctx: Ctx, filter: Filter<T>, request: PageRequest, sortBy?: { field: string; direction: 1 | -1 }): Promise<Page<Row<T>>>;
  /** One page, as `list`, of those among the rows with these ids that match: reads no other row, whatever the filter. */
  listAmong(ctx: Ctx, ids: readonly string[], filter: Filter<T>, request: PageRequest): Promise<Page<Row<T>>>;
  /** How many, counted up to `cap` at most. */
  count(ctx: Ctx, filter: Filter<T>, cap?: number): Promise<number>;
  /** Runs a reading pipeline over the company's rows only. */
  aggregate<R extends object>(ctx: Ctx, pipeline: readonly object[]): Promise<R[]>;
  /** Walks all matching rows in batches; for checks and rebuilds, not for requests. */
  each(ctx: Ctx, filter: Filter<T>, options?: FindOptions<T>): AsyncIterable<Row<T>>;
  /** The part of a filter that finds rows by a sealed value, in any spelling of it: the company's, or everybody's where it is declared so. */
  blind(ctx: Ctx, name: string, value: string): Filter<T>;
}

/** Makes the reading half of a door. */
export function readDoor<T extends object>(spec: CollectionSpec, model: Model, sealing?: Sealing): ReadDoor<T> {
  const rows = () => model.collection;
  const read = <V>(sent: Promise<V>): Promise<V> => timed('find', spec.name, sent);
  const projection = (fields: FindOptions<T>['fields']) => {
    const names = fields?.map(String);
    return names && Object.fromEntries((sealing?.projection(names) ?? names).map((f) => [f, 1]));
  };
  const wish = (ctx: Ctx, filter: object): Plain => {
    sealing?.assertFilter(filter);
    return scoped(readScope(spec, ctx), filter);
  };
  const opened = async (found: Plain[]): Promise<Row<T>[]> => {
    if (sealing) await sealing.open(found);
    return found as unknown as Row<T>[];
  };
  const cursor = (ctx: Ctx, filter: object, options: FindOptions<T> & { hint?: string } = {}) => {
    const session = sessionFor(ctx);
    let found = rows().find(wish(ctx, filter), { session, projection: projection(options.fields), batchSize: 2000 });
    if (options.sort) found = found.sort(options.sort);
    if (options.limit !== undefined) found = found.limit(options.limit);
    if (options.hint !== undefined) found = found.hint(options.hint);
    return found;
  };
  const page = async (ctx: Ctx, filter: object, request: PageRequest, { field, direction, hint }: SortBy): Promise<Page<Row<T>>> => {
    const limit = pageLimit(request);
    const after = request.cursor === undefined ? {} : afterPlace(field, direction, request.cursor);
    const narrowed = request.cursor === undefined ? filter : { $and: [filter, after] };
    const found = await read(cursor(ctx, narrowed, { sort: { [field]: direction, _id: direction }, limit: limit + 1, ...(hint === undefined ? {} : { hint }) }).toArray());
    const data = await opened(found.slice(0, limit));
    const last = data.at(-1) as (Plain & { _id: string }) | undefined;
    return { data, nextCursor: found.length > limit && last ? writeCursor({ at: placeValue(last[field]), id: last._id }) : null };
  };

  return {
    async get(ctx, id) {
      const row = await read(rows().findOne(scoped(readScope(spec, ctx), { _id: id }), { session: sessionFor(ctx) }));
      const [found] = await opened(row ? [row] : []);
      if (!found) throw notFound(spec.rowName);
      return found;
    },
    async findOne(ctx, filter, options = {}) {
      const row = await read(
        rows().findOne(wish(ctx, filter), {
          session: sessionFor(ctx),
          projection: projection(options.fields),
          ...(options.sort ? { sort: options.sort } : {}),
        }),
      );
      return (await opened(row ? [row] : []))[0];
    },
    async find(ctx, filter, options) {
      return opened(await read(cursor(ctx, filter, options).toArray()));
    },
    list: (ctx, filter, request, sortBy = NEWEST_FIRST) => page(ctx, filter, request, sortBy),
    // Without the hint the planner may walk along the list instead, past every row that the filter refuses.
    listAmong: (ctx, ids, filter, request) => page(ctx, { $and: [{ _id: { $in: ids } }, filter] }, request, { ...NEWEST_FIRST, hint: '_id_' }),
    async count(ctx, filter, cap = 10_000) {
      return timed('aggregate', spec.name, rows().countDocuments(wish(ctx, filter), { session: sessionFor(ctx), limit: cap }));
    },
    async aggregate<R extends object>(ctx: Ctx, pipeline: readonly object[]) {
      assertReadingPipeline(pipeline);
      sealing?.assertFilter(pipeline);
      const scope = readScope(spec, ctx);
      const stages = Object.keys(scope).length > 0 ? [{ $match: scope }, ...pipeline] : [...pipeline];
      const results = (await timed('aggregate', spec.name, rows().aggregate(stages as Plain[], { session: sessionFor(ctx) }).toArray())) as R[];
      sealing?.hide(results);
      return results;
    },
    async *each(ctx, filter, options) {
      const found = cursor(ctx, filter, options);
      await read(found.hasNext());
      for await (const row of found) yield* await opened([row]);
    },
    blind(ctx, name, value) {
      if (!sealing) throw new Error(`${spec.name} has no blind index ${name}`);
      return sealing.blind(() => ownCompany(ctx), name, value) as Filter<T>;
    },
  };
}

function placeValue(value: unknown): number | string {
  if (value instanceof Date) return value.getTime();
  return typeof value === 'number' ? value : String(value);
}

/** `field <= at` lets the index seek; the $or then drops what the page before has shown. */
function afterPlace(field: string, direction: 1 | -1, cursor: string): Plain {
  const place = readCursor(cursor);
  const at = field.endsWith('At') && typeof place.at === 'number' ? new Date(place.at) : place.at;
  const [reach, beyond] = direction === -1 ? ['$lte', '$lt'] : ['$gte', '$gt'];
  return { [field]: { [reach]: at }, $or: [{ [field]: { [beyond]: at } }, { _id: { [beyond]: place.id } }] };
}
