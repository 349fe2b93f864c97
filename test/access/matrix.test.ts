import { strict as assert } from 'node:assert';
import { contractRoutes } from '../../src/service.ts';
import { newId } from '../../src/platform/ids.ts';
import { startWorld, type Answer, type World } from '../support/world.ts';
import { allScopes, CALLERS, keyWith, readMatrix, staffToken, type Caller, type MatrixRow } from './people.ts';

/** What an answer says about access; anything after the access decision is `ok`, also a 400 or 404. */
function verdict({ status, body }: Answer): string {
  const code: unknown = body?.error?.code;
  if (status === 401 && (code === 'unauthenticated' || code === 'invalid_token')) return '401';
  if (status === 403 && code === 'forbidden') return '403';
  return status === 429 || status >= 500 ? `failed ${status}` : 'ok';
}

const ENDS_SESSION = /auth\/logout/;

describe('access: route by role', () => {
  const matrix = readMatrix();
  const name = (row: Pick<MatrixRow, 'method' | 'path'>): string => `${row.method} ${row.path}`;
  let world: World;
  const tokens = new Map<Caller, string>();

  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400', SESSION_MAX: '100' });
    const shop = await world.merchant();
    tokens.set('owner', shop.token);
    for (const role of ['viewer', 'finance', 'operations', 'admin'] as const) tokens.set(role, await world.member(shop, role));
    for (const role of ['operator', 'platform_admin'] as const) tokens.set(role, await staffToken(world, role));
    tokens.set('full_key', await keyWith(world, shop, allScopes()));
    // No route asks for this scope.
    tokens.set('other_key', await keyWith(world, shop, ['returns:read']));
  });
  after(() => world.close());

  it('R32 every route of the service stands in the matrix, and no other', () => {
    const served = contractRoutes().map((r) => `${r.method.toUpperCase()} ${r.path.replace(/:(\w+)/g, '{$1}')}`);
    assert.deepEqual(matrix.map(name).sort(), served.sort());
    assert.ok(matrix.every(({ cells }) => CALLERS.every((caller) => ['ok', '401', '403'].includes(cells[caller]))));
  });

  it('R32 only these routes need no sign-in', () => {
    const open = matrix.filter(({ cells }) => cells.anonymous === 'ok').map(name);
    assert.deepEqual(open.filter((route) => !/^(GET \/(health|metrics|track|v1\/track)|POST \/v1\/(auth|webhooks|courier-webhooks)\/|GET \/v1\/auth\/oauth\/)/.test(route)), []);
  });

  it('R32 a viewer may call the POSTs that change nothing, and changes nothing else but the own account', () => {
    const allowed = matrix.filter(({ method, cells }) => method !== 'GET' && cells.viewer === 'ok' && cells.anonymous !== 'ok').map(name);
    const expected = ['POST /v1/rates', 'POST /v1/coupons/validate', 'POST /v1/shipments/labels.pdf'];
    assert.deepEqual(allowed.filter((route) => !/ \/v1\/(auth|me)(\/|$)/.test(route)).sort(), expected.sort());
  });

  for (const row of matrix.filter(({ path }) => !ENDS_SESSION.test(path))) {
    it(`R32 ${name(row)}`, async () => {
      const path = row.path.replace(/\{\w+\}/g, newId());
      const call = async (caller: Caller): Promise<[Caller, string]> => {
        const body = row.method === 'GET' || row.method === 'DELETE' ? {} : { body: {} };
        const answer = await world.api(row.method, path, { ...body, ...(tokens.has(caller) ? { token: tokens.get(caller) } : {}) });
        return [caller, verdict(answer)];
      };
      const found = Object.fromEntries(await Promise.all(CALLERS.map(call)));
      const { foreign: _foreign, ...expected } = row.cells;
      assert.deepEqual(found, expected);
    });
  }

  it('R32 the routes that end sessions', async () => {
    for (const row of matrix.filter(({ path }) => ENDS_SESSION.test(path))) {
      assert.deepEqual([row.cells.anonymous, row.cells.full_key, row.cells.viewer, row.cells.operator], ['401', '403', 'ok', 'ok']);
      assert.equal(verdict(await world.api(row.method, row.path)), '401');
      assert.equal(verdict(await world.api(row.method, row.path, { token: tokens.get('full_key') })), '403');
    }
    for (const role of ['viewer', 'operator'] as const) {
      assert.equal((await world.api('POST', '/v1/auth/logout-all', { token: tokens.get(role) })).status, 204);
      assert.equal((await world.api('GET', '/v1/me', { token: tokens.get(role) })).status, 401);
    }
  });

  it('R32 refusals come as 401, 403, 400, 428, 404', async () => {
    const path = `/v1/locations/${newId()}`;
    const owner = tokens.get('owner');
    const statuses = [
      await world.api('PATCH', path, { body: { nonsense: 1 } }),
      await world.api('PATCH', path, { token: tokens.get('finance'), body: { nonsense: 1 } }),
      await world.api('PATCH', path, { token: owner, body: { nonsense: 1 } }),
      await world.api('PATCH', path, { token: owner, body: { name: 'New' } }),
      await world.api('PATCH', path, { token: owner, body: { name: 'New' }, ifMatch: 1 }),
    ].map(({ status }) => status);
    assert.deepEqual(statuses, [401, 403, 400, 428, 404]);
  });
});
