import { strict as assert } from 'node:assert';
import { testDatabaseUri } from '../support/database.ts';
import { killAll, openStore, type ServiceProcess, startProcess, until } from '../support/process.ts';
import { orderBody, PRODUCT } from '../support/shop.ts';

/** Values that appear nowhere else: where one shows up, it has leaked. */
const CANARY = {
  ownerPhone: '9811170001',
  ownerEmail: 'canary.owner.q7x@shop.example.in',
  ownerName: 'Canarygiri Ownerwala',
  password: 'Zebra-Sunbird-77-quilt',
  wrongPassword: 'Tapir-Moonfish-88-quilt',
  customerPhone: '9811170002',
  customerEmail: 'canary.buyer.q7x@example.in',
  customerName: 'Canarybai Buyerwala',
  street: '77 Canarypur Galli',
  notes: 'canary-notes-gate-code-4711',
  faulty: 'canary-faulty-value-q7x',
  forgedToken: 'canary-forged-token-abcdef',
} as const;

describe('what is logged', function () {
  this.timeout(60_000);
  let store: Awaited<ReturnType<typeof openStore>>;
  let service: ServiceProcess;
  const secrets: Record<string, string> = { ...CANARY, ownerPhoneE164: '+919811170001' };

  before(async () => {
    const uri = await testDatabaseUri();
    store = await openStore(uri);
    // Every command is slow at 1 ms, so slow ones are logged too.
    service = await startProcess({ MONGODB_URI: uri, LOG_LEVEL: 'debug', SLOW_QUERY_MS: '1', LOCKOUT_SECONDS: '1' });
    await drive();
  });
  after(async () => {
    await killAll();
    await store.close();
  });

  async function drive(): Promise<void> {
    const { api } = service;
    const registration = { companyName: 'Canary Stores', name: CANARY.ownerName, email: CANARY.ownerEmail, phone: CANARY.ownerPhone, password: CANARY.password };
    const registered = await api('POST', '/v1/auth/register', { body: registration });
    assert.equal(registered.status, 201, JSON.stringify(registered.body));
    assert.equal((await api('POST', '/v1/auth/register', { body: registration })).status, 409);
    const mail = await until('the mail comes', async () => (await api('GET', `/dev/mailbox?to=${CANARY.ownerEmail}`)).body.data?.[0]);
    secrets['mailToken'] = new URL(mail.links[0]).searchParams.get('token') ?? assert.fail();
    assert.ok((await api('POST', '/v1/auth/email/verify', { body: { token: secrets['mailToken'] } })).status < 300);
    assert.equal((await api('POST', '/v1/auth/login', { body: { email: CANARY.ownerEmail, password: CANARY.wrongPassword } })).status, 401);
    assert.equal((await api('POST', '/v1/auth/login', { body: { email: CANARY.ownerEmail, password: { hidden: CANARY.faulty } } })).status, 400);
    const login = await api('POST', '/v1/auth/login', { body: { email: CANARY.ownerEmail, password: CANARY.password } });
    assert.equal(login.status, 200);
    const { accessToken: token, refreshToken, deviceToken } = login.body;
    Object.assign(secrets, { token, refreshToken, deviceToken });
    const refreshed = await api('POST', '/v1/auth/refresh', { body: { refreshToken } });
    Object.assign(secrets, { refreshedToken: refreshed.body.accessToken, secondRefreshToken: refreshed.body.refreshToken });
    assert.equal((await api('POST', '/v1/auth/password/forgot', { body: { email: CANARY.ownerEmail } })).status, 204);
    assert.equal((await api('GET', '/v1/me', { token: CANARY.forgedToken })).status, 401);
    const key = await api('POST', '/v1/api-keys', { token, body: { name: 'Canary', scopes: ['orders:read'] } });
    secrets['apiKey'] = key.body.key;
    assert.equal((await api('GET', `/v1/orders?phone=${CANARY.customerPhone}&email=${CANARY.customerEmail}`, { token: key.body.key })).status, 200);

    await api('POST', '/v1/products', { token, body: { sku: 'LAMP', ...PRODUCT } });
    const customer = { name: CANARY.customerName, phone: CANARY.customerPhone, email: CANARY.customerEmail };
    const shippingAddress = { line1: CANARY.street, city: 'Bengaluru', state: 'KA', pincode: '560001', country: 'IN' };
    const lines = [{ sku: 'OUTSIDE', name: 'Toy', quantity: 1, unitPricePaise: 5_000 }];
    const order = { ...orderBody(lines), customer, shippingAddress, notes: CANARY.notes };
    const post = (body: object, idempotencyKey: string) => api('POST', '/v1/orders', { token, key: idempotencyKey, body });
    const placed = await post(order, 'good');
    assert.equal(placed.status, 201, JSON.stringify(placed.body));
    assert.equal((await post({ ...order, customer: { ...customer, phone: CANARY.faulty, email: CANARY.faulty } }, 'faulty')).status, 400);
    assert.equal((await post({ ...order, [CANARY.faulty]: 1, shippingAddress: { ...shippingAddress, pincode: CANARY.faulty } }, 'odd')).status, 400);
    assert.equal((await post({ ...order, lines: [{ sku: 'LAMP', quantity: 1 }] }, 'none-there')).status, 409);
    assert.equal((await api('GET', `/v1/orders?q=${CANARY.customerEmail}`, { token })).body.data.length, 1);
    assert.equal((await api('GET', `/v1/orders/${CANARY.faulty}`, { token })).status, 400);
    assert.equal((await api('GET', `/v1/${CANARY.faulty}`, { token })).status, 404);
    await until('every event is delivered', async () => (await store.db.collection('outbox').countDocuments({ pending: true })) === 0);
  }

  it('is one JSON object a line, requests with their ids, also for slow commands', () => {
    const lines = service.output.filter((line) => !line.startsWith('ready ') && !line.startsWith('Generated '));
    assert.ok(lines.length > 30);
    for (const line of lines) assert.ok(line.startsWith('{') && line.endsWith('}'), line);
    const requests = service.logs().filter((l) => l['event'] === 'http.request');
    assert.ok(requests.length > 15);
    for (const line of requests) for (const key of ['requestId', 'method', 'route', 'status', 'ms', 'time', 'level']) assert.ok(key in line, `${key} of ${JSON.stringify(line)}`);
    assert.ok(requests.some((l) => typeof l['companyId'] === 'string' && typeof l['actorId'] === 'string'));
    assert.ok(service.logs().some((l) => l['event'] === 'db.slow_query'), 'slow commands are told');
  });

  it('holds no personal value, password, token or key, and neither do the metrics', async () => {
    const metrics = (await service.api('GET', '/metrics')).bytes.toString();
    const all = `${service.output.join('\n')}\n${metrics}`;
    const leaked = Object.entries(secrets).filter(([, value]) => all.includes(value) || all.includes(encodeURIComponent(value)));
    assert.deepEqual(leaked.map(([name, value]) => `${name} in ${all.split('\n').find((line) => line.includes(value)) ?? ''}`.slice(0, 300)), []);
    assert.ok(Object.values(secrets).every((value) => value.length >= 8));
  });
});
