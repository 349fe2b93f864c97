import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { sellableBySku } from '../../src/modules/catalog/index.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { newId } from '../../src/platform/ids.ts';
import { until } from '../platform/house.ts';
import { race, startWorld, type Merchant, type World } from '../support/world.ts';

const TEA = {
  sku: 'TEA-250',
  name: 'Assam Tea 250 g',
  pricePaise: 24_900,
  hsnCode: '0902',
  taxBp: 500,
  weightGrams: 280,
  lengthMm: 120,
  breadthMm: 80,
  heightMm: 60,
};

describe('catalog', () => {
  let world: World;
  let shop: Merchant;
  let other: Merchant;

  before(async () => {
    world = await startWorld();
    [shop, other] = [await world.merchant(), await world.merchant()];
  });
  after(() => world.close());

  const add = (body: object, token = shop.token) => world.api('POST', '/v1/products', { token, body });

  it('adds, reads, changes and archives a product under its version', async () => {
    const made = await add({ ...TEA, sku: ' CRUD-1 ', hsnCode: '0902 30' });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.deepEqual(
      { sku: made.body.sku, hsnCode: made.body.hsnCode, maxPerOrder: made.body.maxPerOrder, status: made.body.status },
      { sku: 'CRUD-1', hsnCode: '090230', maxPerOrder: 10, status: 'active' },
    );
    const path = `/v1/products/${made.body.id}`;
    const read = await world.api('GET', path, { token: shop.token });
    assert.deepEqual(read.body, made.body);
    assert.equal(read.headers.get('etag'), '"1"');
    const without = await world.api('PATCH', path, { token: shop.token, body: { pricePaise: 1 } });
    assert.equal(without.status, 428);
    const changed = await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { pricePaise: 29_900, name: 'Better Tea' } });
    assert.deepEqual([changed.status, changed.body.pricePaise, changed.body.version], [200, 29_900, 2]);
    const late = await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { pricePaise: 5 } });
    assert.deepEqual([late.status, late.body.error.code, late.body.error.details.currentVersion], [412, 'stale_version', 2]);
    const gone = await world.api('DELETE', path, { token: shop.token, ifMatch: 2 });
    assert.deepEqual([gone.status, gone.body.status], [200, 'archived']);
    assert.equal((await world.api('GET', path, { token: shop.token })).body.status, 'archived');
  });

  it('names every faulty field of a new product at once', async () => {
    const bad = await add({ ...TEA, sku: '   ', name: '', pricePaise: -1, hsnCode: '12345', taxBp: 10_001, weightGrams: 0, lengthMm: 1.5, maxPerOrder: 0, colour: 'red' });
    assert.equal(bad.status, 400);
    const paths = (bad.body.error.details.fields as { path: string }[]).map((f) => f.path).sort();
    assert.deepEqual([...new Set(paths)], ['colour', 'hsnCode', 'lengthMm', 'maxPerOrder', 'name', 'pricePaise', 'sku', 'taxBp', 'weightGrams']);
  });

  for (const [what, change, path] of [
    ['no SKU', { sku: undefined }, 'sku'],
    ['a SKU over 100 characters', { sku: 'x'.repeat(101) }, 'sku'],
    ['a SKU with a line break', { sku: 'A\nB' }, 'sku'],
    ['a price as text', { pricePaise: '100' }, 'pricePaise'],
    ['a price beyond all bounds', { pricePaise: 1e15 }, 'pricePaise'],
    ['a name over 300 characters', { name: 'x'.repeat(301) }, 'name'],
    ['an HSN code of letters', { hsnCode: 'ABCD' }, 'hsnCode'],
    ['a status nobody knows', { status: 'published' }, 'status'],
    ['a variant with its product\'s SKU', { variants: [{ sku: 'BAD', name: 'Same' }] }, 'variants.0.sku'],
    ['two variants of one SKU', { variants: [{ sku: 'V', name: 'One' }, { sku: ' V ', name: 'Two' }] }, 'variants.1.sku'],
    ['101 variants', { variants: Array.from({ length: 101 }, (_, i) => ({ sku: `V${i}`, name: 'V' })) }, 'variants'],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const bad = await add({ ...TEA, sku: 'BAD', ...change });
      assert.equal(bad.status, 400, JSON.stringify(bad.body));
      assert.deepEqual((bad.body.error.details.fields as { path: string }[]).map((f) => f.path), [path]);
    });
  }

  it('keeps a SKU unique in the company, variants included, and free in another company', async () => {
    const first = await add({ ...TEA, sku: 'UNIQ', variants: [{ sku: 'UNIQ-RED', name: 'Red' }] });
    assert.equal(first.status, 201);
    for (const sku of ['UNIQ', 'UNIQ-RED']) {
      const again = await add({ ...TEA, sku });
      assert.deepEqual([again.status, again.body.error.code], [409, 'product_exists']);
    }
    assert.equal((await add({ ...TEA, sku: 'UNIQ' }, other.token)).status, 201);
    const { statuses } = await race(10, () => add({ ...TEA, sku: 'RACED' }));
    assert.deepEqual(statuses, { 201: 1, 409: 9 });
  });

  it('keeps the SKUs of a product that is changed', async () => {
    const made = await add({ ...TEA, sku: 'KEEP', variants: [{ sku: 'KEEP-A', name: 'A' }] });
    const path = `/v1/products/${made.body.id}`;
    const dropped = await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { variants: [{ sku: 'KEEP-B', name: 'B' }] } });
    assert.deepEqual([dropped.status, dropped.body.error.code, dropped.body.error.details.skus], [409, 'sku_kept', ['KEEP-A']]);
    assert.equal((await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { sku: 'NEW' } })).status, 400);
    const grown = await world.api('PATCH', path, {
      token: shop.token,
      ifMatch: 1,
      body: { variants: [{ sku: 'KEEP-A', name: 'A' }, { sku: 'KEEP-B', name: 'B' }] },
    });
    assert.equal(grown.status, 200);
    assert.equal((await world.api('GET', '/v1/products?sku=KEEP-B', { token: shop.token })).body.data[0].id, made.body.id);
  });

  it('shows another company nothing', async () => {
    const made = await add({ ...TEA, sku: 'MINE' });
    const path = `/v1/products/${made.body.id}`;
    for (const [method, body] of [['GET', undefined], ['PATCH', { pricePaise: 1 }], ['DELETE', undefined]] as const) {
      const answer = await world.api(method, path, { token: other.token, ifMatch: 1, body });
      assert.deepEqual([answer.status, answer.body.error.code], [404, 'product_not_found'], method);
    }
    assert.equal((await world.api('GET', '/v1/products?sku=MINE', { token: other.token })).body.data.length, 0);
  });

  it('lets a viewer read and not write', async () => {
    const viewer = await world.member(shop, 'viewer');
    assert.equal((await world.api('GET', '/v1/products', { token: viewer })).status, 200);
    assert.equal((await add({ ...TEA, sku: 'VIEWER' }, viewer)).status, 403);
    assert.equal((await world.api('GET', '/v1/products')).status, 401);
  });

  it('searches by beginnings of words, filters by status, and pages through all', async () => {
    const owner = await world.merchant();
    for (const [sku, name] of [['S-1', 'Kullu Shawl'], ['S-2', 'कुल्लू शॉल'], ['S-3', 'Silk Sari']]) await add({ ...TEA, sku, name }, owner.token);
    await add({ ...TEA, sku: 'S-4', name: 'Secret Shawl', status: 'draft' }, owner.token);
    const skus = async (query: string) =>
      ((await world.api('GET', `/v1/products?${query}`, { token: owner.token })).body.data as { sku: string }[]).map((p) => p.sku).sort();
    assert.deepEqual(await skus('q=shawl'), ['S-1', 'S-4']);
    assert.deepEqual(await skus('q=sha%20kul'), ['S-1']);
    assert.deepEqual(await skus(`q=${encodeURIComponent('कुल्लू')}`), ['S-2']);
    assert.deepEqual(await skus('q=.*'), await skus(''), 'punctuation is no pattern');
    assert.deepEqual(await skus('q=shawl&status=active'), ['S-1']);
    assert.equal((await world.api('GET', `/v1/products?q=${'x'.repeat(201)}`, { token: owner.token })).status, 400);
    assert.equal((await world.api('GET', '/v1/products?colour=red', { token: owner.token })).status, 400);
    const seen: string[] = [];
    for (let cursor = ''; ; ) {
      const page = await world.api('GET', `/v1/products?limit=3${cursor}`, { token: owner.token });
      seen.push(...(page.body.data as { sku: string }[]).map((p) => p.sku));
      if (page.body.nextCursor === null) break;
      cursor = `&cursor=${page.body.nextCursor}`;
    }
    assert.deepEqual(seen.sort(), ['S-1', 'S-2', 'S-3', 'S-4']);
  });

  it('sends the same number of commands for 1 product and for 60', async () => {
    const [few, many] = [await world.merchant(), await world.merchant()];
    await add({ ...TEA, sku: 'ONLY' }, few.token);
    for (let i = 0; i < 60; i += 1) await add({ ...TEA, sku: `MANY-${i}` }, many.token);
    const count = async (token: string) => {
      world.commands();
      assert.equal((await world.api('GET', '/v1/products?limit=100', { token })).status, 200);
      return world.commands();
    };
    assert.equal(await count(many.token), await count(few.token));
  });

  it('looks SKUs of several companies up in one read: variants inherit, nothing leaks', async () => {
    const [a, b] = [await world.merchant(), await world.merchant()];
    await add({ ...TEA, sku: 'SHIRT', status: 'draft', variants: [{ sku: 'SHIRT-XL', name: 'Shirt XL', pricePaise: 59_900 }] }, a.token);
    await add({ ...TEA, sku: 'SHIRT', pricePaise: 1 }, b.token);
    const ctx = acrossCompanies(systemCtx('test', PLATFORM_COMPANY_ID), 'test');
    world.commands();
    const found = await sellableBySku(ctx, [
      { companyId: a.companyId, skus: ['SHIRT-XL', 'NONE'] },
      { companyId: b.companyId, skus: ['SHIRT', 'SHIRT-XL'] },
    ]);
    assert.equal(world.commands(), 1);
    assert.deepEqual([...found.keys()].sort(), [`${a.companyId}|SHIRT-XL`, `${b.companyId}|SHIRT`].sort());
    const xl = found.get(`${a.companyId}|SHIRT-XL`);
    assert.deepEqual([xl?.name, xl?.pricePaise, xl?.weightGrams, xl?.status], ['Shirt XL', 59_900, 280, 'draft']);
    const mine = systemCtx('test', a.companyId);
    assert.equal((await sellableBySku(mine, [{ companyId: b.companyId, skus: ['SHIRT'] }])).size, 0, 'a company context cannot ask for another');
  });

  describe('kept in memory for orders', () => {
    const looked = async (sku: string): Promise<number | undefined> =>
      (await sellableBySku(systemCtx('test', shop.companyId), [{ companyId: shop.companyId, skus: [sku] }])).get(`${shop.companyId}|${sku}`)?.pricePaise;
    const commandsOf = async (look: () => Promise<unknown>): Promise<number> => {
      world.commands();
      await look();
      return world.commands();
    };

    it('reads a SKU once, and hears of a change before its command answers', async () => {
      const made = await add({ ...TEA, sku: 'HELD' });
      assert.equal(await commandsOf(() => looked('HELD')), 1);
      // The database tells of the new row once more; when it does during that read, the next one is the one that is kept.
      await until(async () => (await commandsOf(() => looked('HELD'))) === 0, 'it is kept');
      const changed = await world.api('PATCH', `/v1/products/${made.body.id}`, { token: shop.token, ifMatch: 1, body: { pricePaise: 99_900 } });
      assert.equal(changed.status, 200, JSON.stringify(changed.body));
      assert.equal(await looked('HELD'), 99_900);
    });

    it('does not keep that a SKU is unknown', async () => {
      assert.equal(await looked('SOON'), undefined);
      // As another process adds it, of which this one has heard nothing yet.
      const row = await world.db.collection('products').findOne({ companyId: shop.companyId, sku: 'HELD' });
      await world.db.collection('products').insertOne({ ...row, _id: newId() as never, sku: 'SOON', skus: ['SOON'] });
      assert.equal(await looked('SOON'), 99_900);
    });

    it('hears of the changes of other processes, also of those made while it could not', async () => {
      const other = world.db.collection('products');
      await other.updateOne({ companyId: shop.companyId, sku: 'HELD' }, { $set: { pricePaise: 500 }, $inc: { version: 1 } });
      await until(async () => (await looked('HELD')) === 500, 'the price is heard of');
      assert.equal(await killStreams(), 1, 'one stream serves all followers of the process');
      await other.updateOne({ companyId: shop.companyId, sku: 'HELD' }, { $set: { pricePaise: 600 }, $inc: { version: 1 } });
      await until(async () => (await looked('HELD')) === 600, 'the price is heard of in the end');
      await until(async () => (await commandsOf(() => looked('HELD'))) === 0, 'it is kept again');
    });

    /** Ends the change streams on this database; answers how many there were. */
    async function killStreams(): Promise<number> {
      const admin = world.db.admin();
      const stages = [{ $currentOp: { allUsers: true, idleCursors: true } }, { $match: { 'cursor.originatingCommand.pipeline.0.$changeStream': { $exists: true } } }];
      const open = (await admin.command({ aggregate: 1, pipeline: stages, cursor: {} })) as { cursor: { firstBatch: { ns: string; cursor: { cursorId: unknown } }[] } };
      const own = open.cursor.firstBatch.filter(({ ns }) => ns.startsWith(`${world.db.databaseName}.`));
      await world.db.command({ killCursors: '$cmd.aggregate', cursors: own.map(({ cursor }) => cursor.cursorId) });
      return own.length;
    }
  });

  it('replays a creation under its key', async () => {
    const call = () => world.api('POST', '/v1/products', { token: shop.token, body: { ...TEA, sku: 'KEYED' }, key: 'k-1' });
    const [first, second] = [await call(), await call()];
    assert.deepEqual([first.status, second.status], [201, 201]);
    assert.deepEqual(second.body, first.body);
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
  });

  it('refuses more variants than the bound below the edge too', async () => {
    const row = await world.db.collection('products').findOne({ companyId: shop.companyId });
    const variants = Array.from({ length: 101 }, (_, i) => ({ sku: `B${i}`, name: 'B' }));
    await assert.rejects(world.db.collection('products').updateOne({ _id: row?._id }, { $set: { variants } }), { code: 121 });
  });

  it('finds a product that is listed under other SKUs than it has', async () => {
    await world.checks();
    const row = await world.db.collection('products').findOne({ companyId: shop.companyId });
    await world.db.collection('products').updateOne({ _id: row?._id }, { $push: { skus: 'PLANTED' as never } });
    await assert.rejects(world.checks(), new RegExp(String(row?._id)));
    await world.db.collection('products').updateOne({ _id: row?._id }, { $pull: { skus: 'PLANTED' as never } });
    await world.checks();
  });
});
