import { strict as assert } from 'node:assert';
import type mongoose from 'mongoose';
import '../../src/modules.ts';
import { nowMs, useClock } from '../../src/platform/clock.ts';
import { acrossCompanies, inCompany, PLATFORM_COMPANY_ID, type Ctx, type OutsideTx, type Tx } from '../../src/platform/context.ts';
import { fieldNames, type AuditRow } from '../../src/platform/db/audit-seal.ts';
import { declaredCollections, doorOf, type Filter, type Row } from '../../src/platform/db/collection.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { AppError, conflict } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { memberCtx, openHouse, type House } from './house.ts';
import { ENVELOPE, Sealed } from '../../src/platform/db/sealed.ts';
import { put, samplesOf } from './sample-rows.ts';
import './shelf.ts';

type Doc = Record<string, unknown>;
type Stored = Row<Doc>;

/** A row as stored or as read, without what only one of the two shows: masks, blind indexes, envelopes. */
function comparable(row: object | null): unknown {
  const walk = (node: unknown): unknown => {
    if (node instanceof Sealed || (typeof node === 'string' && ENVELOPE.test(node))) return '[sealed]';
    if (Array.isArray(node)) return node.map(walk);
    if (typeof node !== 'object' || node === null || node instanceof Date || Object.getPrototypeOf(node) !== Object.prototype) return node;
    return Object.fromEntries(Object.entries(node).filter(([key]) => key !== 'masks' && key !== 'blind').map(([key, value]) => [key, walk(value)]));
  };
  return walk(row);
}

class Undone extends Error {}
const refusal = (): AppError => conflict('guard_refused', 'The guard refused');

/** Every write of a door, as one that changes or makes one row. */
type Write = (tx: Tx, row: Stored) => Promise<unknown>;

