import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { allocate, type CompanyShelf, type CouponVerdict, type FreeStock, type Sellable } from '../../src/modules/orders/order.allocate.rules.ts';
import type { OrderLine } from '../../src/modules/orders/order.model.ts';
import type { OrderRequest } from '../../src/modules/orders/order.rules.ts';
import type { AnswerRecorder, Caller, OutsideTx } from '../../src/platform/context.ts';
import { BatchConflict } from '../../src/platform/db/collection.bulk.ts';
import { transactionSettings, withTransaction } from '../../src/platform/db/transaction.ts';
import { AppError, conflict, unavailable } from '../../src/platform/errors.ts';
import { makeLane, type Lane, type LaneItem, type LaneOptions, type Outcome } from '../../src/platform/lane.ts';
import { nextTurn } from '../../src/platform/pause.ts';
import { failNext, failNoMore, gate, leavingCaller, memberCtx, openHouse, type House } from './house.ts';
import { books } from './shelf.ts';

interface Talk {
  lane: Lane<string, string>;
  batches: string[][];
}

/** A lane that writes down its batches; each batch waits for `turn` when there is one. */
function talk(more: Partial<LaneOptions<string, string>> = {}, decide: (item: LaneItem<string>) => Outcome<string> = ({ input }) => ({ ok: true, value: input }), turn?: Promise<void>): Talk {
  const batches: string[][] = [];
  const lane = makeLane<string, string>({
    name: 'test',
    lanes: 1,
    maxBatch: 4,
    maxQueue: 100,
    async execute(batch) {
      batches.push(batch.map((b) => b.input));
      await turn;
      return batch.map(decide);
    },
    ...more,
  });
  return { lane, batches };
}

const item = (companyId: string, input: string, caller?: Caller): LaneItem<string> => ({ companyId, input, ...(caller ? { caller } : {}) });
const codes = (outcomes: PromiseSettledResult<unknown>[]): string[] => outcomes.map((o) => (o.status === 'fulfilled' ? 'ok' : o.reason instanceof AppError ? o.reason.code : String((o.reason as Error).message)));

