import { strict as assert } from 'node:assert';
import { randomToken } from '../../src/platform/ids.ts';
import { ADDRESS, CUSTOMER, orderBody, place, stockProduct } from '../support/shop.ts';
import { book, fund, makeOrder, makeShipment, walletOf } from '../support/shipping.ts';
import { race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const HOUR = 3_600_000;
const BASE = Date.parse('2026-03-02T05:00:00Z');
const at = (hours: number, status: string, more: object = {}) => ({ code: status, status, occurredAt: new Date(BASE + hours * HOUR).toISOString(), ...more });

describe('attacks', () => {
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
  const send = (awb: string, events: object[], token = shop.token): Promise<Answer> => world.api('POST', `/v1/shipments/${awb}/scans`, { token, body: { events } });

  it('cod due again', async () => {
    const s = await makeShipment(world, shop);
    for (const e of [at(0, 'picked_up'), at(5, 'delivered'), at(6, 'rto_initiated'), at(7, 'rto_delivered'), at(8, 'delivered')]) assert.equal((await send(s.awb, [e])).status, 200);
    const entries = await world.db.collection('ledger_entries').find({ shipmentId: s.id }).sort({ _id: 1 }).toArray();
    console.log(entries.map((e) => [e['kind'], e['amountPaise']]));
    const t = (await world.api('GET', `/v1/shipments/${s.id}/track`, { token: shop.token })).body;
    console.log(t.status, t.codDue);
  });
  it('zero total collect', async () => {
    const a = await world.api('POST', '/v1/orders', { token: shop.token, key: randomToken(9), body: orderBody([{ sku: 'FREE', name: 'free', quantity: 1, unitPricePaise: 0 }], { paymentMethod: 'prepaid', collectPayment: true }) });
    console.log(a.status, a.body.status, a.body.paymentDueAt, a.body.totals);
  });
  it('case variants', async () => {
    const key = randomToken(9);
    const body = orderBody([{ sku: 'X', name: 'x', quantity: 1, unitPricePaise: 100 }]);
    for (const p of ['/v1/orders', '/V1/ORDERS', '/v1/Orders', '/v1/orders/', '/v1/orders?', '/v1//orders', '/v1/%6Frders']) {
      const a = await world.api('POST', p, { token: shop.token, key, body });
      console.log(p, a.status, a.body.id, a.headers.get('idempotent-replayed'), a.body.error?.code);
    }
    const o = await makeOrder(world, shop);
    for (const p of [`/v1/orders/${o.id}`, `/v1/orders/%${o.id.charCodeAt(0).toString(16)}${o.id.slice(1)}`]) {
      const a = await world.api('POST', `${p}/confirm`, { token: shop.token, key, ifMatch: o.version, body: {} });
      console.log(p, a.status, a.headers.get('idempotent-replayed'), a.body.error?.code);
    }
  });
  it('huge', async () => {
    const lines = Array.from({ length: 200 }, (_, i) => ({ sku: `S${i}`, name: 'x', quantity: 100, unitPricePaise: 10_000_000_000 }));
    const a = await world.api('POST', '/v1/orders', { token: shop.token, key: randomToken(9), body: orderBody(lines) });
    console.log(a.status, a.body.totals ?? JSON.stringify(a.body).slice(0, 300));
    const b = await book(world, shop, { orderId: a.body.id });
    console.log(b.status, JSON.stringify(b.body).slice(0, 400));
    const c = await world.api('POST', '/v1/orders', { token: shop.token, key: randomToken(9), body: orderBody(lines, { paymentMethod: 'prepaid' }) });
    const d = await book(world, shop, { orderId: c.body.id });
    console.log(d.status, JSON.stringify(d.body).slice(0, 400));
  });
  it('odd bodies', async () => {
    const raws: [string, string, string][] = [
      ['1e400', '/v1/orders', '{"lines":[{"sku":"a","name":"b","quantity":1e400,"unitPricePaise":1e400}]}'],
      ['deep name', '/v1/orders', `{"notes":${'['.repeat(400_000)}${']'.repeat(400_000)}}`],
      ['deep obj', '/v1/orders', `{"customer":${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}}`],
      ['deep unknown key', '/v1/orders', `{"zzz":${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}}`],
      ['deep cred', '/v1/connections', `{"courier":"delhivery","credentials":${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}}`],
      ['dollar', '/v1/orders', '{"notes":{"$gt":""}}'],
      ['dup', '/v1/orders', '{"notes":"a","notes":"b"}'],
      ['lone surrogate', '/v1/products', '{"sku":"\\ud800","name":"x","pricePaise":1,"hsnCode":"741999","taxBp":0,"weightGrams":1,"lengthMm":1,"breadthMm":1,"heightMm":1}'],
      ['nul', '/v1/products', '{"sku":"a\\u0000b","name":"x","pricePaise":1,"hsnCode":"741999","taxBp":0,"weightGrams":1,"lengthMm":1,"breadthMm":1,"heightMm":1}'],
      ['zw', '/v1/products', '{"sku":"\\u200b","name":"\\u200b","pricePaise":1,"hsnCode":"741999","taxBp":0,"weightGrams":1,"lengthMm":1,"breadthMm":1,"heightMm":1}'],
      ['10000 lines', '/v1/orders', JSON.stringify({ lines: Array.from({ length: 30_000 }, () => ({ sku: 1 })) })],
    ];
    for (const [name, path, raw] of raws) {
      const t = performance.now();
      const a = await world.api('POST', path, { token: shop.token, key: randomToken(9), raw, headers: { 'content-type': 'application/json' } });
      console.log(name, a.status, Math.round(performance.now() - t), 'ms', a.bytes.length, JSON.stringify(a.body).slice(0, 250));
    }
    for (const p of ['/v1/orders?cursor=__proto__', '/v1/orders?q=%00', '/v1/orders?q[$ne]=1', '/v1/orders?status=placed&status=placed', '/v1/orders/%E0%A4%A', '/v1/orders/%00', '/v1/shipments/%00/track', '/v1/orders?from=9999999-01-01', '/v1/orders?from=-271821-04-20T00:00:00.000Z', '/v1/track/%3Cscript%3E', '/track/%3Cscript%3E', '/v1/orders?limit=1e3', '/v1/orders?limit=0x10', '/v1/orders?from=0', '/%', '//evil.com/v1/orders', `/v1/orders?cursor=${Buffer.from('["x","' + 'a'.repeat(24) + '"]').toString('base64url')}`, `/v1/orders?cursor=${Buffer.from('[9007199254740991,"' + 'a'.repeat(24) + '"]').toString('base64url')}`]) {
      const a = await world.api('GET', p, { token: shop.token });
      console.log(p, a.status, JSON.stringify(a.body).slice(0, 160));
    }
  });
  it('scan times', async () => {
    const s = await makeShipment(world, shop);
    for (const occurredAt of ['0001-01-01T00:00:00Z', '0000-00-00T00:00:00Z', '9999-12-31T23:59:59Z', '+275760-09-13T00:00:00Z', '+275760-09-12T23:59:59Z', '2026-02-31T10:00:00Z', '-271821-04-20T00:00:00Z', '2026-03-02T24:00:00Z', '2026-03-02T10:00:60Z']) {
      const a = await send(s.awb, [{ code: 'in_transit', status: 'in_transit', occurredAt }]);
      console.log(occurredAt, a.status, JSON.stringify(a.body).slice(0, 200));
    }
    const t = await world.api('GET', `/v1/shipments/${s.id}/track`, { token: shop.token });
    console.log(t.status, JSON.stringify(t.body).slice(0, 600));
    console.log((await world.api('GET', `/v1/orders/${s.orderId}`, { token: shop.token })).body.status);
    const many = Array.from({ length: 700 }, (_, i) => at(10 + i / 60, 'in_transit', { location: `L${i}` }));
    const m = await send(s.awb, many);
    console.log('many', m.status, JSON.stringify(m.body).slice(0, 300));
    console.log((await send(s.awb, many)).body, (await send(s.awb, many.slice(0, 5))).body);
    const m2 = await send(s.awb, Array.from({ length: 400 }, (_, i) => at(9 - i / 60, 'in_transit', { location: `M${i}` })));
    console.log('many2', m2.status, JSON.stringify(m2.body).slice(0, 300));
  });
  it('races', async () => {
    // cancel order vs booking
    await stockProduct(world, shop, 'RACE-1', 1000);
    for (let i = 0; i < 8; i += 1) {
      const o = (await place(world, shop.token, [{ sku: 'RACE-1', quantity: 2 }])).body;
      const key = randomToken(9);
      const r = await Promise.all([
        book(world, shop, { orderId: o.id }, key), book(world, shop, { orderId: o.id }), book(world, shop, { orderId: o.id }, key),
        world.api('POST', `/v1/orders/${o.id}/cancel`, { token: shop.token, ifMatch: o.version, body: {} }),
        world.api('PATCH', `/v1/orders/${o.id}`, { token: shop.token, ifMatch: o.version, body: { parcel: { weightGrams: 5000, lengthMm: 10, breadthMm: 10, heightMm: 10 } } }),
      ]);
      console.log(r.map((a) => `${a.status}${a.body.error?.code ?? ''}`).join(' '));
      const booked = r.slice(0, 3).find((a) => a.status === 201);
      if (booked) {
        const s = booked.body;
        const q = await Promise.all([
          world.api('POST', `/v1/shipments/${s.id}/cancel`, { token: shop.token, ifMatch: s.version, body: {} }),
          send(s.awb, [at(1, 'picked_up')]), send(s.awb, [at(1, 'picked_up'), at(5, 'delivered')]),
          world.api('POST', `/v1/shipments/${s.id}/status`, { token: shop.token, ifMatch: s.version, body: { status: 'in_transit', occurredAt: new Date(BASE + 2 * HOUR).toISOString() } }),
          world.settle(),
        ]);
        console.log('  ', q.map((a) => (a ? `${a.status}${(a as Answer).body.error?.code ?? ''}` : '')).join(' '));
      }
      await world.settle();
      await world.checks();
    }
  });
  it('wallet race', async () => {
    const poor = await world.merchant();
    await fund(world, poor, 30_000);
    const os = await Promise.all(Array.from({ length: 20 }, () => makeOrder(world, poor)));
    const { statuses } = await race(20, (i) => book(world, poor, { orderId: os[i].id }));
    console.log(statuses, await walletOf(world, poor));
  });
  it('payments', async () => {
    for (let i = 0; i < 4; i += 1) {
      const o = (await place(world, shop.token, [{ sku: 'RACE-1', quantity: 1 }], { paymentMethod: 'prepaid', collectPayment: true })).body;
      const p = (await world.api('POST', '/v1/payments', { token: shop.token, key: randomToken(9), body: { orderId: o.id } })).body;
      console.log(JSON.stringify(p).slice(0, 300));
      if (i > 1) world.advance(40 * 60_000);
      const proof = (await world.api('POST', `/sandbox/pay/${p.providerOrderId}`, {})).body;
      console.log(JSON.stringify(proof));
    }
  });
});
