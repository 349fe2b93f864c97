import { strict as assert } from 'node:assert';
import { Secret, TOTP } from 'otpauth';
import { createOperator } from '../../src/modules/identity/index.ts';
import { assertSecondFactor } from '../../src/modules/identity/mfa.factor.service.ts';
import { users } from '../../src/modules/identity/user.model.ts';
import { inCompany, PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { PASSWORD, race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const codeOf = (answer: Answer): unknown => answer.body?.error?.code;
const OLD_SESSION_MS = 11 * 60_000;
const WRONG = 'Wrong-Horse-7-Battery';

interface Mail {
  subject: string;
  text: string;
  links: string[];
}

describe('one’s own account', () => {
  let world: World;
  let nowMs: number;
  const login = (email: string, more: object = {}, password = PASSWORD) => world.api('POST', '/v1/auth/login', { body: { email, password, ...more } });
  const post = (path: string, token: string | undefined, body?: object) => world.api('POST', `/v1/auth/${path}`, { token, ...(body ? { body } : {}) });
  const me = (token: string) => world.api('GET', '/v1/me', { token });
  const refresh = (refreshToken: string) => world.api('POST', '/v1/auth/refresh', { body: { refreshToken } });
  const someone = () => world.merchant({ verified: false, location: false });
  const advance = (ms: number): void => {
    world.advance(ms);
    nowMs += ms;
  };
  const mailsTo = async (to: string): Promise<Mail[]> => {
    await world.settle();
    return (await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(to)}`)).body.data as Mail[];
  };
  const mailed = async (to: string, subject: RegExp): Promise<string> => {
    const mail = (await mailsTo(to)).find((m) => subject.test(m.subject));
    const token = mail?.links.map((link) => new URL(link).searchParams.get('token')).find(Boolean);
    assert.ok(token, `a mail to ${to} with ${String(subject)}`);
    return token;
  };
  const isTold = async (to: string, subject: RegExp): Promise<void> => assert.ok((await mailsTo(to)).some((m) => subject.test(m.subject)), String(subject));
  const code = (secret: string, steps = 0): string => new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + nowMs + steps * 30_000 });
  const withMfa = async (): Promise<{ owner: Merchant; token: string; secret: string; recoveryKeys: string[] }> => {
    const owner = await someone();
    const { secret } = (await post('mfa/enroll', owner.token)).body;
    const confirmed = await post('mfa/confirm', owner.token, { otp: code(secret) });
    assert.equal(confirmed.status, 200, JSON.stringify(confirmed.body));
    return { owner, token: owner.token, secret, recoveryKeys: confirmed.body.recoveryKeys };
  };

  before(async () => {
    nowMs = 0;
    world = await startWorld({ SIGN_IN_DELAY_MS: '0' });
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('R13 passwords of 72 and of 128 characters that differ at their end are two passwords', async () => {
    for (const length of [72, 128]) {
      const password = `Kite-9${'q7W.'.repeat(40)}`.slice(0, length);
      const email = `long${length}@example.in`;
      const made = await world.api('POST', '/v1/auth/register', { body: { companyName: 'Long Co', name: 'Meera Das', email, phone: '9800012345', password } });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      assert.equal((await login(email, {}, `${password.slice(0, -1)}!`)).status, 401);
      assert.equal((await login(email, {}, password)).status, 200);
    }
  });

  it('R14 forgot and login answer alike for known and unknown addresses: status, body, headers', async () => {
    const owner = await someone();
    const shape = (a: Answer) => JSON.stringify({ ...a.body?.error, requestId: '', timestamp: '' }) + JSON.stringify([...a.headers.keys()].sort());
    for (const ask of [(email: string) => login(email, {}, WRONG), (email: string) => post('password/forgot', undefined, { email })]) {
      const [known, unknown] = [await ask(owner.email), await ask('nobody@example.in')];
      assert.equal(known.status, unknown.status);
      assert.equal(shape(known), shape(unknown));
    }
  });

  it('R22 a changed password ends the other sessions, not the one that asks, and tells the owner', async () => {
    const owner = await someone();
    const [a, b] = [(await login(owner.email)).body, (await login(owner.email)).body];
    const wrong = await post('password/change', a.accessToken, { currentPassword: WRONG, newPassword: 'Another-Horse-8-Staple' });
    assert.deepEqual([wrong.status, codeOf(wrong)], [401, 'invalid_credentials']);
    assert.equal((await post('password/change', a.accessToken, { currentPassword: PASSWORD, newPassword: 'short' })).status, 400);
    assert.equal((await post('password/change', a.accessToken, { currentPassword: PASSWORD, newPassword: 'Another-Horse-8-Staple' })).status, 204);
    assert.deepEqual([(await me(a.accessToken)).status, (await me(b.accessToken)).status, (await refresh(b.refreshToken)).status], [200, 401, 401]);
    assert.equal((await refresh(a.refreshToken)).status, 200);
    assert.equal((await login(owner.email)).status, 401);
    await isTold(owner.email, /password was changed/i);
    assert.equal((await me((await login(owner.email, {}, 'Another-Horse-8-Staple')).body.accessToken)).status, 200);
  });

  it('R22 staff see the sessions of anybody and end one or all of them', async () => {
    const owner = await someone();
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email: 'op@dakiya.test', name: 'Uma Nair', role: 'operator', password: PASSWORD });
    const operator = (await login('op@dakiya.test')).body.accessToken;
    const a = (await login(owner.email)).body;
    const list = await world.api('GET', `/v1/admin/sessions?userId=${owner.userId}&limit=1`, { token: operator });
    assert.equal(list.status, 200, JSON.stringify(list.body));
    const next = await world.api('GET', `/v1/admin/sessions?userId=${owner.userId}&limit=1&cursor=${list.body.nextCursor}`, { token: operator });
    assert.deepEqual([next.body.data.length, next.body.nextCursor], [1, null]);
    assert.notEqual(next.body.data[0].id, list.body.data[0].id);
    assert.equal((await world.api('GET', '/v1/admin/sessions', { token: owner.token })).status, 403);
    assert.equal((await world.api('DELETE', `/v1/admin/sessions/${list.body.data[0].id}`, { token: operator })).status, 204);
    assert.equal((await me(a.accessToken)).status, 401);
    assert.equal((await me(owner.token)).status, 200);
    assert.equal((await world.api('DELETE', `/v1/admin/sessions?userId=${owner.userId}`, { token: operator })).status, 204);
    assert.equal((await me(owner.token)).status, 401);
    assert.equal((await world.api('DELETE', `/v1/admin/sessions/${list.body.data[0].id}`, { token: operator })).status, 404);
  });

  it('tells the owner of a sign-in from a new device, once, and not of a known device', async () => {
    const owner = await someone();
    const news = async () => (await mailsTo(owner.email)).filter((m) => /new device/i.test(m.subject)).length;
    assert.equal(await news(), 0);
    const { deviceToken } = (await login(owner.email)).body;
    assert.equal(await news(), 1);
    await login(owner.email);
    await login(owner.email, { deviceToken });
    assert.equal(await news(), 1);
  });

  describe('R26 fresh authentication', () => {
    it('is what another e-mail address needs; the link to the new one works once of 30, the old one is told', async () => {
      const owner = await someone();
      const fresh = 'moved.to@example.in';
      const other = await someone();
      assert.equal((await post('email/change', owner.token, { email: fresh })).status, 400);
      assert.equal(codeOf(await post('email/change', owner.token, { email: fresh, password: WRONG })), 'invalid_credentials');
      assert.equal(codeOf(await post('email/change', owner.token, { email: other.email, password: PASSWORD })), 'email_taken');
      assert.equal((await post('email/change', owner.token, { email: owner.email, password: PASSWORD })).status, 400);
      assert.equal((await post('email/change', owner.token, { email: fresh, password: PASSWORD })).status, 204);
      await isTold(owner.email, /new e-mail address was asked for/i);
      assert.equal((await me(owner.token)).body.email, owner.email);
      const token = await mailed(fresh, /confirm your new/i);
      const { statuses } = await race(30, () => post('email/confirm', undefined, { token }));
      assert.deepEqual(statuses, { 200: 1, 400: 29 });
      const own = (await me(owner.token)).body;
      assert.deepEqual([own.email, own.emailVerified], [fresh, true]);
      await isTold(owner.email, /e-mail address was changed/i);
      assert.deepEqual([(await login(owner.email)).status, (await login(fresh)).status], [401, 200]);
    });

    it('ends: a link to a new address that comes too late changes nothing', async () => {
      const owner = await someone();
      assert.equal((await post('email/change', owner.token, { email: 'late@example.in', password: PASSWORD })).status, 204);
      const token = await mailed('late@example.in', /confirm your new/i);
      advance(3_601_000);
      assert.equal(codeOf(await post('email/confirm', undefined, { token })), 'token_invalid');
    });

    it('is what another phone needs: a fresh sign-in, or the password from an older one', async () => {
      const owner = await someone();
      const session = (await login(owner.email)).body;
      const patch = async (token: string, body: object) => world.api('PATCH', '/v1/me', { token, body, ifMatch: (await me(token)).body.version });
      assert.equal((await patch(session.accessToken, { phone: '9800054321' })).status, 200);
      await isTold(owner.email, /phone number was changed/i);
      advance(OLD_SESSION_MS);
      const old = (await refresh(session.refreshToken)).body.accessToken;
      const refused = await patch(old, { phone: '9800054322' });
      assert.deepEqual([refused.status, codeOf(refused)], [403, 'reauthentication_required']);
      assert.equal((await patch(old, { name: 'Asha R', phone: '9800054321' })).status, 200);
      assert.equal(codeOf(await patch(old, { phone: '9800054322', password: WRONG })), 'invalid_credentials');
      assert.equal((await patch(old, { phone: '9800054322', password: PASSWORD })).status, 200);
      assert.equal(codeOf(await post('mfa/enroll', old)), 'reauthentication_required');
      assert.equal((await post('reauthenticate', old, { password: PASSWORD })).status, 204);
      assert.equal((await patch(old, { phone: '9800054323' })).status, 200);
    });
  });

  describe('R24 two-step sign-in', () => {
    it('asks for a code after the right password only, and takes a code once, of 30 at the same time', async () => {
      const { owner, secret } = await withMfa();
      assert.deepEqual([codeOf(await login(owner.email)), codeOf(await login(owner.email, {}, WRONG))], ['mfa_required', 'invalid_credentials']);
      const otp = code(secret, 1);
      const { statuses } = await race(30, () => login(owner.email, { otp }));
      assert.deepEqual(statuses, { 200: 1, 401: 29 });
      assert.equal(codeOf(await login(owner.email, { otp: code(secret) })), 'invalid_otp');
      assert.equal(codeOf(await login(owner.email, { otp: code(secret, 5) })), 'invalid_otp');
      advance(60_000);
      assert.equal((await login(owner.email, { otp: ` ${code(secret, 1)} ` })).status, 200);
    });

    it('takes each of ten recovery keys of 112 bits or more once, of 30 at the same time, and tells the owner', async () => {
      const { owner, recoveryKeys } = await withMfa();
      assert.equal(new Set(recoveryKeys).size, 10);
      for (const key of recoveryKeys) assert.ok(key.replaceAll('-', '').length * 5 >= 112);
      const [first = '', second = ''] = recoveryKeys;
      const { statuses } = await race(30, () => login(owner.email, { otp: first }));
      assert.deepEqual(statuses, { 200: 1, 401: 29 });
      await isTold(owner.email, /recovery key was used/i);
      assert.equal((await login(owner.email, { otp: second.toLowerCase().replaceAll('-', '') })).status, 200);
      // Behind the password's hash the others come too late to meet; here they meet.
      const user = await users.get(inCompany(systemCtx('test', owner.companyId), owner.companyId), owner.userId);
      const spent = await Promise.allSettled(Array.from({ length: 30 }, () => assertSecondFactor(systemCtx('test', owner.companyId), user, recoveryKeys[2])));
      assert.equal(spent.filter(({ status }) => status === 'fulfilled').length, 1);
    });

    it('keeps its secret sealed and its recovery keys as hashes, and shows neither again', async () => {
      const { owner, token, secret, recoveryKeys } = await withMfa();
      const names = ['mfa_factors', 'users', 'audit', 'security_events', 'jobs', 'outbox'];
      const dump = JSON.stringify(await Promise.all(names.map((name) => world.db.collection(name).find().toArray()))) + world.logLines.join('\n');
      const row = await world.db.collection<{ _id: string; secret: string }>('mfa_factors').findOne({ _id: owner.userId });
      assert.match(row?.secret ?? '', /^e1\./);
      for (const canary of [secret, ...recoveryKeys, ...recoveryKeys.map((key) => key.replaceAll('-', ''))]) assert.ok(!dump.includes(canary));
      assert.equal(codeOf(await post('mfa/enroll', token)), 'mfa_enabled');
      assert.equal((await me(token)).body.mfaEnabled, true);
    });

    it('R22 ends the other sessions when it is switched on and off, and tells the owner', async () => {
      const owner = await someone();
      const other = (await login(owner.email)).body;
      const { secret } = (await post('mfa/enroll', owner.token)).body;
      assert.equal(codeOf(await post('mfa/confirm', owner.token, { otp: '000000' })), 'invalid_otp');
      assert.equal((await post('mfa/confirm', owner.token, { otp: code(secret) })).status, 200);
      assert.deepEqual([(await me(owner.token)).status, (await me(other.accessToken)).status, (await refresh(other.refreshToken)).status], [200, 401, 401]);
      await isTold(owner.email, /two-step sign-in is on/i);
      const third = (await login(owner.email, { otp: code(secret, 1) })).body;
      advance(OLD_SESSION_MS);
      const old = (await refresh(third.refreshToken)).body.accessToken;
      assert.equal(codeOf(await post('mfa/disable', old)), 'reauthentication_required');
      assert.equal(codeOf(await post('mfa/disable', old, { password: PASSWORD })), 'mfa_required');
      assert.equal((await post('mfa/disable', old, { password: PASSWORD, otp: code(secret) })).status, 204);
      assert.equal((await login(owner.email)).status, 200);
      await isTold(owner.email, /two-step sign-in is off/i);
    });

    it('lost with all recovery keys, is switched off by staff for a reason: told, noted, sessions ended', async () => {
      const { owner, token } = await withMfa();
      const staff = async (role: 'operator' | 'platform_admin', email: string): Promise<{ id: string; token: string }> => {
        const { _id: id } = await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email, name: 'Uma Nair', role, password: PASSWORD });
        return { id, token: (await login(email)).body.accessToken };
      };
      const [operator, admin] = [await staff('operator', 'mfa.op@dakiya.test'), await staff('platform_admin', 'mfa.admin@dakiya.test')];
      const off = (id: string, by: string, reason = 'Phone lost; proved by a call back') => world.api('POST', `/v1/admin/users/${id}/mfa/disable`, { token: by, body: { reason } });
      assert.equal((await off(owner.userId, owner.token)).status, 403);
      assert.equal(codeOf(await off(owner.userId, operator.token, ' short ')), 'validation_failed');
      const answer = await off(owner.userId, operator.token);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      assert.equal((await me(token)).status, 401);
      const again = await login(owner.email);
      assert.equal(again.status, 200);
      assert.equal(await world.db.collection('mfa_factors').countDocuments({ _id: owner.userId as never }), 0);
      assert.equal(codeOf(await off(owner.userId, operator.token)), 'mfa_not_enabled');
      await isTold(owner.email, /two-step sign-in is off/i);
      const [event] = (await world.api('GET', '/v1/security-events?type=security.mfa_disabled', { token: again.body.accessToken })).body.data;
      assert.deepEqual(event.details, { by: 'staff', reason: 'Phone lost; proved by a call back' });
      assert.deepEqual([(await off(operator.id, operator.token)).status, codeOf(await off(operator.id, admin.token)), (await off(admin.id, admin.token)).status], [403, 'mfa_not_enabled', 403]);
    });

    it('R25 is not skipped by a password reset', async () => {
      const { owner, secret } = await withMfa();
      await post('password/forgot', undefined, { email: owner.email });
      const token = await mailed(owner.email, /set a new password/i);
      assert.equal((await post('password/reset', undefined, { token, password: 'Another-Horse-8-Staple' })).status, 204);
      assert.equal(codeOf(await login(owner.email, {}, 'Another-Horse-8-Staple')), 'mfa_required');
      assert.equal((await login(owner.email, { otp: code(secret, 1) }, 'Another-Horse-8-Staple')).status, 200);
    });
  });

  it('R25 a reset link ends after 30 minutes, is stored as a hash, and works once of 30', async () => {
    const owner = await someone();
    await post('password/forgot', undefined, { email: owner.email });
    const late = await mailed(owner.email, /set a new password/i);
    const rows = JSON.stringify(await world.db.collection('one_time_tokens').find().toArray());
    assert.ok(!rows.includes(late));
    advance(30 * 60_000 + 1_000);
    assert.equal(codeOf(await post('password/reset', undefined, { token: late, password: 'Another-Horse-8-Staple' })), 'token_invalid');
    await post('password/forgot', undefined, { email: owner.email });
    const token = await mailed(owner.email, /set a new password/i);
    const { statuses } = await race(30, () => post('password/reset', undefined, { token, password: 'Another-Horse-8-Staple' }));
    assert.deepEqual(statuses, { 204: 1, 400: 29 });
    await isTold(owner.email, /password was changed/i);
  });
});
