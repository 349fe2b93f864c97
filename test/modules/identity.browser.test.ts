import { strict as assert } from 'node:assert';
import { PASSWORD, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const codeOf = (answer: Answer): unknown => answer.body?.error?.code;

/** The cookies that an answer sets, by name. */
function cookiesOf(answer: Answer): Map<string, { value: string; attributes: string }> {
  return new Map(
    answer.headers.getSetCookie().map((line) => {
      const [pair = '', ...attributes] = line.split('; ');
      const at = pair.indexOf('=');
      return [pair.slice(0, at), { value: pair.slice(at + 1), attributes: attributes.join('; ') }];
    }),
  );
}

describe('R36 sessions in cookies', () => {
  let world: World;
  let owner: Merchant;
  const PORTAL = 'https://portal.example.in';
  const signIn = (headers: Record<string, string> = {}) =>
    world.api('POST', '/v1/auth/login', { body: { email: owner.email, password: PASSWORD, session: 'cookie' }, headers });
  const refresh = (headers: Record<string, string>) => world.api('POST', '/v1/auth/refresh', { body: {}, headers });
  const session = async (): Promise<{ cookie: string; csrf: string; answer: Answer }> => {
    const answer = await signIn({ origin: PORTAL });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return { cookie: `__Host-dakiya-refresh=${cookiesOf(answer).get('__Host-dakiya-refresh')?.value ?? ''}`, csrf: answer.body.csrfToken, answer };
  };

  before(async () => {
    world = await startWorld({ SIGN_IN_DELAY_MS: '0', CORS_ORIGINS: PORTAL });
    owner = await world.merchant({ verified: false, location: false });
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('keep the refresh token out of the answer, in a __Host- cookie that no script reads', async () => {
    const { answer, csrf } = await session();
    assert.equal(answer.body.refreshToken, undefined);
    const cookies = cookiesOf(answer);
    for (const part of ['HttpOnly', 'Secure', 'SameSite=Strict', 'Path=/']) assert.ok(cookies.get('__Host-dakiya-refresh')?.attributes.includes(part), part);
    assert.ok(!cookies.get('__Host-dakiya-refresh')?.attributes.includes('Domain'));
    assert.equal(cookies.get('__Host-dakiya-csrf')?.value, csrf);
    assert.ok(!cookies.get('__Host-dakiya-csrf')?.attributes.includes('HttpOnly'));
    assert.equal((await world.api('GET', '/v1/me', { token: answer.body.accessToken })).status, 200);
    const plain = await world.api('POST', '/v1/auth/login', { body: { email: owner.email, password: PASSWORD } });
    assert.deepEqual([cookiesOf(plain).size, typeof plain.body.refreshToken], [0, 'string']);
  });

  it('are refreshed with Origin and token only, each use giving the next cookie', async () => {
    const { cookie, csrf } = await session();
    const refused = [
      [{ cookie, 'x-csrf-token': csrf }, 'origin_not_allowed'],
      [{ cookie, 'x-csrf-token': csrf, origin: 'https://evil.example' }, 'origin_not_allowed'],
      [{ cookie, 'x-csrf-token': csrf, origin: 'null' }, 'origin_not_allowed'],
      [{ cookie, origin: PORTAL }, 'csrf_token_invalid'],
      [{ cookie, origin: PORTAL, 'x-csrf-token': (await session()).csrf }, 'csrf_token_invalid'],
    ] as const;
    for (const [headers, code] of refused) {
      const answer = await refresh(headers);
      assert.deepEqual([answer.status, codeOf(answer)], [403, code], JSON.stringify(headers));
    }
    const next = await refresh({ cookie, origin: PORTAL, 'x-csrf-token': csrf });
    assert.equal(next.status, 200, JSON.stringify(next.body));
    assert.equal(next.body.refreshToken, undefined);
    assert.notEqual(cookiesOf(next).get('__Host-dakiya-refresh')?.value, cookie.split('=')[1]);
    assert.equal((await refresh({ cookie, origin: world.url, 'x-csrf-token': csrf })).status, 200, 'our own pages, and a retry at once');
    assert.equal(codeOf(await refresh({})), 'validation_failed');
  });

  it('cannot be put into a browser by another site, and are gone after the sign-out', async () => {
    assert.equal(codeOf(await signIn({ origin: 'https://evil.example' })), 'origin_not_allowed');
    const { cookie, csrf, answer } = await session();
    assert.equal((await world.api('GET', '/v1/me', { headers: { cookie } })).status, 401, 'the cookie opens nothing but the refresh');
    const out = await world.api('POST', '/v1/auth/logout', { token: answer.body.accessToken, headers: { cookie, origin: PORTAL } });
    assert.equal(out.status, 204);
    assert.match(cookiesOf(out).get('__Host-dakiya-refresh')?.attributes ?? '', /Max-Age=0/);
    assert.equal((await refresh({ cookie, origin: PORTAL, 'x-csrf-token': csrf })).status, 401);
  });
});
