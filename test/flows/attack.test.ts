import { strict as assert } from 'node:assert';
import { randomToken } from '../../src/platform/ids.ts';
import { parseRupees } from '../../src/platform/money.ts';
import { orderBody, place, stockProduct } from '../support/shop.ts';
import { book, fund, makeOrder, makeShipment, walletOf } from '../support/shipping.ts';
import { race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const HOUR = 3_600_000;
const BASE = Date.parse('2026-03-02T05:00:00Z');

/** An event some hours after a fixed moment. */
const at = (hours: number, status: string) => ({ code: status, status, occurredAt: new Date(BASE + hours * HOUR).toISOString() });

/** Each of these was a fault that somebody found who tried to break the service. */
describe('attacks', () => {
  let world: World;
  let shop: Merchant;
  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400' });
    shop = await world.merchant();
    await fund(world, shop, 1_000_000_000);
    await stockProduct(world, shop, 'LAMP', 1_000);
  });
  after(() => world.close());
  afterEach(async () => {
    await world.settle();
    await world.checks();
  });

  const send = (awb: string, events: object[]): Promise<Answer> => world.api('POST', `/v1/shipments/${awb}/scans`, { token: shop.token, body: { events } });
  const sendJson = (path: string, raw: string): Promise<Answer> =>
    world.api('POST', path, { token: shop.token, key: randomToken(9), raw, headers: { 'content-type': 'application/json' } });
  const codOf = async (shipmentId: string): Promise<number[]> => {
    const rows = await world.db.collection('ledger_entries').find({ shipmentId, kind: { $in: ['cod_due', 'cod_reversed'] } }).sort({ _id: 1 }).toArray();
    return rows.map((row) => Number(row['amountPaise']));
  };

  it('a delivery that is corrected to RTO and told again leaves its cash due, however often', async () => {
    const { id, awb } = await makeShipment(world, shop);
    const turns = [at(0, 'picked_up'), at(5, 'delivered'), at(6, 'rto_initiated'), at(7, 'rto_delivered'), at(8, 'delivered')];
    for (const scan of turns) assert.equal((await send(awb, [scan])).status, 200);
    assert.deepEqual(await codOf(id), [100_000, -100_000, 100_000]);
    for (const scan of [...turns, at(9, 'rto_initiated'), at(10, 'rto_delivered')]) assert.equal((await send(awb, [scan])).status, 200);
    assert.deepEqual(await codOf(id), [100_000, -100_000, 100_000, -100_000]);
    await race(6, () => send(awb, [at(11, 'delivered')]));
    assert.deepEqual(await codOf(id), [100_000, -100_000, 100_000, -100_000, 100_000]);
  });

  it('a planted second COD due is found', async () => {
    const { id, awb, orderId } = await makeShipment(world, shop);
    await send(awb, [at(0, 'picked_up'), at(5, 'delivered')]);
    const rows = world.db.collection('ledger_entries');
    const due = await rows.findOne({ shipmentId: id, kind: 'cod_due' });
    await rows.insertOne({ ...due, _id: `f${orderId.slice(1)}` as never, key: 'other' });
    await world.db.collection('wallets').updateOne({ companyId: shop.companyId }, { $inc: { entries: 1 } });
    await assert.rejects(world.checks(), /COD due or its reversal twice/);
    await rows.deleteOne({ key: 'other' });
    await world.db.collection('wallets').updateOne({ companyId: shop.companyId }, { $inc: { entries: -1 } });
  });

  it('one Idempotency-Key is one refund, however its path is written', async () => {
    const order = (await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], { paymentMethod: 'prepaid', collectPayment: true })).body;
    const { id, providerOrderId } = (await world.api('POST', '/v1/payments', { token: shop.token, key: randomToken(9), body: { orderId: order.id } })).body;
    const proof = (await world.api('POST', `/dev/sandbox/payments/${providerOrderId}/pay`, { body: {} })).body;
    assert.equal((await world.api('POST', `/v1/payments/${id}/verify`, { token: shop.token, body: proof })).status, 200);
    const escaped = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`;
    const paths = [`/v1/payments/${id}/refunds`, `/V1/Payments/${id}/REFUNDS`, `/v1/payments/${escaped}/refunds`, `/v1/payments/${id}/refunds?`];
    const { statuses, answers } = await race(8, (i) => world.api('POST', paths[i % 4] ?? '', { token: shop.token, key: 'refund-1', body: { amountPaise: 1_000 } }));
    assert.deepEqual(statuses, { 201: 8 });
    assert.equal(answers.filter((a) => a.headers.get('idempotent-replayed') === 'true').length, 7);
    assert.equal((await world.api('GET', `/v1/payments/${id}`, { token: shop.token })).body.refundedPaise, 1_000);
  });

  it('an order that costs nothing is placed at once and does not expire for want of a payment', async () => {
    const { status, body } = await place(world, shop.token, [{ sku: 'LAMP', quantity: 1, unitPricePaise: 0 }], { paymentMethod: 'prepaid', collectPayment: true });
    assert.deepEqual([status, body.status, body.paymentDueAt], [201, 'placed', undefined]);
    world.advance(2 * HOUR);
    await world.settle();
    assert.equal((await world.api('GET', `/v1/orders/${body.id}`, { token: shop.token })).body.status, 'placed');
  });

  it('an order worth more than the contract can say is refused, and one of just that much is booked', async () => {
    const lines = Array.from({ length: 101 }, (_, i) => ({ sku: `RING-${i}`, name: 'Ring', quantity: 1, unitPricePaise: 10_000_000_000 }));
    const over = await place(world, shop.token, lines, { paymentMethod: 'prepaid' });
    assert.deepEqual([over.status, over.body.error?.details.fields[0].path], [400, 'lines']);
    const most = await place(world, shop.token, lines.slice(1), { paymentMethod: 'prepaid' });
    assert.deepEqual([most.status, most.body.totals.totalPaise], [201, 1_000_000_000_000]);
    assert.equal((await book(world, shop, { orderId: most.body.id })).status, 201);
  });

  it('a scan of a day that is none, or of another age, is refused with its field', async () => {
    const { id, awb } = await makeShipment(world, shop);
    for (const occurredAt of ['2026-02-31T10:00:00Z', '2026-04-31T10:00:00+05:30', '1999-12-31T23:59:59Z', '-271821-04-20T00:00:00Z', '+275760-09-13T00:00:00Z', '9999-12-31T23:59:59Z']) {
      const { status, body } = await send(awb, [at(1, 'in_transit'), { code: 'picked_up', status: 'picked_up', occurredAt }]);
      assert.deepEqual([status, body.error?.details.fields[0].path], [400, 'events.1.occurredAt'], occurredAt);
    }
    const { body } = await world.api('GET', `/v1/shipments/${id}/track`, { token: shop.token });
    assert.deepEqual([body.status, body.events], ['awb_assigned', []]);
    assert.equal((await send(awb, [{ code: 'picked_up', status: 'picked_up', occurredAt: '2024-02-29T23:30:00-11:00' }])).status, 200);
  });

  it('text that the database cannot keep as it is gets a 400, in values and in names', async () => {
    for (const raw of ['{"name":"half \\ud83d"}', '{"name":"a\\u0000b"}', '{"a\\u0000b":1}', '{"name":{"x":["\\uDE00"]}}']) {
      const { status, body } = await sendJson('/v1/products', raw);
      assert.deepEqual([status, body.error.code], [400, 'malformed_json'], raw);
    }
    const whole = await sendJson('/v1/orders', JSON.stringify(orderBody([{ sku: 'E', name: 'Smile', quantity: 1, unitPricePaise: 1 }])).replace('Smile', '\\ud83d\\ude00'));
    assert.deepEqual([whole.status, whole.body.lines?.[0].name], [201, '😀']);
  });

  it('a body with nothing right in it is not answered with more than it has', async () => {
    const raw = JSON.stringify({ lines: Array.from({ length: 30_000 }, () => ({ sku: 1 })) });
    const { status, bytes, body } = await sendJson('/v1/orders', raw);
    assert.deepEqual([status, body.error.details.fields.length], [400, 1_000]);
    assert.ok(bytes.length < raw.length, `${bytes.length} bytes for ${raw.length}`);
  });

  it('a faulty row of a product file does not keep a good one with its SKU out, and odd amounts cost no time', async () => {
    const form = new FormData();
    form.set('kind', 'products');
    form.set('mode', 'skip_invalid');
    const header = 'sku,name,pricePaise,hsnCode,taxBp,weightGrams,lengthMm,breadthMm,heightMm';
    form.set('file', new Blob([[header, 'BOWL,Bowl,dear,741999,0,1,1,1,1', 'BOWL,Bowl,500,741999,0,1,1,1,1', 'BOWL,Bowl,600,741999,0,1,1,1,1', ''].join('\n')]), 'products.csv');
    const sent = await world.api('POST', '/v1/imports', { token: shop.token, raw: form });
    await world.settle();
    const { body } = await world.api('GET', `/v1/imports/${sent.body.id}`, { token: shop.token });
    assert.deepEqual([body.counts.imported, body.counts.invalid, body.counts.duplicates], [1, 1, 1]);
    const started = performance.now();
    assert.equal(parseRupees(`1${' '.repeat(60_000)}x`), undefined);
    assert.ok(performance.now() - started < 200);
    assert.deepEqual(['1,299.00 INR', 'Rs. 50/-', '5 /-', '7inr'].map(parseRupees), [129_900, 5_000, 500, 700]);
  });

  it('bookings at once never take a wallet below its limit', async () => {
    const poor = await world.merchant();
    await fund(world, poor, 30_000);
    const orders = await Promise.all(Array.from({ length: 12 }, () => makeOrder(world, poor)));
    const { statuses } = await race(12, (i) => book(world, poor, { orderId: orders[i].id }));
    assert.deepEqual(statuses, { 201: 3, 409: 9 });
    assert.ok((await walletOf(world, poor)).availablePaise >= 0);
  });

  it('an order that is cancelled, edited and booked at once ends in one of these states, and its books agree', async () => {
    for (let round = 0; round < 4; round += 1) {
      const order = (await place(world, shop.token, [{ sku: 'LAMP', quantity: 2 }])).body;
      const key = randomToken(9);
      const cancel = (): Promise<Answer> => world.api('POST', `/v1/orders/${order.id}/cancel`, { token: shop.token, ifMatch: order.version, body: {} });
      const [cancelled, ...booked] = await Promise.all([cancel(), book(world, shop, { orderId: order.id }, key), book(world, shop, { orderId: order.id }, key), book(world, shop, { orderId: order.id })]);
      const ids = new Set(booked.flatMap((a) => (a.status === 201 ? [a.body.id] : [])));
      assert.equal(ids.size, cancelled.status === 200 ? 0 : 1);
      await world.settle();
      await world.checks();
    }
  });
});
