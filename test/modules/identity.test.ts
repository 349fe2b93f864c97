import { strict as assert } from 'node:assert';
import { createOperator, identityModule, registerCompany } from '../../src/modules/identity/index.ts';
import { beforeSignIn, PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { runtime, useRuntime } from '../../src/platform/runtime.ts';
import { PASSWORD, race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const codeOf = (answer: Answer): unknown => answer.body?.error?.code;

/** The newest mail to somebody of a kind, and the token in its link. */
async function mailedToken(world: World, to: string, kind: RegExp): Promise<string> {
  await world.settle();
  const { body } = await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(to)}`);
  const mail = (body.data as { subject: string; links: string[] }[]).find((m) => kind.test(m.subject));
  const token = mail?.links.map((link) => new URL(link).searchParams.get('token')).find(Boolean);
  assert.ok(token, `a mail to ${to} whose subject fits ${String(kind)}`);
  return token;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!(await condition())) assert.ok(performance.now() < deadline, 'the condition never came true');
}

let staffMade = 0;

async function operatorToken(world: World, role: 'operator' | 'platform_admin' = 'platform_admin'): Promise<string> {
  staffMade += 1;
  const email = `staff${staffMade}.${role}@dakiya.test`;
  const ctx = systemCtx('test', PLATFORM_COMPANY_ID);
  await createOperator(ctx, { email, name: 'Uma Nair', role, password: PASSWORD });
  const login = await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } });
  assert.equal(login.status, 200, JSON.stringify(login.body));
  assert.equal(login.body.company, null);
  return login.body.accessToken;
}

describe('identity', () => {
  let world: World;
  let merchant: Merchant;
  const login = (email: string, more: object = {}, password = PASSWORD) => world.api('POST', '/v1/auth/login', { body: { email, password, ...more } });
  const refresh = (refreshToken: string) => world.api('POST', '/v1/auth/refresh', { body: { refreshToken } });
  const me = (token: string) => world.api('GET', '/v1/me', { token });

  before(async () => {
    world = await startWorld();
    merchant = await world.merchant();
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  describe('register', () => {
    const body = { companyName: 'Chai & Co', name: ' Meera  Das ', email: 'Meera.Das@Example.IN', phone: '98000 12345', password: PASSWORD };

    it('answers working tokens, user and company, and stores normal forms', async () => {
      const answer = await world.api('POST', '/v1/auth/register', { body });
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      const { accessToken, expiresIn, refreshToken, deviceToken, user, company } = answer.body;
      assert.equal(expiresIn, 600);
      assert.ok(refreshToken.startsWith('rt2.') && deviceToken.startsWith('dd1.'));
      assert.deepEqual([user.email, user.name, user.phone, user.role], ['meera.das@example.in', 'Meera Das', '+919800012345', 'owner']);
      assert.equal(user.companyId, company.id);
      assert.equal(company.emailVerified, false);
      const seen = await me(accessToken);
      assert.equal(seen.status, 200);
      assert.equal(seen.body.id, user.id);
      const stored = JSON.stringify(await world.db.collection('users').findOne({ _id: user.id }));
      assert.ok(stored.includes('$argon2id$v=19$m=19456,t=2,p=1$') && !stored.includes(PASSWORD));
    });

    it('refuses an address that is known, in any spelling', async () => {
      const again = await world.api('POST', '/v1/auth/register', { body: { ...body, email: ' meera.das@example.in ' } });
      assert.deepEqual([again.status, codeOf(again)], [409, 'email_taken']);
    });

    it('lets one of several parallel registrations with one address through', async () => {
      const before = await world.db.collection('companies').countDocuments();
      const { statuses } = await race(4, () => world.api('POST', '/v1/auth/register', { body: { ...body, email: 'twin@example.in' } }));
      assert.deepEqual(statuses, { 201: 1, 409: 3 });
      assert.equal(await world.db.collection('companies').countDocuments(), before + 1);
    });

    it('lets one of 20 through that all saw the address free, whatever the spelling', async () => {
      const before = await world.db.collection('companies').countDocuments();
      const { password: _none, ...input } = body;
      const spellings = ['one.of-many@example.in', 'One.Of-Many@Example.IN', ' one.of-many@example.in', 'ONE.OF-MANY@EXAMPLE.IN'];
      // Past the turns that requests of one address take, so that the index alone decides.
      const all = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => registerCompany(beforeSignIn(`r${i}`), { ...input, email: spellings[i % 4] ?? '' })));
      const refused = all.flatMap((one) => (one.status === 'rejected' ? [(one.reason as { code?: string }).code] : []));
      assert.deepEqual(refused, Array.from({ length: 19 }, () => 'email_taken'));
      assert.equal(await world.db.collection('companies').countDocuments(), before + 1);
      // A hyphen makes another mailbox.
      await registerCompany(beforeSignIn('other'), { ...input, email: 'one.ofmany@example.in' });
    });

    it('names every faulty field at once', async () => {
      const answer = await world.api('POST', '/v1/auth/register', { body: { ...body, email: 'nobody', phone: '12', companyName: '  ' } });
      assert.equal(answer.status, 400);
      const paths = answer.body.error.details.fields.map((f: { path: string }) => f.path);
      assert.deepEqual(paths.sort(), ['companyName', 'email', 'phone']);
    });

    for (const [password, why] of [
      ['password1', /12 characters/],
      ['aaaaaaaaaaaaaaaa', /three of/],
      ['Meera-Das-2026!', /your name/],
      [`Aa1-${'x'.repeat(200)}`, /at most 128/],
    ] as const) {
      it(`R13 refuses the password ${password.slice(0, 16)} and says why`, async () => {
        const answer = await world.api('POST', '/v1/auth/register', { body: { ...body, email: 'new@example.in', password } });
        assert.equal(answer.status, 400);
        const fields = answer.body.error.details.fields as { path: string; message: string }[];
        assert.ok(fields.every((f) => f.path === 'password'));
        assert.ok(fields.some((f) => why.test(f.message)), JSON.stringify(fields));
        assert.ok(!JSON.stringify(answer.body).includes(password));
      });
    }

    it('refuses fields that are nobody’s to send', async () => {
      for (const extra of [{ role: 'owner' }, { companyId: merchant.companyId }, { __proto__x: 1 }]) {
        const answer = await world.api('POST', '/v1/auth/register', { body: { ...body, email: 'x@example.in', ...extra } });
        assert.equal(answer.status, 400);
      }
    });
  });

  describe('sign-in', () => {
    it('R14 answers alike for an unknown address and a wrong password', async () => {
      const unknown = await login('nobody@example.in');
      const wrong = await login(merchant.email, {}, 'Wrong-Horse-7-Battery');
      for (const answer of [unknown, wrong]) assert.deepEqual([answer.status, codeOf(answer)], [401, 'invalid_credentials']);
      const shape = (a: Answer) => ({ ...a.body.error, requestId: '', timestamp: '' });
      assert.deepEqual(shape(unknown), shape(wrong));
      assert.deepEqual([...unknown.headers.keys()].sort(), [...wrong.headers.keys()].sort());
    });

    it('takes the address in any spelling and refuses operators of the database', async () => {
      assert.equal((await login(` ${merchant.email.toUpperCase()} `)).status, 200);
      for (const email of [{ $ne: null }, ['a'], null]) {
        const answer = await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } });
        assert.equal(answer.status, 400);
      }
    });

    it('R12 hashes again when the parameters have grown', async () => {
      const { default: argon2 } = await import('argon2');
      const old = await argon2.hash(PASSWORD, { type: argon2.argon2id, memoryCost: 8192, timeCost: 1, parallelism: 1 });
      await world.db.collection<{ _id: string }>('users').updateOne({ _id: merchant.userId }, { $set: { passwordHash: old } });
      assert.equal((await login(merchant.email)).status, 200);
      const row = await world.db.collection<{ _id: string; passwordHash?: string }>('users').findOne({ _id: merchant.userId });
      assert.ok(String(row?.passwordHash).startsWith('$argon2id$v=19$m=19456,t=2,p=1$'));
      assert.equal((await login(merchant.email)).status, 200);
    });
  });

  describe('refresh tokens', () => {
    it('R18 give one successor to 50 parallel refreshes, and the family lives on', async () => {
      const { refreshToken } = (await login(merchant.email)).body;
      const { answers, statuses } = await race(50, () => refresh(refreshToken));
      assert.deepEqual(statuses, { 200: 50 });
      assert.equal(new Set(answers.map((a) => a.body.refreshToken)).size, 1);
      const next = await refresh(answers[0]?.body.refreshToken);
      assert.equal(next.status, 200);
      assert.equal((await me(next.body.accessToken)).status, 200);
    });

    it('R18 end the whole session when a spent one comes back, in the retry window too once the successor was used', async () => {
      const first = (await login(merchant.email)).body;
      const second = (await refresh(first.refreshToken)).body;
      const third = (await refresh(second.refreshToken)).body;
      const reused = await refresh(first.refreshToken);
      assert.deepEqual([reused.status, codeOf(reused)], [401, 'refresh_token_reused']);
      assert.equal((await refresh(third.refreshToken)).status, 401);
      assert.equal((await me(third.accessToken)).status, 401);
    });

    it('end the session when the last one is repeated after the retry window', async () => {
      const first = (await login(merchant.email)).body;
      const second = (await refresh(first.refreshToken)).body;
      assert.equal((await refresh(first.refreshToken)).status, 200);
      world.advance(11_000);
      assert.equal(codeOf(await refresh(first.refreshToken)), 'refresh_token_reused');
      assert.equal((await refresh(second.refreshToken)).status, 401);
    });

    it('R19 cannot be forged to end anybody’s session', async () => {
      const real = (await login(merchant.email)).body.refreshToken as string;
      const [, sid, , secret, mac] = real.split('.');
      const forged = [`rt2.${sid}.0.${'A'.repeat(43)}.${mac}`, `rt2.${sid}.0.${secret}.${'A'.repeat(22)}`, `rt2.${sid}.7.${secret}.${mac}`, 'rt2', ''];
      for (const text of forged) assert.ok([400, 401].includes((await refresh(text)).status));
      assert.equal((await refresh(real)).status, 200);
    });

    it('R22 end after the idle time and after the absolute time', async () => {
      const idle = (await login(merchant.email)).body.refreshToken;
      world.advance(14 * 86_400_000 + 1000);
      assert.equal((await refresh(idle)).status, 401);
      let { refreshToken } = (await login(merchant.email)).body;
      for (let day = 0; day < 60; day += 10) {
        const next = await refresh(refreshToken);
        assert.equal(next.status, 200);
        refreshToken = next.body.refreshToken;
        world.advance(10 * 86_400_000);
      }
      assert.equal((await refresh(refreshToken)).status, 401);
    });

    it('R20 are stored as hashes only', async () => {
      const tokens = (await login(merchant.email)).body;
      const dump = JSON.stringify(await Promise.all(['sessions', 'users', 'throttles', 'audit', 'jobs'].map((name) => world.db.collection(name).find().toArray())));
      for (const secret of [tokens.refreshToken.split('.')[3], tokens.deviceToken.split('.')[3], tokens.accessToken]) assert.ok(!dump.includes(secret));
      const log = world.logLines.join('\n');
      for (const secret of [tokens.refreshToken, tokens.accessToken, PASSWORD]) assert.ok(!log.includes(secret));
    });
  });

  describe('sessions', () => {
    let owner: Merchant;
    before(async () => {
      owner = await world.merchant({ verified: false, location: false });
    });

    it('R21 stay under the cap with 60 parallel sign-ins', async () => {
      const { answers, statuses } = await race(60, () => login(owner.email));
      assert.deepEqual(statuses, { 200: 60 });
      assert.equal(await world.db.collection('sessions').countDocuments({ userId: owner.userId, live: true }), 3);
      const alive = await Promise.all(answers.map((a) => me(a.body.accessToken)));
      assert.equal(alive.filter((a) => a.status === 200).length, 3);
      const refreshed = await Promise.all(answers.map((a) => refresh(a.body.refreshToken)));
      assert.equal(refreshed.filter((a) => a.status === 200).length, 3);
    });

    it('R21 take a free slot before one in use, and no slot beyond a lowered cap', async () => {
      const [a, b, c] = [(await login(owner.email)).body, (await login(owner.email)).body, (await login(owner.email)).body];
      assert.equal((await world.api('POST', '/v1/auth/logout', { token: c.accessToken })).status, 204);
      const d = (await login(owner.email)).body;
      assert.deepEqual(await Promise.all([a, b, d].map(async (s) => (await me(s.accessToken)).status)), [200, 200, 200]);
      const { config, log } = runtime();
      const third = () => world.db.collection('sessions').findOne({ userId: owner.userId, slot: 2 });
      await world.db.collection('sessions').updateOne({ userId: owner.userId, slot: 2 }, { $set: { lastUsedAt: new Date(1) } });
      const seen = await third();
      useRuntime({ config: { ...config, sessionMax: 2 }, log });
      assert.equal((await login(owner.email)).status, 200);
      useRuntime({ config, log });
      assert.deepEqual(await third(), seen);
    });

    it('R22 can be listed and ended one by one', async () => {
      const a = (await login(owner.email)).body;
      const b = (await login(owner.email)).body;
      const list = await world.api('GET', '/v1/auth/sessions', { token: a.accessToken });
      assert.equal(list.status, 200);
      assert.equal(list.body.data.length, 3);
      assert.equal(list.body.data.filter((s: { current: boolean }) => s.current).length, 1);
      const other = (await world.api('GET', '/v1/auth/sessions', { token: b.accessToken })).body.data.find((s: { current: boolean }) => s.current);
      const foreign = await world.api('DELETE', `/v1/auth/sessions/${other.id}`, { token: (await login(merchant.email)).body.accessToken });
      assert.equal(foreign.status, 404);
      assert.equal((await world.api('DELETE', `/v1/auth/sessions/${other.id}`, { token: a.accessToken })).status, 204);
      assert.equal((await me(b.accessToken)).status, 401);
      assert.equal((await refresh(b.refreshToken)).status, 401);
      assert.equal((await me(a.accessToken)).status, 200);
    });

    it('R22 end at once with logout, and all of them with logout-all', async () => {
      const [a, b, c] = [(await login(owner.email)).body, (await login(owner.email)).body, (await login(owner.email)).body];
      assert.equal((await world.api('POST', '/v1/auth/logout', { token: a.accessToken })).status, 204);
      assert.equal((await me(a.accessToken)).status, 401);
      assert.equal((await refresh(a.refreshToken)).status, 401);
      assert.equal((await me(b.accessToken)).status, 200);
      assert.equal((await world.api('POST', '/v1/auth/logout-all', { token: b.accessToken })).status, 204);
      for (const { accessToken, refreshToken } of [b, c]) {
        assert.equal((await me(accessToken)).status, 401);
        assert.equal((await refresh(refreshToken)).status, 401);
      }
    });

    it('end here when another process ends them or changes the user', async () => {
      const a = (await login(owner.email)).body;
      const sid = a.refreshToken.split('.')[1];
      assert.equal((await me(a.accessToken)).status, 200);
      await world.db.collection('sessions').updateOne({ sid }, { $set: { live: false, ended: [{ sid, at: new Date() }] }, $inc: { endings: 1 } });
      await until(async () => (await me(a.accessToken)).status === 401);
      const b = (await login(owner.email)).body;
      await world.db.collection<{ _id: string }>('users').updateOne({ _id: owner.userId }, { $set: { epoch: 1, minEpoch: 1 } });
      await until(async () => (await me(b.accessToken)).status === 401);
      assert.equal((await refresh(b.refreshToken)).status, 401);
      assert.equal((await me((await login(owner.email)).body.accessToken)).status, 200);
    });
  });

  describe('mailed links', () => {
    let owner: Merchant;
    before(async () => {
      owner = await world.merchant({ verified: false, location: false });
    });

    it('R25 prove an address once, of 30 parallel tries', async () => {
      assert.equal((await me(owner.token)).body.emailVerified, false);
      const token = await mailedToken(world, owner.email, /verify/i);
      const { statuses } = await race(30, () => world.api('POST', '/v1/auth/email/verify', { body: { token } }));
      assert.deepEqual(statuses, { 200: 1, 400: 29 });
      assert.equal((await me(owner.token)).body.emailVerified, true);
      assert.equal((await world.api('GET', '/v1/company', { token: owner.token })).body.emailVerified, true);
      assert.equal((await world.api('POST', '/v1/auth/email/resend', { token: owner.token })).status, 204);
    });

    it('end after their time and are stored as hashes', async () => {
      const other = await world.merchant({ verified: false, location: false });
      const token = await mailedToken(world, other.email, /verify/i);
      const rows = JSON.stringify([await world.db.collection('one_time_tokens').find().toArray(), await world.db.collection('jobs').find().toArray()]);
      assert.ok(!rows.includes(token));
      world.advance(86_400_000 + 1000);
      const late = await world.api('POST', '/v1/auth/email/verify', { body: { token } });
      assert.deepEqual([late.status, codeOf(late)], [400, 'token_invalid']);
      const { accessToken } = (await login(other.email)).body;
      assert.equal((await world.api('POST', '/v1/auth/email/resend', { token: accessToken })).status, 204);
      const again = await mailedToken(world, other.email, /verify/i);
      assert.equal((await world.api('POST', '/v1/auth/email/verify', { body: { token: again } })).status, 200);
      assert.ok(!world.logLines.some((line) => line.includes(token) || line.includes(again)));
    });

    it('R25 set a new password once, end every session and tell the owner', async () => {
      const session = (await login(owner.email)).body;
      const known = await world.api('POST', '/v1/auth/password/forgot', { body: { email: owner.email } });
      const unknown = await world.api('POST', '/v1/auth/password/forgot', { body: { email: 'nobody@example.in' } });
      assert.deepEqual([known.status, known.body], [unknown.status, unknown.body]);
      const earlier = await mailedToken(world, owner.email, /new password/i);
      await world.api('POST', '/v1/auth/password/forgot', { body: { email: owner.email } });
      const token = await mailedToken(world, owner.email, /new password/i);
      assert.notEqual(token, earlier);
      const fresh = 'Another-Horse-8-Staple';
      const weak = await world.api('POST', '/v1/auth/password/reset', { body: { token, password: 'password1' } });
      assert.equal(weak.body.error.details.fields[0].path, 'password');
      const { statuses } = await race(8, () => world.api('POST', '/v1/auth/password/reset', { body: { token, password: fresh } }));
      assert.deepEqual(statuses, { 204: 1, 400: 7 });
      assert.equal((await me(session.accessToken)).status, 401);
      assert.equal((await refresh(session.refreshToken)).status, 401);
      assert.equal(await world.db.collection('sessions').countDocuments({ userId: owner.userId, live: true }), 0);
      assert.equal(codeOf(await world.api('POST', '/v1/auth/password/reset', { body: { token: earlier, password: 'Third-Horse-9-Staple' } })), 'token_invalid');
      assert.equal((await login(owner.email)).status, 401);
      assert.equal((await login(owner.email, {}, fresh)).status, 200);
      await world.settle();
      const { body } = await world.api('GET', `/dev/mailbox?to=${owner.email}`);
      assert.equal(body.data[0].subject, 'Your password was changed');
      assert.deepEqual((await world.api('GET', '/dev/mailbox?to=nobody@example.in')).body.data, []);
    });
  });

  describe('members', () => {
    let owner: Merchant;
    before(async () => {
      merchant.token = (await login(merchant.email)).body.accessToken;
      owner = await world.merchant();
    });
    const addMember = (token: string, role: string, more: object = {}) =>
      world.api('POST', '/v1/company/members', { token, body: { email: `${role}.${Math.random().toString(36).slice(2)}@example.in`, name: 'Ravi Iyer', role, password: PASSWORD, ...more } });

    it('may do what their role says', async () => {
      const viewer = await world.member(owner, 'viewer');
      assert.equal((await world.api('GET', '/v1/company/members', { token: viewer })).status, 200);
      const refused = await world.api('POST', '/v1/locations', { token: viewer, body: {} });
      assert.equal(refused.status, 403);
      assert.equal((await addMember(viewer, 'viewer')).status, 403);
      const admin = await world.member(owner, 'admin');
      assert.equal((await addMember(admin, 'operations')).status, 201);
      const above = await addMember(admin, 'owner');
      assert.deepEqual([above.status, codeOf(above)], [403, 'role_not_allowed']);
      assert.equal((await addMember(owner.token, 'operator')).status, 400);
    });

    it('change role and locations at once, also for tokens that are out', async () => {
      const added = (await addMember(owner.token, 'operations')).body;
      const session = (await login(added.email)).body;
      const location = { name: 'Second', contactName: 'Asha', phone: '9800012345', line1: '2 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' };
      const addLocation = () => world.api('POST', '/v1/locations', { token: session.accessToken, body: location });
      assert.equal((await addLocation()).status, 201);
      const noMatch = await world.api('PATCH', `/v1/company/members/${added.id}`, { token: owner.token, body: { role: 'viewer' } });
      assert.equal(noMatch.status, 428);
      const limited = await world.api('PATCH', `/v1/company/members/${added.id}`, { token: owner.token, ifMatch: added.version, body: { locationIds: [owner.locationId] } });
      assert.equal(limited.status, 200, JSON.stringify(limited.body));
      assert.equal((await world.api('GET', '/v1/locations', { token: session.accessToken })).body.data.length, 1);
      const viewer = await world.api('PATCH', `/v1/company/members/${added.id}`, { token: owner.token, ifMatch: limited.body.version, body: { role: 'viewer', locationIds: null } });
      assert.equal(viewer.body.locationIds, undefined);
      assert.equal((await world.api('GET', '/v1/locations', { token: session.accessToken })).body.data.length, 2);
      assert.equal((await addLocation()).status, 403);
      assert.equal((await refresh(session.refreshToken)).status, 200);
      const stale = await world.api('PATCH', `/v1/company/members/${added.id}`, { token: owner.token, ifMatch: added.version, body: { name: 'New Name' } });
      assert.equal(stale.status, 412);
      const foreign = await world.api('PATCH', `/v1/company/members/${added.id}`, { token: merchant.token, ifMatch: viewer.body.version, body: { name: 'New Name' } });
      assert.equal(foreign.status, 404);
      const foreignPlace = await world.api('PATCH', `/v1/company/members/${added.id}`, { token: owner.token, ifMatch: viewer.body.version, body: { locationIds: [merchant.locationId] } });
      assert.equal(foreignPlace.status, 404);
    });

    it('limited to some locations, have no way around that: no keys, members, exports, erasures or files of orders', async () => {
      const admin = (await addMember(owner.token, 'admin')).body;
      const token = (await login(admin.email)).body.accessToken;
      const makeKey = () => world.api('POST', '/v1/api-keys', { token, body: { name: 'Key', scopes: ['orders:read'] } });
      const key = await makeKey();
      assert.equal(key.status, 201);
      const limited = await world.api('PATCH', `/v1/company/members/${admin.id}`, { token: owner.token, ifMatch: admin.version, body: { locationIds: [owner.locationId] } });
      assert.equal(limited.status, 200, JSON.stringify(limited.body));
      const post = (path: string, body: object) => world.api('POST', path, { token, body });
      assert.equal((await makeKey()).status, 403);
      assert.equal((await post(`/v1/api-keys/${key.body.id}/rotate`, {})).status, 403);
      assert.equal((await post('/v1/company/invitations', { email: 'x.y@shop.example.in', role: 'viewer' })).status, 403);
      assert.equal((await post('/v1/privacy/customers/export', { phone: '9811170077' })).status, 403);
      assert.equal((await post('/v1/privacy/customers/erase', { phone: '9811170077', reason: 'asked' })).status, 403);
      const form = new FormData();
      form.set('kind', 'orders');
      form.set('mode', 'skip_invalid');
      form.set('file', new Blob(['externalId\nA-1\n']), 'o.csv');
      assert.equal((await world.api('POST', '/v1/imports', { token, raw: form })).status, 403);
      const sent = (await world.api('POST', '/v1/imports', { token: owner.token, raw: form })).body;
      const goods = new FormData();
      goods.set('kind', 'products');
      goods.set('mode', 'skip_invalid');
      goods.set('file', new Blob(['sku\nX\n']), 'p.csv');
      const open = (await world.api('POST', '/v1/imports', { token: owner.token, raw: goods })).body;
      await world.settle();
      const list = async (who: string, query = '') => (await world.api('GET', `/v1/imports${query}`, { token: who })).body.data.map((one: { id: string }) => one.id);
      assert.deepEqual([await list(owner.token), await list(token), await list(token, '?kind=orders')], [[open.id, sent.id], [open.id], []]);
      for (const path of [`/v1/imports/${sent.id}`, `/v1/imports/${sent.id}/errors.csv`]) {
        assert.deepEqual([(await world.api('GET', path, { token })).status, (await world.api('GET', path, { token: owner.token })).status], [404, 200], path);
      }
      assert.equal((await world.api('GET', `/v1/imports/${open.id}/errors.csv`, { token })).status, 200);
      assert.equal((await world.api('GET', '/v1/orders', { token })).status, 200);
      const place = { name: 'Third', contactName: 'Asha', phone: '9800012345', line1: '3 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' };
      const elsewhere = (await world.api('POST', '/v1/locations', { token: owner.token, body: place })).body;
      for (const method of ['PATCH', 'DELETE']) {
        const answer = await world.api(method, `/v1/locations/${elsewhere.id}`, { token, ifMatch: elsewhere.version, ...(method === 'PATCH' ? { body: { line1: '9 Thief Road' } } : {}) });
        assert.equal(answer.status, 404, method);
      }
      assert.equal((await world.api('GET', `/v1/locations/${elsewhere.id}`, { token: owner.token })).body.line1, '3 MG Road');
    });

    it('stop at once when removed, and their address is free again', async () => {
      const added = (await addMember(owner.token, 'finance')).body;
      const session = (await login(added.email)).body;
      assert.equal((await world.api('DELETE', `/v1/company/members/${added.id}`, { token: owner.token, ifMatch: added.version })).status, 204);
      assert.equal((await me(session.accessToken)).status, 401);
      assert.equal((await refresh(session.refreshToken)).status, 401);
      assert.equal((await login(added.email)).status, 401);
      assert.equal((await addMember(owner.token, 'finance', { email: added.email })).status, 201);
    });

    it('never lose the last owner, also when two owners remove each other', async () => {
      const alone = await world.api('DELETE', `/v1/company/members/${owner.userId}`, { token: owner.token, ifMatch: (await me(owner.token)).body.version });
      assert.deepEqual([alone.status, codeOf(alone)], [409, 'last_owner']);
      const second = (await addMember(owner.token, 'owner')).body;
      const { accessToken } = (await login(second.email)).body;
      const version = (await me(owner.token)).body.version;
      await Promise.all([
        world.api('DELETE', `/v1/company/members/${second.id}`, { token: owner.token, ifMatch: second.version }),
        world.api('DELETE', `/v1/company/members/${owner.userId}`, { token: accessToken, ifMatch: version }),
      ]);
      assert.equal(await world.db.collection('users').countDocuments({ companyId: owner.companyId, role: 'owner' }), 1);
    });

    it('join by invitation, once', async () => {
      const host = await world.merchant({ location: false });
      const email = 'invited@example.in';
      const invited = await world.api('POST', '/v1/company/invitations', { token: host.token, body: { email, role: 'finance' }, key: 'inv-1' });
      assert.equal(invited.status, 201, JSON.stringify(invited.body));
      const token = await mailedToken(world, email, /invited/i);
      const accept = () => world.api('POST', '/v1/auth/invitations/accept', { body: { token, name: 'Nila Bose', password: PASSWORD } });
      const { answers, statuses } = await race(5, accept);
      assert.equal(statuses['201'], 1, JSON.stringify(statuses));
      const joined = answers.find((a) => a.status === 201)?.body;
      assert.deepEqual([joined.user.role, joined.user.emailVerified, joined.company.id], ['finance', true, host.companyId]);
      assert.equal((await me(joined.accessToken)).status, 200);
      assert.equal((await accept()).status, 400);
    });

    it('are invited, listed while they wait, and the invitation can be taken back', async () => {
      const host = await world.merchant({ location: false });
      const list = async (token = host.token): Promise<{ id: string; email: string }[]> => (await world.api('GET', '/v1/company/invitations', { token })).body.data;
      const ask = (email: string, role = 'viewer') => world.api('POST', '/v1/company/invitations', { token: host.token, body: { email, role } });
      const take = (id: string, token = host.token) => world.api('DELETE', `/v1/company/invitations/${id}`, { token });
      const first = (await ask('first.asked@example.in')).body;
      const owner = (await ask('second.asked@example.in', 'owner')).body;
      assert.deepEqual((await list()).map((one) => one.email), ['second.asked@example.in', 'first.asked@example.in']);
      const token = await mailedToken(world, 'first.asked@example.in', /invited/i);
      const admin = await world.member(host, 'admin');
      assert.deepEqual([(await take(owner.id, admin)).status, (await take(owner.id, merchant.token)).status], [403, 404]);
      assert.deepEqual([(await take(first.id, admin)).status, (await take(first.id)).status], [204, 404]);
      assert.deepEqual((await list()).map((one) => one.id), [owner.id]);
      const accepted = await world.api('POST', '/v1/auth/invitations/accept', { body: { token, name: 'Nila Bose', password: PASSWORD } });
      assert.deepEqual([accepted.status, codeOf(accepted)], [400, 'token_invalid']);
      const log = (await world.api('GET', `/v1/audit-log?rowId=${first.id}`, { token: host.token })).body.data;
      assert.deepEqual(log.map((row: { action: string }) => row.action).sort(), ['insert', 'update']);
      world.advance(31 * 86_400_000);
      const later = (await login(host.email)).body.accessToken;
      assert.deepEqual(await list(later), []);
      assert.equal((await take(owner.id, later)).status, 404);
      world.advance(-31 * 86_400_000);
    });

    it('change their own name and phone only', async () => {
      const own = await me(merchant.token);
      const changed = await world.api('PATCH', '/v1/me', { token: merchant.token, ifMatch: own.body.version, body: { name: 'Asha R', phone: '9800054321' } });
      assert.deepEqual([changed.status, changed.body.name, changed.body.phone], [200, 'Asha R', '+919800054321']);
      for (const body of [{ role: 'owner' }, { email: 'x@example.in' }, { status: 'active' }]) {
        assert.equal((await world.api('PATCH', '/v1/me', { token: merchant.token, ifMatch: changed.body.version, body })).status, 400);
      }
    });
  });

  describe('API keys', () => {
    before(async () => {
      merchant.token = (await login(merchant.email)).body.accessToken;
    });
    const create = (body: object, token = merchant.token) => world.api('POST', '/v1/api-keys', { token, body });

    it('are shown once, work within their scopes, and never in the URL', async () => {
      const made = await create({ name: 'Scanner', scopes: ['company:read'], limitPerMinute: 500 });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      const { key, id } = made.body;
      assert.match(key, /^dk_live_[0-9a-f]{24}_/);
      assert.equal((await world.api('GET', '/v1/company', { token: key })).status, 200);
      assert.equal((await world.api('GET', '/v1/locations', { token: key })).status, 403);
      assert.equal((await me(key)).status, 403);
      assert.ok([400, 401].includes((await world.api('GET', `/v1/company?key=${key}`)).status));
      const shown = await world.api('GET', `/v1/api-keys/${id}`, { token: merchant.token });
      assert.equal(shown.body.key, undefined);
      assert.ok(shown.body.lastUsedAt);
      const stored = JSON.stringify([await world.db.collection('api_keys').find().toArray(), await world.db.collection('audit').find().toArray()]);
      assert.ok(!stored.includes(key.split('_')[3]));
      assert.equal((await world.api('GET', `/v1/api-keys/${id}`, { token: (await world.merchant({ verified: false, location: false })).token })).status, 404);
    });

    it('cannot carry what no key may', async () => {
      for (const scope of ['members:write', 'kyc:reveal', 'admin:users', 'nonsense']) {
        assert.equal((await create({ name: 'Too much', scopes: [scope] })).status, 400);
      }
      const viewer = await world.member(merchant, 'viewer');
      assert.equal((await create({ name: 'V', scopes: ['company:read'] }, viewer)).status, 403);
      assert.equal((await create({ name: 'Past', scopes: ['company:read'], expiresAt: '2020-01-01T00:00:00Z' })).status, 400);
    });

    it('end at once when revoked and when their time is over', async () => {
      const { key, id } = (await create({ name: 'Short', scopes: ['company:read'] })).body;
      const use = (text: string) => world.api('GET', '/v1/company', { token: text });
      assert.equal((await use(key)).status, 200);
      assert.equal((await world.api('DELETE', `/v1/api-keys/${id}`, { token: merchant.token })).status, 204);
      assert.equal((await use(key)).status, 401);
      const flipped = key.slice(0, 40) + (key[40] === 'a' ? 'b' : 'a') + key.slice(41);
      assert.equal((await use(flipped)).status, 401);
      const expiresAt = new Date(Number(new Date((await me(merchant.token)).headers.get('date') ?? '')) + 10 * 365 * 86_400_000).toISOString();
      const timed = (await create({ name: 'Timed', scopes: ['company:read'], expiresAt })).body;
      assert.equal((await use(timed.key)).status, 200);
      await world.db.collection('api_keys').updateOne({ name: 'Timed' }, { $set: { expiresAt: new Date(0) } });
      await until(async () => (await use(timed.key)).status === 401);
    });

    it('end with the right of the member who knows them: removed, demoted, limited or shut out', async () => {
      const owner = await world.merchant();
      const staff = await operatorToken(world, 'operator');
      const use = async (key: string): Promise<number> => (await world.api('GET', '/v1/company', { token: key })).status;
      const members = async (): Promise<{ id: string; role: string; version: number }[]> => (await world.api('GET', '/v1/company/members', { token: owner.token })).body.data;
      const endings: ((member: { id: string; version: number }) => Promise<Answer>)[] = [
        (m) => world.api('DELETE', `/v1/company/members/${m.id}`, { token: owner.token, ifMatch: m.version }),
        (m) => world.api('PATCH', `/v1/company/members/${m.id}`, { token: owner.token, ifMatch: m.version, body: { role: 'viewer' } }),
        (m) => world.api('PATCH', `/v1/company/members/${m.id}`, { token: owner.token, ifMatch: m.version, body: { locationIds: [owner.locationId] } }),
        (m) => world.api('POST', `/v1/admin/users/${m.id}/disable`, { token: staff }),
      ];
      const other = (await create({ name: 'Stays', scopes: ['company:read'] }, owner.token)).body;
      for (const [i, end] of endings.entries()) {
        const token = await world.member(owner, 'admin');
        const own = (await create({ name: 'Own', scopes: ['company:read'] }, token)).body;
        const handed = (await create({ name: 'Handed on', scopes: ['company:read'] }, token)).body;
        const next = (await world.api('POST', `/v1/api-keys/${handed.id}/rotate`, { token: owner.token, body: { overlapSeconds: 3_600 } })).body;
        assert.deepEqual([await use(own.key), await use(handed.key), await use(next.key)], [200, 200, 200]);
        const member = (await members()).filter((one) => one.role === 'admin').at(-1) ?? assert.fail();
        const ended = await end(member);
        assert.ok(ended.status < 300, JSON.stringify(ended.body));
        assert.deepEqual([await use(own.key), await use(handed.key), await use(next.key), await use(other.key)], [401, 401, 200, 200], `ending ${i}`);
        const { body } = await world.api('GET', `/v1/audit-log?rowId=${own.id}&action=update`, { token: owner.token });
        assert.equal(body.data.length, 1);
      }
      await world.settle();
      const mails = (await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(owner.email)}`)).body.data as { subject: string; text: string }[];
      const told = mails.filter((mail) => mail.subject === 'An API key was revoked').map((mail) => /Why: .*(removed|no longer|shut out).*\nKeys revoked: 1\n/.exec(mail.text)?.[1]);
      assert.deepEqual(told.sort(), ['no longer', 'no longer', 'removed', 'shut out']);
    });

    it('rotate with an overlap', async () => {
      const first = (await create({ name: 'Rotating', scopes: ['company:read'] })).body;
      const second = (await world.api('POST', `/v1/api-keys/${first.id}/rotate`, { token: merchant.token, body: { overlapSeconds: 60 } })).body;
      assert.notEqual(second.key, first.key);
      const use = async (text: string) => (await world.api('GET', '/v1/company', { token: text })).status;
      assert.deepEqual([await use(first.key), await use(second.key)], [200, 200]);
      world.advance(61_000);
      assert.deepEqual([await use(first.key), await use(second.key)], [401, 200]);
    });
  });

  describe('staff', () => {
    it('R22 disable a user at once and let him in again; operators decide on no staff', async () => {
      const owner = await world.merchant({ verified: false, location: false });
      const session = (await login(owner.email)).body;
      const operator = await operatorToken(world, 'operator');
      const admin = await operatorToken(world);
      assert.equal((await world.api('POST', `/v1/admin/users/${owner.userId}/disable`, { token: merchant.token })).status, 403);
      const disabled = await world.api('POST', `/v1/admin/users/${owner.userId}/disable`, { token: operator });
      assert.deepEqual([disabled.status, disabled.body.status], [200, 'disabled']);
      assert.equal((await me(session.accessToken)).status, 401);
      assert.equal((await refresh(session.refreshToken)).status, 401);
      assert.deepEqual([codeOf(await login(owner.email)), codeOf(await login(owner.email, {}, 'Wrong-Horse-7-Battery'))], ['account_disabled', 'invalid_credentials']);
      assert.equal((await world.api('POST', `/v1/admin/users/${owner.userId}/enable`, { token: operator })).status, 200);
      assert.equal((await login(owner.email)).status, 200);
      const boss = (await me(admin)).body.id;
      assert.equal((await world.api('POST', `/v1/admin/users/${boss}/disable`, { token: operator })).status, 403);
    });

    it('keep a suspended company out, after the right password only', async () => {
      const owner = await world.merchant({ verified: false, location: false });
      await world.db.collection<{ _id: string }>('companies').updateOne({ _id: owner.companyId }, { $set: { status: 'suspended' } });
      assert.equal(codeOf(await login(owner.email)), 'company_suspended');
      assert.equal(codeOf(await login(owner.email, {}, 'Wrong-Horse-7-Battery')), 'invalid_credentials');
    });
  });

  it('has checks that find what is wrong', async () => {
    const run = async () => (await Promise.all((identityModule.checks ?? []).map((check) => check.run()))).flat();
    assert.deepEqual(await run(), []);
    const slots = world.db.collection<{ _id: string }>('sessions');
    const planted = Array.from({ length: 4 }, (_, i) => ({ _id: `planted:${i}`, userId: 'planted', live: true, hash: 'clear text', idleExpiresAt: new Date(4e12) }));
    await slots.insertMany(planted);
    const users = world.db.collection<{ _id: string }>('users');
    await users.updateOne({ _id: merchant.userId }, { $set: { role: 'viewer' } });
    const found = await run();
    await slots.deleteMany({ userId: 'planted' });
    await users.updateOne({ _id: merchant.userId }, { $set: { role: 'owner' } });
    for (const part of [/4 live sessions/, /other than a hash/, /has no owner/]) assert.ok(found.some((line) => part.test(line)), String(part));
  });
});

