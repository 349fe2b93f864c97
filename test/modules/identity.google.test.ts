import { strict as assert } from 'node:assert';
import { startGoogle, type Google, type Mischief } from '../support/google.ts';
import { oauthGrants } from '../../src/modules/identity/google.model.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { seal } from '../../src/platform/db/sealed.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { newId } from '../../src/platform/ids.ts';
import { PASSWORD, race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const codeOf = (answer: Answer): unknown => answer.body?.error?.code;
const CLIENT = { id: 'dakiya-client', secret: 'stand-in-secret' };

describe('sign-in with Google', () => {
  let world: World;
  let google: Google;
  let people = 0;

  const start = async (): Promise<{ cookie: string; url: string }> => {
    const answer = await fetch(`${world.url}/v1/auth/oauth/google/start`, { redirect: 'manual' });
    assert.equal(answer.status, 302);
    const [line = ''] = answer.headers.getSetCookie();
    for (const part of ['__Host-dakiya-oauth=', 'HttpOnly', 'Secure', 'SameSite=Lax']) assert.ok(line.includes(part), part);
    return { cookie: line.split(';')[0] ?? '', url: answer.headers.get('location') ?? '' };
  };
  const come = async (): Promise<Answer> => {
    const { cookie, url } = await start();
    return world.api('GET', google.agree(url), { headers: { cookie } });
  };
  const complete = (body: object) => world.api('POST', '/v1/auth/oauth/google/complete', { body });
  const somebody = (email?: string): void => {
    people += 1;
    google.person = { sub: `sub-${people}`, email: email ?? `person${people}@gmail.example`, name: 'Nila Bose' };
    google.mischief = 'none';
  };
  const ticketOf = (answer: Answer, code: string): string => {
    assert.equal(codeOf(answer), code, JSON.stringify(answer.body));
    return answer.body.error.details.ticket;
  };
  const newcomer = async (): Promise<Answer> => {
    const ticket = ticketOf(await come(), 'google_registration_required');
    const made = await complete({ ticket, companyName: 'Nila Stores', phone: '9800012345' });
    assert.equal(made.status, 200, JSON.stringify(made.body));
    return made;
  };

  before(async () => {
    google = await startGoogle(CLIENT);
    world = await startWorld({ SIGN_IN_DELAY_MS: '0', GOOGLE_CLIENT_ID: CLIENT.id, GOOGLE_CLIENT_SECRET: CLIENT.secret, GOOGLE_ISSUER: google.issuer, GOOGLE_TIMEOUT_MS: '700' });
  });
  beforeEach(() => somebody());
  after(async () => {
    await world.checks().finally(() => world.close());
    await google.close();
  });

  it('sends the browser away with state, nonce and PKCE S256', async () => {
    const { searchParams } = new URL((await start()).url);
    assert.deepEqual([searchParams.get('response_type'), searchParams.get('code_challenge_method'), searchParams.get('client_id')], ['code', 'S256', CLIENT.id]);
    for (const key of ['state', 'nonce', 'code_challenge']) assert.ok((searchParams.get(key) ?? '').length >= 43, key);
  });

  it('opens a company for somebody new, once its name is given, and signs him in from then on', async () => {
    const ticket = ticketOf(await come(), 'google_registration_required');
    assert.equal((await complete({ ticket })).status, 400);
    const body = { ticket, companyName: 'Nila Stores', phone: '9800012345' };
    const { answers, statuses } = await race(5, () => complete(body));
    assert.deepEqual(statuses, { 200: 1, 400: 4 });
    const { user, company } = answers.find((a) => a.status === 200)?.body;
    assert.deepEqual([user.email, user.emailVerified, user.role, company.name], [google.person.email, true, 'owner', 'Nila Stores']);
    const again = await come();
    assert.deepEqual([again.status, again.body.user?.id], [200, user.id]);
    assert.equal((await world.api('POST', '/v1/auth/login', { body: { email: google.person.email, password: PASSWORD } })).status, 401);
  });

  it('never takes over an account by its address: its password links the two', async () => {
    const owner = await world.merchant({ location: false });
    somebody(owner.email);
    const ticket = ticketOf(await come(), 'google_link_required');
    assert.equal(codeOf(await complete({ ticket })), 'invalid_credentials');
    assert.equal(codeOf(await complete({ ticket, companyName: 'Mine', phone: '9800012345' })), 'invalid_credentials');
    assert.equal((await complete({ ticket, password: owner.password })).body.user.id, owner.userId);
    assert.equal((await complete({ ticket, password: owner.password })).status, 400);
    assert.equal((await come()).body.user.id, owner.userId);
  });

  it('finds who was linked in the former product, by the account that its token is of, and nobody else', async () => {
    const grant = async (refreshToken: string): Promise<Merchant> => {
      const owner = await world.merchant({ location: false });
      await withTransaction(systemCtx('test', owner.companyId), async (ctx) =>
        oauthGrants.insert(ctx, { _id: newId(), userId: owner.userId, provider: 'google', accessToken: seal('ya29.former'), refreshToken: seal(refreshToken) }),
      );
      return owner;
    };
    const grants = (owner: Merchant) => world.db.collection('oauth_grants').countDocuments({ companyId: owner.companyId });
    const mine = await grant('1//former-mine');
    somebody(mine.email);
    google.refreshTokens.set('1//former-mine', google.person.sub);
    const back = await come();
    assert.deepEqual([back.status, back.body.user?.id], [200, mine.userId], JSON.stringify(back.body));
    assert.equal(await grants(mine), 0, 'the link has taken its place');
    google.refreshTokens.clear();
    assert.equal((await come()).body.user.id, mine.userId);

    for (const sub of ['sub-of-somebody-else', undefined]) {
      const other = await grant('1//former-other');
      somebody(other.email);
      if (sub !== undefined) google.refreshTokens.set('1//former-other', sub);
      const ticket = ticketOf(await come(), 'google_link_required');
      assert.equal(await grants(other), 1);
      assert.equal((await complete({ ticket, password: other.password })).body.user.id, other.userId);
      assert.equal(await grants(other), 0);
      google.refreshTokens.clear();
    }
  });

  it('does not skip the second factor', async () => {
    const { user } = (await newcomer()).body;
    await world.db.collection<{ _id: string }>('users').updateOne({ _id: user.id }, { $set: { mfaEnabledAt: new Date() } });
    const ticket = ticketOf(await come(), 'mfa_required');
    assert.equal(codeOf(await complete({ ticket })), 'mfa_required');
    assert.equal(codeOf(await complete({ ticket, otp: '123456' })), 'invalid_otp');
  });

  for (const [mischief, status, code] of [
    ['wrongNonce', 401, 'google_refused'],
    ['wrongAudience', 401, 'google_refused'],
    ['wrongIssuer', 401, 'google_refused'],
    ['expired', 401, 'google_refused'],
    ['foreignKey', 401, 'google_refused'],
    ['unverified', 403, 'google_email_unverified'],
    ['broken', 503, 'google_unavailable'],
    ['slow', 503, 'google_unavailable'],
  ] as [Mischief, number, string][]) {
    it(`refuses what does not check out: ${mischief}`, async () => {
      google.mischief = mischief;
      const answer = await come();
      assert.deepEqual([answer.status, codeOf(answer)], [status, code]);
    });
  }

  it('leaves Google in peace once it has failed five times, and comes back to it', async () => {
    google.mischief = 'broken';
    for (let n = 0; n < 5; n += 1) await come();
    google.mischief = 'none';
    const open = await come();
    assert.deepEqual([open.status, codeOf(open), (await world.api('GET', '/health')).body.breakers.google], [503, 'google_unavailable', 'open']);
    world.advance(30_000);
    assert.equal(codeOf(await come()), 'google_registration_required');
    assert.equal(codeOf(await come()), 'google_registration_required');
  });

  it('takes a state once, from the browser that began, and within ten minutes', async () => {
    await newcomer();
    const { cookie, url } = await start();
    const back = google.agree(url);
    const others: Record<string, string>[] = [{}, { cookie: (await start()).cookie }];
    for (const headers of others) assert.equal(codeOf(await world.api('GET', back, { headers })), 'google_state_invalid');
    const { statuses } = await race(8, () => world.api('GET', back, { headers: { cookie } }));
    assert.deepEqual(statuses, { 200: 1, 400: 7 });
    const declined = await start();
    const state = new URL(declined.url).searchParams.get('state') ?? '';
    assert.equal(codeOf(await world.api('GET', `/v1/auth/oauth/google/callback?state=${state}&error=access_denied`, { headers: { cookie: declined.cookie } })), 'google_declined');
    const late = await start();
    world.advance(601_000);
    assert.equal(codeOf(await world.api('GET', google.agree(late.url), { headers: { cookie: late.cookie } })), 'google_state_invalid');
    world.advance(-601_000);
  });

  it('keeps its tokens sealed and logs none of them', async () => {
    await newcomer();
    const names = ['google_links', 'oauth_states', 'users', 'audit', 'jobs'];
    const dump = JSON.stringify(await Promise.all(names.map((name) => world.db.collection(name).find().toArray()))) + world.logLines.join('\n');
    for (const canary of ['stand-in-access', 'stand-in-refresh', CLIENT.secret]) assert.ok(!dump.includes(canary), canary);
    assert.match(String((await world.db.collection('google_links').findOne())?.['accessToken']), /^e1\./);
  });
});

describe('sign-in with Google, from a portal', () => {
  const PORTAL = 'https://portal.example.in/home';
  let world: World;
  let google: Google;
  const page = { accept: 'text/html,application/xhtml+xml' };

  before(async () => {
    google = await startGoogle(CLIENT);
    world = await startWorld({ GOOGLE_CLIENT_ID: CLIENT.id, GOOGLE_CLIENT_SECRET: CLIENT.secret, GOOGLE_ISSUER: google.issuer, PORTAL_URL: PORTAL });
  });
  after(async () => {
    await world.close();
    await google.close();
  });

  const visit = async (path: string, headers: Record<string, string>): Promise<{ status: number; to: URL | undefined; cookies: Map<string, string> }> => {
    const answer = await fetch(world.url + path, { headers, redirect: 'manual' });
    const location = answer.headers.get('location');
    const cookies = new Map(answer.headers.getSetCookie().map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1, line.indexOf(';'))]));
    return { status: answer.status, to: location === null ? undefined : new URL(location), cookies };
  };
  const toldBy = (to: URL | undefined): URLSearchParams => {
    assert.equal(to && `${to.origin}${to.pathname}${to.search}`, PORTAL);
    return new URLSearchParams(to?.hash.slice(1));
  };
  const come = async (start = '/v1/auth/oauth/google/start'): Promise<Awaited<ReturnType<typeof visit>>> => {
    const away = await visit(start, page);
    return visit(google.agree(String(away.to)), { ...page, cookie: `__Host-dakiya-oauth=${away.cookies.get('__Host-dakiya-oauth') ?? ''}` });
  };

  it('a browser comes back to it with the session in cookies, and refreshes from its pages', async () => {
    const missing = toldBy((await come()).to);
    assert.equal(missing.get('google'), 'google_registration_required');
    const origin = new URL(PORTAL).origin;
    const body = { ticket: missing.get('ticket'), companyName: 'Nila Stores', phone: '9800012345', session: 'cookie' };
    const made = await world.api('POST', '/v1/auth/oauth/google/complete', { headers: { origin }, body });
    assert.equal(made.status, 200, JSON.stringify(made.body));
    assert.equal(made.headers.get('access-control-allow-origin'), origin);

    const back = await come();
    const told = toldBy(back.to);
    assert.deepEqual([back.status, told.get('google')], [302, 'signed_in']);
    const cookie = `__Host-dakiya-refresh=${back.cookies.get('__Host-dakiya-refresh') ?? ''}`;
    assert.ok(!String(back.to).includes(cookie.split('=')[1] ?? ''), 'the token is in no address');
    const refresh = (csrf: string, from = origin) => world.api('POST', '/v1/auth/refresh', { body: {}, headers: { origin: from, cookie, 'x-csrf-token': csrf } });
    assert.equal((await refresh(told.get('csrfToken') ?? '', 'https://evil.example')).status, 403);
    const { status, body: session } = await refresh(told.get('csrfToken') ?? '');
    assert.equal(status, 200, JSON.stringify(session));
    assert.equal((await world.api('GET', '/v1/me', { token: session.accessToken })).body.email, google.person.email);
  });

  it('what went wrong comes back to it too; callers of the API get JSON', async () => {
    const lost = await visit('/v1/auth/oauth/google/callback?state=x&code=y', page);
    assert.equal(toldBy(lost.to).get('google'), 'google_state_invalid');
    assert.equal((await visit('/v1/auth/oauth/google/callback?state=x&code=y', {})).status, 400);
    google.mischief = 'foreignKey';
    assert.equal(toldBy((await come()).to).get('google'), 'google_refused');
    assert.equal((await come('/v1/auth/oauth/google/start?session=token')).status, 401);
    google.mischief = 'none';
    assert.equal((await come('/v1/auth/oauth/google/start?session=token')).status, 200);
  });

  it('mailed links lead to it', async () => {
    const owner = await world.merchant({ location: false });
    const { body } = await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(owner.email)}`);
    assert.ok((body.data[0].links as string[]).some((link) => link.startsWith(`${PORTAL}/`)), JSON.stringify(body.data[0].links));
  });
});

describe('sign-in with Google, not configured', () => {
  it('answers 404 with a clear code', async () => {
    const world = await startWorld();
    const answer = await world.api('GET', '/v1/auth/oauth/google/start');
    await world.close();
    assert.deepEqual([answer.status, codeOf(answer)], [404, 'google_sign_in_not_found']);
  });
});
