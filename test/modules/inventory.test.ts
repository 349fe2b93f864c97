import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { listMovements, listStock } from '../../src/modules/inventory/stock.queries.service.ts';
import { receiveStock, releaseStock, reserveStock, returnStock, shipStock, stockRows, type StockMove } from '../../src/modules/inventory/index.ts';
import { stockChecks } from '../../src/modules/inventory/stock.checks.ts';
import { deltaOf, guardOf } from '../../src/modules/inventory/stock.rules.ts';
import { planAdjustment, planTransfer, shelfOf, takePlan } from '../../src/modules/inventory/stock.plan.rules.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, requestCtx, systemCtx, type OutsideTx, type Tx } from '../../src/platform/context.ts';
import { BatchConflict } from '../../src/platform/db/collection.bulk.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { newId } from '../../src/platform/ids.ts';
import { permissionsOf } from '../../src/platform/permissions.ts';
import { race, startWorld, type Merchant, type World } from '../support/world.ts';

type Step = (tx: Tx, moves: readonly StockMove[]) => Promise<void>;
interface Counts {
  onHand: number;
  reserved: number;
  available: number;
}

/** The stock's own rules only: steps are tried here without orders behind them. */
async function checks(): Promise<void> {
  for (const check of stockChecks) assert.deepEqual(await check.run(), [], check.name);
}

describe('stock rules', () => {
  for (const [kind, quantity, onHand, reserved, available, guard] of [
    ['receipt', 5, 5, 0, 5, {}],
    ['reserve', 5, 0, 5, -5, { available: { $gte: 5 } }],
    ['release', 5, 0, -5, 5, { reserved: { $gte: 5 } }],
    ['ship', 5, -5, -5, 0, { reserved: { $gte: 5 } }],
    ['return', 5, 5, 0, 5, {}],
    ['adjust', -5, -5, 0, -5, { available: { $gte: 5 } }],
    ['transfer_out', 5, -5, 0, -5, { available: { $gte: 5 } }],
  ] as const) {
    it(`${kind} ${quantity}: on hand ${onHand}, reserved ${reserved}, available ${available}`, () => {
      assert.deepEqual(deltaOf(kind, quantity), { onHand, reserved, available });
      assert.deepEqual(guardOf(deltaOf(kind, quantity)), guard);
    });
  }

  it('takes a plan from the shelf whole or not at all', () => {
    const shelf = shelfOf([{ companyId: 'c', sku: 'A', locationId: 'l', available: 5 }, { companyId: 'c', sku: 'B', locationId: 'l', available: 1 }]);
    const plan = (a: number, b: number) => planAdjustment('x', { reason: 'r', lines: [{ sku: 'A', locationId: 'l', quantity: a }, { sku: 'B', locationId: 'l', quantity: b }] });
    assert.deepEqual(takePlan(shelf, 'c', plan(-3, -2))?.details, { sku: 'B', available: 1 });
    assert.equal(shelf.get('c|A|l'), 5);
    assert.equal(takePlan(shelf, 'c', plan(-3, -1)), undefined);
    assert.deepEqual([shelf.get('c|A|l'), shelf.get('c|B|l')], [2, 0]);
    assert.equal(takePlan(shelf, 'other', plan(-1, -1))?.code, 'out_of_stock');
    assert.throws(() => planTransfer('x', { fromLocationId: 'l', toLocationId: 'l', lines: [] }), { code: 'validation_failed' });
  });
});