describe('every door', () => {
  let house: House;
  before(async () => {
    house = await openHouse();
  });
  after(() => house.close());

  for (const spec of declaredCollections()) {
    describe(`the door to ${spec.name}`, () => {
      const door = doorOf(spec.name);
      const samples = samplesOf(spec);
      const field = samples.changeable;
      const audited = spec.audited !== false;
      let ctx: OutsideTx;
      let other: OutsideTx;
      let row: Stored;
      /** The same row as the server has it. */
      let raw: Stored | null;
      beforeEach(async () => {
        ctx = memberCtx();
        other = memberCtx();
        row = await add(ctx);
        raw = await stored(row._id);
      });

      const rows = (): mongoose.mongo.Collection<{ _id: string }> => house.db.collection<{ _id: string }>(spec.name);
      /** Where one more row may stand: a collection with one row a company needs another company. */
      const onePerCompany = (spec.indexes ?? []).some((i) => i.unique && Object.keys(i.keys).join() === 'companyId');
      const free = (tx: Tx): Tx => (onePerCompany ? tx.for(inCompany(tx, newId())) : tx);
      const add = async (own: OutsideTx, doc: Doc = samples.fresh()): Promise<Stored> => (await withTransaction(own, async (ctx) => door.insert(ctx, doc))) as Stored;
      const stored = async (id: string): Promise<Stored | null> => (await rows().findOne({ _id: id })) as Stored | null;
      const change = (): object => ({ $set: { [field]: samples.another(field) } });
      const audit = async (own: Ctx): Promise<object[]> =>
        (await house.db.collection('audit').find({ requestId: own.requestId }).sort({ _id: 1 }).toArray()).map((row) => ({ collection: row['collection'], rowId: row['rowId'], action: row['action'], fields: fieldNames(row as unknown as AuditRow) }));

      const writes: Record<string, Write> = {
        insert: (tx) => door.insert(free(tx), samples.fresh()),
        insertMany: (tx) => door.insertMany(tx, [{ tx: free(tx), doc: samples.fresh() }]),
        update: (tx, { _id, version }) => door.update(tx, _id, change(), { version }),
        changeMany: (tx, { _id }) => door.changeMany(tx, [{ match: { _id }, change: change() }]),
        remove: (tx, { _id, version }) => door.remove(tx, _id, { version }),
      };

      it('a new row comes back as it is stored: own company, version 1, both times', async () => {
        assert.deepEqual(comparable(raw), comparable(row));
        assert.deepEqual([row.companyId, row.version, row.createdAt.getTime()], [ctx.companyId, 1, row.updatedAt.getTime()]);
        const doc = samples.fresh();
        const [many] = (await withTransaction(ctx, async (ctx) => door.insertMany(ctx, [{ tx: free(ctx), doc }]))) as Stored[];
        assert(many);
        assert.deepEqual(comparable(await stored(many._id)), comparable(many));
        assert.deepEqual([many.companyId === ctx.companyId, many.version], [!onePerCompany, 1]);
      });

      it('each read shows the own company its row, inside a transaction too', async () => {
        assert.deepEqual(await seen(ctx, row._id), everywhere(row._id));
        assert.deepEqual(await withTransaction(ctx, async (ctx) => seen(ctx, row._id)), everywhere(row._id));
      });

      it('no read shows it to another company; across companies each does', async () => {
        assert.deepEqual(await seen(other, row._id), NOWHERE);
        assert.deepEqual(await seen(inCompany(ctx, other.companyId), row._id), NOWHERE);
        assert.deepEqual(await seen(acrossCompanies(other, 'the test looks'), row._id), everywhere(row._id));
      });

      it(spec.scope === 'shared' ? "the platform's rows are shown to every company, and changed by none" : "the platform's rows are nobody else's", async () => {
        const common = await add(inCompany(ctx, PLATFORM_COMPANY_ID));
        assert.deepEqual(await seen(ctx, common._id), spec.scope === 'shared' ? everywhere(common._id) : NOWHERE);
        await assert.rejects(withTransaction(ctx, async (ctx) => door.update(ctx, common._id, change(), { version: 1 })), { kind: 'not_found' });
      });

      it('no write of another company changes the row', async () => {
        const guard = { where: { version: { $gte: 0 } }, otherwise: refusal };
        const { _id } = row;
        await assert.rejects(withTransaction(other, async (ctx) => door.update(ctx, _id, change(), { version: 1 })), { code: `${spec.rowName}_not_found` });
        await assert.rejects(withTransaction(other, async (ctx) => door.update(ctx, _id, change(), guard)), { code: `${spec.rowName}_not_found` });
        await assert.rejects(withTransaction(other, async (ctx) => door.remove(ctx, _id, { version: 1 })), { code: `${spec.rowName}_not_found` });
        await assert.rejects(withTransaction(other, async (ctx) => door.changeMany(ctx, [{ match: { _id }, change: change() }])), { name: 'BatchConflict' });
        const across = acrossCompanies(other, 'the test tries');
        await assert.rejects(withTransaction(across, async (ctx) => door.update(ctx, _id, change(), { version: 1 })), { code: `${spec.rowName}_not_found` });
        assert.deepEqual(await stored(_id), raw);
      });

      it('each change makes the version one more and moves updatedAt only', async () => {
        house.advance(1_000);
        const once = (await withTransaction(ctx, async (ctx) => door.update(ctx, row._id, change(), { version: 1 }))) as Stored;
        assert.deepEqual([once.version, once.createdAt, once.updatedAt > row.updatedAt], [2, row.createdAt, true]);
        await withTransaction(ctx, async (ctx) => door.changeMany(ctx, [{ match: { _id: row._id }, change: change() }]));
        const twice = await stored(row._id);
        assert.deepEqual([twice?.version, twice?.createdAt], [3, row.createdAt]);
      });

      it('a stale version and a guard that does not hold are refused by name, and nothing changes', async () => {
        const { _id } = row;
        const failing = { where: { version: -1 }, otherwise: refusal };
        await assert.rejects(withTransaction(ctx, async (ctx) => door.update(ctx, _id, change(), { version: 7 })), { kind: 'stale', details: { currentVersion: 1 } });
        await assert.rejects(withTransaction(ctx, async (ctx) => door.update(ctx, _id, change(), failing)), { code: 'guard_refused' });
        await assert.rejects(withTransaction(ctx, async (ctx) => door.remove(ctx, _id, { version: 7 })), { kind: 'stale' });
        await assert.rejects(withTransaction(ctx, async (ctx) => door.remove(ctx, _id, failing)), { code: 'guard_refused' });
        await assert.rejects(withTransaction(ctx, async (ctx) => door.changeMany(ctx, [{ match: { _id }, where: failing.where, change: change() }])), { name: 'BatchConflict' });
        await assert.rejects(withTransaction(ctx, async (ctx) => door.update(ctx, newId(), change(), { version: 1 })), { kind: 'not_found' });
        assert.deepEqual(await stored(_id), raw);
      });

      it(audited ? 'each write leaves one audit row with the names of fields' : 'no write leaves an audit row', async () => {
        for (const [name, write] of Object.entries(writes)) {
          const own = { ...ctx, requestId: `audit-${name}-${newId()}` };
          const current = onePerCompany ? row : await add(ctx);
          await withTransaction(own, async (ctx) => write(ctx, (await stored(current._id)) ?? current));
          const action = name.startsWith('insert') ? 'insert' : name === 'remove' ? 'delete' : 'update';
          const found = await audit(own);
          if (!audited) assert.deepEqual(found, []);
          else {
            const [only] = found as { fields: string[]; rowId: string }[];
            const rowId = action === 'insert' ? only?.rowId : current._id;
            const fields = action === 'insert' ? Object.keys(samples.fresh()) : action === 'update' ? [field] : [];
            assert.deepEqual(found, [{ collection: spec.name, rowId, action, fields }], name);
          }
        }
      });

      for (const name of Object.keys(writes)) {
        it(`what ${name} has written vanishes with its transaction`, async () => {
          const before = await rows().countDocuments({});
          const undone = withTransaction(ctx, async (ctx) => {
            await writes[name]?.(ctx, row);
            throw new Undone();
          });
          await assert.rejects(undone, Undone);
          assert.deepEqual([await rows().countDocuments({}), await stored(row._id)], [before, raw]);
        });
      }

      for (const index of (spec.indexes ?? []).filter((i) => i.unique)) {
        const names = Object.keys(index.keys).filter((k) => k !== 'companyId').map((k) => k.replace(/^blind\./, ''));
        it(`the same ${names.join(' and ')} twice is a conflict that names fields and never values`, async () => {
          const [first, second] = samples.twins(index);
          await (names.length > 0 ? add(ctx, first) : Promise.resolve());
          for (const write of [
            (tx: Tx) => door.insert(tx, second),
            (tx: Tx) => door.insertMany(tx, [{ tx, doc: second }]),
          ]) {
            const error: unknown = await withTransaction(ctx, async (ctx) => write(ctx)).catch((e: unknown) => e);
            assert(error instanceof AppError, String(error));
            assert.deepEqual([error.kind, error.code, error.details], ['conflict', `${spec.rowName}_exists`, { fields: names }]);
          }
        });
      }

      for (const [path, bound] of Object.entries(spec.bounds ?? {})) {
        it(`${path} holds ${bound} items and not one more, by whatever way they come`, async () => {
          const items = (n: number): unknown[] => Array.from({ length: n }, () => samples.element(path));
          const withItems = (n: number): Doc => {
            const doc = samples.fresh();
            put(doc, path, items(n));
            return doc;
          };
          await withTransaction(ctx, async (ctx) => door.remove(ctx, row._id, { version: 1 }));
          const full = await add(ctx, withItems(bound));
          const fullRaw = await stored(full._id);
          const over = withItems(bound + 1);
          const tooMany = { kind: 'invalid', code: 'too_many_items' };
          const refused = { kind: 'invalid' };
          await assert.rejects(withTransaction(ctx, async (ctx) => door.insert(ctx, over)), tooMany);
          await assert.rejects(withTransaction(ctx, async (ctx) => door.insertMany(ctx, [{ tx: ctx, doc: over }])), tooMany);
          for (const change of [{ $push: { [path]: samples.element(path) } }, { $set: { [path]: items(bound + 1) } }]) {
            await assert.rejects(withTransaction(ctx, async (ctx) => door.update(ctx, full._id, change, { version: 1 })), refused);
            await assert.rejects(withTransaction(ctx, async (ctx) => door.changeMany(ctx, [{ match: { _id: full._id }, change }])), refused);
          }
          const planted = { ...structuredClone(fullRaw), _id: newId() } as unknown as Doc & { _id: string };
          for (const key of Object.keys(planted)) if (key !== '_id' && (spec.indexes ?? []).some((i) => i.unique && key in i.keys)) planted[key] = samples.another(key);
          delete planted['blind'];
          put(planted, path, items(bound + 1));
          await assert.rejects(rows().insertOne(planted), { code: 121 });
          assert.deepEqual(await stored(full._id), fullRaw);
        });
      }

      it('a field that is not declared is refused by every write', async () => {
        const doc = { ...samples.fresh(), undeclared: 1 };
        const odd = { $set: { undeclared: 1 } };
        await assert.rejects(withTransaction(ctx, async (ctx) => door.insert(ctx, doc)));
        await assert.rejects(withTransaction(ctx, async (ctx) => door.insertMany(ctx, [{ tx: ctx, doc }])), { code: 'row_refused' });
        await assert.rejects(withTransaction(ctx, async (ctx) => door.update(ctx, row._id, odd as never, { version: 1 })));
        await assert.rejects(withTransaction(ctx, async (ctx) => door.changeMany(ctx, [{ match: { _id: row._id }, change: odd as never }])), { code: 'row_refused' });
        await assert.rejects(rows().insertOne({ ...raw, _id: newId(), undeclared: 1 } as never), { code: 121 });
        assert.deepEqual(await stored(row._id), raw);
      });

      const sealedPaths = Object.keys(spec.sealed ?? {}).filter((path) => !spec.fields[path.split('.')[0] ?? '']);
      for (const path of sealedPaths) {
        const secret = `clear text of ${path}`;
        const value = (): unknown => samples.another(path);
        it(`${path} is an envelope at rest after every write, never clear, and nothing below it can be written`, async () => {
          const envelopeOf = async (id: string): Promise<string> => String((await rows().findOne({ _id: id }) as Doc | null)?.[path]);
          await withTransaction(ctx, async (ctx) => door.remove(ctx, row._id, { version: 1 }));
          const one = await add(ctx, { ...samples.fresh(), [path]: value() });
          await withTransaction(ctx, async (ctx) => door.update(ctx, one._id, { $set: { [path]: value() } } as object, { version: 1 }));
          assert.match(await envelopeOf(one._id), ENVELOPE);
          await withTransaction(ctx, async (ctx) => door.changeMany(ctx, [{ match: { _id: one._id }, change: { $set: { [path]: value() } } as object }]));
          assert.match(await envelopeOf(one._id), ENVELOPE);
          const before = await stored(one._id);
          for (const change of [
            { $set: { [path]: secret } },
            { $set: { [`${path}.x`]: secret } },
            { $set: { [`masks.${path}`]: secret } },
            { $push: { [path]: secret } },
            { $max: { [path]: secret } },
            { $set: { [path]: null } },
          ]) {
            await assert.rejects(withTransaction(ctx, async (ctx) => door.update(ctx, one._id, change as object, { version: 3 })), /seal|door/, JSON.stringify(change));
            await assert.rejects(withTransaction(ctx, async (ctx) => door.changeMany(ctx, [{ match: { _id: one._id }, change: change as object }])), /seal|door/);
          }
          const clear = { ...samples.fresh(), [path]: secret };
          await assert.rejects(withTransaction(ctx, async (ctx) => door.insert(free(ctx), clear)), /is sealed/);
          await assert.rejects(withTransaction(ctx, async (ctx) => door.insertMany(ctx, [{ tx: free(ctx), doc: clear }])), /is sealed/);
          await assert.rejects(rows().updateOne({ _id: one._id }, { $set: { [path]: secret } }), { code: 121 });
          for (const find of [{ [path]: secret }, { [path]: { $gt: '' } }, { [`masks.${path}`]: secret }, { $or: [{ [path]: secret }] }]) {
            await assert.rejects(door.find(ctx, find as Filter<object>), /is sealed/);
            await assert.rejects(door.count(ctx, find as Filter<object>), /is sealed/);
          }
          await assert.rejects(door.aggregate(ctx, [{ $group: { _id: `$${path}` } }]), /is sealed/);
          const [shown] = await door.aggregate<Doc>(ctx, [{ $match: { _id: one._id } }]);
          assert.deepEqual([shown?.[path], shown?.['masks'], shown?.['blind']], ['[sealed]', undefined, undefined]);
          assert.deepEqual(await stored(one._id), before);
        });

        it(`${path} comes back sealed from every read`, async () => {
          await withTransaction(ctx, async (ctx) => door.remove(ctx, row._id, { version: 1 }));
          const one = await add(ctx, { ...samples.fresh(), [path]: value() });
          const each: Stored[] = [];
          for await (const found of door.each(ctx, { _id: one._id })) each.push(found as Stored);
          const reads = [one, await door.get(ctx, one._id), await door.findOne(ctx, { _id: one._id }, { fields: [path as never] }), ...(await door.find(ctx, {})), ...(await door.list(ctx, {}, {})).data, ...each];
          const texts = reads.map((r) => {
            const found = (r as Doc)[path];
            assert(found instanceof Sealed);
            return JSON.stringify([found.reveal(), found.mask]);
          });
          assert.equal(new Set(texts).size, 1, texts.join());
        });
      }

      if (!onePerCompany) {
        it('pages neither lose nor repeat rows that were born in one moment', async () => {
          const own = memberCtx();
          const at = nowMs();
          const restore = useClock({ ms: () => at });
          try {
            await withTransaction(own, async (ctx) => door.insertMany(ctx, Array.from({ length: 7 }, () => ({ tx: ctx, doc: samples.fresh() }))));
          } finally {
            restore();
          }
          for (const direction of [1, -1] as const) {
            const ids: string[] = [];
            let cursor: string | undefined;
            do {
              const page = await door.list(own, {}, { limit: 3, cursor }, { field: 'createdAt', direction });
              ids.push(...page.data.map((r) => r._id));
              cursor = page.nextCursor ?? undefined;
            } while (cursor !== undefined);
            const sorted = [...new Set(ids)].sort();
            assert.deepEqual(ids, direction === 1 ? sorted : sorted.reverse());
            assert.equal(ids.length, 7 + (spec.scope === 'shared' ? ids.length - 7 : 0));
          }
          assert.equal((await door.list(own, {}, { limit: 7 })).nextCursor === null, spec.scope !== 'shared');
        });
      }

      const NOWHERE = { get: false, findOne: false, find: false, list: false, count: false, aggregate: false, each: false };
      const everywhere = (id: string): object => Object.fromEntries(Object.keys(NOWHERE).map((k) => [k, id.length === 24]));

      /** By which of the reads this ctx sees the row. */
      async function seen(own: Ctx, id: string): Promise<object> {
        const filter = { _id: id };
        let walked = 0;
        for await (const found of door.each(own, filter)) walked += found._id === id ? 1 : 0;
        return {
          get: await door.get(own, id).then(
            (found) => found._id === id,
            (error: unknown) => {
              assert.equal((error as AppError).code, `${spec.rowName}_not_found`);
              return false;
            },
          ),
          findOne: (await door.findOne(own, filter)) !== undefined,
          find: (await door.find(own, filter)).length === 1,
          list: (await door.list(own, filter, {})).data.length === 1,
          count: (await door.count(own, filter)) === 1,
          aggregate: (await door.aggregate(own, [{ $match: filter }])).length === 1,
          each: walked === 1,
        };
      }
    });
  }
});
