import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { couponChecks } from '../../src/modules/coupons/coupon.checks.ts';
import {
  couponDiscount,
  customerKeyOf,
  giveBackCoupon,
  couponRows,
  readCouponUses,
  redeemCoupons,
  type Coupon,
  type CouponOrder,
} from '../../src/modules/coupons/index.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { BatchConflict } from '../../src/platform/db/collection.bulk.ts';
import type { Row } from '../../src/platform/db/collection.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { AppError } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { race, startWorld, type Merchant, type World } from '../support/world.ts';

const T = Date.UTC(2026, 0, 15);

describe('coupon rules', () => {
  const coupon: Coupon = { code: 'C', kind: 'percent', valueBp: 1_000, used: 0, status: 'active' };
  const order: CouponOrder = {
    subtotalPaise: 100_000,
    shippingPaise: 5_000,
    lines: [{ sku: 'A', totalPaise: 60_000 }, { sku: 'B', totalPaise: 40_000 }],
    pincode: '110001',
    paymentMethod: 'prepaid',
    atMs: T,
  };
  const flat = { kind: 'flat', valueBp: undefined, valuePaise: 30_000 } as never as Partial<Coupon>;

  for (const [what, change, orderChange, expected] of [
    ['10 % of everything', {}, {}, 10_000],
    ['a half paisa rounds up', { valueBp: 1_250 }, { subtotalPaise: 1_004 }, 126],
    ['percent up to its cap', { maxDiscountPaise: 700 }, {}, 700],
    ['100 %', { valueBp: 10_000 }, {}, 100_000],
    ['flat', flat, {}, 30_000],
    ['flat is never more than the order', flat, { subtotalPaise: 29_999 }, 29_999],
    ['only the lines that count', { restrictions: { skus: ['B', 'Z'] } }, {}, 4_000],
    ['flat is never more than the lines that count', { ...flat, restrictions: { skus: ['B'] } }, { lines: [{ sku: 'B', totalPaise: 100 }] }, 100],
    ['no line counts', { restrictions: { skus: ['Z'] } }, {}, 'coupon_not_applicable'],
    ['empty lists limit nothing', { restrictions: { skus: [], userIds: [], postalCodes: [], paymentMethods: [] } }, {}, 10_000],
    ['a pincode in the list', { restrictions: { postalCodes: ['110001'] } }, {}, 10_000],
    ['a pincode outside the list', { restrictions: { postalCodes: ['560001'] } }, {}, 'coupon_not_applicable'],
    ['no pincode where one is asked for', { restrictions: { postalCodes: ['560001'] } }, { pincode: undefined }, 'coupon_not_applicable'],
    ['a payment method outside the list', { restrictions: { paymentMethods: ['cod'] } }, {}, 'coupon_not_applicable'],
    ['a buyer in the list', { restrictions: { userIds: ['u'] } }, { userId: 'u' }, 10_000],
    ['an unknown buyer', { restrictions: { userIds: ['u'] } }, {}, 'coupon_not_applicable'],
    ['exactly the least order', { minOrderPaise: 100_000 }, {}, 10_000],
    ['one paisa under the least order', { minOrderPaise: 100_001 }, {}, 'coupon_min_order'],
    ['its first moment', { startsAt: new Date(T) }, {}, 10_000],
    ['a moment before', { startsAt: new Date(T + 1) }, {}, 'coupon_not_started'],
    ['its last moment', { endsAt: new Date(T + 1) }, {}, 10_000],
    ['its end', { endsAt: new Date(T) }, {}, 'coupon_expired'],
    ['archived', { status: 'archived' }, {}, 'coupon_not_found'],
  ] as [string, Partial<Coupon>, Partial<CouponOrder>, number | string][]) {
    it(`${what}: ${expected}`, () => {
      const verdict = couponDiscount({ ...coupon, ...change }, { ...order, ...orderChange });
      assert.deepEqual(verdict.ok ? verdict.discountPaise : verdict.code, expected);
    });
  }

  it('free shipping takes nothing off the lines', () => {
    assert.deepEqual(couponDiscount({ ...coupon, kind: 'free_shipping' }, order), { ok: true, discountPaise: 0, freeShipping: true });
    assert.equal(couponDiscount(undefined, order).ok, false);
  });
});