describe('inventory', () => {
  let world: World;
  let shop: Merchant;
  let other: Merchant;
  let skus = 0;

  before(async () => {
    world = await startWorld();
    [shop, other] = [await world.merchant(), await world.merchant()];
  });
  after(() => world.close());

  const product = async (owner: Merchant): Promise<string> => {
    const sku = `SKU-${(skus += 1)}`;
    const body = { sku, name: sku, pricePaise: 100, hsnCode: '0902', taxBp: 500, weightGrams: 1, lengthMm: 1, breadthMm: 1, heightMm: 1 };
    assert.equal((await world.api('POST', '/v1/products', { token: owner.token, body })).status, 201);
    return sku;
  };
  const location = async (owner: Merchant): Promise<string> => {
    const body = { name: 'Second', contactName: 'A', phone: '9800012345', line1: '1', city: 'Pune', state: 'Maharashtra', pincode: '411001' };
    return (await world.api('POST', '/v1/locations', { token: owner.token, body })).body.id;
  };
  const receive = (owner: Merchant, sku: string, quantity: number, locationId = owner.locationId) =>
    world.api('POST', '/v1/stock/receipts', { token: owner.token, body: { reference: 'GRN', lines: [{ sku, locationId, quantity }] } });
  const counts = async (owner: Merchant, sku: string, locationId = owner.locationId): Promise<Counts | undefined> => {
    const { body } = await world.api('GET', `/v1/stock?sku=${sku}&locationId=${locationId}`, { token: owner.token });
    const [row] = body.data as Counts[];
    return row && { onHand: row.onHand, reserved: row.reserved, available: row.available };
  };
  const step = (owner: Merchant, run: Step, sku: string, quantities: number[], id = newId()) =>
    withTransaction(systemCtx('test', owner.companyId), (tx) =>
      run(tx, quantities.map((quantity) => ({ tx, sku, locationId: owner.locationId, quantity, reference: { type: 'order', id } }))),
    );

  it('books goods in, with batch and last day of use, and shows the movement', async () => {
    const sku = await product(shop);
    const answer = await world.api('POST', '/v1/stock/receipts', {
      token: shop.token,
      body: {
        reference: ' Bill 17 ',
        lines: [
          { sku, locationId: shop.locationId, quantity: 7, batch: 'B1', expiresAt: '2027-01-31T00:00:00Z' },
          { sku, locationId: shop.locationId, quantity: 3 },
        ],
      },
    });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    assert.deepEqual([answer.body.kind, answer.body.reference, answer.body.lines.length], ['receipt', 'Bill 17', 2]);
    assert.deepEqual(await counts(shop, sku), { onHand: 10, reserved: 0, available: 10 });
    const { body } = await world.api('GET', `/v1/stock/movements?sku=${sku}&kind=receipt&referenceId=${answer.body.id}`, { token: shop.token });
    const first = (body.data as { batch?: string; expiresAt?: string; onHandDelta: number; reference: object; reason: string }[]).find((m) => m.batch === 'B1');
    assert.deepEqual([first?.onHandDelta, first?.expiresAt, first?.reason], [7, '2027-01-31T00:00:00.000Z', 'Bill 17']);
    assert.deepEqual(first?.reference, { type: 'receipt', id: answer.body.id });
  });

  it('sums 100 parallel receipts of one row, over which no row was before', async () => {
    const sku = await product(shop);
    const { statuses } = await race(100, (i) => receive(shop, sku, 1 + (i % 3)));
    assert.deepEqual(statuses, { 201: 100 });
    assert.deepEqual(await counts(shop, sku), { onHand: 199, reserved: 0, available: 199 });
    await checks();
  });

  it('books a receipt once for one key, also when its copies race', async () => {
    const sku = await product(shop);
    const body = { lines: [{ sku, locationId: shop.locationId, quantity: 4 }] };
    const { answers, statuses } = await race(8, () => world.api('POST', '/v1/stock/receipts', { token: shop.token, key: `key-${sku}`, body }));
    assert.deepEqual(statuses, { 201: 8 });
    assert.equal(new Set(answers.map((a) => a.body.id)).size, 1);
    assert.equal((await counts(shop, sku))?.onHand, 4);
  });

  it('corrects stock, never below what is reserved: 20 parallel corrections of -1 on 12', async () => {
    const sku = await product(shop);
    await receive(shop, sku, 15);
    await step(shop, reserveStock, sku, [3]);
    const adjust = (quantity: number) =>
      world.api('POST', '/v1/stock/adjustments', { token: shop.token, body: { reason: 'Broken', lines: [{ sku, locationId: shop.locationId, quantity }] } });
    const { answers, statuses } = await race(20, () => adjust(-1));
    assert.deepEqual(statuses, { 201: 12, 409: 8 });
    const refused = answers.find((a) => a.status === 409);
    assert.deepEqual([refused?.body.error.code, refused?.body.error.details], ['out_of_stock', { sku, available: 0 }]);
    assert.deepEqual(await counts(shop, sku), { onHand: 3, reserved: 3, available: 0 });
    assert.equal((await adjust(5)).status, 201);
    assert.deepEqual(await counts(shop, sku), { onHand: 8, reserved: 3, available: 5 });
    assert.equal((await adjust(0)).status, 400);
  });

  it('moves free stock between locations, all lines or none', async () => {
    const [sku, scarce, second] = [await product(shop), await product(shop), await location(shop)];
    await receive(shop, sku, 5);
    await receive(shop, scarce, 1);
    const transfer = (lines: object[]) =>
      world.api('POST', '/v1/stock/transfers', { token: shop.token, body: { fromLocationId: shop.locationId, toLocationId: second, lines } });
    const refused = await transfer([{ sku, quantity: 2 }, { sku: scarce, quantity: 2 }]);
    assert.deepEqual([refused.status, refused.body.error.details.sku], [409, scarce]);
    assert.equal((await counts(shop, sku))?.available, 5);
    const done = await transfer([{ sku, quantity: 2 }, { sku: scarce, quantity: 1 }]);
    assert.equal(done.status, 201, JSON.stringify(done.body));
    assert.deepEqual([(await counts(shop, sku))?.onHand, (await counts(shop, sku, second))?.onHand, (await counts(shop, scarce, second))?.onHand], [3, 2, 1]);
    await checks();
  });

  it('reserves, releases, ships and takes back; merged per row, with a movement per move', async () => {
    const sku = await product(shop);
    await receive(shop, sku, 10);
    const orderId = newId();
    await step(shop, reserveStock, sku, [2, 3], orderId);
    assert.deepEqual(await counts(shop, sku), { onHand: 10, reserved: 5, available: 5 });
    await step(shop, releaseStock, sku, [1]);
    assert.deepEqual(await counts(shop, sku), { onHand: 10, reserved: 4, available: 6 });
    await step(shop, shipStock, sku, [4]);
    assert.deepEqual(await counts(shop, sku), { onHand: 6, reserved: 0, available: 6 });
    await step(shop, returnStock, sku, [2]);
    assert.deepEqual(await counts(shop, sku), { onHand: 8, reserved: 0, available: 8 });
    const rows = await world.db.collection('stock_movements').find({ 'reference.id': orderId }).toArray();
    assert.deepEqual(rows.map((m) => [m['kind'], m['lines']]), [['reserve', [2, 3].map((n) => ({ sku, onHandDelta: 0, reservedDelta: n }))]]);
    await checks();
  });

  for (const [name, run, quantity] of [
    ['reserves more than is free', reserveStock, 6],
    ['releases more than is reserved', releaseStock, 4],
    ['ships more than is reserved', shipStock, 4],
  ] as const) {
    it(`writes nothing when a step ${name}`, async () => {
      const [sku, plenty] = [await product(shop), await product(shop)];
      await receive(shop, sku, 8);
      await receive(shop, plenty, 100);
      await step(shop, reserveStock, sku, [3]);
      await step(shop, reserveStock, plenty, [50]);
      const before = await world.db.collection('stock_movements').countDocuments();
      await assert.rejects(
        withTransaction(systemCtx('test', shop.companyId), (tx) =>
          run(tx, [plenty, sku].map((each) => ({ tx, sku: each, locationId: shop.locationId, quantity, reference: { type: 'order', id: newId() } }))),
        ),
        BatchConflict,
      );
      assert.deepEqual(await counts(shop, sku), { onHand: 8, reserved: 3, available: 5 });
      assert.deepEqual(await counts(shop, plenty), { onHand: 100, reserved: 50, available: 50 });
      assert.equal(await world.db.collection('stock_movements').countDocuments(), before);
    });
  }

  it('never reserves more than there is, whoever races: 40 for 7', async () => {
    const sku = await product(shop);
    await receive(shop, sku, 7);
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, () =>
        step(shop, reserveStock, sku, [1]).then(
          () => 'sold',
          (error: unknown) => {
            if (error instanceof BatchConflict) return 'refused';
            throw error;
          },
        ),
      ),
    );
    assert.deepEqual([outcomes.filter((o) => o === 'sold').length, outcomes.filter((o) => o === 'refused').length], [7, 33]);
    assert.deepEqual(await counts(shop, sku), { onHand: 7, reserved: 7, available: 0 });
    await checks();
  });

  it('carries two companies with one SKU in one transaction and keeps them apart', async () => {
    const sku = await product(shop);
    const body = { sku, name: sku, pricePaise: 100, hsnCode: '0902', taxBp: 500, weightGrams: 1, lengthMm: 1, breadthMm: 1, heightMm: 1 };
    assert.equal((await world.api('POST', '/v1/products', { token: other.token, body })).status, 201);
    await receive(shop, sku, 3);
    await receive(other, sku, 5);
    await withTransaction(systemCtx('lane', PLATFORM_COMPANY_ID), (tx) =>
      reserveStock(tx, [shop, other].map((m) => ({ tx: tx.for(systemCtx('test', m.companyId)), sku, locationId: m.locationId, quantity: 2, reference: { type: 'order', id: newId() } }))),
    );
    const across = acrossCompanies(systemCtx('test', PLATFORM_COMPANY_ID), 'test');
    const rows = await stockRows.see(across, [{ companyId: shop.companyId, names: [sku] }, { companyId: other.companyId, names: [sku] }]);
    assert.deepEqual(new Map(rows.map((r) => [r.companyId, r.available])), new Map([[shop.companyId, 1], [other.companyId, 3]]));
    assert.equal((await stockRows.see(systemCtx('test', shop.companyId), [{ companyId: other.companyId, names: [sku] }])).length, 0);
  });

  it('refuses what is malformed, foreign or unknown', async () => {
    const [sku, theirs] = [await product(shop), await product(other)];
    const post = (body: object) => world.api('POST', '/v1/stock/receipts', { token: shop.token, body });
    const line = { sku, locationId: shop.locationId, quantity: 1 };
    for (const [what, body, status, code, path] of [
      ['no lines', { lines: [] }, 400, 'validation_failed', 'lines'],
      ['501 lines', { lines: Array.from({ length: 501 }, () => line) }, 400, 'validation_failed', 'lines'],
      ['a quantity of 0', { lines: [{ ...line, quantity: 0 }] }, 400, 'validation_failed', 'lines.0.quantity'],
      ['half a unit', { lines: [{ ...line, quantity: 1.5 }] }, 400, 'validation_failed', 'lines.0.quantity'],
      ['too many units', { lines: [{ ...line, quantity: 1_000_001 }] }, 400, 'validation_failed', 'lines.0.quantity'],
      ['a blank SKU', { lines: [{ ...line, sku: ' ' }] }, 400, 'validation_failed', 'lines.0.sku'],
      ['a bad time', { lines: [{ ...line, expiresAt: 'soon' }] }, 400, 'validation_failed', 'lines.0.expiresAt'],
      ['an unknown SKU', { lines: [line, { ...line, sku: 'NOBODY' }] }, 404, 'product_not_found', 'lines.1.sku'],
      ['a SKU of another company', { lines: [{ ...line, sku: theirs }] }, 404, 'product_not_found', 'lines.0.sku'],
      ['a location of another company', { lines: [{ ...line, locationId: other.locationId }] }, 404, 'location_not_found', undefined],
    ] as const) {
      const answer = await post(body);
      assert.deepEqual([answer.status, answer.body.error.code], [status, code], what);
      if (path !== undefined) assert.equal(answer.body.error.details.fields[0].path, path, what);
    }
    assert.equal(await counts(shop, sku), undefined);
    assert.equal((await world.api('GET', `/v1/stock?sku=${theirs}`, { token: shop.token })).body.data.length, 0);
    const viewer = await world.member(shop, 'viewer');
    assert.equal((await world.api('POST', '/v1/stock/receipts', { token: viewer, body: { lines: [line] } })).status, 403);
    assert.equal((await world.api('GET', '/v1/stock', { token: viewer })).status, 200);
  });

  it('refuses a location that is out of use', async () => {
    const [sku, second] = [await product(shop), await location(shop)];
    assert.equal((await world.api('DELETE', `/v1/locations/${second}`, { token: shop.token, ifMatch: 1 })).status, 200);
    const answer = await receive(shop, sku, 1, second);
    assert.deepEqual([answer.status, answer.body.error.code], [409, 'location_archived']);
  });

  it('shows and changes only their own locations for a member who is limited to some', async () => {
    const [sku, second] = [await product(shop), await location(shop)];
    await receive(shop, sku, 4);
    await receive(shop, sku, 6, second);
    const limited: OutsideTx = requestCtx({ kind: 'user', id: newId(), role: 'operations', permissions: permissionsOf('operations'), locationIds: [second] }, shop.companyId, 'test');
    assert.deepEqual((await listStock(limited, { sku })).data.map((r) => [r.locationId, r.onHand]), [[second, 6]]);
    assert.equal((await listStock(limited, { sku, locationId: shop.locationId })).data.length, 0);
    assert.deepEqual((await listMovements(limited, { sku })).data.map((r) => r.locationId), [second]);
    await assert.rejects(receiveStock(limited, { lines: [{ sku, locationId: shop.locationId, quantity: 1 }] }), { code: 'location_not_found' });
    await receiveStock(limited, { lines: [{ sku, locationId: second, quantity: 1 }] });
    assert.equal((await counts(shop, sku, second))?.onHand, 7);
  });

  it('pages movements newest first without loss', async () => {
    const sku = await product(shop);
    for (let i = 1; i <= 5; i += 1) await receive(shop, sku, i);
    const seen: number[] = [];
    for (let cursor = ''; ; ) {
      const { body } = await world.api('GET', `/v1/stock/movements?sku=${sku}&limit=2${cursor}`, { token: shop.token });
      seen.push(...(body.data as { onHandDelta: number }[]).map((m) => m.onHandDelta));
      if (body.nextCursor === null) break;
      cursor = `&cursor=${body.nextCursor}`;
    }
    assert.deepEqual(seen, [5, 4, 3, 2, 1]);
  });

  it('pages movements that share a row without loss, of one SKU or of all, and gives each its own id', async () => {
    const [a, b] = [await product(shop), await product(shop)];
    const receiveBoth = async (lines: [string, number][]): Promise<void> => {
      const body = { lines: lines.map(([each, quantity]) => ({ sku: each, locationId: shop.locationId, quantity })) };
      assert.equal((await world.api('POST', '/v1/stock/receipts', { token: shop.token, body })).status, 201);
    };
    await receiveBoth([[a, 1], [b, 2], [a, 3], [b, 4], [a, 5]]);
    await receiveBoth([[b, 6], [a, 7]]);
    const walk = async (query: string, limit: number, most: number): Promise<{ id: string; onHandDelta: number }[]> => {
      const seen: { id: string; onHandDelta: number }[] = [];
      for (let cursor = ''; ; ) {
        const { body } = await world.api('GET', `/v1/stock/movements?${query}&limit=${limit}${cursor}`, { token: shop.token });
        assert(body.data.length > 0 && body.data.length <= limit);
        seen.push(...(body.data as typeof seen));
        if (body.nextCursor === null || seen.length >= most) return seen;
        cursor = `&cursor=${body.nextCursor}`;
      }
    };
    for (let limit = 1; limit <= 6; limit += 1) {
      assert.deepEqual((await walk(`sku=${a}`, limit, 99)).map((m) => m.onHandDelta), [7, 5, 3, 1]);
      assert.deepEqual((await walk(`sku=${b}`, limit, 99)).map((m) => m.onHandDelta), [6, 4, 2]);
      const all = (await walk(`kind=receipt`, limit, 7)).slice(0, 7);
      assert.deepEqual(all.map((m) => m.onHandDelta), [7, 6, 5, 4, 3, 2, 1]);
      assert.equal(new Set(all.map((m) => m.id)).size, 7);
    }
  });

  it('finds planted faults: wrong arithmetic, a lost movement, a row without one', async () => {
    const sku = await product(shop);
    await receive(shop, sku, 5);
    await checks();
    const [rows, moves] = [world.db.collection('stock'), world.db.collection('stock_movements')];
    const row = await rows.findOne({ companyId: shop.companyId, sku });
    await rows.updateOne({ _id: row?._id }, { $inc: { available: 1 } });
    await assert.rejects(checks(), /available 6 is not on hand 5 - reserved 0/);
    await rows.updateOne({ _id: row?._id }, { $inc: { available: -1 } });
    const lost = await moves.findOneAndDelete({ companyId: shop.companyId, 'lines.sku': sku });
    await assert.rejects(checks(), /its movements sum to 0, 0/);
    await moves.insertOne(lost as never);
    await rows.deleteOne({ _id: row?._id });
    await assert.rejects(checks(), /Movements without a stock row/);
    await rows.insertOne(row as never);
    await checks();
  });
});
