import { now } from '../clock.ts';
import { newId } from '../ids.ts';
import { insertDocuments, updateDocuments, type UpdateStatement } from './commands.ts';
import { assertBounds, newRow, recordChange, refuse, sealedRow } from './collection.write.ts';
import { assertOwnFields, assertSafeFilter, completeChange, ownCompany } from './scope.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import type { Sealing } from './sealing.ts';
import type { RowSealer } from './sealing.place.ts';
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
export function bulkDoor<T extends object>(spec: CollectionSpec, sealing?: Sealing): BulkDoor<T> {
  return {
    async insertMany(tx, items) {
      if (items.length === 0) return [];
      return inTransaction(tx, async (session) => {
        for (const item of items) assertSameTransaction(tx, item.tx);
        const sealers = await sealersOf(sealing, items.map((item) => item.tx));
        const rows = items.map((item) => sealedRow(newRow(spec, item.tx, item.doc), sealers?.get(item.tx.companyId)));
        await insertDocuments(spec.name, rows, session).catch(refuse(spec));
        items.forEach((item, i) => recordChange(spec, item.tx, rows[i]?._id ?? '', 'insert', Object.keys(item.doc)));
        if (sealers) await sealing?.open(rows, new Map([...sealers.values()].flatMap((sealer) => [...sealer.made])));
        return rows as unknown as Row<T>[];
      });
    },
    async changeMany(tx, changes) {
      if (changes.length === 0) return;
      await inTransaction(tx, async (session) => {
        for (const change of changes) assertSameTransaction(tx, change.tx ?? tx);
        const sealers = await sealersOf(sealing, changes.map((change) => change.tx ?? tx));
        for (const { match, where } of sealing ? changes : []) sealing?.assertFilter([match, where ?? {}]);
        const statements = changes.map((change) => statement(spec, { tx: change.tx ?? tx, sealer: sealers?.get((change.tx ?? tx).companyId) }, change));
        const touched = await updateDocuments(spec.name, statements, session).catch((error: unknown) => {
          if (isDuplicateKey(error)) throw new BatchConflict(spec.name);
          return refuse(spec)(error);
        });
        if (touched !== changes.length) throw new BatchConflict(spec.name);
      });
    },
  };
}

/** One for each company of a bulk; none when the collection seals nothing. */
async function sealersOf(sealing: Sealing | undefined, txs: readonly Tx[]): Promise<Map<string, RowSealer> | undefined> {
  if (!sealing) return undefined;
  const sealers = new Map<string, RowSealer>();
  for (const tx of txs) if (!sealers.has(tx.companyId)) sealers.set(tx.companyId, await sealing.writer(ownCompany(tx)));
  return sealers;
}

/** A Tx of `for` belongs to the same transaction; one of another transaction would write audit rows there. */
function assertSameTransaction(tx: Tx, other: Tx): void {
  if (stateOf(other) !== stateOf(tx)) throw new Error('A bulk has one transaction: make the Tx of each item with tx.for');
}

function statement<T>(spec: CollectionSpec, { tx, sealer }: { tx: Tx; sealer: RowSealer | undefined }, { match, where, change, orInsert }: BulkChange<T>): UpdateStatement {
  assertSafeFilter(match, 'match');
  if (Object.keys(match).length === 0) throw new Error('A bulk change must say which row');
  if (where) assertSafeFilter(where, 'where');
  assertBounds(spec, change.$set ?? {});
  const at = now();
  const { update: given, fields } = completeChange(change, at);
  const known = (match as Plain)['_id'];
  const update = sealer ? sealer.change(typeof known === 'string' ? known : undefined, given) : given;
  const own = { companyId: ownCompany(tx), ...(match as Plain) };
  if ((own as Plain)['companyId'] !== tx.companyId) throw new Error('A bulk change cannot name a company');
  const filter = where ? { $and: [own, where] } : own;
  recordChange(spec, tx, auditedId(spec, match as Plain), 'update', fields);
  if (!orInsert) return { q: filter, u: update };
  assertOwnFields(Object.keys(orInsert));
  const born = sealedRow({ ...orInsert, _id: typeof known === 'string' ? known : newId() }, sealer);
  return { q: filter, u: { ...update, $setOnInsert: { ...born, createdAt: at } }, upsert: true };
}

/** The audit log names rows by id: the fields of another key may be personal (a phone), and it never shows values. */
function auditedId(spec: CollectionSpec, match: Plain): string {
  if (spec.audited === false) return '';
  if (typeof match['_id'] !== 'string') throw new Error(`Rows of ${spec.name} are audited: a bulk change names them by _id`);
  return match['_id'];
}
