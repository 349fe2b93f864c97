import { strict as assert } from 'node:assert';
import { setTimeout as wait } from 'node:timers/promises';
import { startCallers } from '../support/callers.ts';
import { testDatabaseUri } from '../support/database.ts';
import { endOpenTransactionsAfter, killAll, newShop, openStore, type ServiceProcess, startProcess, until } from '../support/process.ts';
import { orderBody, PRODUCT } from '../support/shop.ts';

const CALLERS = 32;

describe('a process that is killed while orders come in', function () {
  this.timeout(90_000);
  let store: Awaited<ReturnType<typeof openStore>>;
  let service: ServiceProcess | undefined;
  let uri: string;

  before(async () => {
    uri = await testDatabaseUri();
    store = await openStore(uri);
    await endOpenTransactionsAfter(2);
  });
  after(async () => {
    await killAll();
    await endOpenTransactionsAfter(20);
    await store.close();
  });

  it('has kept what it acknowledged, and a repeat of every call ends in exactly one order each', async () => {
    service = await startProcess({ MONGODB_URI: uri, JOB_LEASE_MS: '1000' });
    const shop = await newShop(service.api);
    const { token } = shop;
    assert.equal((await service.api('POST', '/v1/products', { token, body: { sku: 'LAMP', ...PRODUCT } })).status, 201);
    const received = await service.api('POST', '/v1/stock/receipts', { token, body: { reference: 'IN', lines: [{ sku: 'LAMP', locationId: shop.locationId, quantity: 100_000 }] } });
    assert.ok(received.status < 300);
    const body = () => orderBody([{ sku: 'LAMP', quantity: 1 }]);
    const callers = startCallers(CALLERS, { url: service.url, path: '/v1/orders', token, body });
    await until('the load is on', () => callers.came.length > 200);
    await service.kill();
    await callers.over;
    const lost = callers.came.filter((c) => c.to === 'broken');
    assert.ok(lost.length > 0, 'the kill came in the middle of some calls');

    service = await startProcess({ MONGODB_URI: uri, JOB_LEASE_MS: '1000' });
    const { api } = service;
    const again = await Promise.all(
      callers.came.map(async (first) => {
        for (;;) {
          const answer = await api('POST', '/v1/orders', { token, key: first.key, body: body() });
          if (answer.status !== 503) return { first, answer };
          await wait(Number(answer.headers.get('retry-after')) * 1000);
        }
      }),
    );
    for (const { first, answer } of again) {
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      if (first.to === 'answer') assert.deepEqual([answer.body.id, answer.headers.get('idempotent-replayed')], [first.id, 'true']);
    }
    const stored = await store.db.collection('orders').find({ companyId: shop.companyId }).project({ idempotencyKey: 1 }).toArray();
    assert.deepEqual(stored.map((row) => row['idempotencyKey'] as string).sort(), callers.came.map((c) => c.key).sort());
    const row = await store.db.collection('stock').findOne({ companyId: shop.companyId, sku: 'LAMP' });
    assert.equal(row?.['reserved'], callers.came.length);
    await until('every event is delivered', async () => (await store.db.collection('outbox').countDocuments({ pending: true })) === 0, 20_000);
    assert.equal(await store.db.collection('outbox').countDocuments({ type: 'order.placed', companyId: shop.companyId }), callers.came.length);
    await store.checks();
  });
});
