import { strict as assert } from 'node:assert';
import { openAnswer, type AnswerRow } from '../../src/platform/db/answers.ts';
import type { AnswerRecorder, OutsideTx, Tx } from '../../src/platform/context.ts';
import type { Filter, Row } from '../../src/platform/db/collection.ts';
import { transactionSettings, withTransaction } from '../../src/platform/db/transaction.ts';
import { type AppError, conflict } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { field, idParams, route, shape } from '../../src/platform/route.ts';
import { failNext, failNoMore, leavingCaller, memberCtx, openHouse, serveRoutes, tokenOf, until, type House } from './house.ts';
import { books, type Book } from './shelf.ts';

const soldOut = (): AppError => conflict('sold_out', 'Sold out');
const TRANSIENT = ['TransientTransactionError'];

function recorderOf(key: string): AnswerRecorder {
  return { key, requestHash: 'hash', render: (result) => ({ status: 201, body: JSON.stringify(result) }) };
}

const addBook = (ctx: OutsideTx, title: string, more: Partial<Book> = {}): Promise<Row<Book>> =>
  withTransaction(ctx, async (ctx) => books.insert(ctx, { title, stock: 10, tags: [], ...more }));

/** A transaction with every kind of record beside its one change. */
async function changeAndTell(ctx: OutsideTx, title: string, meanwhile: (tx: Tx, run: number) => Promise<void> | void = () => undefined): Promise<number> {
  let runs = 0;
  await withTransaction(ctx, async (ctx) => {
    runs += 1;
    const book = await books.insert(ctx, { title, stock: 1, tags: [] });
    ctx.emit({ type: 'book.added', key: book._id, payload: { title } });
    ctx.enqueue({ name: 'books.print', payload: { title } });
    await meanwhile(ctx, runs);
    return { id: book._id };
  });
  return runs;
}

