import { strict as assert } from 'node:assert';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'mocha';
import { paymentChecks } from '../../src/modules/payments/payment.checks.ts';
import { PAYMENT_STATUSES } from '../../src/modules/payments/payment.model.ts';
import { canBecome, checkoutSignature, hmacHex, isPaid, readEvent, refundablePaise } from '../../src/modules/payments/payment.rules.ts';
import { makeRazorpay } from '../../src/modules/payments/provider.razorpay.ts';
import type { PaymentProvider } from '../../src/modules/payments/provider.ts';
import { payRefund } from '../../src/modules/payments/payment.jobs.ts';
import { holdForShipments } from '../../src/modules/wallet/index.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { AppError } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { runtime } from '../../src/platform/runtime.ts';
import { staffToken } from '../access/people.ts';
import { race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

describe('payment rules', () => {
  it('signs with HMAC-SHA256 in lower-case hex, the checkout over order|payment', () => {
    assert.equal(hmacHex('key', 'The quick brown fox jumps over the lazy dog'), 'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8');
    assert.equal(checkoutSignature('key', 'order_1', 'pay_1'), hmacHex('key', 'order_1|pay_1'));
  });

  it('what was paid never becomes unpaid', () => {
    for (const from of PAYMENT_STATUSES) {
      for (const to of PAYMENT_STATUSES) {
        if (isPaid(from)) assert.equal(canBecome(from, to), to === 'refunded' && from !== 'refunded', `${from} → ${to}`);
      }
    }
    assert.equal(canBecome('failed', 'captured'), true);
    assert.equal(canBecome('captured', 'failed'), false);
  });

  it('only what arrived and has not gone back can be given back', () => {
    const of = (status: (typeof PAYMENT_STATUSES)[number], refundedPaise = 0) => refundablePaise({ status, amountPaise: 100, refundedPaise });
    assert.deepEqual([of('created'), of('failed'), of('captured'), of('captured', 30), of('orphaned'), of('refunded', 100)], [0, 0, 100, 70, 100, 0]);
  });

  for (const body of ['', 'no json', '[]', '{}', '{"event":5}', 'null']) {
    it(`refuses ${JSON.stringify(body)} as an event`, () => {
      assert.throws(() => readEvent(Buffer.from(body)), (error) => error instanceof AppError && error.code === 'invalid_event');
    });
  }

  it('reads an event with other things in it', () => {
    const event = readEvent(Buffer.from(JSON.stringify({ event: 'payment.captured', payload: { payment: { entity: { id: 'pay_1', order_id: 'order_1', amount: 500, currency: 'INR', email: 'x' } } } })));
    assert.deepEqual(event, { type: 'payment.captured', status: 'captured', providerOrderId: 'order_1', providerPaymentId: 'pay_1', amountPaise: 500, currency: 'INR' });
    assert.equal(readEvent(Buffer.from('{"event":"subscription.charged"}')).status, undefined);
  });
});

describe('payments', () => {
  let world: World;
  let keys = 0;

  before(async () => {
    world = await startWorld();
  });
  after(() => world.close());

  const key = () => `k-${(keys += 1)}`;
  const topup = (shop: Merchant, amountPaise: number, options: { key?: string; token?: string } = {}) =>
    world.api('POST', '/v1/wallet/topups', { token: shop.token, body: { amountPaise }, key: key(), ...options });
  const pay = async (providerOrderId: string) => (await world.api('POST', `/dev/sandbox/payments/${providerOrderId}/pay`)).body as { providerPaymentId: string; signature: string };
  const verify = (shop: Merchant, paymentId: string, body: object, options: object = {}) => world.api('POST', `/v1/payments/${paymentId}/verify`, { token: shop.token, body, ...options });
  const balance = async (shop: Merchant) => (await world.api('GET', '/v1/wallet', { token: shop.token })).body.balancePaise as number;
  const paidTopup = async (shop: Merchant, amountPaise: number): Promise<string> => {
    const { body } = await topup(shop, amountPaise);
    const done = await verify(shop, body.paymentId, await pay(body.providerOrderId));
    assert.deepEqual([done.status, done.body.status], [200, 'captured'], JSON.stringify(done.body));
    return body.paymentId;
  };
  const order = async (shop: Merchant): Promise<Answer['body']> => {
    const address = { line1: '1 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001', country: 'IN' };
    const placed = await world.api('POST', '/v1/orders', {
      token: shop.token,
      key: key(),
      body: {
        customer: { name: 'Ravi Iyer', phone: '9811122233' },
        shippingAddress: address,
        lines: [{ sku: `S${keys}`, name: 'Thing', quantity: 1, unitPricePaise: 49_900 }],
        paymentMethod: 'prepaid',
        collectPayment: true,
      },
    });
    assert.deepEqual([placed.status, placed.body.status], [201, 'pending_payment'], JSON.stringify(placed.body));
    return placed.body;
  };
  const orderPayment = (shop: Merchant, orderId: string) => world.api('POST', '/v1/payments', { token: shop.token, key: key(), body: { orderId, method: 'upi' } });
  const orderStatus = async (shop: Merchant, id: string) => (await world.api('GET', `/v1/orders/${id}`, { token: shop.token })).body.status as string;

  const event = (type: string, providerOrderId: string, amount: number, providerPaymentId: string) =>
    JSON.stringify({
      entity: 'event',
      event: type,
      contains: ['payment'],
      payload: {
        payment: { entity: { id: providerPaymentId, order_id: providerOrderId, amount, currency: 'INR', status: 'captured', email: 'payer@example.in' } },
        ...(type === 'order.paid' ? { order: { entity: { id: providerOrderId, amount, amount_paid: amount, status: 'paid' } } } : {}),
      },
    });
  const webhook = (raw: string, options: { signature?: string; eventId?: string } = {}) =>
    world.api('POST', '/v1/webhooks/razorpay', {
      raw,
      headers: {
        'content-type': 'application/json',
        'x-razorpay-signature': options.signature ?? hmacHex(runtime().config.razorpayWebhookSecret ?? '', raw),
        'x-razorpay-event-id': options.eventId ?? `evt_${key()}`,
      },
    });

  describe('top-ups', () => {
    it('are credited by verify, once; a repeated verify answers the same resource', async () => {
      const shop = await world.merchant();
      const asked = await topup(shop, 250_000);
      assert.equal(asked.status, 201, JSON.stringify(asked.body));
      assert.equal(asked.body.amountPaise, 250_000);
      assert.equal(await balance(shop), 0);
      const proof = await pay(asked.body.providerOrderId);
      const first = await verify(shop, asked.body.paymentId, proof);
      const second = await verify(shop, asked.body.paymentId, proof);
      assert.deepEqual([first.status, first.body.status, first.body.providerPaymentId], [200, 'captured', proof.providerPaymentId]);
      assert.deepEqual(second.body, first.body);
      assert.equal(await balance(shop), 250_000);
      const [entry] = (await world.api('GET', '/v1/wallet/entries', { token: shop.token })).body.data;
      assert.deepEqual([entry.kind, entry.amountPaise, entry.paymentId], ['topup', 250_000, asked.body.paymentId]);
      await world.checks();
    });

    it('20 with one key are one payment and 19 replays; another body under the key is refused', async () => {
      const shop = await world.merchant();
      const same = key();
      const { answers, statuses } = await race(20, () => topup(shop, 5_000, { key: same }));
      assert.deepEqual(statuses, { 201: 20 });
      assert.equal(new Set(answers.map((a) => a.body.paymentId)).size, 1);
      assert.equal(answers.filter((a) => a.headers.get('idempotent-replayed') === 'true').length, 19);
      assert.equal(await world.db.collection('payments').countDocuments({ companyId: shop.companyId }), 1);
      const other = await topup(shop, 6_000, { key: same });
      assert.deepEqual([other.status, other.body.error.code], [409, 'idempotency_key_reused']);
    });

    it('a key from yesterday is 409 with the id of its payment', async () => {
      const shop = await world.merchant();
      const same = key();
      const first = await topup(shop, 5_000, { key: same });
      await world.db.collection('idempotency').deleteMany({});
      const late = await topup(shop, 5_000, { key: same });
      assert.deepEqual([late.status, late.body.error.code, late.body.error.details.id], [409, 'payment_exists', first.body.paymentId]);
    });

    it('30 parallel verifies credit once', async () => {
      const shop = await world.merchant();
      const { body } = await topup(shop, 70_000);
      const proof = await pay(body.providerOrderId);
      const { answers, statuses } = await race(30, () => verify(shop, body.paymentId, proof));
      assert.deepEqual(statuses, { 200: 30 });
      assert.equal(new Set(answers.map((a) => JSON.stringify(a.body))).size, 1);
      assert.equal(await balance(shop), 70_000);
      await world.checks();
    });

    it('several first top-ups at once all arrive', async () => {
      const shop = await world.merchant();
      const asked = await Promise.all(Array.from({ length: 8 }, () => topup(shop, 1_000)));
      const { statuses } = await race(8, async (i) => verify(shop, asked[i]?.body.paymentId, await pay(asked[i]?.body.providerOrderId)));
      assert.deepEqual(statuses, { 200: 8 });
      assert.equal(await balance(shop), 8_000);
      await world.checks();
    });

    it('need a verified e-mail, a key, the permission, and a sensible amount', async () => {
      const shop = await world.merchant();
      const fresh = await world.merchant({ verified: false, location: false });
      const unverified = await topup(fresh, 5_000);
      assert.deepEqual([unverified.status, unverified.body.error.code], [403, 'email_not_verified']);
      const keyless = await world.api('POST', '/v1/wallet/topups', { token: shop.token, body: { amountPaise: 5_000 } });
      assert.deepEqual([keyless.status, keyless.body.error.code], [400, 'idempotency_key_required']);
      for (const amountPaise of [99, 1_000_000_001, 100.5, -5, '500']) assert.equal((await topup(shop, amountPaise as number)).status, 400, String(amountPaise));
      for (const [role, status] of [['viewer', 403], ['operations', 403], ['finance', 201], ['admin', 201]] as const) {
        assert.equal((await topup(shop, 5_000, { token: await world.member(shop, role) })).status, status, role);
      }
    });
  });

  describe('a wrong signature', () => {
    it('is 401 and stores nothing', async () => {
      const [shop, other] = [await world.merchant(), await world.merchant()];
      const { body } = await topup(shop, 5_000);
      const { body: another } = await topup(shop, 5_000);
      const proof = await pay(body.providerOrderId);
      const wrong = [
        { ...proof, signature: 'f'.repeat(64) },
        { ...proof, signature: 'x' },
        { ...proof, providerPaymentId: `${proof.providerPaymentId}0` },
        await pay(another.providerOrderId),
      ];
      const count = async () => Promise.all(['payments', 'ledger_entries', 'audit', 'outbox', 'idempotency'].map((name) => world.db.collection(name).countDocuments()));
      const before = await count();
      for (const bad of wrong) {
        const answer = await verify(shop, body.paymentId, bad, { key: key() });
        assert.deepEqual([answer.status, answer.body.error.code], [401, 'invalid_signature']);
      }
      assert.deepEqual(await count(), before);
      assert.equal((await verify(other, body.paymentId, proof)).status, 404);
      assert.equal((await verify(shop, body.paymentId, proof)).status, 200);
      assert.equal(await balance(shop), 5_000);
    });
  });

  describe('orders', () => {
    it('become placed by a verified payment of their total', async () => {
      const shop = await world.merchant();
      const { id } = await order(shop);
      const asked = await orderPayment(shop, id);
      assert.deepEqual([asked.status, asked.body.amountPaise, asked.body.status, asked.body.orderId], [201, 49_900, 'created', id]);
      const { statuses } = await race(10, async () => verify(shop, asked.body.id, await pay(asked.body.providerOrderId)));
      assert.deepEqual(statuses, { 200: 10 });
      assert.equal(await orderStatus(shop, id), 'placed');
      assert.equal(await balance(shop), 0);
      const again = await orderPayment(shop, id);
      assert.deepEqual([again.status, again.body.error.code], [409, 'order_not_payable']);
      const listed = await world.api('GET', `/v1/payments?orderId=${id}`, { token: shop.token });
      assert.deepEqual(listed.body.data.map((p: { id: string }) => p.id), [asked.body.id]);
      await world.checks();
    });

    it('a second payment of a paid order is orphaned, listed, and can be given back', async () => {
      const shop = await world.merchant();
      const { id } = await order(shop);
      const [one, two] = [await orderPayment(shop, id), await orderPayment(shop, id)];
      const { answers } = await race(2, async (i) => {
        const { body } = i === 0 ? one : two;
        return verify(shop, body.id, await pay(body.providerOrderId));
      });
      assert.deepEqual(answers.map((a) => a.body.status).sort(), ['captured', 'orphaned']);
      const orphans = (await world.api('GET', '/v1/payments?status=orphaned', { token: shop.token })).body.data;
      assert.equal(orphans.length, 1);
      const refund = await world.api('POST', `/v1/payments/${orphans[0].id}/refunds`, { token: shop.token, key: key(), body: { reason: 'Paid twice' } });
      assert.deepEqual([refund.status, refund.body.amountPaise, refund.body.status, refund.body.paymentStatus], [201, 49_900, 'processed', 'refunded']);
      assert.equal(await orderStatus(shop, id), 'placed');
      await world.checks();
    });

    it('a payment that comes after the order was cancelled is orphaned', async () => {
      const shop = await world.merchant();
      const placed = await order(shop);
      const asked = await orderPayment(shop, placed.id);
      const cancelled = await world.api('POST', `/v1/orders/${placed.id}/cancel`, { token: shop.token, ifMatch: placed.version, body: {} });
      assert.equal(cancelled.status, 200, JSON.stringify(cancelled.body));
      const late = await verify(shop, asked.body.id, await pay(asked.body.providerOrderId));
      assert.deepEqual([late.status, late.body.status], [200, 'orphaned']);
      assert.equal(await orderStatus(shop, placed.id), 'cancelled');
      await world.checks();
    });

    it('of another company, or unknown, are 404', async () => {
      const [shop, other] = [await world.merchant(), await world.merchant()];
      const { id } = await order(shop);
      assert.equal((await orderPayment(other, id)).status, 404);
      assert.equal((await orderPayment(shop, newId())).status, 404);
      const asked = await orderPayment(shop, id);
      assert.equal((await world.api('GET', `/v1/payments/${asked.body.id}`, { token: other.token })).status, 404);
      assert.equal((await world.api('GET', `/v1/payments/${asked.body.id}`, { token: shop.token })).body.id, asked.body.id);
    });
  });

  describe('refunds', () => {
    const refund = (shop: Merchant, id: string, body: object = {}, k = key()) => world.api('POST', `/v1/payments/${id}/refunds`, { token: shop.token, key: k, body });

    it('of a top-up leave the wallet, in parts, never more than there is', async () => {
      const shop = await world.merchant();
      const id = await paidTopup(shop, 10_000);
      assert.equal((await refund(shop, id, { amountPaise: 4_000 })).status, 201);
      const much = await refund(shop, id, { amountPaise: 6_001 });
      assert.deepEqual([much.status, much.body.error.code, much.body.error.details.refundablePaise], [409, 'refund_too_large', 6_000]);
      const rest = await refund(shop, id);
      assert.deepEqual([rest.body.amountPaise, rest.body.paymentStatus, rest.body.refundedPaise], [6_000, 'refunded', 10_000]);
      assert.equal((await refund(shop, id)).body.error.code, 'payment_not_refundable');
      assert.equal(await balance(shop), 0);
      await world.checks();
    });

    it('of money that is held or spent are refused', async () => {
      const shop = await world.merchant();
      const id = await paidTopup(shop, 10_000);
      await withTransaction(systemCtx('test', shop.companyId), async (ctx) =>
        holdForShipments(ctx, [{ tx: ctx, shipmentId: newId(), orderId: newId(), amountPaise: 2_000, cause: 'Booking', lines: [] }]),
      );
      const refused = await refund(shop, id);
      assert.deepEqual([refused.status, refused.body.error.code], [409, 'insufficient_balance']);
      assert.deepEqual(refused.body.error.details, { availablePaise: 8_000, neededPaise: 10_000 });
      assert.equal((await refund(shop, id, { amountPaise: 8_000 })).status, 201);
      await world.checks();
    });

    it('20 with one key are one, 20 with keys of their own are one full refund', async () => {
      const shop = await world.merchant();
      const id = await paidTopup(shop, 10_000);
      const same = key();
      const replayed = await race(20, () => refund(shop, id, { amountPaise: 1_000 }, same));
      assert.deepEqual(replayed.statuses, { 201: 20 });
      assert.equal(await balance(shop), 9_000);
      const { statuses } = await race(20, () => refund(shop, id));
      assert.deepEqual(statuses, { 201: 1, 409: 19 });
      assert.equal(await balance(shop), 0);
      await world.checks();
    });

    it('of a real provider wait for it: recorded at once, paid by the job, once', async () => {
      const shop = await world.merchant();
      const id = await paidTopup(shop, 10_000);
      await world.db.collection('payments').updateOne({ _id: id as never }, { $set: { provider: 'razorpay' } });
      const asked = await refund(shop, id, { amountPaise: 4_000 });
      assert.deepEqual([asked.status, asked.body.status, await balance(shop)], [201, 'pending', 6_000]);
      const waiting = await world.db.collection('jobs').findOne({ name: 'payments.refund', 'payload.refundId': asked.body.id });
      assert.equal(waiting?.['state'], 'queued');
      const calls: unknown[] = [];
      const provider: PaymentProvider = {
        name: 'razorpay',
        createOrder: () => Promise.reject(new Error('not asked')),
        checkoutHolds: () => false,
        refund(given) {
          calls.push(given);
          return Promise.resolve({ providerRefundId: 'rfnd_1' });
        },
      };
      for (let i = 0; i < 2; i += 1) await payRefund(systemCtx('test', shop.companyId), { paymentId: id, refundId: asked.body.id }, () => provider);
      assert.deepEqual(calls.length, 1);
      const stored = await world.db.collection('payments').findOne({ _id: id as never });
      assert.deepEqual([stored?.['refunds'][0].status, stored?.['refunds'][0].providerRefundId], ['processed', 'rfnd_1']);
      await world.db.collection('jobs').deleteMany({ name: 'payments.refund' });
      await world.checks();
    });

    it('of what was never paid are refused', async () => {
      const shop = await world.merchant();
      const { body } = await topup(shop, 5_000);
      assert.equal((await refund(shop, body.paymentId)).body.error.code, 'payment_not_refundable');
    });
  });

  describe('webhooks', () => {
    it('payment.captured and order.paid both come, 20 times at once: one credit', async () => {
      const shop = await world.merchant();
      const { body } = await topup(shop, 30_000);
      const { providerPaymentId } = await pay(body.providerOrderId);
      const types = ['payment.captured', 'order.paid'];
      const { statuses } = await race(20, (i) => webhook(event(types[i % 2] ?? '', body.providerOrderId, 30_000, providerPaymentId), { eventId: `evt_${shop.companyId}_${i % 2}` }));
      assert.deepEqual(statuses, { 200: 20 });
      assert.equal(await balance(shop), 30_000);
      const stored = await world.db.collection('payment_events').find({ paymentId: body.paymentId }).toArray();
      assert.deepEqual(stored.map((e) => e['outcome']).sort(), ['applied', 'repeated']);
      assert.doesNotMatch(JSON.stringify(stored), /payer@example/);
      await world.checks();
    });

    it('pay an order, and verify afterwards changes nothing', async () => {
      const shop = await world.merchant();
      const { id } = await order(shop);
      const { body } = await orderPayment(shop, id);
      const proof = await pay(body.providerOrderId);
      assert.equal((await webhook(event('order.paid', body.providerOrderId, 49_900, proof.providerPaymentId))).status, 200);
      assert.equal(await orderStatus(shop, id), 'placed');
      assert.equal((await verify(shop, body.id, proof)).body.status, 'captured');
      await world.checks();
    });

    it('a forged, changed or re-serialised body is 401 and stores nothing', async () => {
      const shop = await world.merchant();
      const { body } = await topup(shop, 30_000);
      const raw = event('payment.captured', body.providerOrderId, 30_000, 'pay_forged');
      const good = hmacHex(runtime().config.razorpayWebhookSecret ?? '', raw);
      const before = await world.db.collection('payment_events').countDocuments();
      const forged: [string, string][] = [
        [raw, ''],
        [raw, hmacHex('another secret', raw)],
        [raw.replace('30000', '90000'), good],
        [JSON.stringify(JSON.parse(raw), null, 1), good],
        [`${raw} `, good],
      ];
      for (const [bytes, signature] of forged) {
        const answer = await webhook(bytes, { signature });
        assert.deepEqual([answer.status, answer.body.error.code], [401, 'invalid_signature']);
      }
      assert.equal(await world.db.collection('payment_events').countDocuments(), before);
      assert.equal(await balance(shop), 0);
    });

    it('a wrong amount pays nothing; the right one afterwards does', async () => {
      const shop = await world.merchant();
      const { id } = await order(shop);
      const { body } = await orderPayment(shop, id);
      for (const amount of [49_899, 49_901, 0]) {
        assert.equal((await webhook(event('payment.captured', body.providerOrderId, amount, `pay_${shop.companyId}`))).status, 200);
      }
      assert.equal(await orderStatus(shop, id), 'pending_payment');
      assert.equal(await world.db.collection('payment_events').countDocuments({ paymentId: body.id, outcome: 'amount_mismatch' }), 3);
      const staff = await staffToken(world, 'operator');
      const list = async (query = '') => (await world.api('GET', `/v1/admin/payment-events${query}`, { token: staff })).body.data as Record<string, unknown>[];
      const own = (await list()).filter((row) => row['paymentId'] === body.id);
      assert.deepEqual(own.map((row) => [row['amountPaise'], row['expectedPaise'], row['companyId'], row['outcome']]), [0, 49_901, 49_899].map((paise) => [paise, 49_900, shop.companyId, 'amount_mismatch']));
      assert.ok((await list('?outcome=applied')).every((row) => row['outcome'] === 'applied'));
      assert.equal((await world.api('GET', '/v1/admin/payment-events', { token: shop.token })).status, 403);
      await webhook(event('payment.captured', body.providerOrderId, 49_900, `pay_${shop.companyId}`));
      assert.equal(await orderStatus(shop, id), 'placed');
      await world.checks();
    });

    it('a failed try is noted and a later one counts; what is captured never fails', async () => {
      const shop = await world.merchant();
      const { body } = await topup(shop, 2_000);
      const status = async () => (await world.api('GET', `/v1/payments/${body.paymentId}`, { token: shop.token })).body.status as string;
      await webhook(event('payment.failed', body.providerOrderId, 2_000, `pay_a${shop.companyId}`));
      assert.equal(await status(), 'failed');
      await webhook(event('payment.authorized', body.providerOrderId, 2_000, `pay_b${shop.companyId}`));
      assert.equal(await status(), 'authorized');
      await webhook(event('payment.captured', body.providerOrderId, 2_000, `pay_b${shop.companyId}`));
      await webhook(event('payment.failed', body.providerOrderId, 2_000, `pay_a${shop.companyId}`));
      assert.equal(await status(), 'captured');
      assert.equal(await balance(shop), 2_000);
      await world.checks();
    });

    it('unknown events and unknown orders are kept without an effect', async () => {
      assert.equal((await webhook('{"event":"subscription.charged","payload":{}}', { eventId: 'evt_unknown_type' })).status, 200);
      assert.equal((await webhook(event('payment.captured', 'order_nobody', 500, 'pay_nobody'), { eventId: 'evt_unknown_order' })).status, 200);
      const kept = await world.db.collection('payment_events').find({ eventId: /^evt_unknown_/ }).toArray();
      assert.deepEqual(kept.map((e) => e['outcome']).sort(), ['unknown_order', 'unknown_type']);
      assert.equal((await webhook('{}')).status, 400);
    });
  });

  it('the sandbox payer captures the payment of an order by itself, and a wrong signature is 401 all the same', async () => {
    const shop = await world.merchant();
    const { id } = await order(shop);
    const { body } = await orderPayment(shop, id);
    const proof = await pay(body.providerOrderId);
    const seen = (await world.api('GET', `/v1/payments/${body.id}`, { token: shop.token })).body;
    assert.deepEqual([seen.status, seen.providerPaymentId, await orderStatus(shop, id)], ['captured', proof.providerPaymentId, 'placed']);
    assert.equal((await verify(shop, body.id, { ...proof, signature: 'f'.repeat(64) })).status, 401);
    await world.checks();
  });

  it('the sandbox payer knows only its own orders', async () => {
    assert.equal((await world.api('POST', '/dev/sandbox/payments/order_nobody/pay')).status, 404);
  });

  describe('planted faults are found', () => {
    const faults: [string, (companyId: string, id: string) => Promise<unknown>, RegExp][] = [
      ['a captured top-up without its credit', (companyId) => world.db.collection('ledger_entries').deleteOne({ companyId, kind: 'topup' }), /credited 0 times/],
      ['a credit without its payment', (_, id) => world.db.collection('payments').deleteOne({ _id: id as never }), /does not exist/],
      ['a credit for an unpaid payment', (_, id) => world.db.collection('payments').updateOne({ _id: id as never }, { $set: { status: 'created' } }), /credited 1 times/],
      ['another amount', (_, id) => world.db.collection('payments').updateOne({ _id: id as never }, { $inc: { amountPaise: 1 } }), /is credited with/],
      ['a refund that is not there', (_, id) => world.db.collection('payments').updateOne({ _id: id as never }, { $inc: { refundedPaise: 1 } }), /its refunds/],
    ];
    for (const [name, plant, expected] of faults) {
      it(name, async () => {
        const shop = await world.merchant({ location: false });
        const id = await paidTopup(shop, 10_000);
        await plant(shop.companyId, id);
        const found = (await Promise.all(paymentChecks.map((check) => check.run()))).flat();
        assert.match(found.join('\n'), expected);
        for (const collection of ['payments', 'ledger_entries', 'wallets']) await world.db.collection(collection).deleteMany({ companyId: shop.companyId });
        await world.checks();
      });
    }
  });
});

describe('razorpay', () => {
  interface Seen {
    path: string | undefined;
    headers: Record<string, unknown>;
    body: Record<string, unknown>;
  }
  const seen: Seen[] = [];
  let reply: { status: number; body: unknown };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen.push({ path: request.url, headers: request.headers, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) });
      response.writeHead(reply.status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(reply.body));
    });
  });
  let provider: ReturnType<typeof makeRazorpay>;
  let world: World;

  before(async () => {
    world = await startWorld();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    provider = makeRazorpay({ keyId: 'rzp_test_1', keySecret: 'secret', baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  });
  after(async () => {
    await new Promise((resolve) => server.close(resolve));
    await world.close();
  });

  const isAway = (error: unknown) => error instanceof AppError && error.kind === 'unavailable' && error.code === 'payment_provider_unavailable';

  it('opens an order in INR with basic authentication', async () => {
    reply = { status: 200, body: { id: 'order_Abc', entity: 'order', amount: 5_000, currency: 'INR', receipt: 'r1', status: 'created' } };
    assert.deepEqual(await provider.createOrder({ amountPaise: 5_000, receipt: 'r1', notes: { purpose: 'topup' } }), { providerOrderId: 'order_Abc' });
    const call = seen.at(-1);
    assert.deepEqual([call?.path, call?.body], ['/v1/orders', { amount: 5_000, currency: 'INR', receipt: 'r1', notes: { purpose: 'topup' } }]);
    assert.equal(call?.headers['authorization'], `Basic ${Buffer.from('rzp_test_1:secret').toString('base64')}`);
  });

  it('refunds under an idempotency key of its own', async () => {
    reply = { status: 200, body: { id: 'rfnd_Abc', entity: 'refund', amount: 500, payment_id: 'pay_1', status: 'processed' } };
    assert.deepEqual(await provider.refund({ providerPaymentId: 'pay_1', amountPaise: 500, refundId: 'r'.repeat(24) }), { providerRefundId: 'rfnd_Abc' });
    assert.deepEqual([seen.at(-1)?.path, seen.at(-1)?.headers['x-refund-idempotency']], ['/v1/payments/pay_1/refund', 'r'.repeat(24)]);
  });

  for (const [name, answer] of [
    ['refuses', { status: 400, body: { error: { code: 'BAD_REQUEST_ERROR', description: 'no' } } }],
    ['fails', { status: 500, body: {} }],
    ['answers another amount', { status: 200, body: { id: 'order_Abc', amount: 1 } }],
    ['answers without an id', { status: 200, body: { amount: 5_000 } }],
  ] as const) {
    it(`that ${name} is a 503, never a payment`, async () => {
      reply = answer;
      await assert.rejects(provider.createOrder({ amountPaise: 5_000, receipt: 'r1', notes: {} }), isAway);
    });
  }

  it('is left in peace after five failures, however many ask, and asked again half a minute later', async () => {
    reply = { status: 502, body: {} };
    const ask = () => provider.createOrder({ amountPaise: 5_000, receipt: 'r1', notes: {} });
    const before = seen.length;
    for (let n = 0; n < 8; n += 1) await assert.rejects(ask(), isAway);
    assert.equal(seen.length - before, 5, 'no call of an open breaker goes out');
    assert.equal((await world.api('GET', '/health')).body.breakers.razorpay, 'open');
    world.advance(30_000);
    reply = { status: 200, body: { id: 'order_Abc', amount: 5_000 } };
    for (let n = 0; n < 2; n += 1) assert.equal((await ask()).providerOrderId, 'order_Abc');
    assert.equal((await world.api('GET', '/health')).body.breakers.razorpay, 'closed');
  });

  it('proves a checkout with the key secret', () => {
    const proof = { providerOrderId: 'order_1', providerPaymentId: 'pay_1' };
    assert.equal(provider.checkoutHolds({ ...proof, signature: checkoutSignature('secret', 'order_1', 'pay_1') }), true);
    assert.equal(provider.checkoutHolds({ ...proof, signature: checkoutSignature('other', 'order_1', 'pay_1') }), false);
  });
});