describe('a lane', () => {
  it('takes companies in turns, so that a busy one does not hold up the others', async () => {
    const { lane, batches } = talk();
    const asked = [...Array.from({ length: 8 }, (_, i) => item('busy', `b${i}`)), item('small', 's0'), item('tiny', 't0')];
    await Promise.all(asked.map((i) => lane.submit(i)));
    assert.deepEqual(batches, [['b0', 's0', 't0', 'b1'], ['b2', 'b3', 'b4', 'b5'], ['b6', 'b7']]);
  });

  it('with batches of one is the same lane without grouping', async () => {
    const { lane, batches } = talk({ maxBatch: 1 });
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map((n) => lane.submit(item('c', n)))), ['a', 'b', 'c']);
    assert.deepEqual(batches, [['a'], ['b'], ['c']]);
  });

  it('gives each request its own outcome', async () => {
    const { lane } = talk({}, ({ input }) => (input === 'b' ? { ok: false, error: conflict('out_of_stock', 'none left') } : { ok: true, value: input }));
    assert.deepEqual(codes(await Promise.allSettled(['a', 'b', 'c'].map((n) => lane.submit(item('c', n))))), ['ok', 'out_of_stock', 'ok']);
  });

  it('a poisoned request fails alone; its neighbours are served', async () => {
    const batches: string[][] = [];
    const { lane } = talk({
      async execute(batch) {
        batches.push(batch.map((b) => b.input));
        if (batch.some((b) => b.input === 'poison')) throw new Error('poison');
        return Promise.resolve(batch.map(({ input }) => ({ ok: true, value: input })));
      },
    });
    assert.deepEqual(codes(await Promise.allSettled(['a', 'poison', 'b'].map((n) => lane.submit(item('c', n))))), ['ok', 'poison', 'ok']);
    assert.deepEqual(batches, [['a', 'poison', 'b'], ['a'], ['poison'], ['b']]);
    assert.equal(await lane.submit(item('c', 'later')), 'later');
  });

  it('a batch that met a changed row is tried again, then split; a single one is 503 in the end', async () => {
    let runs = 0;
    const { lane } = talk({
      async execute(batch) {
        runs += 1;
        if (batch.length > 1 || batch[0]?.input === 'hot') throw new BatchConflict('stock');
        return Promise.resolve(batch.map(({ input }) => ({ ok: true, value: input })));
      },
    });
    assert.deepEqual(codes(await Promise.allSettled(['a', 'hot'].map((n) => lane.submit(item('c', n))))), ['ok', 'busy']);
    assert(runs > 4 && runs <= 3 + 1 + 40, `${runs} runs`);
  });

  it('a database that is too busy is told to the whole batch, once', async () => {
    let runs = 0;
    const { lane } = talk({
      async execute() {
        runs += 1;
        return Promise.reject(unavailable('busy', 'Too many changes'));
      },
    });
    assert.deepEqual(codes(await Promise.allSettled(['a', 'b', 'c'].map((n) => lane.submit(item('c', n))))), ['busy', 'busy', 'busy']);
    assert.equal(runs, 1);
  });

  it('a request without an outcome is an error, not a silence', async () => {
    const { lane } = talk({ execute: () => Promise.resolve([]) });
    await assert.rejects(lane.submit(item('c', 'a')), /no outcome/);
  });

  it('a caller who gave up while waiting costs nothing', async () => {
    const first = gate();
    const { lane, batches } = talk({ maxBatch: 1 }, undefined, first.opened);
    const caller = leavingCaller();
    const waiting = [lane.submit(item('c', 'first')), lane.submit(item('c', 'gone', caller)), lane.submit(item('c', 'last'))];
    caller.gone = true;
    first.open();
    assert.deepEqual(codes(await Promise.allSettled(waiting)), ['ok', 'caller_gave_up', 'ok']);
    assert.deepEqual(batches, [['first'], ['last']]);
    assert.equal(lane.queued(), 0);
  });

  it('a full queue answers 503 with a time to come back', async () => {
    const first = gate();
    const { lane } = talk({ maxQueue: 2 }, undefined, first.opened);
    const waiting = [lane.submit(item('c', 'a')), lane.submit(item('c', 'b'))];
    await assert.rejects(lane.submit(item('c', 'c')), { kind: 'unavailable', code: 'busy', details: { retryAfterSeconds: 1 } });
    first.open();
    assert.deepEqual(await Promise.all(waiting), ['a', 'b']);
  });

  it('drains: what waits is served, what comes is refused', async () => {
    const first = gate();
    const { lane } = talk({ maxBatch: 1 }, undefined, first.opened);
    const waiting = ['a', 'b', 'c'].map((n) => lane.submit(item('c', n)));
    const drained = lane.drain();
    await assert.rejects(lane.submit(item('c', 'late')), { code: 'shutting_down' });
    first.open();
    await drained;
    assert.deepEqual(await Promise.all(waiting), ['a', 'b', 'c']);
    assert.equal(lane.queued(), 0);
  });

  it('requests that come while a batch is on its way go with the next', async () => {
    const first = gate();
    const { lane, batches } = talk({}, undefined, first.opened);
    const a = lane.submit(item('c', 'a'));
    await nextTurn();
    const rest = ['b', 'c', 'd'].map((n) => lane.submit(item('c', n)));
    first.open();
    await Promise.all([a, ...rest]);
    assert.deepEqual(batches, [['a'], ['b', 'c', 'd']]);
  });
});

