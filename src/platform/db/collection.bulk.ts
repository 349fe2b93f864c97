import { now } from '../clock.ts';
import type { Ctx } from '../context.ts';
import { newId } from '../ids.ts';
import { insertDocuments, updateDocuments, type UpdateStatement } from './commands.ts';
import { assertBounds, newRow, recordChange, refuse, sealedRow } from './collection.write.ts';
import { assertOwnFields, assertSafeFilter, completeChange, ownCompany } from './scope.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import { dataErased } from './keyring.ts';
import type { Sealing } from './sealing.ts';
import type { RowSealer, StoredRow } from './sealing.place.ts';
import { inTransaction, stateOf, type Tx } from './tx.ts';
import type { BulkChange, CollectionSpec, Row, RowRef } from './types.ts';

type Plain = Record<string, unknown>;

/** Thrown when a merged command did not touch every row it meant to: re-read, decide again. */
export class BatchConflict extends Error {
  constructor(collection: string) {
    super(`A guarded bulk on ${collection} met a changed row`);
    this.name = 'BatchConflict';
  }
}

/** An insert of a bulk: on whose behalf (lanes carry many askers in one Tx), and what, or the row that was made of it. */
export type BulkInsert<T> = { tx: Tx; doc: T & { _id?: string }; made?: never } | { tx: Tx; made: MadeRow<T>; doc?: never };

/** A row that waits to be stored, made by `makeMany`: complete and sealed. */
export interface MadeRow<T> {
  /** What its insert answers. */
  readonly row: Row<T>;
}

/** What is stored of a made row, and the names for the audit log. */
interface Made {
  spec: CollectionSpec;
  stored: StoredRow;
  fields: readonly string[];
  /** What sealed it, when its collection seals something. */
  keys: RowSealer['keys'] | undefined;
}

const madeRows = new WeakMap<MadeRow<unknown>, Made>();

/** Few, merged commands for lanes and imports; the same scope, version, bounds and audit as single writes. */
export interface BulkDoor<T> {
  /**
   * Makes rows as `insertMany` would, before there is a transaction: sealing is most of what an insert costs here. They are
   * stored only while the same keys seal: 409 `data_erased` or `BatchConflict` else.
   */
  makeMany(items: readonly { ctx: Ctx; doc: T & { _id?: string } }[]): Promise<MadeRow<T>[]>;
  /** Stores many rows with one command, each for its own asker; the server's validator is the schema here. */
  insertMany(tx: Tx, items: readonly BulkInsert<T>[]): Promise<Row<T>[]>;
  /**
   * Changes many rows with one command, each under its guard. All or nothing: throws `BatchConflict` when a row did
   * not match. Answers nothing; read again if the new values matter.
   */
  changeMany(tx: Tx, changes: readonly BulkChange<T>[]): Promise<void>;
}

/** Makes the bulk half of a door. */
export function bulkDoor<T extends object>(spec: CollectionSpec, sealing?: Sealing): BulkDoor<T> {
  const makeMany: BulkDoor<T>['makeMany'] = async (items) => {
    const sealers = await sealersOf(sealing, items.map((item) => item.ctx));
    return items.map(({ ctx, doc }) => {
      const sealer = sealers?.get(ctx.companyId);
      const { stored, shown } = sealedRow(newRow(spec, ctx, doc), sealer);
      return madeRow(spec, { stored, row: shown as unknown as Row<T>, fields: Object.keys(doc), keys: sealer?.keys });
    });
  };

  return {
    makeMany,
    async insertMany(tx, items) {
      if (items.length === 0) return [];
      return inTransaction(tx, async (session) => {
        for (const item of items) assertSameTransaction(tx, item.tx);
        const fresh = await makeMany(items.flatMap((item) => (item.made ? [] : [{ ctx: item.tx, doc: item.doc }])));
        const rows = items.map((item) => storing(spec, item.tx, item.made ?? fresh.shift()));
        const sealers = await sealersOf(sealing, items.map((item) => item.tx));
        for (const row of rows) assertSealsStill(spec, row, sealers?.get(row.tx.companyId)?.keys);
        await insertDocuments(spec.name, rows.map(({ stored }) => stored), session).catch(refuse(spec));
        for (const { tx, stored, fields } of rows) recordChange(spec, tx, stored._id, 'insert', fields);
        return rows.map(({ row }) => row);
      });
    },
    async changeMany(tx, changes) {
      if (changes.length === 0) return;
      await inTransaction(tx, async (session) => {
        for (const change of changes) assertSameTransaction(tx, change.tx ?? tx);
        const sealers = await sealersOf(sealing, changes.map((change) => change.tx ?? tx));
        for (const { match, where } of sealing ? changes : []) sealing?.assertFilter([match ?? {}, where ?? {}]);
        const at = now();
        const statements = changes.map((change) => statement(spec, { tx: change.tx ?? tx, at, sealer: sealers?.get((change.tx ?? tx).companyId) }, change));
        const touched = await updateDocuments(spec.name, sealers ? statements.map(single) : together(statements), session).catch((error: unknown) => {
          if (isDuplicateKey(error)) throw new BatchConflict(spec.name);
          return refuse(spec)(error);
        });
        if (touched !== changes.length) throw new BatchConflict(spec.name);
      });
    },
  };
}

/** One for each company of a bulk; none when the collection seals nothing. */
async function sealersOf(sealing: Sealing | undefined, askers: readonly Ctx[]): Promise<Map<string, RowSealer> | undefined> {
  if (!sealing) return undefined;
  const sealers = new Map<string, RowSealer>();
  for (const ctx of askers) if (!sealers.has(ctx.companyId)) sealers.set(ctx.companyId, await sealing.writer(ownCompany(ctx)));
  return sealers;
}

