import { strict as assert } from 'node:assert';
import { operationsSchedules } from '../../src/modules/operations/operation.jobs.ts';
import { createOperator } from '../../src/modules/identity/index.ts';
import { namePrefix } from '../../src/modules/companies/company.rules.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { newId } from '../../src/platform/ids.ts';
import { PASSWORD, race, startWorld, type Merchant, type World } from '../support/world.ts';

const DAY_MS = 86_400_000;

describe('operations', () => {
  let world: World;
  let operator: string;
  let admin: string;
  let merchant: Merchant;

  const staff = async (role: 'operator' | 'platform_admin'): Promise<string> => {
    const email = `${role}@staff.example.in`;
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email, name: 'Meera Nair', role, password: PASSWORD });
    const { status, body } = await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } });
    assert.equal(status, 200, JSON.stringify(body));
    return body.accessToken;
  };
  const runSchedule = async (name: string): Promise<void> => {
    const schedule = operationsSchedules.find((s) => s.name === name);
    assert.ok(schedule, name);
    await schedule.run(systemCtx(`schedule:${name}`, PLATFORM_COMPANY_ID));
    await world.settle();
  };

  before(async () => {
    world = await startWorld();
    [operator, admin] = [await staff('operator'), await staff('platform_admin')];
    merchant = await world.merchant();
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('is for our staff only', async () => {
    for (const path of ['/v1/admin/companies', `/v1/admin/companies/${merchant.companyId}`, '/v1/admin/jobs', '/v1/admin/checks']) {
      assert.equal((await world.api('GET', path)).status, 401, path);
      assert.equal((await world.api('GET', path, { token: merchant.token })).status, 403, path);
      for (const token of [operator, admin]) assert.equal((await world.api('GET', path, { token })).status, 200, path);
    }
    const change = { token: merchant.token, ifMatch: 1, body: { status: 'suspended', reason: 'x' } };
    assert.equal((await world.api('PATCH', `/v1/admin/companies/${merchant.companyId}`, change)).status, 403);
    assert.equal((await world.api('POST', `/v1/admin/jobs/${newId()}/retry`, { token: merchant.token })).status, 403);
  });

  describe('companies', () => {
    const pathOf = (who: Merchant): string => `/v1/admin/companies/${who.companyId}`;
    const decide = async (who: Merchant, body: object, ifMatch?: number) => {
      const version = ifMatch ?? (await world.api('GET', pathOf(who), { token: operator })).body.version;
      return world.api('PATCH', pathOf(who), { token: operator, ifMatch: version, body });
    };
    const listed = async (query: string): Promise<{ id: string; name: string; status: string }[]> => {
      const { status, body } = await world.api('GET', `/v1/admin/companies${query}`, { token: operator });
      assert.equal(status, 200, JSON.stringify(body));
      return body.data;
    };

    it('lists all companies page by page, newest first, by status, KYC and the beginning of the name', async () => {
      const others = [await world.merchant({ location: false }), await world.merchant({ location: false }), await world.merchant({ location: false })];
      const seen: string[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const answer = await world.api('GET', `/v1/admin/companies?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`, { token: operator });
        seen.push(...(answer.body.data as { id: string }[]).map((c) => c.id));
        cursor = answer.body.nextCursor;
      }
      assert.deepEqual(seen, [...others.map((o) => o.companyId).reverse(), merchant.companyId]);
      const [first] = others;
      assert.ok(first);
      await world.api('PATCH', '/v1/company', { token: first.token, ifMatch: 2, body: { name: 'Zari (Silk) House' } });
      assert.deepEqual((await listed('?q=zari%20(s')).map((c) => c.name), ['Zari (Silk) House']);
      assert.deepEqual(await listed('?q=silk'), []);
      assert.deepEqual(await listed('?q=.*'), []);
      assert.deepEqual(await listed('?status=suspended'), []);
      assert.deepEqual(await listed('?kycStatus=verified'), []);
      assert.equal((await listed('?status=active&kycStatus=not_started')).length, 4);
      for (const bad of ['?status=asleep', '?kycStatus=x', `?q=${'a'.repeat(201)}`, '?name=x', '?cursor=x']) {
        assert.equal((await world.api('GET', `/v1/admin/companies${bad}`, { token: operator })).status, 400, bad);
      }
    });

    it('reads the name prefix as text, never as a pattern', () => {
      for (const [text, name, fits] of [
        ['a.c', 'abc', false],
        ['a.c', 'A.C Traders', true],
        [' sh', 'Shop', true],
        ['(((', 'x', false],
        ['\\d', '5', false],
      ] as const) {
        assert.equal(namePrefix(text).test(name), fits, `${text} on ${name}`);
      }
    });

    it('suspends a company: its sessions end, nobody signs in, its API keys stop; and lets it back in', async () => {
      const shop = await world.merchant();
      const key = await world.api('POST', '/v1/api-keys', { token: shop.token, body: { name: 'till', scopes: ['company:read'] } });
      assert.equal(key.status, 201, JSON.stringify(key.body));
      assert.equal((await world.api('GET', '/v1/company', { token: key.body.key })).status, 200);
      const before = await world.api('GET', pathOf(shop), { token: operator });
      const suspended = await decide(shop, { status: 'suspended', reason: '  Chargebacks ' });
      assert.equal(suspended.status, 200, JSON.stringify(suspended.body));
      assert.deepEqual([suspended.body.status, suspended.body.statusReason, suspended.body.version], ['suspended', 'Chargebacks', before.body.version + 1]);
      assert.ok(suspended.body.statusChangedAt);
      assert.equal((await world.api('GET', '/v1/company', { token: shop.token })).status, 401, 'at once, before any event is delivered');
      assert.equal((await world.api('GET', '/v1/company', { token: key.body.key })).status, 401);
      assert.deepEqual((await listed('?status=suspended')).map((c) => c.id), [shop.companyId]);
      await world.settle();
      const login = await world.api('POST', '/v1/auth/login', { body: { email: shop.email, password: PASSWORD } });
      assert.deepEqual([login.status, login.body.error.code], [403, 'company_suspended']);
      assert.equal((await world.api('GET', '/v1/company', { token: key.body.key })).status, 401);

      assert.equal((await decide(shop, { status: 'active', reason: 'Settled' })).status, 200);
      await world.settle();
      const again = await world.api('POST', '/v1/auth/login', { body: { email: shop.email, password: PASSWORD } });
      assert.equal(again.status, 200, JSON.stringify(again.body));
      const own = await world.api('GET', '/v1/company', { token: again.body.accessToken });
      assert.equal(own.status, 200);
      assert.equal('statusReason' in own.body, false, 'the reason is for staff');
    });

    it('needs no reason, and whoever comes in after a company is active again stays', async () => {
      const shop = await world.merchant({ verified: false, location: false });
      assert.deepEqual([(await decide(shop, { status: 'suspended', reason: 'Chargebacks' })).body.statusReason], ['Chargebacks']);
      const active = await decide(shop, { status: 'active' });
      assert.deepEqual([active.status, active.body.status, 'statusReason' in active.body], [200, 'active', false]);
      const login = await world.api('POST', '/v1/auth/login', { body: { email: shop.email, password: PASSWORD } });
      await world.settle();
      assert.equal((await world.api('GET', '/v1/company', { token: login.body.accessToken })).status, 200, 'the event of the suspension comes late');
    });

    it('refuses a stale version, a missing one, an unknown company and a faulty body', async () => {
      const { body } = await world.api('GET', pathOf(merchant), { token: operator });
      const good = { status: 'closed', reason: 'Asked for' };
      const stale = await decide(merchant, good, body.version - 1);
      assert.deepEqual([stale.status, stale.body.error.details], [412, { currentVersion: body.version }]);
      assert.equal((await world.api('PATCH', pathOf(merchant), { token: operator, body: good })).status, 428);
      assert.equal((await world.api('PATCH', `/v1/admin/companies/${newId()}`, { token: operator, ifMatch: 1, body: good })).status, 404);
      for (const bad of [{}, { status: 'gone', reason: 'x' }, { ...good, reason: '' }, { ...good, reason: '  ' }, { ...good, reason: 'x'.repeat(501) }, { ...good, name: 'x' }]) {
        assert.equal((await decide(merchant, bad)).status, 400, JSON.stringify(bad));
      }
      assert.equal((await world.api('GET', pathOf(merchant), { token: operator })).body.version, body.version);
    });

    it('tells nobody when the status stays the same', async () => {
      const events = await world.db.collection('outbox').countDocuments({ type: 'company.status_changed' });
      const same = await decide(merchant, { status: 'active', reason: 'Checked' });
      assert.deepEqual([same.status, same.body.status], [200, 'active']);
      assert.equal(await world.db.collection('outbox').countDocuments({ type: 'company.status_changed' }), events);
    });

    it('takes one of many decisions made at once on the same version', async () => {
      const shop = await world.merchant({ location: false });
      const { body } = await world.api('GET', pathOf(shop), { token: operator });
      const { statuses } = await race(10, (i) => decide(shop, { status: i % 2 === 0 ? 'suspended' : 'closed', reason: `No. ${i}` }, body.version));
      assert.deepEqual(statuses, { 200: 1, 412: 9 });
      assert.equal(await world.db.collection('outbox').countDocuments({ type: 'company.status_changed', key: shop.companyId }), 1);
    });
  });

  describe('jobs', () => {
    const jobs = () => world.db.collection<{ _id: string; [field: string]: unknown }>('jobs');
    const plant = async (state: string, minutesAgo = 1): Promise<string> => {
      const at = new Date(Date.now() - minutesAgo * 60_000);
      const log = state === 'dead' ? [{ at, error: 'Error: 550 <asha@shop.example.in> is unknown' }] : [];
      const row = { _id: newId(), name: 'test.nobody', companyId: merchant.companyId, requestId: 'test-request', payload: { to: 'secret-payload' }, state, runAt: at, attempts: 3, log, createdAt: at };
      await jobs().insertOne(row);
      return row._id;
    };
    afterEach(() => jobs().deleteMany({ name: 'test.nobody' }));

    it('lists dead ones page by page with their errors and without payloads or addresses', async () => {
      const ids = [await plant('dead', 1), await plant('dead', 2), await plant('dead', 2), await plant('dead', 3)];
      const queued = await plant('queued');
      const seen: string[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const answer = await world.api('GET', `/v1/admin/jobs?state=dead&limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`, { token: operator });
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
        assert.ok(!/secret-payload|asha@/.test(JSON.stringify(answer.body)));
        for (const row of answer.body.data as { id: string; errors: { error: string }[] }[]) {
          seen.push(row.id);
          assert.match(row.errors[0]?.error ?? '', /550 .* is unknown/);
        }
        cursor = answer.body.nextCursor;
      }
      assert.deepEqual(seen, [ids[0], ids[2], ids[1], ids[3]]);
      const waiting = await world.api('GET', '/v1/admin/jobs?state=queued&limit=1000', { token: operator });
      assert.ok((waiting.body.data as { id: string }[]).some((j) => j.id === queued));
      assert.equal((await world.api('GET', '/v1/admin/jobs?state=done', { token: operator })).status, 400);
    });

    it('queues a dead job again once, however many ask, and no other job', async () => {
      const dead = await plant('dead');
      const { statuses, answers } = await race(10, () => world.api('POST', `/v1/admin/jobs/${dead}/retry`, { token: operator }));
      assert.deepEqual(statuses, { 200: 1, 409: 9 });
      assert.ok(answers.filter((a) => a.status === 409).every((a) => a.body.error.code === 'job_not_dead'));
      const row = await jobs().findOne({ _id: dead });
      assert.deepEqual([row?.['state'], row?.['attempts']], ['queued', 0]);
      assert.equal((await world.api('POST', `/v1/admin/jobs/${await plant('running')}/retry`, { token: operator })).status, 409);
      assert.equal((await world.api('POST', `/v1/admin/jobs/${newId()}/retry`, { token: operator })).status, 404);
    });

    it('forgets dead ones after 90 days', async () => {
      const old = await plant('dead', 91 * 24 * 60);
      const young = await plant('dead', 89 * 24 * 60);
      await runSchedule('jobs.forget_dead');
      assert.equal(await jobs().countDocuments({ _id: old }), 0);
      assert.equal(await jobs().countDocuments({ _id: young }), 1);
    });
  });

  describe('checks', () => {
    /** A coupon that counts one use more than it has redemptions. */
    const plantFault = async (code: string): Promise<() => Promise<void>> => {
      const { id } = (await world.api('POST', '/v1/coupons', { token: merchant.token, body: { code, kind: 'flat', valuePaise: 1000 } })).body;
      const coupons = world.db.collection<{ _id: string }>('coupons');
      assert.equal((await coupons.updateOne({ _id: id }, { $inc: { used: 1 } })).matchedCount, 1);
      return async () => void (await coupons.updateOne({ _id: id }, { $inc: { used: -1 } }));
    };

    it('run on demand and name a planted fault', async () => {
      const clean = await world.api('GET', '/v1/admin/checks', { token: operator });
      assert.deepEqual([clean.status, clean.body.ok], [200, true], JSON.stringify(clean.body));
      assert.ok(clean.body.checks.length > 10);
      const undo = await plantFault('TEN');
      const { body } = await world.api('GET', '/v1/admin/checks', { token: operator });
      await undo();
      const found = (body.checks as { ok: boolean; name: string; count: number; violations: string[] }[]).filter((c) => !c.ok);
      assert.equal(body.ok, false);
      assert.deepEqual(found.map((c) => [c.count, c.violations.length]), [[1, 1]], JSON.stringify(found));
    });

    it('share one run when asked at once', async () => {
      world.commands();
      await world.api('GET', '/v1/admin/checks', { token: operator });
      const one = world.commands();
      await race(5, () => world.api('GET', '/v1/admin/checks', { token: operator }));
      assert.ok(world.commands() < one * 2, `five calls send about what one sends (${one})`);
    });

    it('run every day and log one line for each check that fails', async () => {
      const undo = await plantFault('TWENTY');
      world.logLines.length = 0;
      await runSchedule('checks.daily');
      await undo();
      const lines = world.logLines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const failed = lines.filter((l) => l['event'] === 'check.failed');
      assert.equal(failed.length, 1, JSON.stringify(failed));
      assert.deepEqual([failed[0]?.['level'], failed[0]?.['count']], ['error', 1]);
      assert.equal(lines.filter((l) => l['event'] === 'checks.done').length, 1);
    });

    it('run the day after once more', async () => {
      world.advance(DAY_MS + 1_000);
      world.logLines.length = 0;
      assert.ok((await world.service.scheduler.tick()).includes('checks.daily'));
      await world.settle();
      assert.equal(world.logLines.filter((l) => l.includes('checks.done')).length, 1);
      assert.ok(!(await world.service.scheduler.tick()).includes('checks.daily'));
    });
  });
});
