import { strict as assert } from 'node:assert';
import { createHmac, createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DATA_DIR, killAll, newShop, openStore, startProcess, until, type ServiceProcess } from '../support/process.ts';
import { testDatabaseUri } from '../support/database.ts';
import { PASSWORD, race, type Answer, type Merchant } from '../support/world.ts';

const WRONG = 'Wrong-Horse-7-Battery';
const MAX_FAILURES = 5;

describe('identity over two processes', () => {
  let one: ServiceProcess;
  let two: ServiceProcess;
  let store: Awaited<ReturnType<typeof openStore>>;
  let owner: Merchant;
  const login = (where: ServiceProcess, email: string, password: string) => where.api('POST', '/v1/auth/login', { body: { email, password } });
  const me = async (where: ServiceProcess, token: string): Promise<number> => (await where.api('GET', '/v1/me', { token })).status;

  before(async () => {
    const MONGODB_URI = await testDatabaseUri();
    const env = { MONGODB_URI, RATE_LIMITS: 'on', RATE_LIMIT_API_PER_MINUTE: '100000', RATE_LIMIT_PUBLIC_PER_MINUTE: '100000', SIGN_IN_DELAY_MS: '0', ROLE: 'api', TRUST_PROXY: '1', RATE_LIMIT_REGISTER_PER_HOUR: '10', RATE_LIMIT_BLOCK_AFTER: '6' };
    one = await startProcess(env);
    two = await startProcess(env);
    store = await openStore(MONGODB_URI);
    owner = await newShop(one.api);
  });
  after(async () => {
    await killAll();
    await store.close();
  });

  it('B9 refusals of both count towards the block of an address, which then holds in both', async () => {
    const register = (where: ServiceProcess): Promise<Answer> => where.api('POST', '/v1/auth/register', { headers: { 'x-forwarded-for': '203.0.113.9' }, body: {} });
    const statuses = async (where: ServiceProcess, n: number): Promise<number[]> => (await Promise.all(Array.from({ length: n }, () => register(where)))).map((answer) => answer.status);
    assert.equal((await statuses(one, 13)).filter((status) => status === 429).length, 3);
    assert.equal((await statuses(two, 12)).filter((status) => status === 429).length, 2);
    assert.equal((await register(one)).status, 429);
    for (const where of [one, two]) await until('the block holds', async () => (await register(where)).status === 403, 1_500);
  });

  it('R22 a sign-out in one process holds in the other within a second', async () => {
    const { accessToken } = (await login(one, owner.email, PASSWORD)).body;
    assert.deepEqual([await me(one, accessToken), await me(two, accessToken)], [200, 200]);
    assert.equal((await one.api('POST', '/v1/auth/logout', { token: accessToken })).status, 204);
    assert.equal(await me(one, accessToken), 401);
    await until('the other process has heard of it', async () => (await me(two, accessToken)) === 401, 1_000);
  });

  it('R23 crafted access tokens are refused', async () => {
    const { accessToken } = (await login(one, owner.email, PASSWORD)).body as { accessToken: string };
    const [head = '', body = ''] = accessToken.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString('utf8')) as Record<string, unknown>;
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as Record<string, unknown>;
    const { JWT_PRIVATE_KEY: pem = '' } = JSON.parse(await readFile(join(DATA_DIR, 'secrets.json'), 'utf8')) as Record<string, string>;
    const text = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const sign = (h: object, c: object, key: unknown = pem): string => {
      const data = `${text(h)}.${text(c)}`;
      return `${data}.${createSign('SHA256').update(data).sign({ key: key as string, dsaEncoding: 'ieee-p1363' }, 'base64url')}`;
    };
    const hs = (h: object): string => {
      const data = `${text(h)}.${text(claims)}`;
      return `${data}.${createHmac('sha256', createPublicKey(pem).export({ type: 'spki', format: 'pem' })).update(data).digest('base64url')}`;
    };
    const { exp: _exp, ...withoutEnd } = claims;
    const atSeconds = Math.floor(Date.now() / 1000);
    const crafted: Record<string, string> = {
      none: `${text({ ...header, alg: 'none' })}.${body}.`,
      'HS256 with the public key': hs({ ...header, alg: 'HS256' }),
      'another kid': sign({ ...header, kid: 'other' }, claims),
      'another key': sign(header, claims, foreign),
      'another audience': sign(header, { ...claims, aud: 'somebody' }),
      'another issuer': sign(header, { ...claims, iss: 'somebody' }),
      'another type': sign({ ...header, typ: 'JWT' }, claims),
      'no end': sign(header, withoutEnd),
      'ended more than 30 s ago': sign(header, { ...claims, iat: atSeconds - 700, exp: atSeconds - 40 }),
      jku: sign({ ...header, jku: 'https://evil.example/keys' }, claims),
    };
    assert.equal(await me(one, sign(header, claims)), 200, 'the craft itself is right');
    for (const [what, token] of Object.entries(crafted)) assert.equal(await me(one, token), 401, what);
  });

  it('R15 the wrong passwords for one account count in both', async () => {
    const victim = await newShop(one.api);
    const { statuses } = await race(20, (i) => login(i % 2 ? one : two, victim.email, WRONG));
    // Each process judges one attempt of an account at a time, so one more than the limit may have been under way.
    assert.ok((statuses['401'] ?? 0) <= MAX_FAILURES + 1 && (statuses['429'] ?? 0) >= 20 - MAX_FAILURES - 1, JSON.stringify(statuses));
    for (const where of [one, two]) assert.equal((await login(where, victim.email, PASSWORD)).status, 429);
    await store.db.collection('throttles').deleteMany({});
  });

  it('R16 one password sprayed over 200 accounts from one address is limited in both', async () => {
    const answers: Answer[] = (await race(200, (i) => login(i % 2 ? one : two, `victim${i}@example.in`, WRONG))).answers;
    const judged = answers.filter((answer) => answer.status === 401).length;
    assert.ok(judged <= MAX_FAILURES + 1, `${judged} attempts were judged`);
    assert.ok(answers.every((answer) => [401, 429, 503].includes(answer.status)));
  });
});