describe('a lane that prepares the next batch', () => {
  /** Each batch says what was prepared for it; the first waits for `turn`. */
  function ahead(more: Partial<LaneOptions<string, string, string>> = {}) {
    const turn = gate();
    const seen: string[] = [];
    let first = true;
    const lane = makeLane<string, string, string>({
      name: 'test',
      lanes: 1,
      maxBatch: 4,
      maxQueue: 100,
      prepare: (batch) => Promise.resolve(batch.map((b) => b.input).join()),
      async execute(batch, aid) {
        seen.push(`${batch.map((b) => b.input).join()} with ${aid.ahead ?? 'nothing'}`);
        if (first) {
          first = false;
          await turn.opened;
          aid.nearlyDone();
          aid.nearlyDone();
        }
        return batch.map(({ input }) => ({ ok: true, value: input }));
      },
      ...more,
    });
    return { lane, seen, turn };
  }
  it('gives what was prepared to that batch, once, and takes nobody twice', async () => {
    const { lane, seen, turn } = ahead();
    const a = lane.submit(item('c', 'a'));
    await nextTurn();
    const rest = ['b', 'c'].map((n) => lane.submit(item('c', n)));
    turn.open();
    assert.deepEqual(await Promise.all([a, ...rest]), ['a', 'b', 'c']);
    assert.equal(await lane.submit(item('c', 'd')), 'd');
    assert.deepEqual(seen, ['a with nothing', 'b,c with b,c', 'd with nothing']);
  });

  it('begins the next batch before the callers of this one have their answers, and has answered all when it is drained', async () => {
    const order: string[] = [];
    const { lane, turn } = ahead({
      async execute(batch, aid) {
        order.push(`begun ${batch.map((b) => b.input).join()}`);
        if (order.length === 1) await turn.opened;
        aid.nearlyDone();
        return batch.map(({ input }) => ({ ok: true, value: input }));
      },
    });
    const submit = (name: string): Promise<unknown> => lane.submit(item('c', name)).then(() => order.push(`answered ${name}`));
    const all = [submit('a')];
    await nextTurn();
    all.push(submit('b'), submit('c'));
    turn.open();
    await lane.drain();
    assert.deepEqual(order, ['begun a', 'begun b,c', 'answered a', 'answered b', 'answered c']);
    await Promise.all(all);
  });

  it('goes on without it when preparing fails, and tries again without it after a conflict', async () => {
    const tries: string[] = [];
    const failing = ahead({ prepare: () => Promise.reject(new Error('no database')) });
    const conflicting = ahead({
      async execute(batch, aid) {
        tries.push(aid.ahead ?? 'nothing');
        aid.nearlyDone();
        if (aid.ahead !== undefined) throw new BatchConflict('stock');
        await nextTurn();
        return batch.map(({ input }) => ({ ok: true, value: input }));
      },
    });
    const a = failing.lane.submit(item('c', 'a'));
    await nextTurn();
    const b = failing.lane.submit(item('c', 'b'));
    failing.turn.open();
    assert.deepEqual(await Promise.all([a, b]), ['a', 'b']);
    assert.deepEqual(failing.seen, ['a with nothing', 'b with nothing']);
    const waiting = [conflicting.lane.submit(item('c', 'a'))];
    await nextTurn();
    waiting.push(conflicting.lane.submit(item('c', 'b')), conflicting.lane.submit(item('c', 'c')));
    assert.deepEqual(await Promise.all(waiting), ['a', 'b', 'c']);
    assert.equal(tries[0], 'nothing');
    assert.equal(tries.at(-1), 'nothing');
  });

  it('prepares outside of the transaction that it is told in, and drains what it has taken', async () => {
    const house = await openHouse();
    try {
      const ctx = memberCtx();
      const turn = gate();
      const counted: number[] = [];
      const lane = makeLane<string, string, number>({
        name: 'test',
        lanes: 1,
        maxBatch: 4,
        maxQueue: 100,
        // Through the door with the outer ctx: refused while a transaction is open in this flow of calls.
        prepare: () => books.count(ctx, {}),
        async execute(batch, aid) {
          if (aid.ahead !== undefined) counted.push(aid.ahead);
          await withTransaction(ctx, async (ctx) => {
            await books.insert(ctx, { title: String(batch[0]?.input), stock: 1, tags: [] });
            await turn.opened;
            aid.nearlyDone();
          });
          return batch.map(({ input }) => ({ ok: true, value: input }));
        },
      });
      const waiting = [lane.submit(item('c', 'a'))];
      await nextTurn();
      waiting.push(lane.submit(item('c', 'b')));
      turn.open();
      await lane.drain();
      assert.deepEqual(await Promise.all(waiting), ['a', 'b']);
      assert.equal(counted.length, 1);
    } finally {
      await house.close();
    }
  });
});

