import { strict as assert } from 'node:assert';
import { acrossCompanies, type OutsideTx } from '../../src/platform/context.ts';
import { BatchConflict } from '../../src/platform/db/collection.bulk.ts';
import type { Row, RowRef } from '../../src/platform/db/collection.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { newId } from '../../src/platform/ids.ts';
import { memberCtx, openHouse, type House } from './house.ts';
import { books, type Book } from './shelf.ts';

describe('a bulk over rows that were read before', () => {
  let house: House;
  let ours: OutsideTx;
  let theirs: OutsideTx;
  let rows: Row<Book>[];
  before(async () => {
    house = await openHouse();
  });
  after(() => house.close());
  beforeEach(async () => {
    [ours, theirs] = [memberCtx(), memberCtx()];
    rows = await withTransaction(ours, async (ctx) => {
      const own = [ctx, ctx, ctx.for(theirs), ctx.for(theirs)];
      return books.insertMany(ctx, own.map((tx, i) => ({ tx, doc: { title: `${newId()} ${i}`, stock: 5, tags: [] } })));
    });
  });

  const stocks = async (): Promise<number[]> => {
    const all = await books.find(acrossCompanies(ours, 'test'), { _id: { $in: rows.map((row) => row._id) } });
    return rows.map((row) => all.find(({ _id }) => _id === row._id)?.stock ?? Number.NaN);
  };
  const take = (refs: readonly (RowRef & { by: number })[]): Promise<void> =>
    withTransaction(ours, async (ctx) => {
      const other = ctx.for(theirs);
      const changes = refs.map(({ by, ...row }) => ({ tx: row.companyId === other.companyId ? other : ctx, row, where: { stock: { $gte: by } }, change: { $inc: { stock: -by } } }));
      await books.changeMany(ctx, changes);
    });
  const refs = (...by: number[]): (RowRef & { by: number })[] => rows.map(({ _id, companyId }, i) => ({ _id, companyId, by: by[i] ?? 0 }));

  it('changes them under one statement for each distinct change, whosever they are, with version and audit row each', async () => {
    await house.db.command({ profile: 2 });
    await take(refs(2, 2, 2, 3));
    await house.db.command({ profile: 0 });
    assert.deepEqual(await stocks(), [3, 3, 3, 2]);
    assert.equal(await house.db.collection('system.profile').countDocuments({ op: 'update', ns: `${house.db.databaseName}.${books.name}` }), 2);
    const audit = await house.db.collection('audit').find({ rowId: { $in: rows.map((row) => row._id) }, action: 'update' }).toArray();
    assert.deepEqual(audit.map(({ companyId }) => companyId as string).sort(), rows.map(({ companyId }) => companyId).sort());
    assert.deepEqual((await books.find(ours, { _id: { $in: rows.map((row) => row._id) } })).map((row) => row.version), [2, 2]);
  });

  it('changes none of them when one does not meet its guard, or is gone', async () => {
    await assert.rejects(take(refs(2, 2, 2, 6)), BatchConflict);
    await assert.rejects(take([...refs(1, 1, 1, 1), { _id: newId(), companyId: ours.companyId, by: 1 }]), BatchConflict);
    assert.deepEqual(await stocks(), [5, 5, 5, 5]);
  });

  it('refuses a row of another company than the one on whose behalf it is changed, and a row twice', async () => {
    const [mine, , foreign] = rows;
    assert(mine && foreign);
    const change = { $inc: { stock: 1 } };
    const wrong = { _id: foreign._id, companyId: foreign.companyId };
    await assert.rejects(withTransaction(ours, (ctx) => books.changeMany(ctx, [{ row: wrong, change }])), /cannot name a company/);
    // A forged reference meets the company in the database.
    const forged = { _id: foreign._id, companyId: ours.companyId };
    await assert.rejects(withTransaction(ours, (ctx) => books.changeMany(ctx, [{ row: forged, change }])), BatchConflict);
    await assert.rejects(withTransaction(ours, (ctx) => books.changeMany(ctx, [{ row: mine, change }, { row: mine, change }])), /twice/);
    assert.deepEqual(await stocks(), [5, 5, 5, 5]);
  });
});
