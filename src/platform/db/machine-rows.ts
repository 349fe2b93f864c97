import mongoose from 'mongoose';
import { database } from './connect.ts';
import { timed } from './timed.ts';
import { openTransaction } from './tx.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import type { IndexSpec } from './types.ts';

type MongoCollection<R extends { _id: string }> = mongoose.mongo.Collection<R>;
type MongoFilter<R> = mongoose.mongo.Filter<R>;
type MongoUpdate<R> = mongoose.mongo.UpdateFilter<R>;

/**
 * Everybody who may use the second door, and for what. These rows are not business facts: each write is one atomic
 * command on one row, or an unordered bulk that ignores duplicates, which no transaction allows.
 */
export const MACHINE_ROWS = {
  number_blocks: 'order numbers and AWB serials leased in blocks',
  jobs: 'leases, heartbeats and outcomes of background work',
  outbox: 'delivery marks of events',
  audit: 'read side of the audit log, its retention, and the digests that its chain takes off linked rows',
  audit_pending: 'digests that releases before decision 071 left, until they are linked',
  audit_chain: 'links over the audit rows, made after the commit',
  audit_heads: 'the end of the audit chain',
  security_events: 'retention of old events',
  mails: 'retention of the mail log',
  import_faults: 'retention of listed faults',
  idempotency: 'answers of refused requests, and their look-up',
  schedules: 'one run of each tick across instances',
  throttles: 'counters of sign-in attempts',
  address_refusals: 'counters of calls without sign-in that limits refused',
  sessions: 'session slots and refresh rotation',
  one_time_tokens: 'single use of verification and reset tokens',
  scans: 'courier scans appended in bulk, repeats ignored',
  scan_batches: 'which shipments have new scans that wait for their fold',
  import_rows: 'rows of an import file waiting for their batch',
  mailbox: 'the development mailbox',
  oauth_states: 'sign-ins with Google that are under way, each taken once',
  raw_events: 'inbound events as they came',
  api_key_uses: 'when an API key was last used, at most once a minute',
} as const;

export type MachineRowsName = keyof typeof MACHINE_ROWS;

/** The second, small door: no Tx, no audit, atomic commands only. Throws inside an open transaction. */
export interface MachineRows<R extends { _id: string }> {
  readonly name: MachineRowsName;
  insert(row: R): Promise<void>;
  /** Stores what is new and ignores what is there; answers the ids that were new. */
  insertNew(rows: readonly R[]): Promise<Set<string>>;
  findOne(filter: MongoFilter<R>, options?: { sort?: Record<string, 1 | -1> }): Promise<R | undefined>;
  find(filter: MongoFilter<R>, options?: { sort?: Record<string, 1 | -1>; limit?: number; fields?: readonly string[] }): Promise<R[]>;
  each(filter: MongoFilter<R>, options?: { sort?: Record<string, 1 | -1>; fields?: readonly string[] }): AsyncIterable<R>;
  count(filter: MongoFilter<R>, cap?: number): Promise<number>;
  /** One atomic change of one row; answers the row afterwards, or undefined when none matched. */
  change(filter: MongoFilter<R>, update: MongoUpdate<R>, options?: { sort?: Record<string, 1 | -1>; upsert?: boolean }): Promise<R | undefined>;
  changeAll(filter: MongoFilter<R>, update: MongoUpdate<R>): Promise<number>;
  remove(filter: MongoFilter<R>): Promise<number>;
}

const registered = new Map<MachineRowsName, readonly IndexSpec[]>();

/** Declares the one user of a machine-row collection; refuses names that `MACHINE_ROWS` does not list. */
export function machineRows<R extends { _id: string }>(name: MachineRowsName, indexes: readonly IndexSpec[] = []): MachineRows<R> {
  if (!Object.hasOwn(MACHINE_ROWS, name)) throw new Error(`${name} is not a listed machine-row collection`);
  registered.set(name, [...(registered.get(name) ?? []), ...indexes]);
  const rows = (): MongoCollection<R> => {
    if (openTransaction.current()?.open) throw new Error(`Machine rows (${name}) cannot be touched inside a transaction`);
    const db = database();
    return db.collection<R>(name);
  };
  const cursor = (filter: MongoFilter<R>, options: { sort?: Record<string, 1 | -1>; limit?: number; fields?: readonly string[] } = {}) => {
    let found = rows().find(filter, {
      batchSize: 2000,
      ...(options.fields ? { projection: Object.fromEntries(options.fields.map((f) => [f, 1])) } : {}),
    });
    if (options.sort) found = found.sort(options.sort);
    if (options.limit !== undefined) found = found.limit(options.limit);
    return found;
  };

  return {
    name,
    async insert(row) {
      await timed('insert', name, rows().insertOne(row as never));
    },
    async insertNew(given) {
      if (given.length === 0) return new Set();
      const refused = new Set<number>();
      await timed('insert', name, rows().insertMany(given as never, { ordered: false })).catch((error: unknown) => {
        if (!(error instanceof mongoose.mongo.MongoBulkWriteError)) throw error;
        for (const failure of [error.writeErrors].flat()) {
          if (failure.code !== 11000) throw error;
          refused.add(failure.index);
        }
      });
      return new Set(given.filter((_, i) => !refused.has(i)).map((row) => row._id));
    },
    async findOne(filter, options = {}) {
      return ((await timed('find', name, rows().findOne(filter, options))) as R | null) ?? undefined;
    },
    async find(filter, options) {
      return (await timed('find', name, cursor(filter, options).toArray())) as unknown as R[];
    },
    async *each(filter, options) {
      const found = cursor(filter, options);
      await timed('find', name, found.hasNext());
      for await (const row of found) yield row as unknown as R;
    },
    async count(filter, cap = 10_000) {
      return timed('aggregate', name, rows().countDocuments(filter, { limit: cap }));
    },
    async change(filter, update, options = {}) {
      for (let attempt = 0; ; attempt += 1) {
        try {
          return ((await timed('findAndModify', name, rows().findOneAndUpdate(filter, update, { returnDocument: 'after', ...options }))) as R | null) ?? undefined;
        } catch (error) {
          // Two upserts of one key at once: the loser's second try finds the winner's row.
          if (!(options.upsert && isDuplicateKey(error)) || attempt > 2) throw error;
        }
      }
    },
    async changeAll(filter, update) {
      return (await timed('update', name, rows().updateMany(filter, update))).modifiedCount;
    },
    async remove(filter) {
      return (await timed('delete', name, rows().deleteMany(filter))).deletedCount;
    },
  };
}

/** Every machine-row collection with its indexes. */
export function declaredMachineRows(): { name: string; indexes: readonly IndexSpec[] }[] {
  return (Object.keys(MACHINE_ROWS) as MachineRowsName[]).map((name) => ({ name, indexes: registered.get(name) ?? [] }));
}