describe('transactions', () => {
  let house: House;
  before(async () => {
    house = await openHouse();
  });
  afterEach(() => failNoMore(house.db));
  after(() => house.close());

  const count = (name: string, filter: object): Promise<number> => house.db.collection(name).countDocuments(filter);
  const records = async (title: string, key: string): Promise<number[]> => {
    const rows = await house.db.collection<{ _id: string }>('test_books').find({ title }).toArray();
    const ids = { $in: rows.map((row) => row._id) };
    return [
      rows.length,
      await count('audit', { rowId: ids }),
      await count('outbox', { 'payload.title': title }),
      await count('jobs', { 'payload.title': title }),
      await house.db.collection<{ _id: string }>('idempotency').countDocuments({ _id: key }),
    ];
  };

  it('commits the change, its audit row, event, job and answer together', async () => {
    const ctx = { ...memberCtx(), answer: recorderOf('together') };
    await changeAndTell(ctx, 'together');
    assert.deepEqual(await records('together', 'together'), [1, 1, 1, 1, 1]);
    const [audit] = await house.db.collection('audit').find({ requestId: ctx.requestId }).toArray();
    assert.deepEqual(
      [audit?.['collection'], audit?.['action'], audit?.['fields'], audit?.['actorId'], audit?.['companyId']],
      ['test_books', 'insert', 'title stock tags', ctx.actor.id, ctx.companyId],
    );
    assert(!JSON.stringify(audit).includes('together'), 'names of fields, never their values');
  });

  it('rolls all of them back together', async () => {
    const ctx = { ...memberCtx(), answer: recorderOf('rolled') };
    await assert.rejects(changeAndTell(ctx, 'rolled', () => Promise.reject(soldOut())), { code: 'sold_out' });
    assert.deepEqual(await records('rolled', 'rolled'), [0, 0, 0, 0, 0]);
  });

  it('rolls all of them back when the answer is there already', async () => {
    const ctx = memberCtx();
    await changeAndTell({ ...ctx, answer: recorderOf('answered') }, 'first');
    await assert.rejects(changeAndTell({ ...ctx, answer: recorderOf('answered') }, 'second'), { name: 'AlreadyAnswered' });
    assert.deepEqual(await records('second', 'none'), [0, 0, 0, 0, 0]);
  });

  const answerOf = async (key: string): Promise<string> => {
    const row = await house.db.collection<AnswerRow>('idempotency').findOne({ _id: key });
    assert(row);
    return (await openAnswer(row)).body;
  };

  it('stores one answer for a command of two transactions, with the first', async () => {
    const ctx = { ...memberCtx(), answer: recorderOf('twice') };
    await changeAndTell(ctx, 'twice-1');
    await changeAndTell(ctx, 'twice-2');
    const answer = await answerOf('twice');
    const [book] = await house.db.collection('test_books').find({ title: 'twice-1' }).toArray();
    assert.deepEqual(JSON.parse(answer), { id: String(book?._id) });
  });

  for (const [what, command] of [
    ['an insert', 'insert'],
    ['the commit', 'commitTransaction'],
  ] as const) {
    it(`after a retry because of ${what} there is one change, one event, one job, one answer`, async () => {
      const key = `retry-${command}`;
      await failNext(house.db, [command], { errorCode: 251, errorLabels: TRANSIENT });
      const runs = await changeAndTell({ ...memberCtx(), answer: recorderOf(key) }, key);
      assert.equal(runs, 2);
      assert.deepEqual(await records(key, key), [1, 1, 1, 1, 1]);
    });
  }

  it('a dropped connection is retried', async () => {
    await failNext(house.db, ['insert'], { closeConnection: true });
    assert.equal(await changeAndTell({ ...memberCtx(), answer: recorderOf('dropped') }, 'dropped'), 2);
    assert.deepEqual(await records('dropped', 'dropped'), [1, 1, 1, 1, 1]);
  });

  it('a commit without an answer from the server is sent again; the body does not run again', async () => {
    await failNext(house.db, ['commitTransaction'], { writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } }, 3);
    assert.equal(await changeAndTell({ ...memberCtx(), answer: recorderOf('unknown') }, 'unknown'), 1);
    assert.deepEqual(await records('unknown', 'unknown'), [1, 1, 1, 1, 1]);
  });

  it('a commit that stays without an answer becomes 503 commit_unknown at the deadline', async () => {
    transactionSettings.deadlineMs = 100;
    try {
      await failNext(house.db, ['commitTransaction'], { writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } }, 100);
      await assert.rejects(changeAndTell(memberCtx(), 'lost'), { kind: 'unavailable', code: 'commit_unknown' });
    } finally {
      transactionSettings.deadlineMs = 5_000;
    }
  });

  it('conflicts that do not end become 503 busy with Retry-After at the deadline, with a bounded number of runs', async () => {
    const added = route({
      method: 'post',
      path: '/books/:id',
      summary: 'Add a book',
      permission: 'public',
      params: idParams,
      response: shape<{ id: string }>({ id: field.id().required() }),
      handle: (ctx, { params }) => withTransaction(ctx, async (ctx) => books.insert(ctx, { _id: params.id, title: params.id, stock: 1, tags: [] })),
      view: (book) => ({ id: book._id }),
    });
    const served = await serveRoutes(house, [added]);
    transactionSettings.deadlineMs = 300;
    let attempts = 0;
    transactionSettings.onFinished = (tries) => {
      attempts = tries;
    };
    try {
      await failNext(house.db, ['insert'], { errorCode: 251, errorLabels: TRANSIENT }, 1_000);
      const started = performance.now();
      const answer = await served.call('POST', `/books/${newId()}`, { token: tokenOf(newId()) });
      assert.deepEqual([answer.status, answer.body.error.code, answer.headers.get('retry-after')], [503, 'busy', '1']);
      assert(performance.now() - started < 1_500);
      assert(attempts > 1 && attempts < 40, `${attempts} runs`);
    } finally {
      transactionSettings.deadlineMs = 5_000;
      transactionSettings.onFinished = () => undefined;
      await served.close();
    }
  });

  it('a caller who went away is not tried for again', async () => {
    const caller = leavingCaller();
    await failNext(house.db, ['insert'], { errorCode: 251, errorLabels: TRANSIENT }, 5);
    let runs = 0;
    const left = changeAndTell(memberCtx(newId(), 'owner', caller), 'left', () => {
      runs += 1;
    });
    caller.gone = true;
    await assert.rejects(left, { code: 'busy' });
    assert.equal(runs, 0);
  });

  it('the body that runs again reads afresh', async () => {
    const ctx = memberCtx();
    const book = await addBook(ctx, 'fresh');
    const seen: number[] = [];
    await withTransaction(ctx, async (ctx) => {
      const { stock } = await books.get(ctx, book._id);
      seen.push(stock);
      if (seen.length === 1) await house.db.collection<{ _id: string }>('test_books').updateOne({ _id: book._id }, { $set: { stock: 99 } });
      return books.update(ctx, book._id, { $inc: { stock: 1 } }, { where: { stock }, otherwise: soldOut });
    });
    assert.deepEqual(seen, [10, 99]);
    assert.equal((await books.get(ctx, book._id)).stock, 100);
  });

  it('reads of one transaction see one moment', async () => {
    const ctx = memberCtx();
    const book = await addBook(ctx, 'moment');
    const [before, after] = await withTransaction(ctx, async (ctx) => {
      const first = await books.get(ctx, book._id);
      await house.db.collection<{ _id: string }>('test_books').updateOne({ _id: book._id }, { $set: { stock: 1 } });
      return [first.stock, (await books.get(ctx, book._id)).stock];
    });
    assert.deepEqual([before, after], [10, 10]);
  });

  it('stock 10 and 30 buyers at once: 10 sold, 20 refused, under a guard', async () => {
    const ctx = memberCtx();
    const book = await addBook(ctx, 'guarded');
    const guard = { where: { stock: { $gte: 1 } }, otherwise: soldOut };
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, () => withTransaction(ctx, async (ctx) => books.update(ctx, book._id, { $inc: { stock: -1 } }, guard))),
    );
    const refused = outcomes.filter((o) => o.status === 'rejected').map((o) => (o.reason as AppError).code);
    assert.deepEqual([outcomes.length - refused.length, new Set(refused), (await books.get(ctx, book._id)).stock], [10, new Set(['sold_out']), 0]);
  });

  it('what was read outside and written inside is refused as stale by the version guard', async () => {
    const ctx = memberCtx();
    const book = await addBook(ctx, 'outside');
    const decide = (): Promise<unknown> => withTransaction(ctx, async (ctx) => books.update(ctx, book._id, { $set: { stock: book.stock - 1 } }, { version: book.version }));
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, decide));
    assert.equal(outcomes.filter((o) => o.status === 'fulfilled').length, 1);
    for (const o of outcomes) if (o.status === 'rejected') assert.equal((o.reason as AppError).code, 'stale_version');
    assert.equal((await books.get(ctx, book._id)).stock, 9);
  });

  it('field against field needs $expr: with a plain filter the limit is a text and nothing is under it', async () => {
    const ctx = memberCtx();
    const book = await addBook(ctx, 'limited', { used: 0, limit: 5 });
    const use = (where: Filter<Book>): Promise<unknown> =>
      withTransaction(ctx, async (ctx) => books.update(ctx, book._id, { $inc: { used: 1 } }, { where, otherwise: soldOut }));
    await assert.rejects(use({ used: { $lt: '$limit' as unknown as number } }));
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => use({ $expr: { $lt: ['$used', '$limit'] } })));
    assert.equal(outcomes.filter((o) => o.status === 'fulfilled').length, 5);
    assert.equal((await books.get(ctx, book._id)).used, 5);
  });

  it('get or create from many sides at once is an upsert: one row, every use counted', async () => {
    const ctx = memberCtx();
    const id = newId();
    const use = (): Promise<void> =>
      withTransaction(ctx, async (ctx) =>
        books.changeMany(ctx, [{ match: { _id: id }, change: { $inc: { stock: 1 } }, orInsert: { title: 'counted', tags: [] } }]),
      );
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, use));
    const done = outcomes.filter((o) => o.status === 'fulfilled').length;
    for (const o of outcomes) if (o.status === 'rejected') assert.equal((o.reason as Error).name, 'BatchConflict');
    const row = await books.get(ctx, id);
    assert.deepEqual([row.stock, row.version, row.companyId], [done, done, ctx.companyId]);
  });

  it('one open job for one key, asked for by many transactions at once', async () => {
    const ctx = memberCtx();
    const ask = (): Promise<void> =>
      withTransaction(ctx, async (ctx) => {
        await books.count(ctx, {});
        ctx.enqueue({ name: 'books.sort', payload: {}, dedupeKey: 'shelf' });
      });
    await Promise.all(Array.from({ length: 20 }, ask));
    assert.equal(await count('jobs', { name: 'books.sort' }), 1);
  });

  it('each asker of one transaction has own audit rows, events and answer', async () => {
    const askers = [memberCtx(), memberCtx()].map((ctx, i) => ({ ...ctx, answer: recorderOf(`asker-${i}`) }));
    await withTransaction(memberCtx(), async (ctx) => {
      const own = askers.map((asker) => ctx.for(asker));
      await books.insertMany(ctx, own.map((tx) => ({ tx, doc: { title: 'shared', stock: 1, tags: [] } })));
      for (const tx of own) {
        tx.emit({ type: 'book.added', key: 'k', payload: { title: 'shared' } });
        tx.answerWith({ for: tx.companyId });
      }
    });
    for (const [i, asker] of askers.entries()) {
      assert.equal(await count('test_books', { companyId: asker.companyId, title: 'shared' }), 1);
      assert.equal(await count('audit', { companyId: asker.companyId, actorId: asker.actor.id }), 1);
      assert.equal(await count('outbox', { companyId: asker.companyId, requestId: asker.requestId }), 1);
      assert.equal(await answerOf(`asker-${i}`), JSON.stringify({ for: asker.companyId }));
    }
  });

  it('a transaction that only reads writes nothing', async () => {
    const ctx = memberCtx();
    const before = await count('audit', {});
    await withTransaction(ctx, async (ctx) => books.count(ctx, {}));
    assert.equal(await count('audit', {}), before);
  });

  it('no session stays open, whatever happened', async () => {
    await until(async () => {
      const { transactions } = await house.db.admin().serverStatus() as { transactions: { currentOpen: number } };
      return transactions.currentOpen === 0;
    }, 'no open transaction');
  });
});