function madeRow<T>(spec: CollectionSpec, { row, stored, fields, keys }: Pick<Made, 'stored' | 'fields' | 'keys'> & { row: Row<T> }): MadeRow<T> {
  const made = { row };
  madeRows.set(made, { spec, stored, fields, keys });
  return made;
}

/** Rows that were made before are stored only while their keys still seal: one may be destroyed or replaced meanwhile. */
function assertSealsStill(spec: CollectionSpec, { keys }: Made, current: RowSealer['keys'] | undefined): void {
  for (const [purpose, key] of keys ?? []) {
    const now = current?.get(purpose);
    if (!now) throw dataErased();
    if (now !== key) throw new BatchConflict(spec.name);
  }
}

function storing<T>(spec: CollectionSpec, tx: Tx, made: MadeRow<T> | undefined): Made & { tx: Tx; row: Row<T> } {
  const known = made && madeRows.get(made);
  if (!made || known?.spec !== spec || known.stored['companyId'] !== tx.companyId) throw new Error('A made row is stored by its own collection, for its own company');
  return { ...known, tx, row: made.row };
}

/** A Tx of `for` belongs to the same transaction; one of another transaction would write audit rows there. */
function assertSameTransaction(tx: Tx, other: Tx): void {
  if (stateOf(other) !== stateOf(tx)) throw new Error('A bulk has one transaction: make the Tx of each item with tx.for');
}

/** What a change asks of the server; `row` when it names a row that was read before, `asked` what was asked for it. */
type Statement = UpdateStatement & { row?: RowRef; under?: Readonly<Record<string, string>> | undefined; asked?: object };

interface Writing {
  tx: Tx;
  /** One time for a whole bulk. */
  at: Date;
  sealer: RowSealer | undefined;
}

function statement<T>(spec: CollectionSpec, { tx, at, sealer }: Writing, { match, row, under, where, change, orInsert }: BulkChange<T>): Statement {
  const named = row ? { _id: row._id } : (match as Plain);
  assertSafeFilter(named, 'match');
  if (Object.keys(named).length === 0) throw new Error('A bulk change must say which row');
  if (where) assertSafeFilter(where, 'where');
  assertBounds(spec, change.$set ?? {});
  const { update: given, fields } = completeChange(change, at);
  const known = named['_id'];
  const update = sealer ? sealer.change(typeof known === 'string' ? known : undefined, given) : given;
  const own: Plain = { companyId: ownCompany(tx), ...named };
  if (own['companyId'] !== tx.companyId || (row && row.companyId !== tx.companyId)) throw new Error('A bulk change cannot name a company');
  recordChange(spec, tx, auditedId(spec, named), 'update', fields);
  if (under) assertSafeFilter(under, 'under');
  if (row) return { q: where ?? {}, u: update, row, under, asked: [where, change, Object.keys(under ?? {})] };
  const filter = where ? { $and: [own, where] } : own;
  if (!orInsert) return { q: filter, u: update };
  assertOwnFields(Object.keys(orInsert));
  const { stored: born } = sealedRow({ ...orInsert, _id: typeof known === 'string' ? known : newId() }, sealer);
  return { q: filter, u: { ...update, $setOnInsert: { ...born, createdAt: at } }, upsert: true };
}

function single({ row, under, asked: _asked, q, ...rest }: Statement): UpdateStatement {
  return { q: row ? { $and: [{ _id: row._id, companyId: row.companyId }, { ...under }, q] } : q, ...rest };
}

/**
 * Rows with the same guard and the same change under one statement: 92 rows cost the server 1.5 ms instead of 4.4. Each
 * row was read under its own company; the statement names these once more.
 */
function together(statements: readonly Statement[]): UpdateStatement[] {
  const groups = new Map<string, { first: Statement; ids: Set<string>; companies: Set<string>; named: string[] }>();
  const alone: UpdateStatement[] = [];
  for (const each of statements) {
    if (!each.row) {
      alone.push(each);
      continue;
    }
    const key = JSON.stringify(each.asked);
    const group = groups.get(key) ?? { first: each, ids: new Set(), companies: new Set(), named: [] };
    if (group.ids.has(each.row._id)) throw new Error('A row that was read before stands twice in one bulk');
    group.ids.add(each.row._id);
    group.companies.add(each.row.companyId);
    if (each.under) group.named.push([each.row._id, ...Object.values(each.under)].join('|'));
    groups.set(key, group);
  }
  const grouped = [...groups.values()].map(({ first: { q, u, under }, ids, companies, named }) => ({
    q: {
      _id: { $in: [...ids] },
      companyId: { $in: [...companies] },
      // Pair by pair, in one expression: a condition for each row costs the server twice the whole update.
      ...(under ? { $expr: { $in: [{ $concat: namesOf(under) }, { $literal: named }] } } : {}),
      ...(Object.keys(q).length > 0 ? { $and: [q] } : {}),
    },
    u,
    multi: true,
    hint: { _id: 1 },
  }));
  return [...grouped, ...alone];
}

/** A row's id and names as one text; none for a row that lacks one of them. */
function namesOf(under: object): string[] {
  return ['$_id', ...Object.keys(under).flatMap((name) => ['|', `$${name}`])];
}

/** The audit log names rows by id: the fields of another key may be personal (a phone), and it never shows values. */
function auditedId(spec: CollectionSpec, match: Plain): string {
  if (spec.audited === false) return '';
  if (typeof match['_id'] !== 'string') throw new Error(`Rows of ${spec.name} are audited: a bulk change names them by _id`);
  return match['_id'];
}
