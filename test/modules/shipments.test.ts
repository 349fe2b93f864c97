import { strict as assert } from 'node:assert';
import { bookBatch } from '../../src/modules/shipments/index.ts';
import { requestCtx } from '../../src/platform/context.ts';
import { permissionsOf } from '../../src/platform/permissions.ts';
import { needs, pdfText } from '../support/papers.ts';
import { CUSTOMER, stockProduct } from '../support/shop.ts';
import { book, fund, makeOrder, makeShipment, walletOf } from '../support/shipping.ts';
import { race, startWorld, type Merchant, type World } from '../support/world.ts';

const TWO_LINES = [
  { sku: 'CUP', name: 'Cup', quantity: 3, unitPricePaise: 10_000 },
  { sku: 'POT', name: 'Pot', quantity: 1, unitPricePaise: 70_000 },
];

for (const lanes of ['on', 'off']) {
  describe(`shipments (lanes ${lanes})`, () => {
    let world: World;
    let shop: Merchant;
    before(async () => {
      world = await startWorld({ LANES: lanes });
      shop = await world.merchant();
      await fund(world, shop);
    });
    after(() => world.close());
    afterEach(async () => {
      await world.settle();
      await world.checks();
    });

    const get = (path: string, token = shop.token) => world.api('GET', path, { token });

    it('books: number at once, quote frozen with its reasons, hold, order entry, audit and event in one transaction', async () => {
      const before = await walletOf(world, shop);
      const order = await makeOrder(world, shop);
      const booked = await book(world, shop, { orderId: order.id });
      assert.equal(booked.status, 201, JSON.stringify(booked.body));
      const { id, awb, quote, totalPaise } = booked.body;
      assert.match(awb, /^DKX\d{11}$/);
      assert.deepEqual([booked.body.courier, booked.body.status, booked.body.bookingState], ['sandbox', 'awb_assigned', 'confirmed']);
      assert.equal(booked.body.codPaise, order.totals.totalPaise);
      assert.equal(quote.lines.reduce((sum: number, line: { amountPaise: number }) => sum + line.amountPaise, 0), totalPaise);
      assert.ok(quote.rateCardId && quote.rateCardVersion && quote.zoneReason && quote.ranking.length > 0 && quote.reasons.length > 0);
      assert.equal(quote.chosen, 'first_ranked');
      const wallet = await walletOf(world, shop);
      assert.deepEqual([wallet.heldPaise - before.heldPaise, wallet.availablePaise - before.availablePaise], [totalPaise, -totalPaise]);
      const stored = await world.db.collection<{ _id: string; shipments: unknown[] }>('orders').findOne({ _id: order.id });
      assert.deepEqual(stored?.shipments, [{ shipmentId: id, status: 'awb_assigned', lines: [{ sku: 'TOY-1', quantity: 2 }] }]);
      assert.equal((await world.db.collection('audit').findOne({ rowId: id }))?.['actorId'], shop.userId);
      assert.ok(await world.db.collection('outbox').findOne({ type: 'shipment.booked', key: id }));
      await world.settle();
      const confirmed = await get(`/v1/shipments/${id}`);
      assert.deepEqual([confirmed.body.bookingState, confirmed.body.awb], ['confirmed', awb]);
      assert.equal(confirmed.headers.get('etag'), `"${confirmed.body.version}"`);
    });

    it('takes the option of POST rates, or a courier and service', async () => {
      const order = await makeOrder(world, shop);
      const rates = await world.api('POST', '/v1/rates', {
        token: shop.token,
        body: { originPincode: '110001', destinationPincode: '560001', weightGrams: 500, lengthMm: 200, breadthMm: 150, heightMm: 50, paymentMethod: 'cod', codPaise: order.totals.totalPaise },
      });
      assert.equal(rates.status, 200, JSON.stringify(rates.body));
      const option = rates.body.options.at(-1);
      const booked = await book(world, shop, { orderId: order.id, optionId: option.optionId });
      assert.deepEqual([booked.body.quote.optionId, booked.body.totalPaise, booked.body.quote.chosen], [option.optionId, option.totalPaise, 'option']);
      const other = await makeOrder(world, shop);
      const named = await book(world, shop, { orderId: other.id, courier: 'sandbox', service: option.service });
      assert.deepEqual([named.body.service, named.body.quote.chosen], [option.service, 'courier_and_service']);
    });

    it('20 parallel calls with one key: one shipment, 19 replays', async () => {
      const order = await makeOrder(world, shop);
      const { answers, statuses } = await race(20, () => book(world, shop, { orderId: order.id }, 'same-key'));
      assert.deepEqual(statuses, { 201: 20 });
      assert.equal(new Set(answers.map((a) => a.bytes.toString())).size, 1);
      assert.equal(answers.filter((a) => a.headers.get('idempotent-replayed') === 'true').length, 19);
      assert.equal(await world.db.collection('shipments').countDocuments({ orderId: order.id }), 1);
    });

    it('20 parallel bookings of one order with different keys: one succeeds', async () => {
      const order = await makeOrder(world, shop);
      const { answers, statuses } = await race(20, () => book(world, shop, { orderId: order.id }));
      assert.deepEqual(statuses, { 201: 1, 409: 19 });
      for (const answer of answers) if (answer.status === 409) assert.equal(answer.body.error.code, 'order_already_booked');
      assert.equal(await world.db.collection('shipments').countDocuments({ orderId: order.id }), 1);
    });

    it('never holds more than the wallet has, however many book at once', async () => {
      const poor = await world.merchant();
      const orders = await Promise.all(Array.from({ length: 12 }, () => makeOrder(world, poor)));
      const probe = await book(world, poor, { orderId: orders[0]?.id });
      assert.deepEqual([probe.status, probe.body.error?.code], [409, 'insufficient_balance']);
      const price = probe.body.error.details.neededPaise as number;
      await fund(world, poor, price * 5 + price - 1);
      const { answers, statuses } = await race(12, (i) => book(world, poor, { orderId: orders[i]?.id }));
      assert.deepEqual(statuses, { 201: 5, 409: 7 });
      for (const answer of answers) if (answer.status === 409) assert.equal(answer.body.error.code, 'insufficient_balance');
      assert.equal((await walletOf(world, poor)).heldPaise, price * 5);
    });

    it('cancel gives lines and money back, tells the courier, and the order can be booked again', async () => {
      const before = await walletOf(world, shop);
      const order = await makeOrder(world, shop);
      const shipment = (await book(world, shop, { orderId: order.id })).body;
      await world.settle();
      const { version } = (await get(`/v1/shipments/${shipment.id}`)).body;
      const path = `/v1/shipments/${shipment.id}/cancel`;
      assert.equal((await world.api('POST', path, { token: shop.token, body: {} })).status, 428);
      const stale = await world.api('POST', path, { token: shop.token, body: {}, ifMatch: version + 1 });
      assert.deepEqual([stale.status, stale.body.error.details.currentVersion], [412, version]);
      const done = await world.api('POST', path, { token: shop.token, body: { reason: 'buyer changed mind' }, ifMatch: version });
      assert.deepEqual([done.status, done.body.status, done.body.cancelReason], [200, 'cancelled', 'buyer changed mind']);
      assert.deepEqual(await walletOf(world, shop), before);
      await world.settle();
      assert.equal((await world.db.collection('jobs').findOne({ name: 'shipments.cancel_with_courier', 'payload.shipmentId': shipment.id }))?.['state'], 'done');
      const again = await world.api('POST', path, { token: shop.token, body: {}, ifMatch: version + 1 });
      assert.deepEqual([again.status, again.body.error.code], [409, 'shipment_not_cancellable']);
      assert.equal((await book(world, shop, { orderId: order.id })).status, 201);
    });

    it('20 parallel cancels: one wins, nothing is given back twice', async () => {
      const before = await walletOf(world, shop);
      const shipment = await makeShipment(world, shop);
      await world.settle();
      const { version } = (await get(`/v1/shipments/${shipment.id}`)).body;
      const { statuses } = await race(20, () => world.api('POST', `/v1/shipments/${shipment.id}/cancel`, { token: shop.token, body: {}, ifMatch: version }));
      assert.equal(statuses['200'], 1, JSON.stringify(statuses));
      assert.equal((statuses['412'] ?? 0) + (statuses['409'] ?? 0), 19, JSON.stringify(statuses));
      assert.deepEqual(await walletOf(world, shop), before);
    });

    it('splits an order: COD by value, the rest with the last, and never a line twice', async () => {
      const order = await makeOrder(world, shop, { lines: TWO_LINES });
      const first = await book(world, shop, { orderId: order.id, lines: [{ sku: 'CUP', quantity: 1 }] });
      assert.deepEqual([first.status, first.body.codPaise, first.body.valuePaise], [201, 10_000, 10_000], JSON.stringify(first.body));
      const tooMany = await book(world, shop, { orderId: order.id, lines: [{ sku: 'CUP', quantity: 3 }] });
      assert.deepEqual([tooMany.status, tooMany.body.error.code, tooMany.body.error.details], [409, 'order_already_booked', { sku: 'CUP', openQuantity: 2 }]);
      const unknown = await book(world, shop, { orderId: order.id, lines: [{ sku: 'NONE', quantity: 1 }] });
      assert.deepEqual([unknown.status, unknown.body.error.code], [400, 'line_not_in_order']);
      const rest = await book(world, shop, { orderId: order.id });
      assert.deepEqual([rest.status, rest.body.codPaise], [201, order.totals.totalPaise - 10_000]);
      assert.deepEqual(rest.body.lines.map((l: { sku: string; quantity: number }) => [l.sku, l.quantity]), [['CUP', 2], ['POT', 1]]);
    });

    it('a courier that refuses gives everything back', async () => {
      const before = await walletOf(world, shop);
      const connection = await world.api('POST', '/v1/connections', { token: shop.token, body: { courier: 'sandbox', mode: 'sandbox', credentials: { seed: 'refused' } } });
      const order = await makeOrder(world, shop);
      const booked = await book(world, shop, { orderId: order.id, courier: 'sandbox', connectionId: connection.body.id });
      assert.equal(booked.status, 201, JSON.stringify(booked.body));
      await world.settle();
      const after = (await get(`/v1/shipments/${booked.body.id}`)).body;
      assert.deepEqual([after.status, after.bookingState], ['cancelled', 'failed']);
      assert.match(after.cancelReason, /courier_refused/);
      assert.deepEqual(await walletOf(world, shop), before);
      assert.equal((await world.api('DELETE', `/v1/connections/${connection.body.id}`, { token: shop.token, ifMatch: 1 })).status, 200);
      assert.equal((await book(world, shop, { orderId: order.id })).status, 201);
    });

    it('a courier that fails at first is asked again, and books once', async () => {
      const connection = await world.api('POST', '/v1/connections', { token: shop.token, body: { courier: 'sandbox', mode: 'sandbox', credentials: { seed: '500:2' } } });
      const order = await makeOrder(world, shop);
      const booked = await book(world, shop, { orderId: order.id, courier: 'sandbox', connectionId: connection.body.id });
      for (let i = 0; i < 4; i += 1) {
        await world.settle();
        world.advance(10_000);
      }
      const after = (await get(`/v1/shipments/${booked.body.id}`)).body;
      assert.deepEqual([after.bookingState, after.awb], ['confirmed', booked.body.awb]);
      assert.equal((await world.api('DELETE', `/v1/connections/${connection.body.id}`, { token: shop.token, ifMatch: 1 })).status, 200);
    });

    it('takes a number that the courier gave outside of us, once', async () => {
      const [one, two] = [await makeOrder(world, shop), await makeOrder(world, shop)];
      const given = await book(world, shop, { orderId: one.id, courier: 'sandbox', awb: ' abc-123 456' });
      assert.deepEqual([given.status, given.body.awb, given.body.bookingState], [201, 'ABC123456', 'confirmed'], JSON.stringify(given.body));
      const again = await book(world, shop, { orderId: two.id, courier: 'sandbox', awb: 'ABC123456' });
      assert.deepEqual([again.status, again.body.error.code], [409, 'awb_exists']);
      const odd = await book(world, shop, { orderId: two.id, courier: 'sandbox', awb: '!!' });
      assert.equal(odd.status, 400);
      const released = await world.db.collection('shipments').findOne({ orderId: one.id });
      await world.api('POST', `/v1/shipments/${String(released?.['_id'])}/cancel`, { token: shop.token, body: {}, ifMatch: 1 });
    });

    it('books many at once, each on its own, and repeats find what was booked', async () => {
      const good = await Promise.all([makeOrder(world, shop), makeOrder(world, shop), makeOrder(world, shop)]);
      const booked = await makeShipment(world, shop);
      const orderIds = [...good.map((o) => o.id), booked.orderId, 'f'.repeat(24)];
      const call = (key: string) => world.api('POST', '/v1/shipments/bulk', { token: shop.token, key, body: { orderIds } });
      const { status, body } = await call('bulk-1');
      assert.equal(status, 200, JSON.stringify(body));
      assert.deepEqual(body.results.map((r: { error?: { code: string } }) => r.error?.code ?? 'booked'), ['booked', 'booked', 'booked', 'order_already_booked', 'order_not_found']);
      assert.equal((await call('bulk-1')).headers.get('idempotent-replayed'), 'true');
      await world.db.collection('idempotency').deleteMany({});
      assert.deepEqual((await call('bulk-1')).body.results.slice(0, 3), body.results.slice(0, 3));
    });

    it('a key of long ago answers with the shipment it booked', async () => {
      const order = await makeOrder(world, shop);
      const first = await book(world, shop, { orderId: order.id }, 'old-key');
      await world.db.collection('idempotency').deleteMany({});
      const other = await makeOrder(world, shop);
      const again = await book(world, shop, { orderId: other.id }, 'old-key');
      assert.deepEqual([again.status, again.body.error.code, again.body.error.details.id], [409, 'shipment_exists', first.body.id]);
    });

    it('a poisoned booking in a batch does not hurt its neighbours', async () => {
      const orders = await Promise.all([makeOrder(world, shop), makeOrder(world, shop)]);
      const actor = { kind: 'user' as const, id: shop.userId, permissions: permissionsOf('owner') };
      const ctx = requestCtx(actor, shop.companyId, 'batch');
      const item = (orderId: string) => ({ companyId: shop.companyId, input: { ctx, request: { orderId } } });
      const outcomes = await bookBatch([item(orders[0]?.id), item('0'.repeat(23) + '9'), item(orders[1]?.id)]);
      assert.deepEqual(outcomes.map((o) => o.ok), [true, false, true]);
    });
  });
}

