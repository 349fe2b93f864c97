import { strict as assert } from 'node:assert';
import { startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const WRONG = 'Wrong-Horse-7-Battery';

describe('B9 limits of registering and signing in', () => {
  let world: World;
  let owner: Merchant;
  const left = (answer: Answer): unknown[] => [answer.status, answer.headers.get('x-ratelimit-limit'), answer.headers.get('x-ratelimit-remaining')];
  const login = (email: string, password: string, more: object = {}): Promise<Answer> => world.api('POST', '/v1/auth/login', { body: { email, password, ...more } });
  const register = (n: number, address: string): Promise<Answer> =>
    world.api('POST', '/v1/auth/register', {
      headers: { 'x-forwarded-for': address },
      body: { companyName: `Shop ${n}`, name: 'Asha Rao', email: `limits${n}@shop.example.in`, phone: '9800012345', password: owner.password },
    });

  before(async () => {
    world = await startWorld({ RATE_LIMIT_REGISTER_PER_HOUR: '3', RATE_LIMIT_AUTH_FAILURES: '5', RATE_LIMIT_API_PER_MINUTE: '40', RATE_LIMIT_ADDRESS_FACTOR: '1', SIGN_IN_DELAY_MS: '0', TRUST_PROXY: '1' });
    owner = await world.merchant({ location: false, verified: false });
  });
  after(() => world.close());

  it('registering is limited hard by address, whatever becomes of each', async () => {
    const answers = [];
    for (let n = 0; n < 2; n += 1) answers.push(await register(n, '203.0.113.7'));
    answers.push(await register(0, '203.0.113.7'), await register(3, '203.0.113.7'));
    assert.deepEqual(answers.map(left), [[201, '3', '2'], [201, '3', '1'], [409, '3', '0'], [429, '3', '0']]);
    assert.ok(Number(answers.at(-1)?.headers.get('retry-after')) > 3_000);
    assert.equal((await register(4, '203.0.113.8')).status, 201);
    world.advance(3_600_000);
    assert.equal((await register(5, '203.0.113.7')).status, 201);
  });

  it('who tries paths that do not exist is limited by his address', async () => {
    const ask = (n: number, address: string): Promise<Answer> => world.api('GET', `/v1/secret-${n}`, { headers: { 'x-forwarded-for': address } });
    const answers = [];
    for (let n = 0; n < 41; n += 1) answers.push(await ask(n, '203.0.113.50'));
    assert.deepEqual(left(answers[0] as Answer), [404, '40', '39']);
    assert.deepEqual(answers.slice(0, 40).filter((answer) => answer.status !== 404), []);
    const last = answers.at(-1);
    assert.deepEqual([last?.status, last?.body.error.code, last?.headers.get('x-ratelimit-remaining')], [429, 'rate_limited', '0']);
    assert.match(last?.headers.get('x-ratelimit-reset') ?? '', /^\d+$/);
    assert.match(last?.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    assert.equal((await ask(1, '203.0.113.51')).status, 404);
    assert.equal((await world.api('GET', '/health/live', { headers: { 'x-forwarded-for': '203.0.113.50' } })).status, 200);
  });

  it('what is left falls with each failed sign-in, known account or not; a known device has its own', async () => {
    const { deviceToken } = (await login(owner.email, owner.password)).body;
    const expected = [[401, '5', '4'], [401, '5', '3'], [401, '5', '2'], [401, '5', '1'], [401, '5', '0'], [429, '5', '0']];
    for (const email of [owner.email, 'nobody@shop.example.in']) {
      const answers = [];
      for (let n = 0; n < 6; n += 1) answers.push(await login(email, WRONG));
      assert.deepEqual(answers.map(left), expected, email);
      const known = await login(owner.email, owner.password, { deviceToken });
      assert.deepEqual(left(known), [200, '5', '5']);
      await world.db.collection('throttles').deleteMany({});
    }
    assert.deepEqual(left(await login(owner.email, WRONG, { deviceToken })), [401, '5', '4']);
    const good = await login(owner.email, owner.password);
    assert.deepEqual(left(good), [200, '5', '5']);
  });
});
