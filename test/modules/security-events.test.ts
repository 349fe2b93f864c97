import { strict as assert } from 'node:assert';
import { noteSecurityEvent, reportBounded, reportSecurityEvent } from '../../src/modules/audit/index.ts';
import { createOperator } from '../../src/modules/identity/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { metricsText } from '../../src/platform/metrics.ts';
import { PASSWORD, startWorld, type Merchant, type World } from '../support/world.ts';

interface Event {
  id: string;
  type: string;
  severity: string;
  companyId: string;
  count: number;
  userId?: string;
  details?: Record<string, unknown>;
}

describe('B11 security events', () => {
  let world: World;
  let merchant: Merchant;
  let other: Merchant;
  let staff: string;
  const own = () => systemCtx('test', merchant.companyId);
  const read = async (query = '', token = merchant.token) => world.api('GET', `/v1/security-events${query}`, { token });
  const mailsTo = async (to: string): Promise<{ subject: string; text: string }[]> =>
    (await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(to)}`)).body.data;

  before(async () => {
    world = await startWorld();
    merchant = await world.merchant();
    other = await world.merchant();
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email: 'op@dakiya.test', name: 'Uma Nair', role: 'operator', password: PASSWORD });
    staff = (await world.api('POST', '/v1/auth/login', { body: { email: 'op@dakiya.test', password: PASSWORD } })).body.accessToken;
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('stand exactly when their change stands, are logged, counted and mailed once', async () => {
    const note = { type: 'security.mfa_disabled' as const, userId: merchant.userId, address: '203.0.113.9', details: { method: 'totp' } };
    await assert.rejects(
      withTransaction(own(), async (ctx) => {
        await noteSecurityEvent(ctx, note);
        throw new Error('the change failed');
      }),
    );
    await world.settle();
    assert.deepEqual((await read()).body.data, []);
    // The registry of metrics belongs to the process, and so to every test that ran before.
    const counted = async (): Promise<number> =>
      Number(/^dakiya_security_events_total\{type="security.mfa_disabled",severity="warning"\} (\d+)/m.exec(await metricsText())?.[1] ?? 0);
    const before = await counted();
    await reportSecurityEvent(own(), note);
    await world.settle();
    const [event] = (await read()).body.data as Event[];
    assert.deepEqual([event?.type, event?.severity, event?.userId, event?.details], ['security.mfa_disabled', 'warning', merchant.userId, { method: 'totp' }]);
    assert.equal(world.logLines.filter((l) => l.includes('"security.mfa_disabled"')).length, 1);
    assert.equal(await counted(), before + 1);
    const told = (await mailsTo(merchant.email)).filter((m) => m.subject === 'Two-step sign-in is off');
    assert.equal(told.length, 1);
    assert.match(told[0]?.text ?? '', /203\.0\.113\.9/);
    // The same delivery once more, as after a process that ended between handling and marking.
    await world.db.collection('outbox').updateMany({ type: 'security.mfa_disabled' }, { $set: { pending: true } });
    await world.settle();
    assert.equal((await mailsTo(merchant.email)).filter((m) => m.subject === 'Two-step sign-in is off').length, 1);
  });

  it('about keys go to the owners, those about failed sign-ins to nobody', async () => {
    await world.member(merchant, 'viewer');
    await reportSecurityEvent(own(), { type: 'security.api_key_created', details: { keyId: 'k' } });
    await reportSecurityEvent(own(), { type: 'security.login_failed', userId: merchant.userId });
    await world.settle();
    assert.equal((await mailsTo(merchant.email)).filter((m) => m.subject === 'An API key was created').length, 1);
    // The member and the operator of this test have signed in from devices of their own.
    const mails = await world.db.collection('mails').find({ kind: { $regex: /^security/, $ne: 'security.new_device' } }).toArray();
    assert.deepEqual(mails.map((m) => m['kind']).sort(), ['security.api_key_created', 'security.mfa_disabled']);
  });

  it('that strangers cause are gathered: one row a minute for one key, saying how many', async () => {
    const note = { type: 'security.login_failed' as const, userId: other.userId };
    const theirs = systemCtx('test', other.companyId);
    for (let i = 0; i < 20; i += 1) await reportBounded(theirs, other.userId, note);
    assert.deepEqual(((await read('', other.token)).body.data as Event[]).map((e) => e.count), [1]);
    world.advance(61_000);
    await reportBounded(theirs, other.userId, note);
    assert.deepEqual(((await read('', other.token)).body.data as Event[]).map((e) => e.count), [20, 1]);
  });

  it('are seen by owners and admins of the own company, and by staff', async () => {
    const seen = (await read('?limit=1000')).body.data as Event[];
    assert.ok(seen.length >= 3 && seen.every((e) => e.companyId === merchant.companyId));
    assert.equal((await read('', await world.member(merchant, 'finance'))).status, 403);
    assert.equal((await read('', await world.member(merchant, 'admin'))).status, 200);
    const path = '/v1/admin/security-events';
    assert.equal((await world.api('GET', path, { token: merchant.token })).status, 403);
    const all = (await world.api('GET', `${path}?limit=1000`, { token: staff })).body.data as Event[];
    assert.ok(new Set(all.map((e) => e.companyId)).size >= 2);
    const one = (await world.api('GET', `${path}?companyId=${other.companyId}&type=security.login_failed`, { token: staff })).body.data as Event[];
    assert.ok(one.length === 2 && one.every((e) => e.companyId === other.companyId));
  });

  it('filter by type, severity, user and time, page by key, and name what is wrong with a query', async () => {
    assert.ok(((await read('?type=security.mfa_disabled')).body.data as Event[]).length === 1);
    assert.ok(((await read('?severity=warning')).body.data as Event[]).every((e) => e.severity === 'warning'));
    assert.ok(((await read(`?userId=${merchant.userId}`)).body.data as Event[]).length === 2);
    assert.deepEqual((await read('?to=2020-01-01T00:00:00Z')).body.data, []);
    const first = (await read('?limit=1')).body;
    const second = (await read(`?limit=1&cursor=${encodeURIComponent(first.nextCursor)}`)).body;
    assert.notEqual(first.data[0].id, second.data[0].id);
    for (const query of ['?type=other', '?severity=x', '?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', '?x=1']) assert.equal((await read(query)).status, 400, query);
  });
});
