import { strict as assert } from 'node:assert';
import { testDatabaseUri } from '../support/database.ts';
import { killAll, newShop, openStore, type ServiceProcess, startProcess, until } from '../support/process.ts';
import { orderBody, PRODUCT } from '../support/shop.ts';
import { race, type Answer, type Merchant } from '../support/world.ts';

const BUYERS = 200;
const UNITS = 50;

/** The same database served by one process that groups orders and one that does not. */
describe('two processes on one database', function () {
  this.timeout(90_000);
  let store: Awaited<ReturnType<typeof openStore>>;
  let both: ServiceProcess[];
  let shop: Merchant;
  let other: Merchant;

  before(async () => {
    const uri = await testDatabaseUri();
    store = await openStore(uri);
    both = await Promise.all(['on', 'off'].map((LANES) => startProcess({ MONGODB_URI: uri, LANES })));
    const [first, second] = both.map((p) => p.api);
    assert.ok(first && second);
    [shop, other] = await Promise.all([newShop(first), newShop(second)]);
  });
  after(async () => {
    const ended = await Promise.all((both ?? []).map((p) => p.stop()));
    await killAll();
    await store.close();
    assert.deepEqual(ended, [{ code: 0, signal: null }, { code: 0, signal: null }]);
  });

  const api = (i: number) => both[i % 2]?.api ?? assert.fail();

  async function stock(owner: Merchant, sku: string, quantity: number): Promise<void> {
    const made = await api(0)('POST', '/v1/products', { token: owner.token, body: { sku, ...PRODUCT } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const lines = [{ sku, locationId: owner.locationId, quantity }];
    const received = await api(1)('POST', '/v1/stock/receipts', { token: owner.token, body: { reference: `IN-${sku}`, lines } });
    assert.ok(received.status < 300, JSON.stringify(received.body));
  }

  const place = (i: number, owner: Merchant, sku: string, key: string, extra = {}): Promise<Answer> =>
    api(i)('POST', '/v1/orders', { token: owner.token, key, body: orderBody([{ sku, quantity: 1 }], extra) });

  it('sell exactly what is there: every other buyer hears so, beside buyers of another company', async () => {
    await stock(shop, 'HOT', UNITS);
    await stock(other, 'HOT', BUYERS);
    const { answers, statuses } = await race(BUYERS + 40, (i) => (i < BUYERS ? place(i, shop, 'HOT', `hot-${i}`) : place(i, other, 'HOT', `cold-${i}`)));
    assert.deepEqual(statuses, { 201: UNITS + 40, 409: BUYERS - UNITS });
    const refused = answers.filter((a) => a.status === 409).map((a) => a.body.error.code);
    assert.deepEqual([...new Set(refused)], ['out_of_stock']);
    assert.equal(answers.slice(BUYERS).filter((a) => a.status === 201).length, 40);
    const row = await store.db.collection('stock').findOne({ companyId: shop.companyId, sku: 'HOT' });
    assert.deepEqual([row?.['available'], row?.['reserved']], [0, UNITS]);
  });

  it('give every order a number of its own', async () => {
    for (const { companyId } of [shop, other]) {
      const rows = await store.db.collection('orders').find({ companyId }).project({ orderNumber: 1 }).toArray();
      assert.equal(new Set(rows.map((r) => r['orderNumber'] as string)).size, rows.length);
    }
  });

  it('never redeem a coupon beyond its limit', async () => {
    const coupon = await api(0)('POST', '/v1/coupons', { token: other.token, body: { code: 'FEW', kind: 'flat', valuePaise: 1_000, usageLimit: 7 } });
    assert.equal(coupon.status, 201, JSON.stringify(coupon.body));
    const { answers, statuses } = await race(40, (i) => place(i, other, 'HOT', `few-${i}`, { couponCode: 'FEW' }));
    assert.deepEqual(statuses, { 201: 7, 409: 33 });
    assert.deepEqual([...new Set(answers.filter((a) => a.status === 409).map((a) => a.body.error.code))], ['coupon_used_up']);
  });

  it('do one thing once for twenty calls with one key, and answer the others with it', async () => {
    const { answers, statuses } = await race(20, (i) => place(i, other, 'HOT', 'one-key'));
    assert.deepEqual(statuses, { 201: 20 });
    assert.equal(new Set(answers.map((a) => a.body.id)).size, 1);
    assert.equal(answers.filter((a) => a.headers.get('idempotent-replayed') === 'true').length, 19);
    assert.equal(await store.db.collection('orders').countDocuments({ companyId: other.companyId, idempotencyKey: 'one-key' }), 1);
  });

  it('end a session on both when it is ended on one', async () => {
    const login = await api(0)('POST', '/v1/auth/login', { body: { email: shop.email, password: shop.password } });
    const token = login.body.accessToken as string;
    assert.equal((await api(1)('GET', '/v1/me', { token })).status, 200);
    assert.equal((await api(0)('POST', '/v1/auth/logout', { token })).status, 204);
    await until('the token ends in the other process', async () => (await api(1)('GET', '/v1/me', { token })).status === 401, 3_000);
  });

  it('leave books that agree', async () => {
    await until('every event is delivered', async () => (await store.db.collection('outbox').countDocuments({ pending: true })) === 0);
    await store.checks();
  });
});