describe('identity under attack', () => {
  let world: World;
  let merchant: Merchant;
  const login = (email: string, password: string, more: object = {}) => world.api('POST', '/v1/auth/login', { body: { email, password, ...more } });
  const WRONG = 'Wrong-Horse-7-Battery';

  before(async () => {
    world = await startWorld({ RATE_LIMIT_AUTH_FAILURES: '5', LOCKOUT_SECONDS: '60' });
    merchant = await world.merchant({ location: false });
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('R15 locks after five failures, known address or not, and lets a known device in', async () => {
    const { deviceToken } = (await login(merchant.email, PASSWORD)).body;
    for (const email of [merchant.email, 'nobody@example.in']) {
      const { answers, statuses } = await race(40, () => login(email, WRONG));
      assert.deepEqual(statuses, { 401: 5, 429: 35 }, email);
      const refused = answers.find((a) => a.status === 429);
      assert.ok(Number(refused?.headers.get('retry-after')) > 0);
      assert.equal(codeOf(refused as Answer), 'too_many_attempts');
      assert.equal((await login(merchant.email, PASSWORD)).status, 429);
      const known = await login(merchant.email, PASSWORD, { deviceToken });
      assert.deepEqual([known.status, known.body.deviceToken], [200, deviceToken]);
      world.advance(61_000);
      assert.equal((await login(merchant.email, PASSWORD)).status, 200);
      world.advance(16 * 60_000);
    }
  });

  it('limits guesses from a known device too, and takes no device token of somebody else', async () => {
    const { deviceToken } = (await login(merchant.email, PASSWORD)).body;
    const other = await world.merchant({ verified: false, location: false });
    const foreign = (await login(other.email, PASSWORD)).body.deviceToken;
    const { statuses } = await race(8, () => login(merchant.email, WRONG, { deviceToken }));
    assert.deepEqual(statuses, { 401: 5, 429: 3 });
    assert.equal((await login(merchant.email, PASSWORD)).status, 200);
    await race(6, () => login(merchant.email, WRONG));
    assert.equal((await login(merchant.email, PASSWORD, { deviceToken: foreign })).status, 429);
  });

  it('is opened by an operator', async () => {
    world.advance(61_000);
    const token = await operatorToken(world, 'operator');
    await race(6, () => login(merchant.email, WRONG));
    assert.equal((await login(merchant.email, PASSWORD)).status, 429);
    const unlocked = await world.api('POST', `/v1/admin/users/${merchant.userId}/unlock`, { token });
    assert.equal(unlocked.status, 200, JSON.stringify(unlocked.body));
    assert.equal((await login(merchant.email, PASSWORD)).status, 200);
  });

  it('R16 stops one password sprayed over many accounts from one address', async () => {
    world.advance(16 * 60_000);
    const { statuses } = await race(30, (i) => login(`victim${i}@example.in`, WRONG));
    assert.deepEqual(statuses, { 401: 5, 429: 25 });
  });

  it('limits the search for taken addresses by registering', async () => {
    world.advance(16 * 60_000);
    const body = { companyName: 'Shop', name: 'Meera Das', email: merchant.email, phone: '9800012345', password: PASSWORD };
    const { statuses } = await race(8, () => world.api('POST', '/v1/auth/register', { body }));
    assert.deepEqual(statuses, { 409: 5, 429: 3 });
  });
});
