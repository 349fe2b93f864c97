import { now } from '../clock.ts';
import { newId } from '../ids.ts';
import { insertDocuments, updateDocuments, type UpdateStatement } from './commands.ts';
import { assertBounds, newRow, recordChange, refuse } from './collection.write.ts';
import { assertOwnFields, assertSafeFilter, completeChange, ownCompany } from './scope.ts';
import { isDuplicateKey } from './transaction.ts';
import { inTransaction, stateOf, type Tx } from './tx.ts';
import type { BulkChange, CollectionSpec, Row } from './types.ts';

type Plain = Record<string, unknown>;

/** Thrown when a merged command did not touch every row it meant to: re-read, decide again. */
export class BatchConflict extends Error {
  constructor(collection: string) {
    super(`A guarded bulk on ${collection} met a changed row`);
    this.name = 'BatchConflict';
  }
}

/** An insert of a bulk: on whose behalf (lanes carry many askers in one Tx), and what. */
export interface BulkInsert<T> {
  tx: Tx;
  doc: T & { _id?: string };
}

/** Few, merged commands for lanes and imports; the same scope, version, bounds and audit as single writes. */
export interface BulkDoor<T> {
  /** Stores many rows with one command, each for its own asker; the server's validator is the schema here. */
  insertMany(tx: Tx, items: readonly BulkInsert<T>[]): Promise<Row<T>[]>;
  /**
   * Changes many rows with one command, each under its guard. All or nothing: throws `BatchConflict` when a row did
   * not match. Answers nothing; read again if the new values matter.
   */
  changeMany(tx: Tx, changes: readonly BulkChange<T>[]): Promise<void>;
}

/** Makes the bulk half of a door. */
export function bulkDoor<T extends object>(spec: CollectionSpec): BulkDoor<T> {
  return {
    async insertMany(tx, items) {
      if (items.length === 0) return [];
      return inTransaction(tx, async (session) => {
        for (const item of items) assertSameTransaction(tx, item.tx);
        const rows = items.map((item) => newRow(spec, item.tx, item.doc));
        await insertDocuments(spec.name, rows, session).catch(refuse(spec));
        items.forEach((item, i) => recordChange(spec, item.tx, rows[i]?._id ?? '', 'insert', Object.keys(item.doc)));
        return rows as unknown as Row<T>[];
      });
    },
    async changeMany(tx, changes) {
      if (changes.length === 0) return;
      await inTransaction(tx, async (session) => {
        for (const change of changes) assertSameTransaction(tx, change.tx ?? tx);
        const statements = changes.map((change) => statement(spec, change.tx ?? tx, change));
        const touched = await updateDocuments(spec.name, statements, session).catch((error: unknown) => {
          if (isDuplicateKey(error)) throw new BatchConflict(spec.name);
          return refuse(spec)(error);
        });
        if (touched !== changes.length) throw new BatchConflict(spec.name);
      });
    },
  };
}

/** A Tx of `for` belongs to the same transaction; one of another transaction would write audit rows there. */
function assertSameTransaction(tx: Tx, other: Tx): void {
  if (stateOf(other) !== stateOf(tx)) throw new Error('A bulk has one transaction: make the Tx of each item with tx.for');
}

function statement<T>(spec: CollectionSpec, tx: Tx, { match, where, change, orInsert }: BulkChange<T>): UpdateStatement {
  assertSafeFilter(match, 'match');
  if (Object.keys(match).length === 0) throw new Error('A bulk change must say which row');
  if (where) assertSafeFilter(where, 'where');
  assertBounds(spec, change.$set ?? {});
  const at = now();
  const { update, fields } = completeChange(change, at);
  const own = { companyId: ownCompany(tx), ...(match as Plain) };
  if ((own as Plain)['companyId'] !== tx.companyId) throw new Error('A bulk change cannot name a company');
  const filter = where ? { $and: [own, where] } : own;
  recordChange(spec, tx, auditedId(spec, match as Plain), 'update', fields);
  if (!orInsert) return { q: filter, u: update };
  assertOwnFields(Object.keys(orInsert));
  return { q: filter, u: { ...update, $setOnInsert: { ...orInsert, _id: (match as Plain)['_id'] ?? newId(), createdAt: at } }, upsert: true };
}

/** The audit log names rows by id: the fields of another key may be personal (a phone), and it never shows values. */
function auditedId(spec: CollectionSpec, match: Plain): string {
  if (spec.audited === false) return '';
  if (typeof match['_id'] !== 'string') throw new Error(`Rows of ${spec.name} are audited: a bulk change names them by _id`);
  return match['_id'];
}
