import { strict as assert } from 'node:assert';
import { queueMail } from '../../src/modules/notifications/index.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { ENVELOPE } from '../../src/platform/db/sealed.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { leaks } from '../support/canaries.ts';
import { fund } from '../support/shipping.ts';
import { orderBody, PRODUCT } from '../support/shop.ts';
import { startWorld, type Answer, type CallOptions, type Merchant, type World } from '../support/world.ts';

/** Values that appear nowhere else: where one stands in the database or a log, it has leaked. */
const CANARY = {
  name: 'Canarybai Buyerwala',
  phone: '9811170002',
  email: 'canary.buyer.q7x@example.in',
  street: '77 Canarypur Galli',
  billingStreet: '88 Canarypur Chowk',
  newName: 'Canarylal Otherwala',
  newPhone: '9811170003',
  newStreet: '99 Canarypur Marg',
  importName: 'Canarynath Filewala',
  importPhone: '9811170004',
  importEmail: 'canary.file.q7x@example.in',
  importStreet: '55 Canarypur Road',
  faultyName: 'Canaryfault Namewala',
  ndrPhone: '9811170005',
  ndrStreet: '44 Canarypur Gate',
  courierNote: 'canary consignee in a courier event',
  credential: 'canary-courier-secret-q7x',
  couponPhone: '9811170006',
  mailTo: 'canary.mail.q7x@example.in',
  forgotten: 'canary.forgotten.q7x@example.in',
  mailToken: 'canary-mail-token-q7x',
} as const;

const CSV = 'externalId,customerName,customerPhone,customerEmail,line1,city,state,pincode,paymentMethod,sku,itemName,quantity,unitPricePaise\n';

