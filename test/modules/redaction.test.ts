import { strict as assert } from 'node:assert';
import { metricsText } from '../../src/platform/metrics.ts';
import { fund, makeShipment } from '../support/shipping.ts';
import { until } from '../support/process.ts';
import { ADDRESS, orderBody } from '../support/shop.ts';
import { PASSWORD, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

/** Right values that are personal or secret: accepted, stored sealed, and told nowhere else. */
const GOOD = {
  buyer: 'Canarybai Redactwala',
  phone: '9811188077',
  email: 'canary.redact@example.in',
  street: '88 Canarypur Chowk',
  notes: 'canary-notes-8811',
  pan: 'AAKPZ7391Q',
  panName: 'CANARYGIRI PANWALA',
  aadhaar: '234567890124',
  account: '918273645501',
  holder: 'Canarygiri Bankwala',
  courierToken: 'canary-courier-token-8812',
  contact: 'Canarygiri Godownwala',
  godown: '9 Canary Godown Marg',
} as const;

/** Wrong values: refused, and never repeated. */
const BAD = {
  pan: 'CANARYPAN1',
  aadhaar: '987654321098',
  gstin: '29CANARYX0000Z9',
  account: 'CANARY-ACC-77',
  ifsc: 'CANARY0IFSC9',
  phone: 'canary-phone-77',
  email: 'canary-email-77',
  pincode: 'canary-pin-77',
  password: 'canary-pw-77',
  token: 'canary-token-7788',
  code: 'canary-otp-7799',
} as const;

describe('R7 B10 what is told of personal and secret values', function () {
  this.timeout(60_000);
  let world: World;
  let shop: Merchant;
  const answers: Answer[] = [];
  const refusals: Answer[] = [];
  const values = [...Object.values(GOOD), ...Object.values(BAD), `+91${GOOD.phone}`, PASSWORD];

  const call = async (method: string, path: string, body?: unknown, key?: string): Promise<Answer> => {
    const answer = await world.api(method, path, { token: shop.token, ...(body === undefined ? {} : { body }), ...(key === undefined ? {} : { key }) });
    (answer.status >= 400 ? refusals : answers).push(answer);
    return answer;
  };
  const found = (text: string): string[] => values.filter((value) => text.includes(value));

  before(async () => {
    world = await startWorld({ LOG_LEVEL: 'debug', SLOW_QUERY_MS: '1' });
    shop = await world.merchant();
    await fund(world, shop);
    await driveGood();
    await driveBad();
    await world.settle();
    await world.service.auditChain.linkDue();
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  const customer = { name: GOOD.buyer, phone: GOOD.phone, email: GOOD.email };
  const shippingAddress = { ...ADDRESS, line1: GOOD.street };

  async function driveGood(): Promise<void> {
    const shipment = await makeShipment(world, shop, { customer, shippingAddress, notes: GOOD.notes });
    await world.settle();
    for (const path of [`/v1/orders?phone=${GOOD.phone}`, `/v1/orders?email=${GOOD.email}`, `/v1/orders?q=${GOOD.email}`, '/v1/orders', '/v1/shipments', `/v1/shipments/${shipment.id}`, `/v1/shipments/${shipment.id}/track`, '/v1/kyc']) await call('GET', path);
    assert.equal((await call('PUT', '/v1/kyc/pan', { number: GOOD.pan, name: GOOD.panName, holderType: 'individual' })).status, 200);
    await call('PUT', '/v1/kyc/aadhaar', { number: GOOD.aadhaar, consent: true });
    assert.equal((await call('PUT', '/v1/kyc/bank-account', { accountNumber: GOOD.account, ifsc: 'HDFC0001234', holderName: GOOD.holder })).status, 200);
    await call('POST', '/v1/kyc/reveal', { field: 'pan', reason: 'to look at it' });
    await call('POST', '/v1/connections', { courier: 'delhivery', name: 'Main', mode: 'sandbox', credentials: { token: GOOD.courierToken } });
    await call('POST', '/v1/locations', { name: 'Two', contactName: GOOD.contact, phone: GOOD.phone, line1: GOOD.godown, city: 'New Delhi', state: 'Delhi', pincode: '110001' });
    await call('POST', '/v1/privacy/customers/export', { phone: GOOD.phone });
    await call('POST', '/v1/privacy/customers/erase', { phone: GOOD.phone, reason: 'asked' });
    await call('POST', '/v1/company/export', { password: PASSWORD });
  }

  async function driveBad(): Promise<void> {
    await call('PUT', '/v1/kyc/pan', { number: BAD.pan, name: GOOD.panName, holderType: 'individual' });
    await call('PUT', '/v1/kyc/aadhaar', { number: BAD.aadhaar, consent: true });
    await call('PUT', '/v1/kyc/gstin', { number: BAD.gstin });
    await call('PUT', '/v1/kyc/bank-account', { accountNumber: BAD.account, ifsc: BAD.ifsc, holderName: GOOD.holder });
    const lines = [{ sku: 'TOY-1', name: 'Toy', quantity: 1, unitPricePaise: 1_000 }];
    await call('POST', '/v1/orders', orderBody(lines, { customer: { ...customer, phone: BAD.phone, email: BAD.email }, shippingAddress: { ...shippingAddress, pincode: BAD.pincode } }), 'bad');
    await call('POST', '/v1/orders', { ...orderBody(lines, { customer, shippingAddress }), paymentMethod: 'cod', lines: [{ sku: 'NO-SUCH', quantity: 1 }] }, 'bad-2');
    await call('POST', '/v1/locations', { name: 'L', contactName: GOOD.contact, phone: BAD.phone, line1: GOOD.godown, city: 'X', state: 'Delhi', pincode: BAD.pincode });
    await call('POST', '/v1/privacy/customers/erase', { phone: BAD.phone, email: BAD.email, reason: 'asked' });
    await call('POST', '/v1/company/export', { password: BAD.password });
    await call('POST', '/v1/auth/login', { email: shop.email, password: BAD.password, otp: BAD.code });
    await call('POST', '/v1/auth/refresh', { refreshToken: BAD.token });
    await call('POST', '/v1/auth/password/reset', { token: BAD.token, password: BAD.password });
    await call('POST', '/v1/auth/email/verify', { token: BAD.token });
    await call('POST', '/v1/company/members', { email: BAD.email, name: GOOD.contact, role: 'viewer', password: BAD.password });
    await call('GET', `/v1/audit-log?rowId[$ne]=${BAD.token}`);
    await call('GET', `/v1/security-events?userId=${BAD.token}`);
    await world.api('GET', '/v1/me', { token: BAD.token });
  }

  it('is nothing in refusals: messages name the field, never the value', () => {
    assert.ok(refusals.length >= 15, `${refusals.length} refusals`);
    for (const { body, status } of refusals) {
      assert.ok(status < 500, JSON.stringify(body));
      assert.deepEqual(found(JSON.stringify(body)), [], JSON.stringify(body));
    }
  });

  it('is nothing in the log, at debug level with every command slow, nor in the metrics', async () => {
    assert.ok(world.logLines.length > 50 && world.logLines.some((line) => line.includes('db.slow_query')));
    for (const line of world.logLines) assert.deepEqual(found(line), [], line);
    assert.deepEqual(found(await metricsText()), []);
  });

  it('is nothing in audit rows, their chain, security events, events and work that waits', async () => {
    for (const name of ['audit', 'audit_chain', 'audit_pending', 'audit_heads', 'security_events', 'outbox', 'throttles', 'schedules', 'mails', 'erasures', 'kyc_events']) {
      for await (const row of world.db.collection(name).find()) {
        const text = JSON.stringify(row);
        assert.deepEqual(found(text), [], `${name}: ${text}`);
      }
    }
    for await (const row of world.db.collection('jobs').find()) assert.deepEqual(found(JSON.stringify(row)), [], String(row['name']));
  });

  it('is masks in lists and KYC, and the customer in clear in a single order only', async () => {
    for (const path of ['/v1/orders', '/v1/kyc', '/v1/connections']) {
      const { body } = await call('GET', path);
      assert.deepEqual(found(JSON.stringify(body)).filter((value) => value !== GOOD.notes), [], path);
    }
    const [order] = (await call('GET', '/v1/orders')).body.data as { id: string }[];
    assert.equal((await call('GET', `/v1/orders/${order?.id}`)).body.customer.name, GOOD.buyer);
  });

  it('R3 is one error for a broken envelope, with an alarm that says where and not what', async () => {
    const [order] = (await call('GET', '/v1/orders')).body.data as { id: string }[];
    const row = await world.db.collection('orders').findOne({ _id: order?.id as never });
    const envelope = String(row?.['customer']);
    const broken = envelope.slice(0, -4) + (envelope.endsWith('AAAA') ? 'BBBB' : 'AAAA');
    await world.db.collection('orders').updateOne({ _id: order?.id as never }, { $set: { customer: broken } });
    const seen = await call('GET', `/v1/orders/${order?.id}`);
    assert.ok(!JSON.stringify(seen.body).includes(GOOD.buyer));
    const alarms = world.logLines.filter((line) => line.includes('sealed.unreadable'));
    assert.ok(alarms.length >= 1 && alarms.every((line) => line.includes(String(order?.id))));
    for (const line of alarms) assert.deepEqual(found(line), []);
    const told = await until('the event is noted', async () => (await call('GET', '/v1/security-events?type=security.seal_tampered')).body.data[0]);
    assert.deepEqual([told.severity, told.details.collection, told.details.rowId], ['critical', 'orders', order?.id]);
    await world.db.collection('orders').updateOne({ _id: order?.id as never }, { $set: { customer: envelope } });
  });
});
