import { strict as assert } from 'node:assert';
import { randomToken } from '../../src/platform/ids.ts';
import { orderBody, place, stockProduct } from '../support/shop.ts';
import { startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const PORTAL = 'https://app.example.com';
const LAMP = { sku: 'LAMP', quantity: 1 };

/** What clients do that is unusual and legal, and what looks usual and is not. */
describe('clients', () => {
  let world: World;
  let shop: Merchant;
  before(async () => {
    world = await startWorld({ CORS_ORIGINS: PORTAL, ACCESS_TOKEN_SECONDS: '86400' });
    shop = await world.merchant();
    await stockProduct(world, shop, 'LAMP', 1_000);
    for (let i = 0; i < 3; i += 1) await place(world, shop.token, [LAMP]);
  });
  after(() => world.close());

  const get = (path: string): Promise<Answer> => world.api('GET', path, { token: shop.token });
  const faultOf = (answer: Answer): [number, string] => [answer.status, answer.body.error?.details?.fields?.[0]?.path];

  it('a range may be open at either end, and is told before a file begins when it is the wrong way round', async () => {
    for (const path of ['/v1/orders', '/v1/orders/export.csv', '/v1/shipments', '/v1/wallet/entries', '/v1/wallet/statement.csv', '/v1/audit-log', '/v1/audit-log/export.csv', '/v1/security-events']) {
      for (const open of ['from=2020-01-01', 'to=2999-01-01', 'from=2020-01-01&to=2999-01-01']) assert.equal((await get(`${path}?${open}`)).status, 200, `${path}?${open}`);
      assert.deepEqual(faultOf(await get(`${path}?from=2026-02-01&to=2026-01-01`)), [400, 'from'], path);
    }
    assert.equal((await get('/v1/orders?to=2020-01-01')).body.data.length, 0);
  });

  it('a day that no calendar has is refused, in queries and in bodies', async () => {
    assert.deepEqual(faultOf(await get('/v1/orders?from=2026-02-31')), [400, 'from']);
    assert.deepEqual(faultOf(await get('/v1/orders?to=2026-04-31T00:00:00Z')), [400, 'to']);
    assert.equal((await get('/v1/orders?from=2028-02-29')).status, 200, 'a leap day');
    const body = { code: 'FEB', kind: 'flat', valuePaise: 100, endsAt: '2027-02-29T00:00:00Z' };
    assert.deepEqual(faultOf(await world.api('POST', '/v1/coupons', { token: shop.token, key: randomToken(9), body })), [400, 'endsAt']);
  });

  it('short lists take limit and cursor like long ones', async () => {
    const [first] = (await get('/v1/couriers?limit=1')).body.data;
    assert.ok(first);
    for (const path of ['/v1/couriers', '/v1/auth/sessions', '/v1/kyc/documents']) {
      const all = (await get(path)).body.data;
      const seen: unknown[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const page: Answer = await get(`${path}?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
        assert.equal(page.status, 200, JSON.stringify(page.body));
        seen.push(...page.body.data);
        cursor = page.body.nextCursor;
      }
      assert.deepEqual(seen, all, path);
      for (const bad of ['limit=0', 'limit=x', 'cursor=x', 'page=2']) assert.equal((await get(`${path}?${bad}`)).status, 400, `${path}?${bad}`);
    }
    const { data } = (await get('/v1/orders?limit=1')).body;
    assert.equal((await get(`/v1/orders/${data[0].id}/timeline`)).body.nextCursor, null);
  });

  it('a body that is not UTF-8 is refused instead of stored as other characters', async () => {
    const sent = Buffer.from(JSON.stringify(orderBody([LAMP], { notes: 'caf\u00e9' })), 'latin1');
    const post = (raw: Buffer, type = 'application/json'): Promise<Answer> => world.api('POST', '/v1/orders', { token: shop.token, key: randomToken(9), raw, headers: { 'content-type': type } });
    const refused = await post(sent);
    assert.deepEqual([refused.status, refused.body.error.code], [400, 'malformed_json']);
    const taken = await post(Buffer.from(sent.toString('latin1'), 'utf8'), 'Application/JSON; Charset="utf-8"');
    assert.deepEqual([taken.status, taken.body.notes], [201, 'caf\u00e9']);
  });

  it('a page of an allowed origin may ask, and reads what it needs to wait and to retry; others are told nothing', async () => {
    const ask = (origin: string): Promise<Response> =>
      fetch(`${world.url}/v1/orders`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,idempotency-key' } });
    const allowed = await ask(PORTAL);
    assert.deepEqual([allowed.status, allowed.headers.get('access-control-allow-origin'), allowed.headers.get('access-control-max-age')], [204, PORTAL, '600']);
    const read = await world.api('GET', '/v1/orders', { token: shop.token, headers: { origin: PORTAL } });
    for (const name of ['ETag', 'Retry-After', 'X-RateLimit-Remaining', 'Idempotent-Replayed']) assert.match(read.headers.get('access-control-expose-headers') ?? '', new RegExp(`(^|,)${name}(,|$)`), name);
    for (const origin of ['https://evil.example', 'null', `${PORTAL}.evil.example`]) assert.equal((await ask(origin)).headers.get('access-control-allow-origin'), null, origin);
  });

  it('HEAD tells what GET would, without a body', async () => {
    const { data } = (await get('/v1/orders?limit=1')).body;
    const whole = await get(`/v1/orders/${data[0].id}`);
    const head = await fetch(`${world.url}/v1/orders/${data[0].id}`, { method: 'HEAD', headers: { authorization: `Bearer ${shop.token}` } });
    assert.deepEqual([head.status, head.headers.get('etag'), Number(head.headers.get('content-length'))], [200, whole.headers.get('etag'), whole.bytes.length]);
    assert.equal((await fetch(`${world.url}/v1/orders`, { method: 'HEAD' })).status, 401);
  });
});