describe('requirements 1 and 7: canaries through every way in', () => {
  let world: World;
  let shop: Merchant;
  let ids: { order: string; other: string; shipment: string };
  before(async () => {
    world = await startWorld();
    shop = await world.merchant();
    await fund(world, shop);
    ids = await drive();
  });
  after(() => world.close());

  const ok = (answer: Answer): Answer['body'] => {
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
    return answer.body;
  };
  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer['body']> => ok(await world.api(method, path, { token: shop.token, ...options }));
  const post = (path: string, body: unknown, key: string): Promise<Answer['body']> => call('POST', path, { body, key });
  const shippingAddress = { line1: CANARY.street, line2: `near ${CANARY.street}`, city: 'Bengaluru', state: 'KA', pincode: '560001', country: 'IN' };
  const order = (lines: object[] = [{ sku: 'OUTSIDE', name: 'Toy', quantity: 1, unitPricePaise: 5_000 }]): object => ({
    ...orderBody(lines as never),
    customer: { name: CANARY.name, phone: CANARY.phone, email: CANARY.email },
    shippingAddress,
    billingAddress: { ...shippingAddress, line1: CANARY.billingStreet },
  });

  async function drive(): Promise<typeof ids> {
    await post('/v1/products', { sku: 'LAMP', ...PRODUCT }, 'p');
    await post('/v1/coupons', { code: 'ONCE', kind: 'flat', valuePaise: 100, usageLimit: 10, perCustomerLimit: 2 }, 'c');
    await call('POST', '/v1/coupons/validate', { body: { code: 'ONCE', subtotalPaise: 10_000, customer: { phone: CANARY.couponPhone } } });
    const placed = await post('/v1/orders', { ...order(), couponCode: 'ONCE' }, 'good');
    const other = await post('/v1/orders', order(), 'other');
    const edit = { customer: { name: CANARY.newName, phone: CANARY.newPhone }, shippingAddress: { ...shippingAddress, line1: CANARY.newStreet } };
    await call('PATCH', `/v1/orders/${other.id}`, { ifMatch: other.version, body: edit });
    assert.equal((await world.api('POST', '/v1/orders', { token: shop.token, key: 'none', body: order([{ sku: 'LAMP', quantity: 1 }]) })).status, 409);
    assert.equal((await world.api('POST', '/v1/orders', { token: shop.token, key: 'bad', body: { ...order(), customer: { name: CANARY.faultyName, phone: `x${CANARY.phone}` } } })).status, 400);
    await importFiles();
    const connection = await call('POST', '/v1/connections', { body: { courier: 'sandbox', mode: 'sandbox', credentials: { seed: CANARY.credential } } });
    const shipment = await post('/v1/shipments', { orderId: placed.id }, 's');
    await world.settle();
    const { awb } = await call('GET', `/v1/shipments/${shipment.id}`);
    const { url, header, token } = connection.webhook;
    const event = { awb, code: 'PKD', group: 'FW', occurredAt: new Date(Date.now() - 60 * 3_600_000).toISOString(), remarks: CANARY.courierNote };
    ok(await world.api('POST', new URL(url).pathname, { raw: JSON.stringify({ events: [event] }), headers: { 'content-type': 'application/json', [header]: token } }));
    await world.settle();
    const at = (hours: number, status: string, more = {}) => ({ code: status, status, occurredAt: new Date(Date.now() - (60 - hours) * 3_600_000).toISOString(), ...more });
    await post(`/v1/shipments/${awb}/scans`, { events: [at(1, 'picked_up'), at(8, 'out_for_delivery'), at(9, 'undelivered', { reason: 'customer_unavailable' })] }, 'scans');
    await world.settle();
    const [ndr] = (await call('GET', '/v1/ndr')).data;
    await post(`/v1/ndr/${ndr.id}/actions`, { action: 'reattempt', phone: CANARY.ndrPhone, address: { line1: CANARY.ndrStreet, pincode: '560001' } }, 'ndr');
    await call('GET', `/v1/shipments/${shipment.id}/label.pdf`);
    await waitingMail();
    ok(await world.api('POST', '/v1/auth/password/forgot', { body: { email: CANARY.forgotten } }));
    assert.deepEqual(await leaks(world.db, Object.values(CANARY)), [], 'while a request to reset a password waits');
    await world.settle();
    return { order: placed.id, other: other.id, shipment: shipment.id };
  }

  async function importFiles(): Promise<void> {
    const row = (id: string, name: string): string => `${id},${name},${CANARY.importPhone},${CANARY.importEmail},${CANARY.importStreet},Bengaluru,Karnataka,560001,prepaid,TOY,Toy,1,5000\n`;
    for (const [mode, id] of [['skip_invalid', 'I-1'], ['all_or_nothing', 'I-2']] as const) {
      const form = new FormData();
      form.set('kind', 'orders');
      form.set('mode', mode);
      const faulty = mode === 'skip_invalid' ? `I-9,${CANARY.faultyName},12,${CANARY.importEmail},${CANARY.importStreet},,,,prepaid,TOY,Toy,1,5000\n` : '';
      form.set('file', new Blob([CSV + row(id, CANARY.importName) + faulty]), 'orders.csv');
      const imported = await call('POST', '/v1/imports', { raw: form });
      assert.deepEqual(await leaks(world.db, Object.values(CANARY)), [], 'while the file waits');
      await world.settle();
      assert.equal((await call('GET', `/v1/imports/${imported.id}`)).counts.imported, 1);
      if (mode === 'skip_invalid') await call('GET', `/v1/imports/${imported.id}/errors.csv`);
    }
  }

  /** A mail that is queued and not sent: its address and the secrets of its links must not stand in the job. */
  async function waitingMail(): Promise<void> {
    const mail = { kind: 'test', to: CANARY.mailTo, subject: 'A link', text: `Open ${CANARY.mailToken}`, links: [`https://dakiya.test/x?token=${CANARY.mailToken}`] };
    await withTransaction(systemCtx('test', shop.companyId), async (ctx) => queueMail(ctx, mail));
    assert.equal(await world.db.collection('jobs').countDocuments({ name: 'mail.send', state: 'queued' }), 1);
    assert.deepEqual(await leaks(world.db, Object.values(CANARY)), [], 'while a mail waits');
    await world.settle();
    const { data } = await call('GET', `/dev/mailbox?to=${encodeURIComponent(CANARY.mailTo)}`);
    assert.deepEqual(data[0].links, mail.links);
  }

  it('none of them stands in any collection', async () => assert.deepEqual(await leaks(world.db, Object.values(CANARY)), []));

  it('none of them stands in the log, the metrics or the audit log', async () => {
    const texts = [world.logLines.join('\n'), (await world.api('GET', '/metrics')).bytes.toString(), JSON.stringify((await world.api('GET', '/v1/audit-log?limit=1000', { token: shop.token })).body)];
    for (const text of texts) for (const canary of Object.values(CANARY)) assert.ok(!text.includes(canary), `${canary} is shown`);
  });

  it('a single order and shipment show their customer; lists show masks', async () => {
    const one = await call('GET', `/v1/orders/${ids.order}`);
    assert.deepEqual([one.customer, one.shippingAddress.line1, one.billingAddress.line1], [{ name: CANARY.name, phone: `+91${CANARY.phone}`, email: CANARY.email }, CANARY.street, CANARY.billingStreet]);
    assert.equal((await call('GET', `/v1/shipments/${ids.shipment}`)).consignee.name, CANARY.name);
    const orders = await world.api('GET', '/v1/orders?limit=100', { token: shop.token });
    const shipments = await world.api('GET', '/v1/shipments?limit=100', { token: shop.token });
    const listed = orders.body.data.find((o: { id: string }) => o.id === ids.order);
    assert.deepEqual(listed.customer, { name: 'C*** B***', phone: '+91******0002', email: 'c***@example.in' });
    assert.deepEqual(listed.shippingAddress, { line1: '***', city: 'Bengaluru', state: 'Karnataka', pincode: '560001', country: 'IN' });
    for (const canary of Object.values(CANARY)) assert.ok(!orders.bytes.toString().includes(canary) && !shipments.bytes.toString().includes(canary), canary);
  });

  it('orders are found by phone and e-mail in every spelling, by the present value only, and in the own company only', async () => {
    const found = async (query: string, token = shop.token): Promise<string[]> => (await call('GET', `/v1/orders?${query}`, { token })).data.map((o: { id: string }) => o.id);
    for (const phone of [CANARY.phone, `+91${CANARY.phone}`, `0${CANARY.phone}`, '98111-70002', '98111 70002']) {
      assert.deepEqual(await found(`phone=${encodeURIComponent(phone)}`), [ids.order], phone);
      assert.deepEqual(await found(`q=${encodeURIComponent(phone)}`), [ids.order], phone);
    }
    for (const email of [CANARY.email, CANARY.email.toUpperCase()]) assert.deepEqual(await found(`email=${encodeURIComponent(email)}`), [ids.order], email);
    assert.deepEqual([await found(`phone=${CANARY.newPhone}`), await found(`phone=${CANARY.importPhone}`).then((l) => l.length)], [[ids.other], 2]);
    const stranger = await world.merchant({ location: false });
    assert.deepEqual(await found(`phone=${CANARY.phone}`, stranger.token), []);
  });

  it('requirement 3: an envelope of another order, field or company is never shown; an alarm is logged', async () => {
    const rows = world.db.collection<{ _id: string } & Record<string, unknown>>('orders');
    const [good, victim] = [await rows.findOne({ _id: ids.order }), await rows.findOne({ _id: ids.other })];
    assert.ok(good && victim);
    const stranger = await world.merchant({ location: false });
    const plants = [
      { token: shop.token, planted: { customer: good['customer'] } },
      { token: shop.token, planted: { customer: victim['shippingAddress'] } },
      { token: stranger.token, planted: { companyId: stranger.companyId } },
    ];
    for (const { token, planted } of plants) {
      world.logLines.length = 0;
      await rows.updateOne({ _id: ids.other }, { $set: planted });
      const answer = await world.api('GET', `/v1/orders/${ids.other}`, { token });
      assert.equal(answer.status, 200);
      assert.deepEqual(answer.body.customer, { name: 'C*** O***', phone: '+91******0003' });
      for (const canary of [CANARY.name, CANARY.phone, CANARY.email, CANARY.newName, CANARY.newPhone]) assert.ok(!answer.bytes.toString().includes(canary));
      const alarms = world.logLines.map((l) => JSON.parse(l) as Record<string, unknown>).filter((l) => l['event'] === 'sealed.unreadable' || l['msg'] === 'sealed.unreadable');
      assert.ok(alarms.some((l) => l['collection'] === 'orders' && l['rowId'] === ids.other && l['path'] === 'customer'), world.logLines.join('\n'));
      await rows.replaceOne({ _id: ids.other }, victim);
    }
    assert.match(String(victim['customer']), ENVELOPE);
    assert.equal((await call('GET', `/v1/orders/${ids.other}`)).customer.name, CANARY.newName);
  });
});
