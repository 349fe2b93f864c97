import { strict as assert } from 'node:assert';
import { request } from 'node:http';
import { newId } from '../../src/platform/ids.ts';
import { startWorld, type Answer, type Merchant, type World } from '../support/world.ts';
import { keyWith } from './people.ts';

const ALWAYS: Record<string, RegExp> = {
  'x-request-id': /.{8}/,
  'x-response-time': /ms$/,
  'x-frame-options': /^DENY$/,
  'x-content-type-options': /^nosniff$/,
  'referrer-policy': /./,
  'permissions-policy': /./,
  'content-security-policy': /default-src/,
  'cache-control': /no-store/,
};

describe('access: keys and the transport', () => {
  let world: World;
  let shop: Merchant;
  before(async () => {
    world = await startWorld();
    shop = await world.merchant();
  });
  after(() => world.close());

  /** Methods that fetch refuses to send. */
  const raw = (method: string, path: string): Promise<{ status: number; allow: string | undefined }> =>
    new Promise((resolve, reject) => {
      const sent = request(world.url + path, { method }, (answer) => {
        answer.resume();
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, allow: answer.headers.allow }));
      });
      sent.on('error', reject);
      sent.end();
    });

  it('R27 a key is shown once, works within its scopes only, and is dead with the call after its end', async () => {
    const made = await world.api('POST', '/v1/api-keys', { token: shop.token, body: { name: 'Reader', scopes: ['orders:read'] } });
    const key = String(made.body.key);
    const again = await world.api('GET', `/v1/api-keys/${made.body.id}`, { token: shop.token });
    assert.ok(!again.bytes.toString().includes(key) && !JSON.stringify(await world.db.collection('api_keys').find().toArray()).includes(key.split('_')[3] ?? key));
    const statuses = async (): Promise<number[]> =>
      Promise.all(['/v1/orders', '/v1/products', '/v1/api-keys'].map(async (path) => (await world.api('GET', path, { token: key })).status));
    assert.deepEqual(await statuses(), [200, 403, 403]);
    assert.equal((await world.api('DELETE', `/v1/api-keys/${made.body.id}`, { token: shop.token })).status, 204);
    assert.deepEqual(await statuses(), [401, 401, 401]);
  });

  it('R27 a key in the address is refused and stands in no log', async () => {
    const key = await keyWith(world, shop, ['orders:read']);
    for (const name of ['key', 'api_key', 'apiKey', 'access_token', 'token']) {
      assert.equal((await world.api('GET', `/v1/orders?${name}=${key}`)).status, 401);
      assert.equal((await world.api('GET', `/v1/orders?${name}=${key}`, { token: shop.token })).status, 400);
    }
    assert.deepEqual(world.logLines.filter((line) => line.includes(key)), []);
  });

  it('R36 every kind of answer carries the security headers and is not cached', async () => {
    const kinds: Record<string, Promise<Answer>> = {
      good: world.api('GET', '/v1/me', { token: shop.token }),
      unsigned: world.api('GET', '/v1/me'),
      unknown: world.api('GET', '/v1/nowhere'),
      method: world.api('DELETE', '/v1/me', { token: shop.token }),
      malformed: world.api('POST', '/v1/products', { token: shop.token, raw: '{"a":', headers: { 'content-type': 'application/json' } }),
      large: world.api('POST', '/v1/products', { token: shop.token, raw: `{"a":"${'x'.repeat(1_100_000)}"}`, headers: { 'content-type': 'application/json' } }),
      type: world.api('POST', '/v1/products', { token: shop.token, raw: 'a=1', headers: { 'content-type': 'text/plain' } }),
    };
    const expected: Record<string, number> = { good: 200, unsigned: 401, unknown: 404, method: 405, malformed: 400, large: 413, type: 415 };
    for (const [kind, answer] of Object.entries(kinds)) {
      const { status, headers } = await answer;
      assert.equal(status, expected[kind], kind);
      for (const [name, pattern] of Object.entries(ALWAYS)) assert.match(headers.get(name) ?? '', pattern, `${kind} ${name}`);
    }
  });

  it('R36 TRACE and methods that nobody knows are refused with Allow', async () => {
    for (const method of ['TRACE', 'PROPFIND', 'LOCK', 'OPTIONS']) {
      const { status, allow } = await raw(method, `/v1/orders/${newId()}`);
      assert.deepEqual([status, allow], [405, 'GET, PATCH'], method);
    }
  });

  it('R34 deep nesting and numbers beyond any range are 400, never 500', async () => {
    const json = { 'content-type': 'application/json' };
    for (const body of [`{"name":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, '{"name":"A","pricePaise":1e400}', '{"name":"A","pricePaise":99999999999999999999999}', '[]', 'null', '"x"']) {
      assert.equal((await world.api('POST', '/v1/products', { token: shop.token, raw: body, headers: json })).status, 400, body.slice(0, 40));
    }
  });
});
