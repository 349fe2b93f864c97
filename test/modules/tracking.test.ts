import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { SCENARIOS } from '../../src/modules/couriers/index.ts';
import { trackingChecks } from '../../src/modules/tracking/tracking.checks.ts';
import { courierArrival, everyCompany, recordScans } from '../../src/modules/tracking/index.ts';
import { CUSTOMER, ADDRESS } from '../support/shop.ts';
import { fund, makeOrder, makeShipment, walletOf } from '../support/shipping.ts';
import { race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const HOUR = 3_600_000;
const BASE = Date.parse('2026-03-02T05:00:00Z');

/** An event some hours after a fixed moment. */
const at = (hours: number, status: string, more: object = {}) => ({ code: status, status, occurredAt: new Date(BASE + hours * HOUR).toISOString(), ...more });

const DELIVERED = [at(0, 'manifested'), at(5, 'picked_up'), at(9, 'in_transit'), at(30, 'out_for_delivery'), at(33, 'delivered')];

describe('tracking', () => {
  let world: World;
  let shop: Merchant;
  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400' });
    shop = await world.merchant();
    await fund(world, shop, 1_000_000_000);
  });
  after(() => world.close());
  afterEach(async () => {
    await world.settle();
    await world.checks();
  });

  const get = (path: string, token = shop.token) => world.api('GET', path, { token });
  const send = (awb: string, events: object[], token = shop.token): Promise<Answer> => world.api('POST', `/v1/shipments/${awb}/scans`, { token, body: { events } });
  const track = async (id: string): Promise<Answer['body']> => (await get(`/v1/shipments/${id}/track`)).body;
  const entries = async (shipmentId: string): Promise<string[]> =>
    (await world.db.collection('ledger_entries').find({ shipmentId }).sort({ _id: 1 }).toArray()).map((e) => String(e['kind']));

  it('folds scans into state, timeline, order, money and events', async () => {
    const shipment = await makeShipment(world, shop);
    const answer = await send(shipment.awb, DELIVERED);
    assert.deepEqual([answer.status, answer.body], [200, { accepted: 5, duplicates: 0, unmapped: 0 }], JSON.stringify(answer.body));
    const found = await track(shipment.id);
    assert.deepEqual(await track(shipment.awb), found);
    assert.deepEqual(Object.keys(found).sort(), ['alerts', 'awb', 'codDue', 'deliveredAt', 'events', 'ndr', 'pickedUpAt', 'status', 'unmapped']);
    assert.deepEqual([found.status, found.codDue, found.pickedUpAt, found.deliveredAt], ['delivered', true, DELIVERED[1]?.occurredAt, DELIVERED[4]?.occurredAt]);
    assert.deepEqual(found.events.map((e: { status: string; source: string }) => [e.status, e.source]), DELIVERED.map((e) => [e.status, 'api']));
    assert.equal((await get(`/v1/orders/${shipment.orderId}`)).body.status, 'delivered');
    assert.deepEqual(await entries(shipment.id), ['hold', 'charge', 'cod_due']);
    const events = await world.db.collection('outbox').find({ key: shipment.id, type: 'shipment.status_changed' }).toArray();
    assert.deepEqual(events.map((e) => [e['payload'].from, e['payload'].to]), [['awb_assigned', 'delivered']]);
  });

  it('ignores repeats, wherever they come', async () => {
    const shipment = await makeShipment(world, shop);
    const first = await send(shipment.awb, [...DELIVERED, ...DELIVERED.slice(0, 2)]);
    assert.deepEqual(first.body, { accepted: 5, duplicates: 2, unmapped: 0 });
    const state = await track(shipment.id);
    const { version } = (await get(`/v1/shipments/${shipment.id}`)).body;
    assert.deepEqual((await send(shipment.awb, DELIVERED)).body, { accepted: 0, duplicates: 5, unmapped: 0 });
    assert.deepEqual(await track(shipment.id), state);
    assert.equal((await get(`/v1/shipments/${shipment.id}`)).body.version, version, 'a repeat changes nothing');
    assert.deepEqual(await entries(shipment.id), ['hold', 'charge', 'cod_due']);
  });

  it('an older scan only fills the timeline', async () => {
    const shipment = await makeShipment(world, shop);
    await send(shipment.awb, [DELIVERED[4] ?? {}]);
    await send(shipment.awb, DELIVERED.slice(0, 4));
    const found = await track(shipment.id);
    assert.deepEqual([found.status, found.events.length, found.pickedUpAt], ['delivered', 5, DELIVERED[1]?.occurredAt]);
  });

  it('property: any order, any repeats, any batches give the same end state, order and ledger', async function () {
    this.timeout(120_000);
    const life = [at(0, 'manifested'), at(5, 'picked_up'), at(9, 'in_transit'), at(28, 'undelivered', { reason: 'customer_unavailable' }), at(50, 'out_for_delivery'), at(52, 'undelivered', { reason: 'refused' }), at(53, 'mystery', { status: undefined }), at(60, 'rto_initiated'), at(99, 'rto_delivered'), at(100, 'delivered'), at(9, 'on_hold')];
    const outcome = async (chunks: object[][]): Promise<unknown> => {
      const shipment = await makeShipment(world, shop);
      for (const chunk of chunks) assert.equal((await send(shipment.awb, chunk)).status, 200);
      const { awb: _awb, ...state } = await track(shipment.id);
      const { status } = (await get(`/v1/orders/${shipment.orderId}`)).body;
      const ndrs = (await get(`/v1/ndr?awb=${shipment.awb}`)).body.data.map((n: { reason: string; at: string; status: string }) => [n.reason, n.at, n.status]).sort();
      const money = (await world.db.collection('ledger_entries').find({ shipmentId: shipment.id, kind: { $in: ['hold', 'charge', 'rto_freight'] } }).toArray()).map((e) => e['kind']).sort();
      return { state, status, ndrs, money };
    };
    const expected = await outcome([life]);
    const disordered = fc.array(fc.tuple(fc.nat({ max: life.length - 1 }), fc.boolean()), { maxLength: 6 }).chain((repeats) =>
      fc.shuffledSubarray(life, { minLength: life.length, maxLength: life.length }).map((order) => {
        const line: object[] = [...order];
        for (const [index, early] of repeats) line.splice(early ? 0 : line.length, 0, life[index] ?? {});
        return line.reduce<object[][]>((chunks, event, i) => (i % 3 === 0 ? [...chunks, [event]] : [...chunks.slice(0, -1), [...(chunks.at(-1) ?? []), event]]), []);
      }),
    );
    await fc.assert(
      fc.asyncProperty(disordered, async (chunks) => {
        assert.deepEqual(await outcome(chunks), expected);
      }),
      { numRuns: 15 },
    );
  });

  it('keeps and counts an unknown code and never guesses', async () => {
    const shipment = await makeShipment(world, shop);
    const answer = await send(shipment.awb, [{ code: 'ZZ-9', occurredAt: '2026-03-02T10:00:00+05:30' }]);
    assert.deepEqual(answer.body, { accepted: 1, duplicates: 0, unmapped: 1 });
    const found = await track(shipment.id);
    assert.deepEqual([found.status, found.unmapped, found.events[0].status, found.events[0].code], ['awb_assigned', 1, 'unmapped', 'ZZ-9']);
  });

  it('a scan after the cancel raises an alert and moves nothing, and no money', async () => {
    const shipment = await makeShipment(world, shop);
    const { version } = (await get(`/v1/shipments/${shipment.id}`)).body;
    await world.api('POST', `/v1/shipments/${shipment.id}/cancel`, { token: shop.token, body: {}, ifMatch: version });
    await send(shipment.awb, [at(5, 'picked_up')]);
    const found = await track(shipment.id);
    assert.deepEqual([found.status, found.alerts], ['cancelled', ['picked_up_after_cancel']]);
    assert.deepEqual(await entries(shipment.id), ['hold', 'release']);
    assert.ok(await world.db.collection('outbox').findOne({ type: 'shipment.alert_raised', key: shipment.id }));
  });

  it('a correction reverses the COD entry: delivered, then back', async () => {
    const shipment = await makeShipment(world, shop);
    await send(shipment.awb, DELIVERED);
    await send(shipment.awb, [at(40, 'rto_initiated'), at(90, 'rto_delivered')]);
    const found = await track(shipment.id);
    assert.deepEqual([found.status, found.codDue, found.alerts], ['rto_delivered', false, ['delivered_then_rto']]);
    assert.deepEqual((await entries(shipment.id)).sort(), ['charge', 'cod_due', 'cod_refund', 'cod_reversed', 'hold', 'rto_freight']);
    assert.equal((await get(`/v1/orders/${shipment.orderId}`)).body.status, 'returned');
  });

  it('what a courier calls cancelled waits a day for a late pickup, then gives everything back', async () => {
    const before = await walletOf(world, shop);
    const [late, lost] = [await makeShipment(world, shop), await makeShipment(world, shop)];
    for (const { awb } of [late, lost]) await send(awb, [at(4, 'cancelled')]);
    assert.equal((await track(lost.id)).status, 'cancelled');
    await send(late.awb, [at(3, 'picked_up')]);
    assert.deepEqual([(await track(late.id)).status, (await track(late.id)).alerts], ['picked_up', ['cancelled_after_pickup']]);
    await world.settle();
    world.advance(25 * HOUR);
    const { email, password } = shop;
    shop.token = (await world.api('POST', '/v1/auth/login', { body: { email, password } })).body.accessToken;
    await world.settle();
    assert.deepEqual(await entries(lost.id), ['hold', 'release']);
    assert.deepEqual(await entries(late.id), ['hold', 'charge']);
    assert.equal((await walletOf(world, shop)).heldPaise, before.heldPaise);
  });

  it('a scan from the future waits until its time has come', async () => {
    const shipment = await makeShipment(world, shop);
    const now = Date.parse((await get('/v1/shipments?limit=1')).body.data[0].createdAt);
    await send(shipment.awb, [at(5, 'picked_up'), { code: 'delivered', status: 'delivered', occurredAt: new Date(now + 3 * HOUR).toISOString() }]);
    const waiting = await track(shipment.id);
    assert.deepEqual([waiting.status, waiting.alerts, waiting.events.at(-1).future], ['picked_up', ['future_scan'], true]);
    await world.settle();
    assert.deepEqual(await entries(shipment.id), ['hold', 'charge']);
    world.advance(3 * HOUR);
    await world.settle();
    const come = (await get(`/v1/shipments/${shipment.id}`)).body;
    assert.deepEqual([come.status, come.alerts], ['delivered', []]);
    assert.deepEqual(await entries(shipment.id), ['hold', 'charge', 'cod_due']);
  });

  it('takes 1,000 scans in one body, and refuses 1,001', async () => {
    const shipment = await makeShipment(world, shop);
    const many = Array.from({ length: 1_000 }, (_, i) => at(5 + i / 100, i === 0 ? 'picked_up' : 'in_transit', { location: `Hub ${i}` }));
    const answer = await send(shipment.awb, many);
    assert.deepEqual(answer.body, { accepted: 1_000, duplicates: 0, unmapped: 0 });
    const found = await track(shipment.id);
    assert.deepEqual([found.events.length, found.status, found.pickedUpAt], [1_000, 'in_transit', at(5, 'x').occurredAt]);
    await send(shipment.awb, [at(2, 'out_for_pickup'), at(30, 'out_for_delivery')]);
    const more = await track(shipment.id);
    assert.deepEqual([more.events.length, more.status], [1_002, 'out_for_delivery']);
    const tooMany = await send(shipment.awb, [...many, at(9, 'in_transit')]);
    assert.equal(tooMany.status, 400);
  });

  const faulty: [string, object[]][] = [
    ['a time without a zone', [{ code: 'picked_up', occurredAt: '2026-03-02T10:00:00' }]],
    ['no time', [{ code: 'picked_up' }]],
    ['a status that is none', [{ code: 'x', status: 'teleported', occurredAt: '2026-03-02T10:00:00Z' }]],
    ['an unknown key', [{ code: 'x', occurredAt: '2026-03-02T10:00:00Z', price: 1 }]],
    ['nothing', []],
  ];
  for (const [name, events] of faulty) {
    it(`refuses ${name}`, async () => {
      const shipment = await makeShipment(world, shop);
      assert.equal((await send(shipment.awb, events)).status, 400);
      assert.equal(await world.db.collection('scans').countDocuments({ shipmentId: shipment.id }), 0);
    });
  }

  it('takes scans from the company that has the parcel only, and from keys with the scope', async () => {
    const shipment = await makeShipment(world, shop);
    const stranger = await world.merchant();
    assert.equal((await send(shipment.awb, DELIVERED, stranger.token)).status, 404);
    assert.equal((await send('NOSUCH123', DELIVERED)).status, 404);
    const viewer = await world.member(shop, 'viewer');
    assert.equal((await send(shipment.awb, DELIVERED, viewer)).status, 403);
    const key = await world.api('POST', '/v1/api-keys', { token: shop.token, body: { name: 'courier', scopes: ['scans:write'] } });
    assert.equal(key.status, 201, JSON.stringify(key.body));
    assert.equal((await send(shipment.awb, DELIVERED, key.body.key)).status, 200);
  });

  it('20 senders at once lose no scan', async () => {
    const shipment = await makeShipment(world, shop);
    const first = await race(20, (i) => send(shipment.awb, [at(5 + i, i === 0 ? 'picked_up' : 'in_transit', { location: `Hub ${i}` })]));
    // From here on the order stays as it is, so that only the shipment's own guard keeps the senders apart.
    const second = await race(20, (i) => send(shipment.awb, [at(30 + i, 'in_transit', { location: `Hub ${i}` })]));
    assert.deepEqual([first.statuses, second.statuses], [{ 200: 20 }, { 200: 20 }]);
    const found = await track(shipment.id);
    assert.deepEqual([found.events.length, found.pickedUpAt], [40, at(5, 'x').occurredAt]);
    assert.deepEqual(await entries(shipment.id), ['hold', 'charge']);
  });

  it('a status by hand is a scan: guarded by the version, one of 20 wins, and it may correct the past', async () => {
    const shipment = await makeShipment(world, shop);
    await world.settle();
    const path = `/v1/shipments/${shipment.id}/status`;
    const { version } = (await get(`/v1/shipments/${shipment.id}`)).body;
    const body = (status: string, hours: number) => ({ status, occurredAt: at(hours, status).occurredAt });
    assert.equal((await world.api('POST', path, { token: shop.token, body: body('picked_up', 5) })).status, 428);
    const { statuses } = await race(20, (i) => world.api('POST', path, { token: shop.token, ifMatch: version, body: body('picked_up', 5 + i) }));
    assert.deepEqual(statuses, { 200: 1, 412: 19 });
    const later = (await get(`/v1/shipments/${shipment.id}`)).body.version;
    const again = await race(20, (i) => world.api('POST', path, { token: shop.token, ifMatch: later, body: body('in_transit', 26 + i / 10) }));
    assert.deepEqual(again.statuses, { 200: 1, 412: 19 });
    assert.deepEqual((await track(shipment.id)).events.map((e: { status: string; source: string }) => [e.status, e.source]), [['picked_up', 'manual'], ['in_transit', 'manual']]);
    assert.equal(await world.db.collection('scans').countDocuments({ shipmentId: shipment.id }), 2);
    const set = async (status: string, hours: number) =>
      world.api('POST', path, { token: shop.token, ifMatch: (await get(`/v1/shipments/${shipment.id}`)).body.version, body: body(status, hours) });
    assert.equal((await set('awb_assigned', 40)).body.error.code, 'status_only_by_command');
    assert.equal((await set('out_for_pickup', 40)).body.error.code, 'already_picked_up');
    assert.equal((await set('delivered', 50)).body.status, 'delivered');
    assert.equal((await set('in_transit', 60)).body.error.code, 'shipment_ended');
    assert.equal((await set('in_transit', 30)).status, 200);
    assert.equal((await track(shipment.id)).status, 'delivered');
  });

  it('nothing is lost when the process dies between the scans and their fold', async () => {
    const shipment = await makeShipment(world, shop);
    // What a killed process leaves: the mark and the scans, and nothing folded.
    const scratch = await makeShipment(world, shop);
    await send(scratch.awb, DELIVERED);
    const rows = await world.db.collection<{ _id: string }>('scans').find({ shipmentId: scratch.id }).toArray();
    await world.db.collection<{ _id: string }>('scans').insertMany(rows.map((row, i) => ({ ...row, _id: `left-behind-${i}`, shipmentId: shipment.id, awb: shipment.awb })));
    await world.db.collection<{ _id: string }>('scan_batches').insertOne({ _id: 'left', at: new Date(Date.now() - 24 * HOUR), shipmentIds: [shipment.id] } as never);
    const pending = trackingChecks.find((check) => check.name.includes('wait for their fold'));
    assert.equal((await pending?.run())?.length, 1, 'the check finds it');
    await world.service.scheduler.tick();
    assert.equal((await track(shipment.id)).status, 'delivered');
    assert.equal((await get(`/v1/shipments/${shipment.id}`)).body.status, 'delivered');
    assert.deepEqual(await entries(shipment.id), ['hold', 'charge', 'cod_due']);
    assert.equal(await world.db.collection('scan_batches').countDocuments(), 0);
  });

  it('a scan that is kept and lost from the rows heals; a planted wrong state is found', async () => {
    const shipment = await makeShipment(world, shop);
    await send(shipment.awb, DELIVERED);
    const shipments = world.db.collection<{ _id: string }>('shipments');
    await shipments.updateOne({ _id: shipment.id }, { $set: { status: 'lost' } });
    const check = trackingChecks.find((one) => one.name.includes('fold of its stored scans'));
    assert.deepEqual(await check?.run(), [`shipment ${shipment.id}: status is not what its scans say`]);
    await shipments.updateOne({ _id: shipment.id }, { $set: { status: 'delivered' } });
  });

  it('shows anybody with the number the parcel and nothing about people', async () => {
    const order = await makeOrder(world, shop, { customer: { ...CUSTOMER, name: '<script>alert(1)</script>' } });
    const shipment = (await world.api('POST', '/v1/shipments', { token: shop.token, key: `pub-${order.id}`, body: { orderId: order.id } })).body;
    await send(shipment.awb, [...DELIVERED.slice(0, 3), at(10, 'in_transit', { location: '<img src=x onerror=alert(1)>' })]);
    const json = await world.api('GET', `/v1/track/${shipment.awb}`);
    assert.deepEqual([json.status, json.body.status, json.body.events.length], [200, 'in_transit', 4], JSON.stringify(json.body));
    const page = await world.api('GET', `/track/${shipment.awb}`);
    assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html; charset=utf-8']);
    for (const text of [json.bytes.toString(), page.bytes.toString()]) {
      for (const secret of ['alert(1)</script>', '9876543210', 'meera', ADDRESS.line1, '560001', order.orderNumber, shop.companyId, '1000']) {
        assert.ok(!text.toLowerCase().includes(secret.toLowerCase()), `${secret} is shown`);
      }
    }
    assert.ok(page.body.includes('&lt;img') && !page.body.includes('<img'));
    assert.equal((await world.api('GET', '/v1/track/NOSUCH123')).status, 404);
    assert.equal((await world.api('GET', '/track/NOSUCH123')).body.error.code, 'shipment_not_found');
    const unknown = await world.api('GET', '/track/NOSUCH123', { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } });
    assert.deepEqual([unknown.status, unknown.headers.get('content-type')], [404, 'text/html; charset=utf-8']);
    assert.match(unknown.body, /^<!doctype html>[^]*No parcel has this number[^]*<\/html>\n$/);
    assert.ok(unknown.headers.get('content-security-policy')?.includes('style-src') && !unknown.body.includes('NOSUCH123'));
  });

  it('webhooks: authenticated by the connection’s token, stored raw before the answer, parsed by a job, repeats ignored', async () => {
    const shipment = await makeShipment(world, shop);
    const made = await world.api('POST', '/v1/connections', { token: shop.token, body: { courier: 'sandbox', mode: 'sandbox' } });
    const { url, header, token } = made.body.webhook;
    const path = new URL(url).pathname;
    const body = {
      events: [
        { awb: shipment.awb, code: 'PKD', group: 'FW', occurredAt: at(5, 'x').occurredAt },
        { awb: shipment.awb, code: 'UD', group: 'FW', reason: 'R02', occurredAt: at(30, 'x').occurredAt },
        { awb: 'NOSUCH123', code: 'PKD', occurredAt: at(5, 'x').occurredAt },
      ],
    };
    const raw = JSON.stringify(body);
    const post = (headers: Record<string, string>, text = raw, to = path) => world.api('POST', to, { raw: text, headers: { 'content-type': 'application/json', ...headers } });
    const count = () => world.db.collection('raw_events').countDocuments();
    const before = await count();
    for (const refused of [await post({}), await post({ [header]: 'wrong' }), await post({ [header]: token }, raw, path.replace('sandbox', 'delhivery')), await post({ [header]: token }, raw, `/v1/courier-webhooks/sandbox/${'a'.repeat(24)}`)]) {
      assert.deepEqual([refused.status, refused.body.error.code], [401, 'webhook_not_authenticated']);
    }
    assert.equal(await count(), before, 'nothing is stored');
    assert.deepEqual((await post({ [header]: token })).body, { received: true });
    assert.equal(await count(), before + 1);
    assert.equal((await track(shipment.id)).events.length, 0, 'not parsed before the answer');
    await post({ [header]: token });
    await post({ [header]: token }, '{"events": "no list"}');
    await world.settle();
    const found = await track(shipment.id);
    assert.deepEqual([found.status, found.events.length, found.ndr], ['undelivered', 2, [{ reason: 'refused', at: at(30, 'x').occurredAt }]]);
    const states = (await world.db.collection('raw_events').find().sort({ _id: 1 }).toArray()).map((e) => e['state']);
    assert.deepEqual(states.slice(-3), ['done', 'done', 'dead']);
    assert.equal((await world.api('DELETE', `/v1/connections/${made.body.id}`, { token: shop.token, ifMatch: 1 })).status, 200);
    assert.equal((await post({ [header]: token })).status, 401);
  });

  it('NDR: listed, answered, told to the courier, closed by the next attempt', async () => {
    const shipment = await makeShipment(world, shop);
    await send(shipment.awb, [...DELIVERED.slice(0, 4), at(31, 'undelivered', { reason: 'address_issue' })]);
    const list = async (query = '') => (await get(`/v1/ndr?awb=${shipment.awb}${query}`)).body.data;
    const [ndr] = await list('&status=open');
    assert.deepEqual([ndr.reason, ndr.at, ndr.shipmentId], ['address_issue', at(31, 'x').occurredAt, shipment.id]);
    const act = (body: object, id = ndr.id) => world.api('POST', `/v1/ndr/${id}/actions`, { token: shop.token, body });
    const bad = await act({ action: 'reattempt', phone: '123', date: 'tomorrow', address: { pincode: '1' } });
    assert.deepEqual(bad.body.error.details.fields.map((f: { path: string }) => f.path).sort(), ['address.pincode', 'date', 'phone']);
    const nowhere = await act({ action: 'reattempt', address: { pincode: '990000' } });
    assert.deepEqual([nowhere.status, nowhere.body.error.details.fields[0].path], [400, 'address.pincode']);
    const done = await act({ action: 'reattempt', phone: '98765 43211', date: '2026-03-04' });
    assert.deepEqual([done.status, done.body.status, done.body.actions[0].state], [200, 'actioned', 'requested'], JSON.stringify(done.body));
    await world.settle();
    assert.equal((await list())[0].actions[0].state, 'accepted');
    await send(shipment.awb, [at(50, 'out_for_delivery'), at(52, 'undelivered', { reason: 'refused' })]);
    assert.deepEqual((await list()).map((n: { reason: string; status: string }) => [n.reason, n.status]).sort(), [['address_issue', 'closed'], ['refused', 'open']]);
    assert.equal((await act({ action: 'reattempt' })).body.error.code, 'ndr_closed');
    await send(shipment.awb, [at(70, 'out_for_delivery'), at(72, 'undelivered', { reason: 'refused' })]);
    const third = (await list('&status=open'))[0];
    assert.equal((await act({ action: 'reattempt' }, third.id)).body.error.code, 'attempts_used_up');
    assert.equal((await act({ action: 'start_rto' }, third.id)).status, 200);
    assert.ok(await world.db.collection('outbox').findOne({ type: 'shipment.rto_due', key: shipment.id }));
    const stranger = await world.merchant();
    assert.equal((await world.api('POST', `/v1/ndr/${third.id}/actions`, { token: stranger.token, body: { action: 'start_rto' } })).status, 404);
  });

  const ENDS = { delivered: 'delivered', ndr_then_delivered: 'delivered', rto: 'rto_delivered', lost: 'lost', damaged: 'damaged', weight_change: 'delivered' } as const;
  for (const scenario of SCENARIOS) {
    for (const disorder of ['none', 'repeats', 'shuffled'] as const) {
      it(`plays ${scenario}, disorder ${disorder}`, async () => {
        const shipment = await makeShipment(world, shop);
        const { status, body } = await world.api('POST', `/dev/sandbox/shipments/${shipment.awb}/play`, { body: { scenario, disorder } });
        assert.equal(status, 200, JSON.stringify(body));
        assert.deepEqual([body.status, body.unmapped], [ENDS[scenario], 0]);
        const found = await track(shipment.id);
        assert.equal(found.events.length, body.accepted);
        assert.ok(found.events.every((e: { source: string; future?: true }) => e.source === 'simulated' && !e.future));
        assert.deepEqual(found.alerts, []);
        const money = (await entries(shipment.id)).sort();
        const extra = scenario === 'rto' ? ['rto_freight'] : ENDS[scenario] === 'delivered' ? ['cod_due'] : [];
        assert.deepEqual(money.filter((kind) => kind !== 'cod_refund'), ['charge', 'hold', ...extra].sort());
        const weight = await world.db.collection('outbox').countDocuments({ type: 'shipment.weight_reported', key: shipment.awb });
        assert.equal(weight, scenario === 'weight_change' ? 1 : 0);
      });
    }
  }

  it('plays at a speed: each scan when its time has come', async () => {
    const shipment = await makeShipment(world, shop);
    await world.api('POST', `/dev/sandbox/shipments/${shipment.awb}/play`, { body: { scenario: 'delivered', speed: 24 } });
    await world.settle();
    const early = (await track(shipment.id)).events.length;
    world.advance(60_000);
    await world.settle();
    assert.ok(early < (await track(shipment.id)).events.length);
    assert.equal((await track(shipment.id)).status, 'delivered');
  });

  it('gives a shipment another number and courier for replaying recorded scans', async () => {
    const shipment = await makeShipment(world, shop);
    const set = await world.api('POST', `/dev/shipments/${shipment.id}/awb`, { body: { awb: '1434 5521', courier: 'delhivery' } });
    assert.deepEqual([set.status, set.body.awb, set.body.courier], [200, '14345521', 'delhivery']);
    assert.equal((await send('14345521', DELIVERED)).status, 200);
    const refused = await world.api('POST', '/dev/sandbox/shipments/14345521/play', { body: { scenario: 'lost' } });
    assert.deepEqual([refused.status, refused.body.error.code], [409, 'not_a_sandbox_shipment']);
  });

  it('takes scans of many companies in one call, with a bounded number of commands', async () => {
    const other = await world.merchant();
    await fund(world, other);
    const mine = await Promise.all(Array.from({ length: 8 }, () => makeShipment(world, shop)));
    const theirs = await Promise.all(Array.from({ length: 4 }, () => makeShipment(world, other)));
    const raws = [...mine, ...theirs].flatMap(({ awb }) => [
      { awb: awb as string, rawCode: 'PKD', group: 'FW', occurredAt: new Date(BASE) },
      { awb: awb as string, rawCode: 'IT', group: 'FW', occurredAt: new Date(BASE + HOUR) },
    ]);
    const arrivals = raws.map((raw) => courierArrival('sandbox', raw, 'simulated'));
    world.commands();
    const report = await recordScans(everyCompany('test'), [...arrivals, courierArrival('sandbox', { awb: 'NOSUCH123', rawCode: 'IT', occurredAt: new Date(BASE) }, 'simulated')]);
    const commands = world.commands();
    assert.deepEqual(report, { accepted: 24, duplicates: 0, unmapped: 0, unknownAwbs: ['NOSUCH123'] });
    assert.ok(commands <= 25, `${commands} commands`);
    for (const { id } of mine) assert.equal((await track(id)).status, 'in_transit');
    assert.deepEqual((await world.db.collection('audit').find({ rowId: theirs[0]?.id }).toArray()).map((a) => a['companyId']), (await world.db.collection('audit').find({ rowId: theirs[0]?.id }).toArray()).map(() => other.companyId));
  });
});
