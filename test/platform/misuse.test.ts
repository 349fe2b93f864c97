import { strict as assert } from 'node:assert';
import { inCompany, type Ctx, type OutsideTx, type Tx } from '../../src/platform/context.ts';
import type { ChangeOf, Guard, Row } from '../../src/platform/db/collection.ts';
import { machineRows, type MachineRowsName } from '../../src/platform/db/machine-rows.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { type AppError, conflict } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { gate, memberCtx, openHouse, type House } from './house.ts';
import { books, type Book } from './shelf.ts';

const refusal = (): AppError => conflict('refused', 'The guard refused');
const addBook = (ctx: OutsideTx, title: string, stock = 10): Promise<Row<Book>> =>
  withTransaction(ctx, async (ctx) => books.insert(ctx, { title, stock, tags: [] }));

describe('misuse that only the run time can see', () => {
  let house: House;
  const ctx = memberCtx();
  const other = memberCtx();
  let book: Row<Book>;
  let foreign: Row<Book>;
  before(async () => {
    house = await openHouse();
    book = await addBook(ctx, 'own');
    foreign = await addBook(other, 'foreign');
  });
  after(() => house.close());

  const stored = (id: string): Promise<object | null> => house.db.collection<{ _id: string }>('test_books').findOne({ _id: id });

  it('the outer ctx, captured by the body, neither reads nor opens a second transaction', async () => {
    const outer = ctx;
    await assert.rejects(withTransaction(ctx, async () => books.get(outer, book._id)), /outer ctx was used inside/);
    await assert.rejects(withTransaction(ctx, async () => books.count(outer, {})), /outer ctx was used inside/);
    await assert.rejects(withTransaction(ctx, async () => addBook(outer, 'nested')), /do not nest/);
    await assert.rejects(withTransaction(ctx, async () => books.insert(outer as unknown as Tx, { title: 'x', stock: 1, tags: [] })), /Not a transaction context/);
  });

  it('a Tx that was spread is no Tx, whatever it is used for', async () => {
    let kept: object = {};
    await assert.rejects(
      withTransaction(ctx, async (ctx) => {
        kept = { ...ctx };
        return books.insert({ ...ctx } as unknown as Tx, { title: 'copy', stock: 1, tags: [] });
      }),
      /cannot be copied/,
    );
    await assert.rejects(withTransaction(ctx, async (ctx) => books.get({ ...ctx } as unknown as Ctx, book._id)), /cannot be copied/);
    await assert.rejects(books.get(kept as Ctx, book._id), /cannot be copied/);
    await assert.rejects(addBook(kept as OutsideTx, 'copy'), /do not nest/);
  });

  it('a Tx moved to another company by spreading reaches nothing there', async () => {
    const moved = async (use: (tx: Tx) => Promise<unknown>): Promise<unknown> =>
      withTransaction(ctx, async (ctx) => use({ ...ctx, companyId: other.companyId } as unknown as Tx));
    await assert.rejects(moved((tx) => books.get(tx, foreign._id)), /cannot be copied/);
    await assert.rejects(moved((tx) => books.update(tx, foreign._id, { $set: { stock: 0 } }, { version: 1 })), /cannot be copied/);
    await assert.rejects(moved((tx) => books.remove(tx, foreign._id, { version: 1 })), /cannot be copied/);
    await assert.rejects(withTransaction(ctx, async (ctx) => Object.assign(ctx, { companyId: other.companyId })), TypeError);
    assert.deepEqual(await stored(foreign._id), foreign);
  });

  it('a Tx that was kept and used after the end is refused', async () => {
    let kept: Tx | undefined;
    await withTransaction(ctx, async (ctx) => {
      kept = ctx;
      return books.count(ctx, {});
    });
    assert(kept);
    const late = kept;
    await assert.rejects(books.get(late, book._id), /has ended/);
    await assert.rejects(books.insert(late, { title: 'late', stock: 1, tags: [] }), /has ended/);
    assert.throws(() => late.emit({ type: 'late', key: 'k', payload: {} }), /has ended/);
    assert.throws(() => late.enqueue({ name: 'late', payload: {} }), /has ended/);
    assert.throws(() => late.for(other), /has ended/);
  });

  it('a Tx of one transaction is refused inside another', async () => {
    const { opened, open } = gate();
    const lent = gate();
    let first: Tx | undefined;
    const holding = withTransaction(ctx, async (ctx) => {
      first = ctx;
      lent.open();
      await opened;
    });
    await lent.opened;
    const borrowed = first;
    assert(borrowed);
    await assert.rejects(withTransaction(other, async () => books.get(borrowed, book._id)), /another transaction/);
    await assert.rejects(
      withTransaction(other, async (ctx) => books.insertMany(ctx, [{ tx: borrowed, doc: { title: 'mixed', stock: 1, tags: [] } }])),
      /one transaction/,
    );
    await assert.rejects(
      withTransaction(other, async (ctx) => books.changeMany(ctx, [{ tx: borrowed, match: { _id: book._id }, change: { $set: { stock: 0 } } }])),
      /one transaction/,
    );
    open();
    await holding;
  });

  it('transactions do not nest, neither with the Tx nor through a step that calls a command', async () => {
    await assert.rejects(withTransaction(ctx, async (ctx) => withTransaction(ctx as unknown as OutsideTx, async () => 1)), /do not nest/);
    await assert.rejects(withTransaction(ctx, async () => addBook(inCompany(other, other.companyId), 'nested')), /do not nest/);
  });

  const hostileGuards: [string, unknown, RegExp][] = [
    ['no condition', {}, /guards nothing/],
    ['an $or that always holds', { $or: [{}] }, /guards nothing/],
    ['an $or with one branch that always holds', { $or: [{ stock: -1 }, {}] }, /guards nothing/],
    ['an $and of nothing', { $and: [{}, { $or: [{}] }] }, /guards nothing/],
    ['$where', { $where: 'return true' }, /not allowed/],
    ['$where deep inside', { $and: [{ $or: [{ $where: 'return true' }] }] }, /not allowed/],
    ['$expr with $function', { $expr: { $function: { body: 'function () { return true }', args: [], lang: 'js' } } }, /not allowed/],
    ['an undefined value', { stock: undefined }, /undefined/],
    ['an undefined value deep inside', { $or: [{ stock: { $gte: undefined } }] }, /undefined/],
    ['nothing', undefined, /undefined/],
  ];
  for (const [name, where, expected] of hostileGuards) {
    it(`a guard of ${name} is refused by update and remove`, async () => {
      const guard = { where, otherwise: refusal } as unknown as Guard<Book>;
      await assert.rejects(withTransaction(ctx, async (ctx) => books.update(ctx, book._id, { $set: { stock: 0 } }, guard)), expected);
      await assert.rejects(withTransaction(ctx, async (ctx) => books.remove(ctx, book._id, guard)), expected);
      assert.deepEqual(await stored(book._id), book);
    });
  }

  const widening: [string, object][] = [
    ['the other company', { companyId: other.companyId }],
    ['any company', { companyId: { $exists: true } }],
    ['any company by $or', { $or: [{ companyId: other.companyId }, { stock: { $gte: 0 } }] }],
    ['a negation', { $nor: [{ companyId: ctx.companyId }] }],
  ];
  for (const [name, where] of widening) {
    it(`a guard that names ${name} never reaches another company's row`, async () => {
      const guard = { where, otherwise: refusal } as Guard<Book>;
      const change = { $set: { stock: 0 } };
      await assert.rejects(withTransaction(ctx, async (ctx) => books.update(ctx, foreign._id, change, guard)), { code: 'book_not_found' });
      await assert.rejects(withTransaction(ctx, async (ctx) => books.remove(ctx, foreign._id, guard)), { code: 'book_not_found' });
      await assert.rejects(withTransaction(ctx, async (ctx) => books.changeMany(ctx, [{ match: { _id: foreign._id }, where: where as never, change }])));
      await assert.rejects(withTransaction(ctx, async (ctx) => books.changeMany(ctx, [{ match: { _id: foreign._id, ...where } as never, change }])));
      assert.deepEqual(await stored(foreign._id), foreign);
      assert.equal((await books.find(ctx, where as never)).filter((row) => row.companyId !== ctx.companyId).length, 0);
    });
  }

  it('a version guard that is no integer is refused', async () => {
    for (const version of [undefined, null, '1', 1.5, { $gte: 0 }]) {
      await assert.rejects(withTransaction(ctx, async (ctx) => books.update(ctx, book._id, { $set: { stock: 0 } }, { version } as never)), /integer/);
    }
  });

  const owned: Record<string, object> = {
    'sets _id': { $set: { _id: newId() } },
    'sets companyId': { $set: { companyId: other.companyId } },
    'sets version': { $set: { version: 1 } },
    'sets createdAt': { $set: { createdAt: new Date(0) } },
    'sets into companyId': { $set: { 'companyId.x': 1 } },
    'increments version': { $inc: { version: -1 } },
    'unsets companyId': { $unset: { companyId: '' } },
    'lowers version': { $min: { version: 0 } },
    'pushes into _id': { $push: { '_id.0': 1 } },
    'writes a $-name': { $set: { $where: 1 } },
    'renames companyId': { $rename: { title: 'companyId' } },
    'replaces the row': { title: 'x', stock: 1, tags: [] },
    'is a pipeline': [{ $set: { companyId: other.companyId } }],
  };
  for (const [name, change] of Object.entries(owned)) {
    it(`a change that ${name} is refused by update and changeMany`, async () => {
      const hostile = change as unknown as ChangeOf<Book>;
      await assert.rejects(withTransaction(ctx, async (ctx) => books.update(ctx, book._id, hostile, { version: 1 })), /belongs to the collection door|not a field|operators only/);
      await assert.rejects(withTransaction(ctx, async (ctx) => books.changeMany(ctx, [{ match: { _id: book._id }, change: hostile }])), /belongs to the collection door|not a field|operators only/);
      assert.deepEqual(await stored(book._id), book);
    });
  }

  it('a new row can bring neither company nor version, nor can the row that an upsert makes', async () => {
    for (const extra of [{ companyId: other.companyId }, { version: 7 }]) {
      const doc = { title: 'brought', stock: 1, tags: [], ...extra };
      await assert.rejects(withTransaction(ctx, async (ctx) => books.insert(ctx, doc)), /belong to the collection door/);
      await assert.rejects(withTransaction(ctx, async (ctx) => books.insertMany(ctx, [{ tx: ctx, doc }])), /belong to the collection door/);
      const orInsert = { title: 'brought', tags: [], ...extra };
      await assert.rejects(
        withTransaction(ctx, async (ctx) => books.changeMany(ctx, [{ match: { _id: newId() }, change: { $inc: { stock: 1 } }, orInsert }])),
        /belongs to the collection door/,
      );
    }
    assert.equal(await house.db.collection('test_books').countDocuments({ title: 'brought' }), 0);
  });

  it('an upsert under an own _id is refused unless the row is there', async () => {
    const match = { _id: foreign._id };
    await assert.rejects(withTransaction(ctx, async (ctx) => books.changeMany(ctx, [{ match, change: { $inc: { stock: 1 } }, orInsert: { title: 'taken', tags: [] } }])));
    assert.deepEqual(await stored(foreign._id), foreign);
  });

  it('a bulk change of an audited collection names its rows by id, so that no value of a key enters the log', async () => {
    const byTitle = withTransaction(ctx, async (ctx) => books.changeMany(ctx, [{ match: { title: 'own' }, change: { $set: { stock: 0 } } }]));
    await assert.rejects(byTitle, /by _id/);
    await assert.rejects(withTransaction(ctx, async (ctx) => books.changeMany(ctx, [{ match: {}, change: { $set: { stock: 0 } } }])), /which row/);
  });

  const pipelines: Record<string, object[]> = {
    'leaves the collection': [{ $lookup: { from: 'audit', localField: '_id', foreignField: 'rowId', as: 'log' } }],
    'joins another collection': [{ $unionWith: 'audit' }],
    'writes': [{ $match: {} }, { $out: 'test_books' }],
    'merges': [{ $merge: { into: 'test_books' } }],
    'runs code in a group': [{ $group: { _id: null, x: { $accumulator: { init: 'function () {}', accumulate: 'function () {}', accumulateArgs: [], merge: 'function () {}', lang: 'js' } } } }],
    'runs code in a stage': [{ $addFields: { x: { $function: { body: 'function () {}', args: [], lang: 'js' } } } }],
    'hides it in a facet': [{ $facet: { all: [{ $lookup: { from: 'audit', pipeline: [], as: 'log' } }] } }],
    'matches an undefined value': [{ $match: { title: undefined } }],
  };
  for (const [name, pipeline] of Object.entries(pipelines)) {
    it(`an aggregate that ${name} is refused`, async () => {
      await assert.rejects(books.aggregate(ctx, pipeline), /not allowed|undefined/);
    });
  }

  it('a filter with an undefined value is refused instead of meaning everything', async () => {
    await assert.rejects(books.find(ctx, { title: undefined }), /undefined/);
    await assert.rejects(books.count(ctx, { $or: [{ stock: undefined }] }), /undefined/);
  });

  it('rows of the machinery cannot be touched inside a transaction, and only listed ones exist', async () => {
    const jobs = machineRows<{ _id: string }>('jobs', []);
    await assert.rejects(withTransaction(ctx, async () => jobs.findOne({ _id: 'x' })), /inside a transaction/);
    await assert.rejects(withTransaction(ctx, async () => jobs.insert({ _id: 'x' })), /inside a transaction/);
    assert.throws(() => machineRows('orders' as MachineRowsName, []), /not a listed/);
    assert.throws(() => machineRows('toString' as MachineRowsName, []), /not a listed/);
  });

  it('an error that the body swallows still leaves, at once', async () => {
    let runs = 0;
    const started = performance.now();
    const swallowing = withTransaction(ctx, async (ctx) => {
      runs += 1;
      await books.insert(ctx, { title: 'own', stock: 1, tags: [] }).catch(() => undefined);
      return books.insert(ctx, { title: 'after', stock: 1, tags: [] });
    });
    await assert.rejects(swallowing, { code: 'book_exists' });
    assert.equal(runs, 1);
    assert(performance.now() - started < 2_000);
    assert.equal(await house.db.collection('test_books').countDocuments({ title: 'after' }), 0);
  });

  it('an error that the last write swallows does not commit the rest', async () => {
    await assert.rejects(
      withTransaction(ctx, async (ctx) => {
        await books.insert(ctx, { title: 'before', stock: 1, tags: [] });
        await books.update(ctx, book._id, { $set: { stock: 0 } }, { version: 99 }).catch(() => undefined);
      }),
      { code: 'stale_version' },
    );
    await assert.rejects(
      withTransaction(ctx, async (ctx) => {
        const change = { $inc: { stock: 1 } };
        await books.changeMany(ctx, [{ match: { _id: book._id }, change }, { match: { _id: newId() }, change }]).catch(() => undefined);
      }),
      { name: 'BatchConflict' },
    );
    assert.equal(await house.db.collection('test_books').countDocuments({ title: 'before' }), 0);
    assert.deepEqual(await stored(book._id), book);
  });

  it('a write that nobody waits for ends with the transaction', async () => {
    let forgotten: Promise<unknown> = Promise.resolve();
    const { opened, open } = gate();
    await withTransaction(ctx, async (ctx) => {
      forgotten = opened.then(() => books.insert(ctx, { title: 'forgotten', stock: 1, tags: [] }));
      return books.count(ctx, {});
    });
    open();
    await assert.rejects(forgotten, /has ended/);
  });
});