describe('a lane over the database', () => {
  interface Wish {
    ctx: OutsideTx;
    title: string;
  }
  let house: House;
  before(async () => {
    house = await openHouse();
  });
  afterEach(() => failNoMore(house.db));
  after(() => house.close());

  const lane = (): Lane<Wish, string> =>
    makeLane<Wish, string>({
      name: 'books',
      lanes: 1,
      maxBatch: 16,
      maxQueue: 100,
      async execute(batch) {
        const [first] = batch;
        assert(first);
        const ids = await withTransaction({ ...first.input.ctx, answer: undefined, caller: undefined }, async (ctx) => {
          const own = batch.map((b) => ctx.for(b.input.ctx));
          const rows = await books.insertMany(ctx, batch.map((b, i) => ({ tx: own[i] ?? ctx, doc: { title: b.input.title, stock: 1, tags: [] } })));
          rows.forEach((row, i) => own[i]?.answerWith(row._id));
          return rows.map((row) => row._id);
        });
        return ids.map((value) => ({ ok: true, value }));
      },
    });
  const recorder = (key: string): AnswerRecorder => ({ key, requestHash: 'h', render: (result) => ({ status: 201, body: String(result) }) });
  const wish = (ctx: OutsideTx, title: string): LaneItem<Wish> => ({ companyId: ctx.companyId, input: { ctx, title }, ...(ctx.caller ? { caller: ctx.caller } : {}) });

  it('twins with one key in one batch: one effect, the other hears that it was answered', async () => {
    const ctx = memberCtx();
    const own = lane();
    const twins = ['twin-1', 'twin-2', 'bystander'].map((title, i) => own.submit(wish({ ...ctx, answer: recorder(i < 2 ? 'twins' : 'alone') }, title)));
    const outcomes = await Promise.allSettled(twins);
    assert.deepEqual(outcomes.map((o) => (o.status === 'fulfilled' ? 'ok' : (o.reason as Error).name)), ['ok', 'AlreadyAnswered', 'ok']);
    assert.equal(await books.count(ctx, { title: { $in: ['twin-1', 'twin-2'] } }), 1);
  });

  it('a row that the database refuses hurts only its own request', async () => {
    const [a, b] = [memberCtx(), memberCtx()];
    const own = lane();
    await own.submit(wish(a, 'taken'));
    const outcomes = await Promise.allSettled([own.submit(wish(b, 'fine')), own.submit(wish(a, 'taken')), own.submit(wish(a, 'free'))]);
    assert.deepEqual(codes(outcomes), ['ok', 'book_exists', 'ok']);
  });

  it('a batch that meets its deadline is 503 for all of it, and nothing of it is stored', async () => {
    const ctx = memberCtx();
    const own = lane();
    transactionSettings.deadlineMs = 150;
    try {
      await failNext(house.db, ['insert'], { errorCode: 251, errorLabels: ['TransientTransactionError'] }, 10_000);
      assert.deepEqual(codes(await Promise.allSettled(['x', 'y', 'z'].map((title) => own.submit(wish(ctx, title))))), ['busy', 'busy', 'busy']);
    } finally {
      transactionSettings.deadlineMs = 5_000;
      await failNoMore(house.db);
    }
    assert.equal(await books.count(ctx, {}), 0);
  });
});

const PARCEL = { weightGrams: 500, lengthMm: 200, breadthMm: 150, heightMm: 50 };
const SKUS = ['A', 'B', 'C'];
const PLACES = ['p1', 'p2'];

const product = (sku: string): Sellable => ({ sku, name: sku, pricePaise: 100_00, taxBp: 1_800, weightGrams: 100, lengthMm: 10, breadthMm: 10, heightMm: 10, status: sku === 'C' ? 'archived' : 'active' });

type Levels = Record<string, Record<string, number>>;

