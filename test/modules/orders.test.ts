import { strict as assert } from 'node:assert';
import { decideAhead, placeBatch, type ReadyBatch } from '../../src/modules/orders/order.place.ts';
import { normalizeOrder, type OrderInput } from '../../src/modules/orders/order.rules.ts';
import type { Placement } from '../../src/modules/orders/order.shelves.ts';
import { knownPincodes } from '../../src/modules/pincodes/index.ts';
import { BatchConflict } from '../../src/platform/db/collection.bulk.ts';
import { destroyKeys } from '../../src/platform/db/keyring.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { AppError } from '../../src/platform/errors.ts';
import { randomToken } from '../../src/platform/ids.ts';
import { ADDRESS, CUSTOMER, orderBody, place, stockProduct } from '../support/shop.ts';
import { memberCtx } from '../platform/house.ts';
import { race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

for (const lanes of ['on', 'off']) {
  describe(`orders (lanes ${lanes})`, () => {
    let world: World;
    let shop: Merchant;
    before(async () => {
      world = await startWorld({ LANES: lanes });
      shop = await world.merchant();
      await stockProduct(world, shop, 'LAMP', 1000);
      await stockProduct(world, shop, 'RUG', 1000, { pricePaise: 150_000, taxBp: 500 });
    });
    after(() => world.close());

    it('places an order: prices of the catalogue, tax included, stock reserved, a number, an audit row, an event', async () => {
      const answer = await place(world, shop.token, [{ sku: 'LAMP', quantity: 2 }, { sku: 'RUG', quantity: 1, unitPricePaise: 140_000 }]);
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      const order = answer.body;
      assert.match(order.orderNumber, /^DK-\d+$/);
      assert.equal(order.status, 'placed');
      assert.deepEqual(order.totals, { subtotalPaise: 239_800, discountPaise: 0, shippingPaise: 0, taxPaise: 15_224 + 6_667, totalPaise: 239_800 });
      assert.deepEqual(order.customer, { name: 'Meera Nair', phone: '+919876543210', email: 'meera@example.in' });
      assert.equal(order.shippingAddress.state, 'Karnataka');
      assert.equal(order.parcelSource, 'products');
      assert.equal(answer.headers.get('etag'), '"1"');
      const audit = await world.db.collection('audit').findOne({ rowId: order.id });
      assert.equal(audit?.['actorId'], shop.userId);
      const event = await world.db.collection('outbox').findOne({ type: 'order.placed', key: order.id });
      assert(event?.['expireAt'] instanceof Date && !('pending' in event), 'nobody hears of it, so it waits for nobody');
      const stock = await world.api('GET', '/v1/stock?sku=LAMP', { token: shop.token });
      assert.equal(stock.body.data[0].reserved, 2);
      await world.checks();
    });

    it('takes a SKU outside the catalogue with name and price, and names what is missing otherwise', async () => {
      const fine = await place(world, shop.token, [{ sku: 'ODD-1', name: 'Odd thing', quantity: 1, unitPricePaise: 5_000 }]);
      assert.equal(fine.status, 201);
      assert.equal(fine.body.parcelSource, 'default');
      const bad = await place(world, shop.token, [{ sku: 'ODD-1', quantity: 1 }]);
      assert.equal(bad.status, 400);
      assert.deepEqual(bad.body.error.details.fields.map((f: { path: string }) => f.path), ['lines.0.unitPricePaise', 'lines.0.name']);
    });

    const badInputs: [string, object, string[]][] = [
      ['a landline', { customer: { ...CUSTOMER, phone: '011-23456789' } }, ['customer.phone']],
      ['an unknown pincode', { shippingAddress: { ...ADDRESS, pincode: '999999' } }, ['shippingAddress.pincode']],
      ['a state of nowhere', { shippingAddress: { ...ADDRESS, state: 'Atlantis' } }, ['shippingAddress.state']],
      ['another country', { shippingAddress: { ...ADDRESS, country: 'US' } }, ['shippingAddress.country']],
      ['a bad e-mail', { customer: { ...CUSTOMER, email: 'nobody' } }, ['customer.email']],
      ['no lines', { lines: [] }, ['lines']],
      ['quantity 0', { lines: [{ sku: 'LAMP', quantity: 0 }] }, ['lines.0.quantity']],
      ['quantity 101', { lines: [{ sku: 'LAMP', quantity: 101 }] }, ['lines.0.quantity']],
      ['half a quantity', { lines: [{ sku: 'LAMP', quantity: 1.5 }] }, ['lines.0.quantity']],
      ['a text quantity', { lines: [{ sku: 'LAMP', quantity: '1' }] }, ['lines.0.quantity']],
      ['a negative price', { lines: [{ sku: 'LAMP', quantity: 1, unitPricePaise: -1 }] }, ['lines.0.unitPricePaise']],
      ['an unknown key', { price: 1 }, ['price']],
      ['a status', { status: 'delivered' }, ['status']],
      ['another payment method', { paymentMethod: 'barter' }, ['paymentMethod']],
      ['51 tags', { tags: Array.from({ length: 51 }, (_, i) => `t${i}`) }, ['tags']],
      ['201 lines', { lines: Array.from({ length: 201 }, () => ({ sku: 'LAMP', quantity: 1 })) }, ['lines']],
      ['notes of 1,001', { notes: 'x'.repeat(1001) }, ['notes']],
      ['an operator for a SKU', { lines: [{ sku: { $ne: null }, quantity: 1 }] }, ['lines.0.sku']],
      ['collecting COD', { collectPayment: true }, ['collectPayment']],
      ['two faults', { customer: { ...CUSTOMER, phone: '12' }, shippingAddress: { ...ADDRESS, pincode: '012345' } }, ['customer.phone', 'shippingAddress.pincode']],
    ];
    for (const [name, extra, paths] of badInputs) {
      it(`refuses ${name} with 400 naming ${paths.join(', ')}`, async () => {
        const answer = await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], extra);
        assert.equal(answer.status, 400, JSON.stringify(answer.body));
        const found = answer.body.error.details.fields.map((f: { path: string }) => f.path);
        for (const path of paths) assert.ok(found.includes(path), `${path} in ${found}`);
      });
    }

    it('refuses without an Idempotency-Key', async () => {
      const answer = await world.api('POST', '/v1/orders', { token: shop.token, body: orderBody([{ sku: 'LAMP', quantity: 1 }]) });
      assert.deepEqual([answer.status, answer.body.error.code], [400, 'idempotency_key_required']);
    });

    it('answers 20 parallel calls of one key with one order and 19 replays', async () => {
      const key = randomToken(12);
      const body = orderBody([{ sku: 'LAMP', quantity: 1 }]);
      const { answers, statuses } = await race(20, () => world.api('POST', '/v1/orders', { token: shop.token, key, body }));
      assert.deepEqual(statuses, { 201: 20 });
      assert.equal(new Set(answers.map((a) => a.body.id)).size, 1);
      assert.equal(answers.filter((a) => a.headers.get('idempotent-replayed') === 'true').length, 19);
      const reused = await world.api('POST', '/v1/orders', { token: shop.token, key, body: { ...body, notes: 'another' } });
      assert.equal(reused.body.error.code, 'idempotency_key_reused');
      world.advance(25 * 3_600_000);
      shop = { ...shop, token: (await world.api('POST', '/v1/auth/login', { body: { email: shop.email, password: shop.password } })).body.accessToken };
      const late = await world.api('POST', '/v1/orders', { token: shop.token, key, body });
      assert.deepEqual([late.status, late.body.error.code, late.body.error.details.id], [409, 'order_exists', answers[0]?.body.id]);
    });

    it('sells exactly 50 of 50 to 100 buyers and refuses the rest cleanly', async () => {
      await stockProduct(world, shop, 'HOT', 50);
      const { answers, statuses } = await race(100, () => place(world, shop.token, [{ sku: 'HOT', quantity: 1 }]));
      assert.deepEqual(statuses, { 201: 50, 409: 50 });
      for (const a of answers.filter((x) => x.status === 409)) assert.deepEqual([a.body.error.code, a.body.error.details.sku], ['out_of_stock', 'HOT']);
      await world.checks();
    });

    it('redeems a coupon of 10 uses exactly 10 times for 40 buyers, and gives a use back on cancel', async () => {
      const made = await world.api('POST', '/v1/coupons', { token: shop.token, body: { code: 'diwali10', kind: 'percent', valueBp: 1000, usageLimit: 10 } });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      const { answers, statuses } = await race(40, (i) => place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], { couponCode: 'DIWALI10', customer: { name: 'B', phone: `98000${10_000 + i}` } }));
      assert.deepEqual(statuses, { 201: 10, 409: 30 });
      assert.ok(answers.filter((a) => a.status === 409).every((a) => a.body.error.code === 'coupon_used_up'));
      const [won] = answers.filter((a) => a.status === 201);
      assert.equal(won?.body.totals.discountPaise, 4_990);
      const cancelled = await world.api('POST', `/v1/orders/${won?.body.id}/cancel`, { token: shop.token, ifMatch: 1, body: { reason: 'changed mind' } });
      assert.equal(cancelled.body.status, 'cancelled', JSON.stringify(cancelled.body));
      assert.equal((await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], { couponCode: 'diwali10' })).status, 201);
      await world.checks();
    });

    it('lets one customer use a coupon once, whatever the spelling of the phone', async () => {
      await world.api('POST', '/v1/coupons', { token: shop.token, body: { code: 'ONCE', kind: 'flat', valuePaise: 500, perCustomerLimit: 1 } });
      const spellings = ['9811111111', '+91 98111 11111', '09811111111', '919811111111'];
      const { statuses, answers } = await race(40, (i) => place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], { couponCode: 'ONCE', customer: { name: 'B', phone: spellings[i % 4] } }));
      assert.deepEqual(statuses, { 201: 1, 409: 39 });
      assert.ok(answers.filter((a) => a.status === 409).every((a) => a.body.error.code === 'coupon_limit_reached'));
      await world.checks();
    });

    it('holds what was decided ahead against the shelves as they are when its turn comes', async () => {
      await stockProduct(world, shop, 'AHEAD', 1);
      const buy = (extra: object = {}): Promise<Answer> => place(world, shop.token, [{ sku: 'AHEAD', quantity: 1 }], extra);
      const known = await knownPincodes();
      const placementOf = (extra: object = {}): Placement => ({
        ctx: memberCtx(shop.companyId),
        request: normalizeOrder(orderBody([{ sku: 'AHEAD', quantity: 1 }], extra) as unknown as OrderInput, known),
      });
      const ahead = (placement: Placement): Promise<ReadyBatch | undefined> => decideAhead([{ companyId: shop.companyId, input: placement }]);

      const sold = placementOf();
      const early = await ahead(sold);
      assert.equal(early?.decided.length, 1);
      assert.equal((await buy()).status, 201);
      await assert.rejects(placeBatch([sold], { ahead: early }), BatchConflict);

      assert.equal(await ahead(sold), undefined, 'nobody is refused on what was read before');
      const receipt = { reference: 'AHEAD', lines: [{ sku: 'AHEAD', locationId: shop.locationId, quantity: 5 }] };
      assert.ok((await world.api('POST', '/v1/stock/receipts', { token: shop.token, body: receipt })).status < 300);
      assert.deepEqual((await placeBatch([sold])).map((o) => o.ok), [true]);

      const twin = placementOf({ externalId: '#ahead' });
      const prepared = await ahead(twin);
      assert.equal((await buy({ externalId: '#ahead' })).status, 201);
      const [outcome] = await placeBatch([twin], { ahead: prepared });
      assert.ok(outcome && !outcome.ok && outcome.error instanceof AppError && outcome.error.code === 'order_exists');
      await world.checks();
    });

    it('decides ahead on stock and coupons as they were seen, and reads them again when they have changed since', async () => {
      await stockProduct(world, shop, 'SEEN', 10);
      await world.api('POST', '/v1/coupons', { token: shop.token, body: { code: 'SEEN', kind: 'flat', valuePaise: 500, usageLimit: 4 } });
      const known = await knownPincodes();
      const placementOf = (quantity: number): Placement => ({
        ctx: memberCtx(shop.companyId),
        request: normalizeOrder(orderBody([{ sku: 'SEEN', quantity }], { couponCode: 'SEEN' }) as unknown as OrderInput, known),
      });
      const ahead = (...placements: Placement[]): Promise<ReadyBatch | undefined> => decideAhead(placements.map((input) => ({ companyId: shop.companyId, input })));
      const totals = (batch: ReadyBatch | undefined): unknown[] => (batch?.decided ?? []).map(({ item }) => item.order.totals.discountPaise);

      assert.deepEqual((await placeBatch([placementOf(4)])).map((o) => o.ok), [true]);
      world.commands();
      const prepared = await ahead(placementOf(6));
      assert.deepEqual([totals(prepared), world.commands()], [[500], 0], 'nothing is read for what was seen');
      assert.equal(await ahead(placementOf(7)), undefined, 'what was reserved here since is not free');

      // As another process would: it is heard of by the guard alone.
      await world.db.collection('coupons').updateOne({ companyId: shop.companyId, code: 'SEEN' }, { $set: { valuePaise: 400 } });
      await assert.rejects(placeBatch([placementOf(6)], { ahead: prepared }), BatchConflict);
      const [dearer] = await placeBatch([placementOf(1)]);
      assert.ok(dearer?.ok && dearer.value.totals.discountPaise === 400);
      assert.deepEqual(totals(await ahead(placementOf(5))), [400]);

      assert.equal(await ahead(placementOf(1), placementOf(1), placementOf(1)), undefined, 'two uses of four are left');
      const two = [placementOf(1), placementOf(1)];
      assert.deepEqual((await placeBatch(two, { ahead: await ahead(...two) })).map((o) => o.ok), [true, true]);
      const [refused] = await placeBatch([placementOf(1)]);
      assert.ok(refused && !refused.ok && refused.error instanceof AppError && refused.error.code === 'coupon_used_up');
      await world.checks();
    });

    it('remembers nothing that a failed attempt took, and no place less than there are', async () => {
      await stockProduct(world, shop, 'DRIFT', 10);
      const known = await knownPincodes();
      const placementOf = (extra: object = {}): Placement => ({
        ctx: memberCtx(shop.companyId),
        request: normalizeOrder(orderBody([{ sku: 'DRIFT', quantity: 10 }], extra) as unknown as OrderInput, known),
      });
      const isAhead = async (): Promise<boolean> => (await decideAhead([{ companyId: shop.companyId, input: placementOf() }])) !== undefined;
      const failing = placeBatch([placementOf()], { alongside: () => Promise.reject(new Error('aborted')) });
      await assert.rejects(failing, /aborted/);
      const late = placeBatch([placementOf()], { nearlyDone: () => { throw new Error('aborted late'); } });
      await assert.rejects(late, /aborted late/);
      assert.equal(await isAhead(), true);
      assert.deepEqual((await placeBatch([placementOf()])).map((o) => o.ok), [true]);
      const receipt = { reference: 'DRIFT', lines: [{ sku: 'DRIFT', locationId: shop.locationId, quantity: 10 }] };
      assert.ok((await world.api('POST', '/v1/stock/receipts', { token: shop.token, body: receipt })).status < 300);
      assert.equal(await isAhead(), true, 'what has come is there');
      await world.checks();
    });

    it('refuses the rest cleanly and hurts no neighbour when another process takes what was seen here', async () => {
      for (const sku of ['TAKEN', 'FREE']) await stockProduct(world, shop, sku, 1_000);
      await world.api('POST', '/v1/coupons', { token: shop.token, body: { code: 'TAKEN', kind: 'flat', valuePaise: 500, usageLimit: 1_000 } });
      const order = (i: number): Promise<Answer> =>
        i % 3 === 0 ? place(world, shop.token, [{ sku: 'FREE', quantity: 1 }]) : place(world, shop.token, [{ sku: i % 3 === 1 ? 'TAKEN' : 'FREE', quantity: 1 }], i % 3 === 1 ? {} : { couponCode: 'TAKEN' });
      assert.deepEqual((await race(30, order)).statuses, { 201: 30 });
      const mine = { companyId: shop.companyId };
      const [stock, coupons] = [world.db.collection('stock'), world.db.collection('coupons')];
      await stock.updateOne({ ...mine, sku: 'TAKEN' }, { $set: { available: 0 } });
      await coupons.updateOne({ ...mine, code: 'TAKEN' }, { $set: { usageLimit: 10 } });
      const { answers, statuses } = await race(60, order);
      assert.deepEqual(statuses, { 201: 20, 409: 40 });
      assert.deepEqual([...new Set(answers.filter((a) => a.status === 409).map((a) => a.body.error.code))].sort(), ['coupon_used_up', 'out_of_stock']);
      await stock.updateOne({ ...mine, sku: 'TAKEN' }, { $set: { available: 990 } });
      await coupons.updateOne({ ...mine, code: 'TAKEN' }, { $set: { usageLimit: 1_000 } });
      assert.deepEqual((await race(30, order)).statuses, { 201: 30 }, 'nobody is refused on what was seen');
      await world.checks();
    });

    it('stores no order of a company that was erased after its batch was decided, and every one of its neighbours', async () => {
      const other = await world.merchant();
      await stockProduct(world, shop, 'NEAR', 5);
      const known = await knownPincodes();
      const placementOf = (companyId: string, line: object): Placement => ({ ctx: memberCtx(companyId), request: normalizeOrder(orderBody([line]) as unknown as OrderInput, known) });
      const theirs = placementOf(other.companyId, { sku: 'OUTSIDE', name: 'Toy', quantity: 1, unitPricePaise: 5_000 });
      const ours = placementOf(shop.companyId, { sku: 'NEAR', quantity: 1 });
      const prepared = await decideAhead([theirs, ours].map((input) => ({ companyId: input.ctx.companyId, input })));
      assert.equal(prepared?.decided.length, 2);
      await withTransaction(memberCtx(other.companyId), async (ctx) => destroyKeys(ctx, other.companyId));
      const isErased = (error: unknown): boolean => error instanceof AppError && error.code === 'data_erased';
      await assert.rejects(placeBatch([theirs, ours], { ahead: prepared }), isErased);
      await assert.rejects(placeBatch([theirs]), isErased);
      assert.deepEqual((await placeBatch([ours])).map((o) => o.ok), [true]);
      assert.equal(await world.db.collection('orders').countDocuments({ companyId: other.companyId }), 0);
    });

    it('numbers 100 parallel orders with 100 numbers', async () => {
      const { answers } = await race(100, () => place(world, shop.token, [{ sku: 'ODD', name: 'Odd', quantity: 1, unitPricePaise: 100 }]));
      assert.equal(new Set(answers.map((a) => a.body.orderNumber)).size, 100);
    });

    it('keeps one order per external id and names the first one', async () => {
      const { answers, statuses } = await race(10, () => place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], { externalId: '#1001' }));
      assert.deepEqual(statuses, { 201: 1, 409: 9 });
      const id = answers.find((a) => a.status === 201)?.body.id;
      assert.ok(answers.filter((a) => a.status === 409).every((a) => a.body.error.code === 'order_exists' && a.body.error.details.id === id));
    });

    it('cancels once: stock comes back, a second cancel is refused, a stale version is 412, none is 428', async () => {
      const { body: order } = await place(world, shop.token, [{ sku: 'RUG', quantity: 3 }]);
      const path = `/v1/orders/${order.id}/cancel`;
      assert.equal((await world.api('POST', path, { token: shop.token, body: {} })).status, 428);
      const late = await world.api('POST', path, { token: shop.token, ifMatch: 7, body: {} });
      assert.deepEqual([late.status, late.body.error.details.currentVersion], [412, 1]);
      const { statuses } = await race(10, () => world.api('POST', path, { token: shop.token, ifMatch: 1, body: {} }));
      assert.deepEqual(statuses, { 200: 1, 412: 9 });
      const again = await world.api('POST', path, { token: shop.token, ifMatch: 2, body: {} });
      assert.deepEqual([again.status, again.body.error.code], [409, 'order_not_cancellable']);
      await world.checks();
    });

    it('edits what still makes sense and writes who changed what into the timeline', async () => {
      const { body: order } = await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }]);
      const edited = await world.api('PATCH', `/v1/orders/${order.id}`, { token: shop.token, ifMatch: 1, body: { tags: ['gift', ' gift '], notes: 'Ring twice', shippingAddress: { ...ADDRESS, pincode: '560002' } } });
      assert.equal(edited.status, 200, JSON.stringify(edited.body));
      assert.equal(edited.body.shippingAddress.pincode, '560002');
      const timeline = await world.api('GET', `/v1/orders/${order.id}/timeline`, { token: shop.token });
      assert.deepEqual(timeline.body.data.map((e: { kind: string }) => e.kind), ['status', 'edit']);
      assert.equal(timeline.body.data[1].by.id, shop.userId);
      const { statuses } = await race(20, (i) => world.api('PATCH', `/v1/orders/${order.id}`, { token: shop.token, ifMatch: 2, body: { notes: `n${i}` } }));
      assert.deepEqual(statuses, { 200: 1, 412: 19 });
    });

    it('confirms a placed order only', async () => {
      const { body: order } = await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }]);
      const confirmed = await world.api('POST', `/v1/orders/${order.id}/confirm`, { token: shop.token, ifMatch: 1 });
      assert.equal(confirmed.body.status, 'confirmed', JSON.stringify(confirmed.body));
      const again = await world.api('POST', `/v1/orders/${order.id}/confirm`, { token: shop.token, ifMatch: 2 });
      assert.equal(again.body.error.code, 'order_not_confirmable');
    });

    it('holds the stock of an unpaid order for its time and then gives it back', async () => {
      await stockProduct(world, shop, 'WAIT', 5);
      const { body: order } = await place(world, shop.token, [{ sku: 'WAIT', quantity: 5 }], { paymentMethod: 'prepaid', collectPayment: true });
      assert.equal(order.status, 'pending_payment');
      assert.equal((await place(world, shop.token, [{ sku: 'WAIT', quantity: 1 }])).status, 409);
      await world.settle();
      world.advance(31 * 60_000);
      await world.settle();
      shop = { ...shop, token: (await world.api('POST', '/v1/auth/login', { body: { email: shop.email, password: shop.password } })).body.accessToken };
      assert.equal((await world.api('GET', `/v1/orders/${order.id}`, { token: shop.token })).body.status, 'expired');
      assert.equal((await place(world, shop.token, [{ sku: 'WAIT', quantity: 5 }])).status, 201);
      await world.checks();
    });

    it('finds by phone in any spelling, e-mail, external id and number; lists mask, single orders show', async () => {
      const { body: order } = await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], { externalId: 'X-77', customer: { name: 'Zoya', phone: '9822222222', email: 'zoya@example.in' } });
      for (const query of ['phone=%2B919822222222', 'phone=098222%2022222', 'email=ZOYA@example.in', 'externalId=X-77', `q=${order.orderNumber}`, 'q=9822222222', 'q=zoya@example.in']) {
        const { body } = await world.api('GET', `/v1/orders?${query}`, { token: shop.token });
        assert.deepEqual(body.data.map((o: { id: string }) => o.id), [order.id], query);
        assert.deepEqual([body.data[0].customer.phone, body.data[0].customer.email], ['+91******2222', 'z***@example.in']);
      }
      assert.equal((await world.api('GET', `/v1/orders/${order.id}`, { token: shop.token })).body.customer.phone, '+919822222222');
    });

    it('pages without loss or repeat, caps the limit, refuses what is not a limit', async () => {
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const { body }: { body: { data: { id: string }[]; nextCursor: string | null } } = await world.api('GET', `/v1/orders?limit=37${cursor ? `&cursor=${cursor}` : ''}`, { token: shop.token });
        seen.push(...body.data.map((o) => o.id));
        cursor = body.nextCursor;
      } while (cursor);
      assert.equal(new Set(seen).size, seen.length);
      assert.equal(seen.length, await world.db.collection('orders').countDocuments({ companyId: shop.companyId }));
      assert.equal((await world.api('GET', '/v1/orders?limit=5000', { token: shop.token })).status, 200);
      for (const query of ['limit=0', 'limit=-1', 'limit=x', 'limit=1&limit=2', 'cursor=abc', 'sort=price', 'from=2026-02-01&to=2026-01-01']) {
        assert.equal((await world.api('GET', `/v1/orders?${query}`, { token: shop.token })).status, 400, query);
      }
    });

    it('shows another company nothing and lets it change nothing', async () => {
      const other = await world.merchant();
      const { body: order } = await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }]);
      for (const [method, path] of [['GET', ''], ['PATCH', ''], ['POST', '/cancel'], ['POST', '/confirm'], ['GET', '/timeline']] as const) {
        const answer = await world.api(method, `/v1/orders/${order.id}${path}`, { token: other.token, ifMatch: 1, ...(method === 'GET' ? {} : { body: method === 'PATCH' ? { notes: 'x' } : {} }) });
        assert.equal(answer.status, 404, `${method} ${path}: ${JSON.stringify(answer.body)}`);
      }
      assert.deepEqual((await world.api('GET', '/v1/orders', { token: other.token })).body.data, []);
      assert.equal((await place(world, other.token, [{ sku: 'ODD', name: 'x', quantity: 1, unitPricePaise: 1 }], { pickupLocationId: shop.locationId })).status, 404);
    });

    it('sends the same number of commands for a list of 1 and of 100', async () => {
      world.commands();
      await world.api('GET', '/v1/orders?limit=1', { token: shop.token });
      const one = world.commands();
      await world.api('GET', '/v1/orders?limit=100', { token: shop.token });
      assert.equal(world.commands(), one);
    });

    it('exports CSV with masked phones and no formulas', async () => {
      await place(world, shop.token, [{ sku: 'LAMP', quantity: 1 }], { customer: { name: '=cmd()', phone: '9833333333' } });
      const answer = await world.api('GET', '/v1/orders/export.csv?phone=9833333333', { token: shop.token });
      assert.equal(answer.status, 200);
      const [, row] = String(answer.body).split('\r\n');
      assert.ok(row?.includes("'=cmd()") && row.includes('+91******3333'), row);
    });
  });
}
