import { strict as assert } from 'node:assert';
import { setTimeout as wait } from 'node:timers/promises';
import { creditWallet } from '../../src/modules/wallet/index.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { testDatabaseUri } from '../support/database.ts';
import { endOpenTransactionsAfter, killAll, newShop, openStore, type ServiceProcess, startProcess, until } from '../support/process.ts';
import { orderBody } from '../support/shop.ts';
import type { Answer } from '../support/world.ts';

const PARCELS = 60;
const CODES = ['picked_up', 'in_transit', 'out_for_delivery', 'delivered'];

describe('a process that is killed while parcels are booked and scanned', function () {
  this.timeout(120_000);
  let store: Awaited<ReturnType<typeof openStore>>;
  let service: ServiceProcess;
  let env: Record<string, string>;
  let token: string;
  let companyId: string;
  let awbs: string[] = [];

  const rows = (collection: string) => store.db.collection<{ _id: string }>(collection);
  const countOf = (collection: string, filter: object = {}) => rows(collection).countDocuments(filter);
  /** Asks until the service has an answer of its own: a killed one holds rows for a moment. */
  const persist = async (call: () => Promise<Answer>): Promise<Answer> => {
    for (;;) {
      const answer = await call();
      if (answer.status !== 503) return answer;
      await wait(200);
    }
  };

  before(async () => {
    const uri = await testDatabaseUri();
    store = await openStore(uri);
    await endOpenTransactionsAfter(2);
    // One booking a transaction, so that the kill falls between some.
    env = { MONGODB_URI: uri, JOB_LEASE_MS: '1000', LANES: 'off', ACCESS_TOKEN_SECONDS: '3600' };
    service = await startProcess(env);
    ({ token, companyId } = await newShop(service.api));
    await rows('companies').updateOne({ _id: companyId }, { $set: { emailVerifiedAt: new Date() } });
    await withTransaction(systemCtx('test', companyId), (tx) => creditWallet(tx, { amountPaise: 100_000_000, cause: 'test money' }));
  });
  after(async () => {
    await killAll();
    await endOpenTransactionsAfter(20);
    await store.close();
  });

  it('books each order exactly once, with a number of its own and one hold', async () => {
    const lines = [{ sku: 'TOY', name: 'Wooden toy', quantity: 1, unitPricePaise: 50_000 }];
    const orders = await Promise.all(Array.from({ length: PARCELS }, (_, i) => service.api('POST', '/v1/orders', { token, key: `order-${i}`, body: orderBody(lines) })));
    assert.ok(orders.every((o) => o.status === 201));
    const book = (i: number): Promise<Answer> => service.api('POST', '/v1/shipments', { token, key: `book-${i}`, body: { orderId: orders[i]?.body.id } });
    const first = orders.map((_, i) => book(i).catch(() => undefined));
    await until('some are booked', async () => (await countOf('shipments')) >= 5);
    await service.kill();
    const acknowledged = await Promise.all(first);

    service = await startProcess(env);
    const again = await Promise.all(orders.map((_, i) => persist(() => book(i))));
    again.forEach((answer, i) => {
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      const before = acknowledged[i];
      if (before?.status === 201) assert.equal(answer.body.id, before.body.id);
    });
    awbs = again.map((answer) => String(answer.body.awb));
    assert.equal(new Set(awbs).size, PARCELS);
    assert.equal(await countOf('shipments'), PARCELS);
    assert.equal(await countOf('ledger_entries', { kind: 'hold' }), PARCELS);
    await store.checks();
  });

  it('folds every scan exactly once', async () => {
    const made = await service.api('POST', '/v1/api-keys', { token, body: { name: 'courier', scopes: ['scans:write'] } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const start = Date.now() - 86_400_000;
    const events = CODES.map((code, i) => ({ code, occurredAt: new Date(start + i * 3_600_000).toISOString() }));
    const scan = (awb: string): Promise<Answer> => service.api('POST', `/v1/shipments/${awb}/scans`, { token: made.body.key, body: { events } });
    const first = awbs.map((awb) => scan(awb).catch(() => undefined));
    await until('some are scanned', async () => (await countOf('scans')) >= CODES.length * 3);
    await service.kill();
    await Promise.all(first);

    service = await startProcess(env);
    for (const answer of await Promise.all(awbs.map((awb) => persist(() => scan(awb))))) assert.equal(answer.status, 200, JSON.stringify(answer.body));
    await until('every parcel is delivered', async () => (await countOf('shipments', { status: 'delivered' })) === PARCELS, 30_000);
    assert.equal(await countOf('scans'), PARCELS * CODES.length);
    assert.equal(await countOf('ledger_entries', { kind: 'charge' }), PARCELS);
    assert.equal(await countOf('ledger_entries', { kind: 'cod_due' }), PARCELS);
    await store.checks();
  });
});