describe('coupons', () => {
  let world: World;
  let shop: Merchant;
  let other: Merchant;
  let codes = 0;

  before(async () => {
    world = await startWorld();
    [shop, other] = [await world.merchant(), await world.merchant()];
  });
  after(() => world.close());

  const checks = async (): Promise<void> => {
    for (const check of couponChecks) assert.deepEqual(await check.run(), [], check.name);
  };
  const nextCode = () => `CODE${(codes += 1)}`;
  const post = (body: object, token = shop.token) => world.api('POST', '/v1/coupons', { token, body });
  const add = async (terms: object = {}, owner = shop): Promise<string> => {
    const code = nextCode();
    const made = await post({ code, kind: 'flat', valuePaise: 500, ...terms }, owner.token);
    assert.equal(made.status, 201, JSON.stringify(made.body));
    return made.body.code;
  };
  const read = async (code: string, owner = shop): Promise<Row<Coupon>> => {
    const [row] = await couponRows.see(systemCtx('test', owner.companyId), [{ companyId: owner.companyId, names: [code] }]);
    assert.ok(row);
    return row;
  };
  /** Redeems as a plain order would: read, decide, commit under the guards, and again after a conflict. */
  const redeem = async (code: string, phone: string, orderId = newId()): Promise<'used' | 'refused'> => {
    const ctx = systemCtx('test', shop.companyId);
    const customerKey = customerKeyOf(shop.companyId, { phone });
    for (;;) {
      const coupon = await read(code);
      const [use] = await readCouponUses(ctx, [{ companyId: shop.companyId, couponId: coupon._id, customerKey }]);
      if (coupon.used >= (coupon.usageLimit ?? Infinity) || (use?.count ?? 0) >= (coupon.perCustomerLimit ?? Infinity)) return 'refused';
      try {
        await withTransaction(ctx, (ctx) => redeemCoupons(ctx, [{ tx: ctx, coupon, orderId, customerKey, discountPaise: 500 }]));
        return 'used';
      } catch (error) {
        const busy = error instanceof AppError && error.kind === 'unavailable';
        if (!busy && !(error instanceof BatchConflict)) throw error;
      }
    }
  };
  const phoneOf = (i: number) => `98000${String(i).padStart(5, '0')}`;
  const tally = async (calls: Promise<string>[]) => {
    const outcomes = await Promise.all(calls);
    return [outcomes.filter((o) => o === 'used').length, outcomes.filter((o) => o === 'refused').length];
  };

  it('adds, reads, changes and ends a coupon under its version', async () => {
    const made = await post({
      code: ' diwali-26 ',
      kind: 'percent',
      valueBp: 1_500,
      maxDiscountPaise: 20_000,
      endsAt: '2026-11-12T23:59:59+05:30',
      usageLimit: 100,
      perCustomerLimit: 1,
      restrictions: { postalCodes: ['110 001', '110001'], paymentMethods: ['prepaid'] },
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.deepEqual([made.body.code, made.body.used, made.body.endsAt], ['DIWALI-26', 0, '2026-11-12T18:29:59.000Z']);
    assert.deepEqual(made.body.restrictions, { postalCodes: ['110001'], paymentMethods: ['prepaid'] });
    const path = `/v1/coupons/${made.body.id}`;
    assert.deepEqual((await world.api('GET', path, { token: shop.token })).body, made.body);
    assert.deepEqual((await world.api('GET', '/v1/coupons?code=diwali-26', { token: shop.token })).body.data, [made.body]);
    assert.equal((await world.api('PATCH', path, { token: shop.token, body: { valueBp: 1 } })).status, 428);
    const changed = await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { valueBp: 2_000, endsAt: null, restrictions: null } });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    assert.deepEqual([changed.body.valueBp, 'endsAt' in changed.body, 'restrictions' in changed.body, changed.body.usageLimit], [2_000, false, false, 100]);
    const whole = await world.api('PATCH', path, { token: shop.token, ifMatch: 2, body: { kind: 'flat' } });
    assert.deepEqual((whole.body.error.details.fields as { path: string }[]).map((f) => f.path), ['valueBp', 'valuePaise']);
    assert.equal((await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { valueBp: 1 } })).status, 412);
    const ended = await world.api('DELETE', path, { token: shop.token, ifMatch: 2 });
    assert.deepEqual([ended.status, ended.body.status], [200, 'archived']);
    const again = await post({ code: 'DIWALI-26', kind: 'flat', valuePaise: 1 });
    assert.deepEqual([again.status, again.body.error.code], [409, 'coupon_exists']);
    assert.equal((await post({ code: 'DIWALI-26', kind: 'flat', valuePaise: 1 }, other.token)).status, 201);
  });

  const many = (n: number) => Array.from({ length: n }, (_, i) => String(i));
  for (const [what, change, paths] of [
    ['no value', { valuePaise: undefined }, ['valuePaise']],
    ['a value of another kind', { valueBp: 100 }, ['valueBp']],
    ['percent without basis points', { kind: 'percent' }, ['valueBp', 'valuePaise']],
    ['free shipping with a value', { kind: 'free_shipping' }, ['valuePaise']],
    ['more than 100 %', { kind: 'percent', valuePaise: undefined, valueBp: 10_001 }, ['valueBp']],
    ['a code with blanks inside', { code: 'A B' }, ['code']],
    ['an empty code', { code: '  ' }, ['code']],
    ['a code of 51 characters', { code: 'X'.repeat(51) }, ['code']],
    ['a kind nobody knows', { kind: 'gift' }, ['kind']],
    ['an end before the start', { startsAt: '2026-02-01T00:00:00Z', endsAt: '2026-01-01T00:00:00Z' }, ['endsAt']],
    ['a limit of 0', { usageLimit: 0, perCustomerLimit: 0 }, ['usageLimit', 'perCustomerLimit']],
    ['a bad pincode', { restrictions: { postalCodes: ['110001', '012345'] } }, ['restrictions.postalCodes.1']],
    ['10,001 buyers', { restrictions: { userIds: many(10_001) } }, ['restrictions.userIds']],
    ['10,001 pincodes', { restrictions: { postalCodes: many(10_001) } }, ['restrictions.postalCodes']],
    ['10,001 SKUs', { restrictions: { skus: many(10_001) } }, ['restrictions.skus']],
    ['its own counter', { used: 5 }, ['used']],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const bad = await post({ code: 'BAD', kind: 'flat', valuePaise: 100, ...change });
      assert.equal(bad.status, 400, JSON.stringify(bad.body));
      assert.deepEqual((bad.body.error.details.fields as { path: string }[]).map((f) => f.path), paths);
    });
  }

  it('holds exactly 10,000 buyers', async () => {
    await add({ restrictions: { userIds: many(10_000) } });
  });

  it('shows another company nothing, and lets a viewer validate only', async () => {
    const code = await add();
    const path = `/v1/coupons/${(await read(code))._id}`;
    for (const [method, body] of [['GET', undefined], ['PATCH', { valuePaise: 1 }], ['DELETE', undefined]] as const) {
      assert.equal((await world.api(method, path, { token: other.token, ifMatch: 1, body })).status, 404, method);
    }
    const validate = (token: string) => world.api('POST', '/v1/coupons/validate', { token, body: { code, subtotalPaise: 1_000 } });
    assert.deepEqual((await validate(other.token)).body.reason, 'coupon_not_found');
    const viewer = await world.member(shop, 'viewer');
    assert.deepEqual((await validate(viewer)).body, { valid: true, code, discountPaise: 500, freeShipping: false });
    assert.equal((await post({ code: 'V', kind: 'flat', valuePaise: 1 }, viewer)).status, 403);
  });

  it('validates without using: limits of the coupon and of the customer are told', async () => {
    const code = await add({ usageLimit: 2, perCustomerLimit: 1, minOrderPaise: 1_000 });
    const ask = async (body: object) => {
      const answer = await world.api('POST', '/v1/coupons/validate', { token: shop.token, body: { code: code.toLowerCase(), ...body } });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return answer.body.reason ?? answer.body.discountPaise;
    };
    assert.equal(await ask({ lines: [{ sku: 'A', totalPaise: 999 }] }), 'coupon_min_order');
    assert.equal(await ask({ lines: [{ sku: 'A', totalPaise: 1_000 }] }), 500);
    assert.equal(await redeem(code, phoneOf(1)), 'used');
    assert.equal(await ask({ subtotalPaise: 1_000, customer: { phone: `+91 ${phoneOf(1)}` } }), 'coupon_limit_reached');
    assert.equal(await ask({ subtotalPaise: 1_000, customer: { phone: phoneOf(2) } }), 500);
    assert.equal(await redeem(code, phoneOf(2)), 'used');
    assert.equal(await ask({ subtotalPaise: 1_000 }), 'coupon_used_up');
    const neither = await world.api('POST', '/v1/coupons/validate', { token: shop.token, body: { code } });
    assert.deepEqual([neither.status, neither.body.error.details.fields[0].path], [400, 'subtotalPaise']);
    assert.equal((await read(code)).used, 2);
  });

  it('knows a customer by the phone in any form, else by the e-mail in any case, and keeps neither', async () => {
    const { companyId } = shop;
    const key = customerKeyOf(companyId, { phone: '9800012345', email: 'a@b.in' });
    for (const phone of ['+91 98000 12345', '09800012345', '+91-9800012345']) assert.equal(customerKeyOf(companyId, { phone }), key, phone);
    assert.notEqual(customerKeyOf(other.companyId, { phone: '9800012345' }), key);
    assert.equal(customerKeyOf(companyId, { email: ' Asha@Shop.IN ' }), customerKeyOf(companyId, { email: 'asha@shop.in' }));
    assert.throws(() => customerKeyOf(companyId, {}));
    const code = await add({ perCustomerLimit: 1 });
    await redeem(code, '9811122233');
    const rows = [...(await world.db.collection('coupon_uses').find().toArray()), ...(await world.db.collection('coupon_redemptions').find().toArray())];
    assert.ok(!JSON.stringify(rows).includes('9811122233'));
  });

  it('gives 10 of 100 parallel uses to a 10-use coupon', async () => {
    const code = await add({ usageLimit: 10 });
    assert.deepEqual(await tally(Array.from({ length: 100 }, (_, i) => redeem(code, phoneOf(i)))), [10, 90]);
    const coupon = await read(code);
    assert.equal(coupon.used, 10);
    assert.equal(await world.db.collection('coupon_redemptions').countDocuments({ couponId: coupon._id }), 10);
    await checks();
  });

  it('gives 1 of 100 parallel uses by one customer with a limit of 1, and 3 with a limit of 3', async () => {
    for (const limit of [1, 3]) {
      const code = await add({ perCustomerLimit: limit });
      assert.deepEqual(await tally(Array.from({ length: 100 }, () => redeem(code, phoneOf(7)))), [limit, 100 - limit]);
      assert.equal((await read(code)).used, limit);
    }
    await checks();
  });

  it('refuses a batch that promises too much, whole, and writes nothing of it', async () => {
    const [limited, personal] = [await read(await add({ usageLimit: 3 })), await read(await add({ perCustomerLimit: 2 }))];
    const batch = (coupon: Row<Coupon>, customers: string[]) =>
      withTransaction(systemCtx('test', shop.companyId), (tx) =>
        redeemCoupons(tx, customers.map((customerKey) => ({ tx, coupon, orderId: newId(), customerKey, discountPaise: 1 }))),
      );
    await assert.rejects(batch(limited, ['a', 'b', 'c', 'd']), BatchConflict);
    await assert.rejects(batch(personal, ['a', 'a', 'a']), BatchConflict, 'a new customer is held to the limit too');
    await batch(limited, ['a', 'b', 'a']);
    await batch(personal, ['a', 'a', 'b']);
    await assert.rejects(batch(personal, ['a']), BatchConflict);
    await assert.rejects(batch(limited, ['z']), BatchConflict);
    assert.deepEqual([(await read(limited.code)).used, (await read(personal.code)).used], [3, 3]);
    await checks();
  });

  it('redeems for two companies in one transaction', async () => {
    const [mine, theirs] = [await read(await add()), await read(await add({}, other), other)];
    await withTransaction(systemCtx('lane', PLATFORM_COMPANY_ID), (tx) =>
      redeemCoupons(tx, [mine, theirs].map((coupon) => ({ tx: tx.for(systemCtx('test', coupon.companyId)), coupon, orderId: newId(), customerKey: 'k', discountPaise: 1 }))),
    );
    const across = acrossCompanies(systemCtx('test', PLATFORM_COMPANY_ID), 'test');
    world.commands();
    const uses = await readCouponUses(across, [mine, theirs].map((c) => ({ companyId: c.companyId, couponId: c._id, customerKey: 'k' })));
    assert.equal(world.commands(), 1);
    assert.deepEqual(uses.map((u) => u.count), [1, 1]);
    await checks();
  });

  it('refuses a use under terms that were changed or ended since they were read', async () => {
    const later = new Date(Date.now() + 86_400_000).toISOString();
    const changes = [
      ...[{ perCustomerLimit: 1 }, { usageLimit: 1 }, { status: 'archived' }, { valuePaise: 400 }, { minOrderPaise: 1 }, { startsAt: later }, { endsAt: later }],
      ...[{ code: 'OTHERCODE' }, { restrictions: { paymentMethods: ['cod'] } }],
    ];
    for (const body of changes) {
      const coupon = await read(await add({ perCustomerLimit: 5, usageLimit: 5 }));
      const two = (ids: string[]) =>
        withTransaction(systemCtx('test', shop.companyId), (tx) => redeemCoupons(tx, ids.map((id) => ({ tx, coupon, orderId: id, customerKey: 'k', discountPaise: 1 }))));
      assert.equal((await world.api('PATCH', `/v1/coupons/${coupon._id}`, { token: shop.token, ifMatch: 1, body })).status, 200);
      await assert.rejects(two([newId(), newId()]), BatchConflict, JSON.stringify(body));
    }
    await checks();
  });

  it('redeems each coupon of a bulk under its own code', async () => {
    const [a, b] = [await read(await add()), await read(await add())];
    const rename = async (coupon: Row<Coupon>, code: string, version: number): Promise<void> => {
      assert.equal((await world.api('PATCH', `/v1/coupons/${coupon._id}`, { token: shop.token, ifMatch: version, body: { code } })).status, 200);
    };
    await rename(a, 'BETWEEN', 1);
    await rename(b, a.code, 1);
    await rename(a, b.code, 2);
    const redeemed = withTransaction(systemCtx('test', shop.companyId), (tx) =>
      redeemCoupons(tx, [a, b].map((coupon) => ({ tx, coupon, orderId: newId(), customerKey: 'k', discountPaise: 1 }))),
    );
    await assert.rejects(redeemed, BatchConflict);
    await checks();
  });

  it('keeps limits at or above what was used', async () => {
    const code = await add({ usageLimit: 5, perCustomerLimit: 3 });
    for (const i of [1, 1, 2]) await redeem(code, phoneOf(i));
    const coupon = await read(code);
    const patch = (body: object) => world.api('PATCH', `/v1/coupons/${coupon._id}`, { token: shop.token, ifMatch: coupon.version, body });
    for (const body of [{ usageLimit: 2 }, { perCustomerLimit: 1 }]) {
      const answer = await patch(body);
      assert.deepEqual([answer.status, answer.body.error.code], [409, 'coupon_limit_below_use']);
    }
    assert.equal((await patch({ usageLimit: 3, perCustomerLimit: 2 })).status, 200);
    await checks();
  });

  it('takes one coupon for one order, and gives its use back exactly once', async () => {
    const code = await add({ usageLimit: 1, perCustomerLimit: 1 });
    const orderId = newId();
    assert.equal(await redeem(code, phoneOf(1), orderId), 'used');
    const coupon = await read(code);
    const twice = withTransaction(systemCtx('test', shop.companyId), (tx) => redeemCoupons(tx, [{ tx, coupon, orderId, customerKey: 'other', discountPaise: 1 }]));
    await assert.rejects(twice, { code: 'coupon_redemption_exists' });
    assert.equal(await redeem(code, phoneOf(2)), 'refused');
    const giveBack = (id: string, companyId = shop.companyId) => withTransaction(systemCtx('test', companyId), (tx) => giveBackCoupon(tx, id));
    assert.equal(await giveBack(orderId, other.companyId), false);
    const given = await Promise.all(Array.from({ length: 5 }, () => giveBack(orderId)));
    assert.deepEqual(given.filter(Boolean).length, 1);
    assert.equal(await giveBack(newId()), false);
    assert.equal((await read(code)).used, 0);
    await checks();
    assert.equal(await redeem(code, phoneOf(1)), 'used');
    await checks();
  });

  it('replays a creation under its key', async () => {
    const body = { code: nextCode(), kind: 'flat', valuePaise: 100 };
    const { answers, statuses } = await race(5, () => world.api('POST', '/v1/coupons', { token: shop.token, key: 'once', body }));
    assert.deepEqual(statuses, { 201: 5 });
    assert.equal(new Set(answers.map((a) => a.body.id)).size, 1);
  });

  it('reads the counters that are asked for: a few of others with few coupons and customers, none with many', async () => {
    const { companyId } = shop;
    const [coupons, customers] = [0, 1].map(() => Array.from({ length: 6 }, () => newId()));
    assert.ok(coupons && customers);
    const stamps = { companyId, version: 1, createdAt: new Date(), updatedAt: new Date() };
    const rows = coupons.flatMap((couponId) => customers.map((customerKey) => ({ _id: newId(), ...stamps, couponId, customerKey, count: 1 })));
    const uses = world.db.collection<{ _id: string }>('coupon_uses');
    await uses.insertMany(rows);
    const ctx = systemCtx('test', companyId);
    const pairs = coupons.map((couponId, i) => ({ companyId, couponId, customerKey: customers[i] ?? '' }));
    const found = async (n: number): Promise<string[]> => (await readCouponUses(ctx, pairs.slice(0, n))).map((use) => `${use.couponId}|${use.customerKey}`);
    const wanted = (n: number): string[] => pairs.slice(0, n).map(({ couponId, customerKey }) => `${couponId}|${customerKey}`);
    assert.deepEqual((await found(6)).sort(), wanted(6).sort());
    const few = await found(3);
    assert.equal(few.length, 9);
    assert.ok(wanted(3).every((key) => few.includes(key)));
    await uses.deleteMany({ _id: { $in: rows.map(({ _id }) => _id) } });
  });

  it('finds planted faults: counters that are not the rows, limits passed, rows of nothing', async () => {
    const code = await add({ usageLimit: 2, perCustomerLimit: 2 });
    await redeem(code, phoneOf(3));
    await redeem(code, phoneOf(3));
    await checks();
    const couponId = (await read(code))._id;
    const [rows, uses, redemptions] = ['coupons', 'coupon_uses', 'coupon_redemptions'].map((name) => world.db.collection<{ _id: string }>(name));
    assert.ok(rows && uses && redemptions);
    const plant = async (change: () => Promise<unknown>, found: RegExp, undo: () => Promise<unknown>) => {
      await change();
      await assert.rejects(checks(), found);
      await undo();
      await checks();
    };
    const counter = (n: number) => () => rows.updateOne({ _id: couponId }, { $inc: { used: n } });
    await plant(counter(1), /used 3, but 2 redemptions stand/, counter(-1));
    const use = (n: number) => () => uses.updateOne({ couponId } as never, { $inc: { count: n } });
    await plant(use(-1), /count 1, but 2 redemptions stand/, use(1));
    await plant(use(1), /over the limit 2/, use(-1));
    const limit = (usageLimit: number) => () => rows.updateOne({ _id: couponId }, { $set: { usageLimit } });
    await plant(limit(1), /over its limit 1/, limit(2));
    const lost = await redemptions.findOne({ couponId } as never);
    assert.ok(lost);
    await plant(() => redemptions.deleteOne({ _id: lost._id }), /used 2, but 1 redemptions stand/, () => redemptions.insertOne(lost));
    const stray = { ...lost, _id: newId(), couponId: newId(), orderId: newId() };
    await plant(() => redemptions.insertOne(stray), /does not exist/, () => redemptions.deleteOne({ _id: stray._id }));
  });
});
