import { strict as assert } from 'node:assert';
import { createConnection } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { startCallers } from '../support/callers.ts';
import { testDatabaseUri } from '../support/database.ts';
import { apiOf, killAll, newShop, openStore, type ServiceProcess, startProcess, until } from '../support/process.ts';
import { orderBody, PRODUCT } from '../support/shop.ts';
import type { Merchant } from '../support/world.ts';

const CALLERS = 64;

describe('a process that is told to end', function () {
  this.timeout(90_000);
  let uri: string;
  let store: Awaited<ReturnType<typeof openStore>>;
  let service: ServiceProcess | undefined;
  let shop: Merchant;

  before(async () => {
    uri = await testDatabaseUri();
    store = await openStore(uri);
  });
  afterEach(killAll);
  after(() => store.close());

  async function start(env: Record<string, string> = {}): Promise<ServiceProcess> {
    service = await startProcess({ MONGODB_URI: uri, ...env });
    return service;
  }

  it('answers all it has taken under load, keeps every order it acknowledged, and ends with 0', async () => {
    const { url, api, stop } = await start();
    shop = await newShop(api);
    assert.equal((await api('POST', '/v1/products', { token: shop.token, body: { sku: 'LAMP', ...PRODUCT } })).status, 201);
    const lines = [{ sku: 'LAMP', locationId: shop.locationId, quantity: 100_000 }];
    assert.equal((await api('POST', '/v1/stock/receipts', { token: shop.token, body: { reference: 'IN', lines } })).status, 201);
    const callers = startCallers(CALLERS, { url, path: '/v1/orders', token: shop.token, body: () => orderBody([{ sku: 'LAMP', quantity: 1 }]) });
    await until('the load is on', () => callers.came.length > 300);
    const ended = await stop();
    await callers.over;
    assert.deepEqual(ended, { code: 0, signal: null });
    const answers = callers.came.filter((c) => c.to === 'answer');
    const acknowledged = answers.filter((c) => c.status === 201);
    assert.deepEqual([...new Set(answers.map((c) => c.status))].filter((status) => status !== 201 && status !== 503), []);
    const stored = await store.db.collection<{ _id: string; idempotencyKey: string }>('orders').find({ companyId: shop.companyId }).project({ idempotencyKey: 1 }).toArray();
    assert.deepEqual(stored.map((row) => row['_id'] as string).sort(), acknowledged.map((c) => c.id).sort(), 'stored and acknowledged are the same');
    const broken = callers.came.filter((c) => c.to === 'broken');
    assert.deepEqual(broken, [], 'nobody was cut off');
    assert.equal(callers.came.filter((c) => c.to === 'refused').length, CALLERS, 'in the end every caller was refused a connection');
  });

  it('says that it is not ready while it drains, and a second signal forces it', async () => {
    const { url, signal, ended, logs } = await start({ SHUTDOWN_GRACE_MS: '20000' });
    const { hostname, port } = new URL(url);
    const slow = createConnection({ host: hostname, port: Number(port) });
    slow.on('error', () => undefined);
    // A request that never ends keeps the process from ending by itself.
    slow.write('POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
    const asking = createConnection({ host: hostname, port: Number(port) });
    let heard = '';
    asking.on('data', (part: Buffer) => (heard += part.toString()));
    asking.write('GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\nGET /health/re');
    await until('it is ready', () => heard.startsWith('HTTP/1.1 200'));
    signal('SIGTERM');
    await until('it drains', () => logs().some((l) => l['event'] === 'shutdown.begun' || l['message'] === 'shutdown.begun'));
    asking.write('ady HTTP/1.1\r\nHost: x\r\n\r\n');
    await until('it says so', () => /HTTP\/1.1 503[^]*not_ready/.test(heard));
    await assert.rejects(apiOf(url)('GET', '/health/live'), 'a new connection is refused');
    await wait(600);
    signal('SIGTERM');
    assert.deepEqual(await ended, { code: 1, signal: null });
    slow.destroy();
  });

  it('ends in order and with 1 after a fault that nobody caught, which is logged once', async () => {
    for (const [how, event] of [['reject', 'process.unhandled_rejection'], ['throw', 'process.uncaught_exception']] as const) {
      const { fail, ended, logs, kill } = await start();
      fail(how, `forced by a ${how}`);
      assert.deepEqual(await Promise.race([ended, wait(10_000).then(kill)]), { code: 1, signal: null });
      const about = logs().filter((line) => JSON.stringify(line).includes(`forced by a ${how}`));
      assert.deepEqual(about.map((line) => line['event'] ?? line['message']), [event]);
      const [end] = logs().filter((line) => JSON.stringify(line).includes('shutdown.ended'));
      assert.equal(end?.['how'], 'drained');
    }
  });
});
