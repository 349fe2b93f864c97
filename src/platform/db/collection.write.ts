import mongoose from 'mongoose';
import { now } from '../clock.ts';
import type { Ctx } from '../context.ts';
import { type AppError, conflict, invalid, notFound, stale } from '../errors.ts';
import { newId } from '../ids.ts';
import type { Model } from './collection.ts';
import { insertDocuments } from './commands.ts';
import { assertRealGuard, completeChange, ownCompany } from './scope.ts';
import type { Sealing } from './sealing.ts';
import type { RowSealer, SealedRow, StoredRow } from './sealing.place.ts';
import { timed } from './timed.ts';
import { inTransaction, stateOf, type Tx, type Change } from './tx.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import { indexName, type ChangeOf, type CollectionSpec, type Guard, type Row } from './types.ts';
import { valueAt } from './value-at.ts';

type Plain = Record<string, unknown>;

/** Writing one row at a time; every write needs a Tx and leaves an audit row. */
export interface WriteDoor<T> {
  /** Stores a new row at version 1; 409 `<row>_exists` naming the fields of the broken unique index. */
  insert(tx: Tx, doc: T & { _id?: string }): Promise<Row<T>>;
  /**
   * The only update: one row, this company's, under a guard that must be given. Always version + 1. When nothing
   * matched, re-reads in the same transaction and throws not found, stale, or the guard's own refusal.
   */
  update(tx: Tx, id: string, change: ChangeOf<T>, guard: Guard<T>): Promise<Row<T>>;
  /** Removes one row under a guard; for rows that nothing else refers to. */
  remove(tx: Tx, id: string, guard: Guard<T>): Promise<void>;
}

/** Makes the writing half of a door. */
export function writeDoor<T extends object>(spec: CollectionSpec, model: Model, sealing?: Sealing): WriteDoor<T> {
  const why = async (tx: Tx, id: string, guard: Guard<T>): Promise<AppError> => {
    const row = await timed('find', spec.name, model.collection.findOne({ _id: id as never, companyId: ownCompany(tx) }, { session: stateOf(tx).session }));
    if (!row) return notFound(spec.rowName);
    await sealing?.open([row]);
    return 'version' in guard ? stale(spec.rowName, Number(row['version'])) : guard.otherwise(row as unknown as Row<T>);
  };

  return {
    insert: (tx, doc) =>
      inTransaction(tx, async (session) => {
        const sealer = await sealing?.writer(ownCompany(tx));
        const { stored, shown } = sealedRow(newRow(spec, tx, doc), sealer);
        await model.validate(stored);
        await insertDocuments(spec.name, [stored], session).catch(refuse(spec));
        recordChange(spec, tx, stored._id, 'insert', Object.keys(doc));
        return shown as unknown as Row<T>;
      }),
    update: (tx, id, change, guard) =>
      inTransaction(tx, async (session) => {
        assertBounds(spec, change.$set ?? {});
        const { update: given, fields } = completeChange(change, now());
        const sealer = await sealing?.writer(ownCompany(tx));
        const update = sealer?.change(id, given) ?? given;
        if (sealing && 'where' in guard) sealing.assertFilter(guard.where);
        const asked = model.findOneAndUpdate(guarded(tx, id, guard), update, { session, returnDocument: 'after', lean: true, runValidators: true });
        const found = await timed('findAndModify', spec.name, asked.exec()).catch(refuse(spec));
        if (!found) throw await why(tx, id, guard);
        recordChange(spec, tx, id, 'update', fields);
        await sealing?.open([found], sealer?.made);
        return found as unknown as Row<T>;
      }),
    remove: (tx, id, guard) =>
      inTransaction(tx, async (session) => {
        if (sealing && 'where' in guard) sealing.assertFilter(guard.where);
        const result = await timed('delete', spec.name, model.collection.deleteOne(guarded(tx, id, guard) as never, { session }));
        if (result.deletedCount !== 1) throw await why(tx, id, guard);
        recordChange(spec, tx, id, 'delete', []);
      }),
  };
}

/** A complete new row; refuses fields that belong to the door and arrays over their bound. */
export function newRow(spec: CollectionSpec, ctx: Ctx, doc: object): Plain & { _id: string } {
  const given = doc as Plain;
  if ('companyId' in given || 'version' in given) throw new Error('companyId and version belong to the collection door');
  assertBounds(spec, given);
  const at = now();
  const { _id, ...rest } = given;
  return { _id: typeof _id === 'string' ? _id : newId(), companyId: ownCompany(ctx), version: 1, ...rest, createdAt: at, updatedAt: at };
}

/** A new row as it is stored and as it is answered: one and the same unless its collection seals something. */
export function sealedRow(row: StoredRow, sealer: RowSealer | undefined): SealedRow {
  return sealer ? sealer.row(row) : { stored: row, shown: row };
}

/** 400 `too_many_items` naming the array of a row or of a `$set` that is over its declared bound. */
export function assertBounds(spec: CollectionSpec, doc: Plain): void {
  for (const [path, bound] of Object.entries(spec.bounds ?? {})) {
    const value = doc[path] ?? valueAt(doc, path);
    if (Array.isArray(value) && value.length > bound) {
      throw invalid('too_many_items', `${path} may hold ${bound} items at most`, { fields: [{ path, message: `at most ${bound} items` }] });
    }
  }
}

function guarded<T>(tx: Tx, id: string, guard: Guard<T>): Plain {
  const own = { _id: id, companyId: ownCompany(tx) };
  if ('version' in guard) {
    if (!Number.isSafeInteger(guard.version)) throw new Error('A version guard needs an integer');
    return { ...own, version: guard.version };
  }
  assertRealGuard(guard.where);
  return { $and: [own, guard.where] };
}

/** Adds one change to the transaction's audit list, unless the collection is its own record. */
export function recordChange(spec: CollectionSpec, tx: Tx, rowId: string, action: Change['action'], fields: readonly string[]): void {
  if (spec.audited === false) return;
  if (action === 'update' && fields.every((field) => spec.counters?.includes(field))) return;
  const { actor, companyId, requestId } = tx;
  stateOf(tx).changes.push({ collection: spec.name, rowId, action, fields, actorKind: actor.kind, actorId: actor.id, companyId, requestId });
}

/** Turns a broken unique index into a conflict that names fields, never values; other errors pass. */
export function refuse(spec: CollectionSpec): (error: unknown) => never {
  return (error) => {
    if (isDuplicateKey(error)) throw duplicate(spec, error);
    if (error instanceof mongoose.mongo.MongoServerError && error.code === 121) {
      throw invalid('row_refused', `The ${spec.rowName} breaks a bound of its collection`, undefined);
    }
    throw error;
  };
}

function duplicate(spec: CollectionSpec, error: unknown): AppError {
  const pattern = (error as { keyPattern?: Plain }).keyPattern ?? brokenIndex(spec, error);
  const fields = Object.keys(pattern).filter((k) => k !== 'companyId').map((k) => k.replace(/^blind\./, ''));
  return conflict(`${spec.rowName}_exists`, `Another ${spec.rowName.replaceAll('_', ' ')} has the same ${fields.join(' and ') || 'key'}`, { fields }, error);
}

/** The driver's bulk errors carry no key pattern: the index is then known by its name in the server's message. */
function brokenIndex(spec: CollectionSpec, error: unknown): Plain {
  const name = / index: (\S+) dup key/.exec(error instanceof Error ? error.message : '')?.[1];
  return spec.indexes?.find((index) => indexName(index) === name)?.keys ?? {};
}