function shelfOf(levels: Levels): CompanyShelf {
  const stock = new Map<string, FreeStock[]>();
  for (const sku of SKUS) stock.set(sku, PLACES.map((locationId) => ({ _id: `${sku}|${locationId}`, sku, locationId, available: levels[sku]?.[locationId] ?? 0 })));
  return { products: new Map(SKUS.map((sku) => [sku, product(sku)])), stock };
}

function levelsOf(shelf: CompanyShelf): Levels {
  return Object.fromEntries([...shelf.stock].map(([sku, rows]) => [sku, Object.fromEntries(rows.map((r) => [r.locationId, r.available]))]));
}

const requests = fc.array(
  fc.record({
    lines: fc.array(fc.record({ sku: fc.constantFrom(...SKUS, 'outside'), quantity: fc.integer({ min: 1, max: 4 }) }), { minLength: 1, maxLength: 3 }),
    pickupLocationId: fc.option(fc.constantFrom(...PLACES), { nil: undefined }),
    couponCode: fc.option(fc.constant('TEN'), { nil: undefined }),
  }),
  { maxLength: 12 },
);
const levels = fc.record(Object.fromEntries(SKUS.map((sku) => [sku, fc.record(Object.fromEntries(PLACES.map((p) => [p, fc.integer({ min: 0, max: 8 })])))])));

const requestOf = (wish: { lines: { sku: string; quantity: number }[] }): OrderRequest =>
  ({ ...wish, lines: wish.lines.map((line) => (line.sku === 'outside' ? { ...line, name: 'Gift', unitPricePaise: 500 } : line)), tags: [] }) as unknown as OrderRequest;

/** One decision: what was allocated, or the code of the refusal. */
function decide(request: OrderRequest, shelf: CompanyShelf, uses: { left: number }): unknown {
  try {
    const coupon = (lines: OrderLine[]): CouponVerdict =>
      uses.left > 0 ? { ok: true, discountPaise: lines.length * 10, freeShipping: lines.length > 2 } : { ok: false, error: conflict('coupon_used_up', 'used up') };
    const allocation = allocate(request, shelf, coupon, PARCEL);
    if (request.couponCode !== undefined) uses.left -= 1;
    return allocation;
  } catch (error) {
    assert(error instanceof AppError, String(error));
    return { refused: error.code };
  }
}

describe('allocating a batch', () => {
  it('decides as the same requests one after the other, each reading afresh, would be decided', () => {
    fc.assert(
      fc.property(levels, requests, (start, wishes) => {
        const shared = shelfOf(start);
        const sharedUses = { left: 2 };
        const together = wishes.map((wish) => decide(requestOf(wish), shared, sharedUses));
        let stored = levelsOf(shelfOf(start));
        let uses = 2;
        const oneByOne = wishes.map((wish) => {
          const shelf = shelfOf(stored);
          const own = { left: uses };
          const outcome = decide(requestOf(wish), shelf, own);
          stored = levelsOf(shelf);
          uses = own.left;
          return outcome;
        });
        assert.deepEqual(together, oneByOne);
        assert.deepEqual(levelsOf(shared), stored);
      }),
      { numRuns: 300 },
    );
  });

  it('never sells what is not there, and a refusal takes nothing off the shelf', () => {
    fc.assert(
      fc.property(levels, requests, (start, wishes) => {
        const shelf = shelfOf(start);
        const uses = { left: 1 };
        for (const wish of wishes) {
          const before = levelsOf(shelf);
          const outcome = decide(requestOf(wish), shelf, uses) as { refused?: string; lines?: OrderLine[] };
          if (outcome.refused !== undefined) assert.deepEqual(levelsOf(shelf), before);
          for (const line of outcome.lines ?? []) {
            if (line.locationId !== undefined) put(before, line, -line.quantity);
          }
          assert.deepEqual(levelsOf(shelf), before);
          for (const places of Object.values(before)) for (const available of Object.values(places)) assert(available >= 0);
        }
      }),
      { numRuns: 300 },
    );
  });
});

function put(at: Levels, { sku, locationId = '' }: OrderLine, quantity: number): void {
  const places = (at[sku] ??= {});
  places[locationId] = (places[locationId] ?? 0) + quantity;
}
