import { strict as assert } from 'node:assert';
import { newId } from '../../src/platform/ids.ts';
import { startWorld, type Answer, type World } from '../support/world.ts';
import { operations, sampleOf, textPaths, withValue, type Operation } from './contract.ts';
import { staffToken } from './people.ts';

const EXTRA = ['role', 'companyId', 'tenant', 'status_', 'price', '__v', '__enc_x', '_id', 'version', 'createdAt', 'permissions', 'constructor', '$set', 'a.b'];
const ATTACKS: unknown[] = [{ $ne: null }, { $gt: '' }, { $where: '1' }, { $regex: '.*' }, ['x'], { __proto__x: 1 }, { constructor: { prototype: {} } }];

/** Bodies with keys of their own choice somewhere: there any key is data. */
const OPEN_BODIES = ['credentials'];

describe('access: what a body or query may hold', () => {
  let world: World;
  let owner = '';
  let staff = '';
  const all = operations();
  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400' });
    owner = (await world.merchant()).token;
    staff = await staffToken(world, 'platform_admin');
  });
  after(() => world.close());

  const isStaffs = ({ permission }: Operation): boolean => /^(admin|serviceability):/.test(permission);
  const send = (op: Operation, options: { body?: unknown; raw?: string; search?: string }): Promise<Answer> => {
    const token = op.permission === 'public' ? {} : { token: isStaffs(op) ? staff : owner };
    const path = op.path.replace(/\{\w+\}/g, newId()) + (options.search ?? '');
    const json = { 'content-type': 'application/json' };
    return world.api(op.method, path, { ...token, key: newId(), ifMatch: 1, ...(options.raw === undefined ? { body: options.body } : { raw: options.raw, headers: json }) });
  };
  const faultsOf = ({ body }: Answer): string[] => ((body?.error?.details?.fields ?? []) as { path: string }[]).map((f) => f.path);

  for (const op of all) {
    const schema = op.body;
    if (!schema) continue;
    it(`R33 ${op.name} refuses fields that it does not take`, async () => {
      const own = Object.keys(schema.properties ?? {});
      const extra = EXTRA.filter((key) => !own.includes(key));
      const answer = await send(op, { body: { ...(sampleOf(schema) as object), ...Object.fromEntries(extra.map((key) => [key, 'owner'])) } });
      assert.equal(answer.status, 400, JSON.stringify(answer.body));
      const named = faultsOf(answer);
      assert.deepEqual(extra.filter((key) => !named.includes(key)), []);
      const hidden = await send(op, { raw: '{"__proto__":{"role":"owner"}}' });
      assert.deepEqual([hidden.status, faultsOf(hidden).includes('__proto__')], [400, true]);
    });

    it(`R34 ${op.name} takes text where it takes text`, async () => {
      for (const path of textPaths(schema)) {
        if (OPEN_BODIES.includes(path[0] ?? '')) continue;
        const answers = await Promise.all(ATTACKS.map((attack) => send(op, { body: withValue(path, attack) })));
        for (const answer of answers) {
          assert.equal(answer.status, 400, `${path.join('.')}: ${JSON.stringify(answer.body)}`);
          const named = faultsOf(answer);
          assert.ok(named.some((fault) => fault === path.join('.') || fault.startsWith(`${path.join('.')}.`)), `${path.join('.')} in ${named.join()}`);
        }
      }
    });
  }

  for (const op of all) {
    if (op.path === '/metrics' || op.permission === 'public') continue;
    it(`R34 ${op.name} refuses unknown, repeated and bracketed query keys`, async () => {
      const hostile = ['?nonsense=1', '?__proto__=1', '?constructor=1', '?$where=1', ...op.query.flatMap(({ name }) => [`?${name}=1&${name}=2`, `?${name}[$ne]=1`, `?${name}[]=1`])];
      const body = op.body === undefined ? {} : { body: sampleOf(op.body) };
      for (const search of hostile) {
        const answer = await send(op, { ...body, search });
        assert.equal(answer.status, 400, `${search}: ${answer.status} ${JSON.stringify(answer.body)}`);
      }
    });
  }

  it('R34 an id that is none is refused before anything is looked up', async () => {
    for (const op of all.filter(({ path, permission }) => path.includes('{id}') && permission !== 'public')) {
      for (const wrong of ['%7B%22$ne%22:1%7D', '[object%20Object]', "'%20or%201=1", '..%2f..%2fetc', 'a'.repeat(25)]) {
        const token = isStaffs(op) ? staff : owner;
        const { status } = await world.api(op.method, op.path.replace(/\{\w+\}/g, wrong), { token, key: newId(), ifMatch: 1, ...(op.body ? { body: sampleOf(op.body) } : {}) });
        assert.ok(status === 400 || status === 404, `${op.name} ${wrong}: ${status}`);
      }
    }
  });
});
