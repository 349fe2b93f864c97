import { strict as assert } from 'node:assert';
import { Secret, TOTP } from 'otpauth';
import { gunzipSync } from 'node:zlib';
import { createOperator } from '../../src/modules/identity/index.ts';
import { openOrderNumbers } from '../../src/modules/orders/index.ts';
import { askCompanyErasure, cancelCompanyErasure, runCompanyErasure } from '../../src/modules/privacy/company.service.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { declaredCollections } from '../../src/platform/db/collection.ts';
import { forgetKeys, rotateKey, writingKey } from '../../src/platform/db/keyring.ts';
import { newId } from '../../src/platform/ids.ts';
import { aadhaarOf, panOf } from '../support/kyc.ts';
import { until } from '../support/process.ts';
import { book, fund, makeOrder, makeShipment } from '../support/shipping.ts';
import { ADDRESS } from '../support/shop.ts';
import { PASSWORD, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

interface Line {
  collection: string;
  row: Record<string, unknown>;
}

const BUYER = { name: 'Canarybai Erasewala', phone: '98111 70077', email: 'canary.erase@example.in' };
const STREET = '77 Canarypur Galli';
const NOTES = 'gate code canary-4711';
const TAG = 'canarybai-vip';
const CANARIES = [BUYER.name, '9811170077', BUYER.email, STREET, NOTES, TAG];

describe('privacy', function () {
  this.timeout(60_000);
  let world: World;
  let shop: Merchant;
  let other: Merchant;

  const lines = (answer: Answer): Line[] => {
    assert.equal(answer.status, 200, answer.bytes.toString().slice(0, 300));
    return gunzipSync(answer.bytes).toString().trimEnd().split('\n').map((line) => JSON.parse(line) as Line);
  };
  const post = (path: string, body: unknown, token = shop.token) => world.api('POST', path, { token, body });
  const theirs = { customer: BUYER, shippingAddress: { ...ADDRESS, line1: STREET }, notes: NOTES, tags: [TAG] };

  /** Everything stored in the database that a canary stands in, clear or in an envelope it does not matter. */
  async function findCanaries(companyId: string): Promise<string[]> {
    const found: string[] = [];
    for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
      for await (const row of world.db.collection(name).find({ companyId })) {
        const text = JSON.stringify(row);
        for (const canary of CANARIES) if (text.includes(canary)) found.push(`${name} ${String(row._id)}: ${canary}`);
      }
    }
    return found;
  }

  async function deliver(): Promise<{ orderId: string; shipmentId: string }> {
    const shipment = await makeShipment(world, shop, theirs);
    await world.settle();
    const played = await world.api('POST', `/dev/sandbox/shipments/${shipment.awb}/play`, { body: { scenario: 'ndr_then_delivered' } });
    assert.ok(played.status < 300, JSON.stringify(played.body));
    await world.settle();
    return { orderId: shipment.orderId, shipmentId: shipment.id };
  }

  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400', COMPANY_ERASURE_DAYS: '7', INVITATION_SECONDS: '2592000', SIGN_IN_DELAY_MS: '0', RATE_LIMIT_AUTH_FAILURES: '5' });
    shop = await world.merchant();
    other = await world.merchant();
    await fund(world, shop);
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email: 'root@dakiya.test', name: 'Uma Nair', role: 'platform_admin', password: PASSWORD });
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('export and erasure ask for the second factor too when the sign-in is not fresh, and guesses of the password are throttled', async () => {
    const owner = await world.merchant({ verified: false, location: false });
    const tellCode = (secret: string, atMs: number): string => new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + atMs });
    const { secret } = (await post('/v1/auth/mfa/enroll', {}, owner.token)).body;
    assert.equal((await post('/v1/auth/mfa/confirm', { otp: tellCode(secret, 0) }, owner.token)).status, 200);
    assert.equal((await post('/v1/company/export', { password: PASSWORD }, owner.token)).status, 200, 'fresh');
    const later = 11 * 60_000;
    world.advance(later);
    const bodies = { '/v1/company/export': {}, '/v1/company/erase': { reason: 'we close' } };
    for (const [path, more] of Object.entries(bodies)) {
      const refused = await post(path, { ...more, password: PASSWORD }, owner.token);
      assert.deepEqual([refused.status, refused.body.error.code], [401, 'mfa_required'], path);
    }
    assert.equal((await post('/v1/company/export', { password: PASSWORD, otp: tellCode(secret, later) }, owner.token)).status, 200);
    const guesses: number[] = [];
    while (guesses.length < 20 && !guesses.includes(429)) guesses.push((await post('/v1/company/erase', { password: 'Wrong-Password-12', reason: 'x' }, owner.token)).status);
    assert.deepEqual([guesses[0], guesses.at(-1)], [401, 429]);
    assert.equal((await post('/v1/company/export', { password: PASSWORD }, owner.token)).status, 429, 'the right password waits too');
  });

  it('C3 exports everything about a company, sealed values in clear, no secret and no row of another', async () => {
    await makeOrder(world, shop, theirs);
    await makeOrder(world, other, theirs);
    await post('/v1/api-keys', { name: 'K', scopes: ['orders:read'] });
    const refused = await post('/v1/company/export', { password: 'Wrong-Password-12' });
    assert.equal(refused.status, 401);
    assert.equal((await post('/v1/company/export', {})).status, 400);
    assert.equal((await post('/v1/company/export', { password: PASSWORD }, await world.member(shop, 'admin'))).status, 403);
    const answer = await post('/v1/company/export', { password: PASSWORD });
    const rows = lines(answer);
    const kinds = new Set(rows.map((line) => line.collection));
    for (const kind of ['companies', 'users', 'locations', 'orders', 'ledger_entries', 'wallets', 'audit', 'security_events', 'api_keys']) assert.ok(kinds.has(kind), kind);
    assert.ok(rows.every(({ row }) => row['companyId'] === shop.companyId));
    const order = rows.find((line) => line.collection === 'orders')?.row;
    assert.deepEqual([(order?.['customer'] as { name: string }).name, (order?.['shippingAddress'] as { line1: string }).line1, order?.['notes']], [BUYER.name, STREET, NOTES]);
    const text = JSON.stringify(rows);
    for (const secret of ['argon2', '"passwordHash":', '"hash":', '"e1.', '"b1.', 'webhookToken']) assert.ok(!text.includes(secret), secret);
    await world.settle();
    const told = (await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(shop.email)}`)).body.data as { subject: string }[];
    assert.ok(told.some((mail) => mail.subject === 'Data was exported'));
    const looks = (await world.api('GET', '/v1/audit-log?action=read', { token: shop.token })).body.data as { collection: string }[];
    assert.ok(looks.some((row) => row.collection === 'companies'));
  });

  it('C3 exports one customer by phone or e-mail, and nobody else', async () => {
    await makeOrder(world, shop);
    const rows = lines(await post('/v1/privacy/customers/export', { phone: '+91 98111-70077' }));
    assert.ok(rows.length >= 1 && rows.every(({ row }) => row['companyId'] === shop.companyId));
    assert.ok(rows.filter((line) => line.collection === 'orders').every(({ row }) => (row['customer'] as { name: string }).name === BUYER.name));
    assert.deepEqual(lines(await post('/v1/privacy/customers/export', { email: BUYER.email.toUpperCase() })).length, rows.length);
    for (const body of [{}, { phone: '123' }, { email: 'x' }, { phone: BUYER.phone, other: 1 }]) assert.equal((await post('/v1/privacy/customers/export', body)).status, 400);
    assert.equal((await post('/v1/privacy/customers/export', { phone: BUYER.phone }, await world.member(shop, 'operations'))).status, 403);
  });

  it('R11 erases a customer: values, masks and indexes go, lists answer, books and counters agree', async () => {
    const blocked = await post('/v1/privacy/customers/erase', { phone: BUYER.phone, reason: 'asked by letter' });
    assert.deepEqual([blocked.status, blocked.body.error.code, blocked.body.error.details.orderNumbers.length], [409, 'customer_has_open_orders', 1]);
    const open = (await world.api('GET', `/v1/orders?phone=${encodeURIComponent(BUYER.phone)}`, { token: shop.token })).body.data[0];
    assert.equal((await world.api('POST', `/v1/orders/${open.id}/cancel`, { token: shop.token, ifMatch: open.version, body: { reason: `${BUYER.name} called` } })).status, 200);
    const { orderId, shipmentId } = await deliver();
    const before = await world.db.collection('orders').findOne({ _id: orderId as never });
    assert.ok(before?.['blind']?.phone);
    const asked = await post('/v1/privacy/customers/erase', { phone: BUYER.phone, reason: `${BUYER.name} asked by letter` });
    assert.deepEqual([asked.status, asked.body.reason], [202, `${BUYER.name} asked by letter`], JSON.stringify(asked.body));
    await world.settle();
    const done = await world.api('GET', `/v1/privacy/erasures/${asked.body.id}`, { token: shop.token });
    assert.deepEqual([done.body.status, done.body.counts.orders >= 2, done.body.counts.shipments], ['done', true, 1], JSON.stringify(done.body));
    assert.equal((await world.db.collection('erasures').findOne({ _id: asked.body.id }))?.['customer'], undefined);
    const row = await world.db.collection('orders').findOne({ _id: orderId as never });
    assert.deepEqual([row?.['blind']?.phone, row?.['blind']?.email, row?.['masks']?.customer, row?.['notes']], [undefined, undefined, { name: '[erased]', phone: '[erased]' }, undefined]);
    const parcel = await world.db.collection('shipments').findOne({ _id: shipmentId as never });
    assert.deepEqual([parcel?.['blind']?.phone, parcel?.['blind']?.email, parcel?.['masks']?.consignee], [undefined, undefined, { name: '[erased]', phone: '[erased]' }]);
    await world.db.collection('idempotency').deleteMany({});
    assert.deepEqual(await findCanaries(shop.companyId), []);
    for (const path of ['/v1/orders', '/v1/shipments', `/v1/orders/${orderId}`, `/v1/shipments/${shipmentId}`, '/v1/orders/export.csv', '/v1/ndr', `/v1/orders/${orderId}/timeline`, `/v1/shipments/${shipmentId}/track`]) {
      assert.equal((await world.api('GET', path, { token: shop.token })).status, 200, path);
    }
    assert.deepEqual((await world.api('GET', `/v1/orders?phone=${encodeURIComponent(BUYER.phone)}`, { token: shop.token })).body.data, []);
    assert.equal((await world.api('GET', `/v1/orders/${orderId}`, { token: shop.token })).body.customer.name, '[erased]');
    assert.equal((await world.api('GET', `/v1/orders?phone=${encodeURIComponent(BUYER.phone)}`, { token: other.token })).body.data.length, 1, "another company's customer stays");
    await world.checks();
    const again = await post('/v1/privacy/customers/erase', { phone: BUYER.phone, reason: 'once more' });
    assert.equal(again.status, 202);
    await world.settle();
    assert.equal((await world.api('GET', `/v1/privacy/erasures/${again.body.id}`, { token: shop.token })).body.status, 'done');
  });

  it('R11 exports and erases what a customer left elsewhere: uses of coupons, corrections of failed deliveries', async () => {
    const buyer = { name: 'Canarybai Zweite', phone: '98111 70088', email: 'canary.second@example.in' };
    const corrected = { phone: '98111 70099', line1: '99 Canarypur Mohalla' };
    assert.equal((await post('/v1/coupons', { code: 'TWICE', kind: 'flat', valuePaise: 100, perCustomerLimit: 2 })).status, 201);
    const shipment = await makeShipment(world, shop, { ...theirs, customer: buyer, couponCode: 'TWICE' });
    const scan = (hoursAgo: number, status: string, more: object = {}) => ({ code: status, status, occurredAt: new Date(Date.now() + 10 * 86_400_000 - hoursAgo * 3_600_000).toISOString(), ...more });
    const send = async (...events: object[]): Promise<void> => {
      const answer = await post(`/v1/shipments/${shipment.awb}/scans`, { events });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      await world.settle();
    };
    world.advance(10 * 86_400_000);
    const { accessToken } = (await world.api('POST', '/v1/auth/login', { body: { email: shop.email, password: PASSWORD } })).body;
    shop = { ...shop, token: accessToken };
    await send(scan(40, 'picked_up'), scan(30, 'in_transit'), scan(20, 'out_for_delivery'), scan(19, 'undelivered', { reason: 'address_issue' }));
    const [ndr] = (await world.api('GET', `/v1/ndr?awb=${shipment.awb}`, { token: shop.token })).body.data;
    const acted = await post(`/v1/ndr/${ndr.id}/actions`, { action: 'reattempt', phone: corrected.phone, address: { line1: corrected.line1 } });
    assert.equal(acted.status, 200, JSON.stringify(acted.body));
    await send(scan(2, 'out_for_delivery'), scan(1, 'delivered'));

    const rows = lines(await post('/v1/privacy/customers/export', { phone: buyer.phone }));
    const kinds = new Set(rows.map((line) => line.collection));
    for (const kind of ['orders', 'shipments', 'ndrs', 'coupon_uses']) assert.ok(kinds.has(kind), kind);
    assert.ok(JSON.stringify(rows.filter((line) => line.collection === 'ndrs')).includes(corrected.line1), 'in clear for whom it is about');

    const uses = () => world.db.collection('coupon_uses').find({ companyId: shop.companyId }).toArray();
    const redemptions = () => world.db.collection('coupon_redemptions').find({ companyId: shop.companyId, orderId: shipment.orderId }).toArray();
    const [use] = await uses();
    const [redemption] = await redemptions();
    assert.ok((use ?? redemption)?.['customerKey']);
    const asked = await post('/v1/privacy/customers/erase', { email: buyer.email, phone: buyer.phone, reason: 'asked by letter' });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    await world.settle();
    const done = (await world.api('GET', `/v1/privacy/erasures/${asked.body.id}`, { token: shop.token })).body;
    assert.deepEqual([done.status, done.counts.ndrs, done.counts.coupon_uses > 0], ['done', 1, true], JSON.stringify(done));
    const stored = await world.db.collection('ndrs').findOne({ _id: ndr.id });
    assert.ok((stored?.['actions'] as object[]).length > 0 && !JSON.stringify(stored).includes('correction'), JSON.stringify(stored));
    for (const row of [...(await uses()), ...(await redemptions())]) assert.match(String(row['customerKey']), /^erased-/);
    await world.checks();
  });

  it('R11 goes on with an erasure that was cut off', async () => {
    for (let i = 0; i < 3; i += 1) {
      const order = await makeOrder(world, shop, theirs);
      const seen = await world.api('GET', `/v1/orders/${order.id}`, { token: shop.token });
      await world.api('POST', `/v1/orders/${order.id}/cancel`, { token: shop.token, ifMatch: seen.body.version, body: {} });
    }
    const { body } = await post('/v1/privacy/customers/erase', { email: BUYER.email, reason: 'asked' });
    await world.settle();
    // As a job that ended between its steps: the erasure runs once more, with nothing left to do.
    await world.db.collection('jobs').updateOne({ name: 'privacy.erase_customer', 'payload.erasureId': body.id }, { $set: { state: 'queued' } });
    await world.settle();
    assert.deepEqual((await world.api('GET', `/v1/privacy/erasures/${body.id}`, { token: shop.token })).body.counts, { orders: 3 });
    await world.db.collection('idempotency').deleteMany({});
    assert.deepEqual(await findCanaries(shop.companyId), []);
  });

  it('R11 erases a company after its time: access ends, keys and personal fields go, the books and every list stay', async () => {
    const left = await world.merchant();
    await fund(world, left);
    const order = await makeOrder(world, left, theirs);
    assert.equal((await book(world, left, { orderId: order.id })).status, 201);
    await world.settle();
    const early = await post('/v1/company/erase', { password: PASSWORD, reason: 'we close' }, left.token);
    assert.deepEqual([early.status, early.body.error.code], [409, 'company_has_open_business']);
    const shipment = (await world.api('GET', '/v1/shipments', { token: left.token })).body.data[0];
    await world.api('POST', `/dev/sandbox/shipments/${shipment.awb}/play`, { body: { scenario: 'delivered' } });
    await world.settle();
    assert.equal((await post('/v1/company/erase', { password: 'Wrong-Password-12', reason: 'x' }, left.token)).status, 401);
    const asked = await post('/v1/company/erase', { password: PASSWORD, reason: 'we close' }, left.token);
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    assert.equal((await post('/v1/company/erase', { password: PASSWORD, reason: 'we close' }, left.token)).body.error.code, 'erasure_exists');
    assert.equal((await post('/v1/company/erase/cancel', undefined, left.token)).body.status, 'cancelled');
    world.advance(8 * 86_400_000);
    await world.settle();
    const token = (await world.api('POST', '/v1/auth/login', { body: { email: left.email, password: PASSWORD } })).body.accessToken as string;
    assert.equal((await world.api('GET', '/v1/company', { token })).status, 200, 'taken back in time');
    const person = { 'user-agent': 'CanaryBrowser/9' };
    assert.equal((await world.api('POST', '/v1/auth/login', { body: { email: left.email, password: PASSWORD }, headers: person })).status, 200);
    await world.settle();
    assert.equal((await post('/v1/company/invitations', { email: 'late.guest@example.in', role: 'viewer' }, token)).status, 201);
    await world.settle();
    const [invitation] = (await world.api('GET', '/dev/mailbox?to=late.guest@example.in')).body.data as { links: string[] }[];
    const guest = { token: new URL(invitation?.links[0] ?? assert.fail()).searchParams.get('token'), name: 'Late Guest', password: PASSWORD };
    assert.equal((await post('/v1/company/erase', { password: PASSWORD, reason: 'we close' }, token)).status, 202);
    world.advance(8 * 86_400_000);
    await world.settle();
    const erasure = await world.db.collection('erasures').findOne({ companyId: left.companyId, state: 'done' });
    assert.ok(erasure, JSON.stringify(await world.db.collection('jobs').find({ name: 'privacy.erase_company' }).toArray()));
    const late = await world.api('POST', '/v1/auth/invitations/accept', { body: guest });
    assert.deepEqual([late.status, late.body.error.code], [400, 'token_invalid'], 'mailed links end as well');
    await assert.rejects(cancelCompanyErasure(systemCtx('test', left.companyId)), { code: 'erasure_begun' });
    for (const path of ['/v1/company', '/v1/orders']) assert.equal((await world.api('GET', path, { token })).status, 401);
    assert.equal((await world.api('POST', '/v1/auth/login', { body: { email: left.email, password: PASSWORD } })).status, 401);
    await world.db.collection('idempotency').deleteMany({});
    await world.db.collection('mailbox').deleteMany({});
    assert.deepEqual(await findCanaries(left.companyId), []);
    const keys = await world.db.collection('keyvault').find({ companyId: left.companyId, purpose: 'company' }).toArray();
    assert.ok(keys.length > 0 && keys.every((key) => key['wrapped'] === undefined));
    const raw = JSON.stringify(await Promise.all(['users', 'companies', 'locations', 'orders', 'shipments'].map((name) => world.db.collection(name).find({ companyId: left.companyId }).toArray())));
    for (const value of [left.email, '9800012345', 'Asha Rao', '1 MG Road', '"b1.']) assert.ok(!raw.includes(value), value);
    for (const name of ['sessions', 'security_events']) {
      assert.ok((await world.db.collection(name).countDocuments({ companyId: left.companyId })) > 0, name);
      assert.deepEqual(await world.db.collection(name).find({ companyId: left.companyId, $or: [{ address: { $exists: true } }, { userAgent: { $exists: true } }] }).toArray(), [], `${name}: where people came from`);
    }
    assert.ok((await world.db.collection('ledger_entries').countDocuments({ companyId: left.companyId })) > 0);
    await world.checks();
    const admin = await world.api('GET', '/v1/admin/companies?limit=100', { token: (await world.api('POST', '/v1/auth/login', { body: { email: 'root@dakiya.test', password: PASSWORD } })).body.accessToken });
    assert.equal(admin.status, 200, JSON.stringify(admin.body));
    assert.equal((admin.body.data as { id: string; status: string; name: string }[]).find((c) => c.id === left.companyId)?.name, '[erased]');
    const shown = (admin.body.data as { id: string; email: string; phone: string; version: number }[]).find((c) => c.id === left.companyId) ?? assert.fail();
    assert.deepEqual([shown.email, shown.phone], ['[erased]', '[erased]']);
    // What is not sealed still changes, and the address is free for somebody who begins anew.
    const root = await world.api('POST', '/v1/auth/login', { body: { email: 'root@dakiya.test', password: PASSWORD } });
    const suspended = await world.api('PATCH', `/v1/admin/companies/${left.companyId}`, { token: root.body.accessToken, ifMatch: shown.version, body: { status: 'suspended', reason: 'court' } });
    assert.equal(suspended.status, 200, JSON.stringify(suspended.body));
    const active = await world.api('PATCH', `/v1/admin/companies/${left.companyId}`, { token: root.body.accessToken, ifMatch: suspended.body.version, body: { status: 'active' } });
    assert.deepEqual([active.status, active.body.error.code], [409, 'data_erased']);
    assert.equal(await rotateKey({ companyId: left.companyId, purpose: 'company' }), undefined);
    // As a rotation would that had listed the keys before: it opens nothing for the company.
    const closed = keys[0] ?? assert.fail();
    await world.db.collection('keyvault').insertOne({ ...closed, _id: 'later' as never, generation: 99, wrapped: 'AAAA', closed: undefined } as never);
    forgetKeys();
    await assert.rejects(async () => writingKey({ companyId: left.companyId, purpose: 'company' }), { code: 'data_erased' });
    await world.db.collection('keyvault').deleteOne({ _id: 'later' as never });
    const anew = await world.api('POST', '/v1/auth/register', { body: { companyName: 'Again', name: 'Asha Rao', email: left.email, phone: '9800012345', password: PASSWORD } });
    assert.equal(anew.status, 201, JSON.stringify(anew.body));
    assert.equal((await world.api('GET', `/track/${shipment.awb}`)).status, 200);
    assert.equal((await world.api('GET', `/v1/track/${shipment.awb}`)).status, 200);
  });

  it('R11 an order that comes while the account closes keeps its customer: the erasure waits, and the account is open again', async () => {
    const busy = await world.merchant();
    const ctx = systemCtx('test', busy.companyId);
    await askCompanyErasure(ctx, 'we close', 0);
    const erasure = await world.db.collection('erasures').findOne({ companyId: busy.companyId });
    const running = runCompanyErasure(ctx, String(erasure?._id));
    const status = async () => (await world.db.collection('companies').findOne({ _id: busy.companyId as never }))?.['status'] as string;
    await until('the account is closed', async () => (await status()) === 'closed');
    await world.db.collection('orders').insertOne({ _id: newId() as never, companyId: busy.companyId, orderNumber: 'LATE', status: 'placed' }, { bypassDocumentValidation: true });
    await assert.rejects(running, { code: 'company_has_open_business' });
    assert.equal(await status(), 'active');
    assert.ok((await world.db.collection('keyvault').find({ companyId: busy.companyId }).toArray()).every((key) => key['wrapped'] !== undefined));
    await world.db.collection('orders').deleteOne({ orderNumber: 'LATE' });
  });

  it('R11 an account that was closed for an erasure is open again when the process ended in between, or the owner took it back', async () => {
    const lucky = await world.merchant();
    const ctx = systemCtx('test', lucky.companyId);
    const company = () => world.db.collection('companies').findOne({ _id: lucky.companyId as never });
    const asked = await askCompanyErasure(ctx, 'we close', 7);
    const cutOff = async (): Promise<void> => {
      await world.db.collection('companies').updateOne({ _id: lucky.companyId as never }, { $set: { status: 'closed' }, $inc: { version: 1 } });
      await world.db.collection('erasures').updateOne({ _id: asked._id as never }, { $set: { statusBefore: 'active' } });
    };
    await cutOff();
    await world.db.collection('orders').insertOne({ _id: newId() as never, companyId: lucky.companyId, orderNumber: 'EARLY', status: 'placed' }, { bypassDocumentValidation: true });
    await assert.rejects(runCompanyErasure(ctx, asked._id), { code: 'company_has_open_business' });
    assert.equal((await company())?.['status'], 'active');
    await world.db.collection('orders').deleteOne({ orderNumber: 'EARLY' });
    await cutOff();
    await cancelCompanyErasure(ctx);
    await runCompanyErasure(ctx, asked._id);
    assert.equal((await company())?.['status'], 'active');
    assert.equal((await world.db.collection('erasures').findOne({ _id: asked._id as never }))?.['statusBefore'], undefined);
    // Opened by our staff in the last moment: nothing is destroyed.
    const again = await askCompanyErasure(ctx, 'we close', 7);
    const running = runCompanyErasure(ctx, again._id);
    await until('the account is closed', async () => (await company())?.['status'] === 'closed');
    await world.db.collection('companies').updateOne({ _id: lucky.companyId as never }, { $set: { status: 'active' }, $inc: { version: 1 } });
    await assert.rejects(running, { code: 'stale_version' });
    assert.ok((await world.db.collection('keyvault').find({ companyId: lucky.companyId }).toArray()).every((key) => key['wrapped'] !== undefined));
    await cancelCompanyErasure(ctx);
  });

  it('R11 lost and damaged parcels keep nobody: company and customer can be erased', async () => {
    const unlucky = await world.merchant();
    await fund(world, unlucky);
    for (const scenario of ['lost', 'damaged']) {
      const order = await makeOrder(world, unlucky, theirs);
      assert.equal((await book(world, unlucky, { orderId: order.id })).status, 201);
      await world.settle();
      assert.equal((await openOrderNumbers(systemCtx('test', unlucky.companyId), 5)).length, 1);
      const { awb } = (await world.db.collection('shipments').findOne({ orderId: order.id })) ?? assert.fail();
      await world.api('POST', `/dev/sandbox/shipments/${String(awb)}/play`, { body: { scenario } });
      await world.settle();
      assert.equal((await world.db.collection('orders').findOne({ _id: order.id }))?.['status'], 'shipped');
    }
    assert.deepEqual(await openOrderNumbers(systemCtx('test', unlucky.companyId), 5), []);
    const { body } = await post('/v1/privacy/customers/erase', { phone: theirs.customer.phone, reason: 'asked' }, unlucky.token);
    assert.ok(body.id, JSON.stringify(body));
    await world.settle();
    assert.deepEqual((await world.api('GET', `/v1/privacy/erasures/${body.id}`, { token: unlucky.token })).body.counts.orders, 2);
  });

  it('R11 of many who ask for a company\'s erasure at once one does, and taking it back leaves none', async () => {
    const { companyId } = await world.merchant({ location: false, verified: false });
    const ctx = systemCtx('test', companyId);
    const asked = await Promise.allSettled(Array.from({ length: 6 }, () => askCompanyErasure(ctx, 'we close')));
    assert.deepEqual(asked.flatMap((one) => (one.status === 'rejected' ? [(one.reason as { code: string }).code] : [])), Array.from({ length: 5 }, () => 'erasure_exists'));
    await cancelCompanyErasure(ctx);
    assert.equal(await world.db.collection('erasures').countDocuments({ companyId, state: { $ne: 'cancelled' } }), 0);
    await askCompanyErasure(ctx, 'we close after all');
    await cancelCompanyErasure(ctx);
  });

  it('R11 lets only the platform’s administrators erase a company at once, by its name', async () => {
    const gone = await world.merchant();
    const root = (await world.api('POST', '/v1/auth/login', { body: { email: 'root@dakiya.test', password: PASSWORD } })).body.accessToken as string;
    const path = `/v1/admin/companies/${gone.companyId}/erase`;
    const { name } = (await world.api('GET', `/v1/admin/companies/${gone.companyId}`, { token: root })).body as { name: string };
    assert.equal((await post(path, { reason: 'court', name }, gone.token)).status, 403);
    assert.equal((await post(path, { reason: 'court', name: 'Other' }, root)).status, 400);
    assert.equal((await post(path, { reason: 'court', name }, root)).status, 202);
    await world.settle();
    assert.equal((await world.db.collection('erasures').findOne({ companyId: gone.companyId }))?.['state'], 'done');
  });

  it('R11 what people wrote as reasons goes with the company, and the ledger never had it', async () => {
    const gone = await world.merchant();
    const root = (await world.api('POST', '/v1/auth/login', { body: { email: 'root@dakiya.test', password: PASSWORD } })).body.accessToken as string;
    const why = 'Canarybai rang from 9811170077';
    const as = (token: string, path: string, body: object, ifMatch?: number) => world.api('POST', path, { token, body, ...(ifMatch === undefined ? {} : { ifMatch }) });
    const good = async (asked: Promise<Answer>): Promise<Answer['body']> => {
      const answer = await asked;
      assert.ok(answer.status < 300, JSON.stringify(answer.body));
      return answer.body;
    };
    await fund(world, gone);
    const shipment = await makeShipment(world, gone);
    await world.settle();
    await good(as(gone.token, `/v1/shipments/${shipment.id}/cancel`, { reason: why }, (await world.api('GET', `/v1/shipments/${shipment.id}`, { token: gone.token })).body.version));
    await world.settle();
    const { version } = (await world.api('GET', `/v1/orders/${shipment.orderId}`, { token: gone.token })).body;
    await good(as(gone.token, `/v1/orders/${shipment.orderId}/cancel`, { reason: why }, version));
    await good(as(gone.token, '/v1/products', { sku: 'WRITTEN', name: 'Tea', pricePaise: 100, hsnCode: '0902', taxBp: 500, weightGrams: 1, lengthMm: 1, breadthMm: 1, heightMm: 1 }));
    const receipt = { reference: 'GRN 1', lines: [{ sku: 'WRITTEN', locationId: gone.locationId, quantity: 2 }] };
    await good(as(gone.token, '/v1/stock/receipts', receipt));
    await good(as(gone.token, '/v1/stock/adjustments', { reason: why, lines: [{ sku: 'WRITTEN', locationId: gone.locationId, quantity: -1 }] }));
    const pan = { number: panOf('1234'), name: 'Asha Rao', holderType: 'individual', dateOfBirth: '1990-01-31' };
    await good(world.api('PUT', '/v1/kyc/pan', { token: gone.token, body: pan }));
    await good(world.api('PUT', '/v1/kyc/bank-account', { token: gone.token, body: { accountNumber: '771234567812', ifsc: 'HDFC0000001', holderName: 'Asha Rao' } }));
    await good(world.api('PUT', '/v1/kyc/aadhaar', { token: gone.token, body: { number: aadhaarOf('23456789012'), consent: true } }));
    await good(as(gone.token, '/v1/kyc/submit', {}));
    await good(as(gone.token, '/v1/kyc/reveal', { field: 'pan', reason: why }));
    await good(as(root, `/v1/admin/kyc/${gone.companyId}/decisions`, { document: 'pan', decision: 'rejected', reason: why }));
    const holders = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
        const rows = await world.db.collection(name).find({ companyId: gone.companyId }).toArray();
        if (JSON.stringify(rows).includes(why)) found.push(name);
      }
      return found.sort();
    };
    assert.deepEqual(await holders(), ['kyc_events', 'kyc_reveals', 'kycs', 'orders', 'shipments', 'stock_movements']);
    const { name } = (await world.api('GET', `/v1/admin/companies/${gone.companyId}`, { token: root })).body as { name: string };
    await good(as(root, `/v1/admin/companies/${gone.companyId}/erase`, { reason: 'asked', name }));
    await world.settle();
    assert.deepEqual(await holders(), []);
    const [kyc, entry] = await Promise.all(['kycs', 'aadhaar_vault'].map((one) => world.db.collection(one).findOne({ companyId: gone.companyId })));
    assert.deepEqual([(kyc?.['aadhaar'] as { lastFour: string }).lastFour, entry?.['lastFour']], ['XXXX', 'XXXX']);
    const order = await world.db.collection('orders').findOne({ companyId: gone.companyId });
    assert.ok((order?.['history'] as { at: Date; kind: string }[]).every(({ at, kind }) => at instanceof Date && kind !== ''), 'the rest of the timeline stays');
    await world.checks();
  });

  it('has an answer for every field that is personal by its name: sealed, replaced at erasure, or nobody’s', () => {
    const personal = /^(?:name|contactName|holderName|customerName|phone|email|line1|line2|notes|gstin|dateOfBirth|passwordHash|fileName|reason|cancelReason|statusReason|lastFour)$/;
    const nobodys = new Set(['products.name', 'rate_cards.name', 'zones.name', 'imports.reason', 'ndrs.reason', 'blocked_addresses.reason']);
    const open = declaredCollections()
      .filter((spec) => !spec.name.startsWith('test_'))
      .flatMap((spec) => Object.keys(spec.fields).filter((f) => personal.test(f) && spec.personal?.[f] === undefined && !spec.sealed?.[f]).map((f) => `${spec.name}.${f}`));
    assert.deepEqual(open.filter((path) => !nobodys.has(path)), []);
  });
});