describe('shipments: refusals, papers, hand-over', () => {
  let world: World;
  let shop: Merchant;
  before(async () => {
    world = await startWorld();
    shop = await world.merchant();
    await fund(world, shop);
  });
  after(() => world.close());
  afterEach(async () => {
    await world.settle();
    await world.checks();
  });

  const get = (path: string, token = shop.token) => world.api('GET', path, { token });

  const refusals: [string, number, string, () => Promise<{ as: Merchant; body: Record<string, unknown> }>][] = [
    ['an unverified e-mail', 403, 'email_not_verified', async () => {
      const as = await world.merchant({ verified: false });
      return { as, body: { orderId: (await makeOrder(world, as)).id } };
    }],
    ['no pickup location', 409, 'pickup_location_required', async () => {
      const as = await world.merchant({ location: false });
      return { as, body: { orderId: (await makeOrder(world, as)).id } };
    }],
    ['a real courier before KYC', 403, 'kyc_required', async () => ({ as: shop, body: { orderId: (await makeOrder(world, shop)).id, courier: 'delhivery' } })],
    ['a cancelled order', 409, 'order_not_bookable', async () => {
      const order = await makeOrder(world, shop);
      await world.api('POST', `/v1/orders/${order.id}/cancel`, { token: shop.token, body: {}, ifMatch: 1 });
      return { as: shop, body: { orderId: order.id } };
    }],
    ['an unpaid order', 409, 'order_not_bookable', async () => ({ as: shop, body: { orderId: (await makeOrder(world, shop, { paymentMethod: 'prepaid', collectPayment: true })).id } })],
    ['a parcel that no card takes', 409, 'not_serviceable', async () => ({
      as: shop,
      body: { orderId: (await makeOrder(world, shop)).id, parcel: { weightGrams: 1_000_000, lengthMm: 200, breadthMm: 200, heightMm: 200 } },
    })],
    ['another company’s order', 404, 'order_not_found', async () => ({ as: await world.merchant(), body: { orderId: (await makeOrder(world, shop)).id } })],
    ['an option that is not offered', 409, 'option_not_available', async () => ({
      as: shop,
      body: { orderId: (await makeOrder(world, shop)).id, optionId: `sandbox:none:${'a'.repeat(24)}:1` },
    })],
    ['an unknown connection', 404, 'connection_not_found', async () => ({ as: shop, body: { orderId: (await makeOrder(world, shop)).id, courier: 'sandbox', connectionId: 'a'.repeat(24) } })],
    ['a service without its courier', 400, 'courier_required', async () => ({ as: shop, body: { orderId: (await makeOrder(world, shop)).id, service: 'x' } })],
    ['an unknown key', 400, 'validation_failed', async () => ({ as: shop, body: { orderId: (await makeOrder(world, shop)).id, price: 1 } })],
  ];
  for (const [name, status, code, make] of refusals) {
    it(`refuses ${name}`, async () => {
      const { as, body } = await make();
      const answer = await book(world, as, body);
      assert.deepEqual([answer.status, answer.body.error?.code], [status, code], JSON.stringify(answer.body));
      if (code === 'not_serviceable') assert.match(answer.body.error.details.notServiceable[0].reason, /weight/i);
    });
  }

  it('needs an Idempotency-Key, and the permission', async () => {
    const order = await makeOrder(world, shop);
    const bare = await world.api('POST', '/v1/shipments', { token: shop.token, body: { orderId: order.id } });
    assert.deepEqual([bare.status, bare.body.error.code], [400, 'idempotency_key_required']);
    const viewer = await world.member(shop, 'viewer');
    assert.equal((await book(world, { token: viewer }, { orderId: order.id })).status, 403);
    const shipment = await makeShipment(world, shop);
    assert.equal((await world.api('POST', '/v1/shipments/labels.pdf', { token: viewer, body: { ids: [shipment.id] } })).status, 200);
  });

  it('lists with masks, filters, and a fixed number of commands', async () => {
    const other = await world.merchant();
    await fund(world, other);
    const first = await makeShipment(world, other);
    world.commands();
    await get('/v1/shipments', other.token);
    const one = world.commands();
    for (let i = 0; i < 5; i += 1) await makeShipment(world, other);
    world.commands();
    const listed = await get('/v1/shipments?limit=3', other.token);
    assert.equal(world.commands(), one);
    assert.deepEqual([listed.body.data.length, typeof listed.body.nextCursor], [3, 'string']);
    const text = listed.bytes.toString();
    assert.ok(!text.includes('9876543210') && !text.toLowerCase().includes('meera@') && !text.includes('Flat 12'), text);
    const found = await get(`/v1/shipments?awb=${first.awb}&courier=sandbox&status=awb_assigned&orderId=${first.orderId}`, other.token);
    assert.deepEqual(found.body.data.map((s: { id: string }) => s.id), [first.id]);
    assert.equal((await get('/v1/shipments?from=2026-02-02T00:00:00Z&to=2026-01-01T00:00:00Z', other.token)).status, 400);
    assert.equal((await get(`/v1/shipments/${first.id}`)).status, 404);
    assert.equal((await get(`/v1/shipments/${first.id}`, other.token)).body.consignee.name, CUSTOMER.name);
  });

  it('prints labels that carry the AWB and the amount, single, many and on A4', async function () {
    const shipments = [await makeShipment(world, shop), await makeShipment(world, shop, { paymentMethod: 'prepaid' })];
    const label = await get(`/v1/shipments/${shipments[0].id}/label.pdf`);
    assert.deepEqual([label.status, label.headers.get('content-type')], [200, 'application/pdf']);
    assert.equal(label.bytes.subarray(0, 5).toString(), '%PDF-');
    const ids = shipments.map((s) => s.id);
    const all = await world.api('POST', '/v1/shipments/labels.pdf', { token: shop.token, body: { ids } });
    const sheet = await world.api('POST', '/v1/shipments/labels.pdf', { token: shop.token, body: { ids, layout: 'a4' } });
    assert.equal(sheet.bytes.subarray(0, 5).toString(), '%PDF-');
    const foreign = await world.merchant();
    assert.equal((await world.api('POST', '/v1/shipments/labels.pdf', { token: foreign.token, body: { ids } })).status, 404);
    const { version } = (await get(`/v1/shipments/${shipments[0].id}`)).body;
    const cancelled = await world.api('POST', `/v1/shipments/${shipments[0].id}/cancel`, { token: shop.token, body: {}, ifMatch: version });
    assert.equal(cancelled.status, 200, JSON.stringify(cancelled.body));
    assert.equal((await get(`/v1/shipments/${shipments[0].id}/label.pdf`)).body.error.code, 'shipment_cancelled');
    needs(this, 'pdftotext');
    assert.match(pdfText(label.bytes), new RegExp(shipments[0].awb));
    assert.match(pdfText(label.bytes), /1,000\.00/);
    const many = pdfText(all.bytes);
    for (const { awb } of shipments) assert.ok(many.includes(awb));
    assert.match(many, /PREPAID/);
  });

  it('makes manifests with numbers, of shipments or of a day, each shipment once', async function () {
    const other = await world.merchant();
    await fund(world, other);
    const made = [await makeShipment(world, other), await makeShipment(world, other), await makeShipment(world, other)];
    const post = (body: object) => world.api('POST', '/v1/manifests', { token: other.token, body });
    const manifest = await post({ shipmentIds: [made[0].id] });
    assert.deepEqual([manifest.status, manifest.body.number], [201, 'MF-1001'], JSON.stringify(manifest.body));
    assert.equal((await get(`/v1/shipments/${made[0].id}`, other.token)).body.status, 'manifested');
    const again = await post({ shipmentIds: [made[0].id, made[1].id] });
    assert.deepEqual([again.status, again.body.error.code, again.body.error.details.shipments[0].id], [409, 'shipment_not_manifestable', made[0].id]);
    const today = new Date(Date.now() + 19_800_000).toISOString().slice(0, 10);
    const day = await post({ courier: 'sandbox', locationId: other.locationId, date: today });
    assert.deepEqual([day.status, [...day.body.shipmentIds].sort()], [201, [made[1].id, made[2].id].sort()]);
    assert.deepEqual((await post({ courier: 'sandbox', locationId: other.locationId, date: today })).body.error.code, 'nothing_to_manifest');
    const pdf = await get(`/v1/manifests/${day.body.id}.pdf`, other.token);
    assert.equal((await get('/v1/manifests', other.token)).body.data.length, 2);
    assert.equal((await get(`/v1/manifests/${day.body.id}.pdf`)).status, 404);
    const faulty = await post({ courier: 'sandbox' });
    assert.deepEqual(faulty.body.error.details.fields.map((f: { path: string }) => f.path), ['locationId', 'date']);
    needs(this, 'pdftotext');
    assert.ok(pdfText(pdf.bytes).includes(made[1].awb));
  });

  it('20 parallel manifests of one shipment: one has it', async () => {
    const shipment = await makeShipment(world, shop);
    const { statuses } = await race(20, () => world.api('POST', '/v1/manifests', { token: shop.token, body: { shipmentIds: [shipment.id] } }));
    assert.deepEqual(statuses, { 201: 1, 409: 19 });
  });

  it('keeps goods over the limit off the manifest until they have an e-way bill', async () => {
    const lines = (paise: number) => ({ lines: [{ sku: 'GOLD', name: 'Gold', quantity: 1, unitPricePaise: paise }], paymentMethod: 'prepaid' });
    const [at, over] = [await makeShipment(world, shop, lines(5_000_000)), await makeShipment(world, shop, lines(5_000_001))];
    const post = (ids: string[]) => world.api('POST', '/v1/manifests', { token: shop.token, body: { shipmentIds: ids } });
    const refused = await post([at.id, over.id]);
    assert.deepEqual([refused.status, refused.body.error.code, refused.body.error.details.shipments.map((s: { id: string }) => s.id)], [409, 'eway_bill_required', [over.id]]);
    const bill = (number: string) => world.api('POST', `/v1/shipments/${over.id}/ewaybill`, { token: shop.token, body: { number } });
    assert.equal((await bill('12345')).status, 400);
    assert.equal((await bill('1234 5678 9012')).body.ewayBillNumber, '123456789012');
    assert.equal((await post([at.id, over.id])).status, 201);
  });

  it('asks the courier to come, for all that wait or for named ones', async () => {
    const other = await world.merchant();
    await fund(world, other);
    const made = [await makeShipment(world, other), await makeShipment(world, other)];
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
    const post = (body: object, key = `pickup-${Math.random()}`) =>
      world.api('POST', '/v1/pickups', { token: other.token, key, body: { locationId: other.locationId, courier: 'sandbox', date: tomorrow, ...body } });
    const { status, body } = await post({ shipmentIds: [made[0].id] }, 'p1');
    assert.deepEqual([status, body.shipmentIds, body.state], [201, [made[0].id], 'requested']);
    assert.equal((await post({ shipmentIds: [made[0].id] }, 'p1')).headers.get('idempotent-replayed'), 'true');
    assert.deepEqual((await post({})).body.shipmentIds, [made[1].id]);
    assert.equal((await post({})).body.error.code, 'nothing_to_pick_up');
    assert.equal((await post({ date: '2020-01-01' })).status, 400);
    await world.settle();
    const stored = await world.db.collection<{ _id: string; state: string; pickupReference: string }>('pickups').findOne({ _id: body.id });
    assert.deepEqual([stored?.state, /^SBP-/.test(String(stored?.pickupReference))], ['confirmed', true]);
    assert.equal((await get(`/v1/shipments/${made[0].id}`, other.token)).body.status, 'pickup_scheduled');
  });

  it('shows a member who is limited to some locations theirs only', async () => {
    const far = await world.api('POST', '/v1/locations', {
      token: shop.token,
      body: { name: 'Far', contactName: 'Ravi', phone: '9800012345', line1: '2 Hill Road', city: 'Mumbai', state: 'Maharashtra', pincode: '400001' },
    });
    const [here, there] = [await makeShipment(world, shop, { pickupLocationId: shop.locationId }), await makeShipment(world, shop, { pickupLocationId: far.body.id })];
    const viewer = await world.member(shop, 'operations');
    const me = await world.api('GET', '/v1/me', { token: viewer });
    const limited = await limitMember(me.body, viewer, far.body.id);
    assert.equal((await get(`/v1/shipments/${here.id}`, limited)).status, 404);
    assert.equal((await get(`/v1/shipments/${there.id}`, limited)).status, 200);
    const listed = await get('/v1/shipments', limited);
    assert.deepEqual(listed.body.data.map((s: { id: string }) => s.id), [there.id]);
    assert.equal((await world.api('POST', `/v1/shipments/${here.id}/cancel`, { token: limited, body: {}, ifMatch: 1 })).status, 404);
    assert.equal((await get(`/v1/shipments/${here.id}/track`, limited)).status, 404);
    const order = await makeOrder(world, shop, { pickupLocationId: shop.locationId });
    assert.equal((await book(world, { token: limited }, { orderId: order.id })).status, 404);
  });

  /** Limits a member by the members route and signs in again, so that the token knows. */
  async function limitMember(me: { id?: string; user?: { id: string }; email?: string }, token: string, locationId: string): Promise<string> {
    const members = await world.api('GET', '/v1/company/members', { token: shop.token });
    const id = me.id ?? me.user?.id;
    const member = members.body.data.find((m: { id: string; userId?: string }) => m.id === id || m.userId === id);
    assert.ok(member, JSON.stringify([me, members.body]));
    const changed = await world.api('PATCH', `/v1/company/members/${member.id}`, { token: shop.token, ifMatch: member.version, body: { locationIds: [locationId] } });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    const login = await world.api('POST', '/v1/auth/login', { body: { email: member.email, password: 'Correct-Horse-7-Battery' } });
    return login.body.accessToken ?? token;
  }

  it('takes stock out at the pickup, and keeps it with the order until then', async () => {
    await stockProduct(world, shop, 'VASE', 10);
    const order = await makeOrder(world, shop, { lines: [{ sku: 'VASE', quantity: 4 }] });
    const stock = async () => (await get('/v1/stock?sku=VASE')).body.data[0];
    const shipment = (await book(world, shop, { orderId: order.id })).body;
    assert.deepEqual([(await stock()).onHand, (await stock()).reserved], [10, 4]);
    const played = await world.api('POST', `/dev/sandbox/shipments/${shipment.awb}/play`, { body: { scenario: 'delivered' } });
    assert.equal(played.status, 200, JSON.stringify(played.body));
    assert.deepEqual([(await stock()).onHand, (await stock()).reserved], [6, 0]);
    assert.equal((await get(`/v1/orders/${order.id}`)).body.status, 'delivered');
  });
});
