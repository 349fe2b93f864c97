import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'mocha';
import { walletChecks } from '../../src/modules/wallet/wallet.checks.ts';
import {
  againOnConflict,
  canHold,
  chargeHolds,
  chargeRto,
  creditWallet,
  holdForShipments,
  insufficientBalance,
  noteCodDue,
  openWallet,
  readWallets,
  releaseHolds,
  reverseCodDue,
} from '../../src/modules/wallet/index.ts';
import { changeOf, entryOf, type Movement } from '../../src/modules/wallet/wallet.rules.ts';
import { acrossCompanies, inCompany, PLATFORM_COMPANY_ID, systemCtx, type OutsideTx, type Tx } from '../../src/platform/context.ts';
import { BatchConflict } from '../../src/platform/db/collection.bulk.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { AppError } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { PASSWORD, race, startWorld, type Merchant, type World } from '../support/world.ts';

const AT = new Date('2026-03-02T05:00:00Z');

describe('wallet rules', () => {
  const table: [Movement['kind'], number, { shown: number; balance: number; held: number }][] = [
    ['topup', 500, { shown: 500, balance: 500, held: 0 }],
    ['topup_refund', 500, { shown: -500, balance: -500, held: 0 }],
    ['credit', 500, { shown: 500, balance: 500, held: 0 }],
    ['adjustment', -500, { shown: -500, balance: -500, held: 0 }],
    ['adjustment', 500, { shown: 500, balance: 500, held: 0 }],
    ['hold', 500, { shown: -500, balance: 0, held: 500 }],
    ['release', 500, { shown: 500, balance: 0, held: -500 }],
    ['charge', 500, { shown: -500, balance: -500, held: -500 }],
    ['rto_freight', 500, { shown: -500, balance: -500, held: 0 }],
    ['cod_refund', 500, { shown: 500, balance: 500, held: 0 }],
    ['cod_due', 500, { shown: 500, balance: 0, held: 0 }],
    ['cod_reversed', 500, { shown: -500, balance: 0, held: 0 }],
    ['hold', 0, { shown: 0, balance: 0, held: 0 }],
  ];
  for (const [kind, amountPaise, { shown, balance, held }] of table) {
    it(`${kind} of ${amountPaise}: legs sum to zero, balance ${balance}, held ${held}`, () => {
      const entry = entryOf({ kind, amountPaise, cause: 'x' });
      assert.equal(entry.legs.reduce((sum, leg) => sum + leg.amountPaise, 0), 0);
      assert.equal(entry.legs.length, 2);
      assert.deepEqual([entry.amountPaise, entry.balanceChangePaise, entry.heldChangePaise], [shown, balance, held]);
      assert.equal(changeOf([entry]).availablePaise, balance - held);
      assert.equal([entry.amountPaise, ...entry.legs.map((leg) => leg.amountPaise)].some((n) => Object.is(n, -0)), false);
    });
  }

  for (const amountPaise of [1.5, Number.NaN, -1, 2 ** 53]) {
    it(`refuses an amount of ${amountPaise}`, () => {
      assert.throws(() => entryOf({ kind: 'hold', amountPaise, cause: 'x' }));
    });
  }

  it('a hold needs as much as it takes, to the paisa', () => {
    assert.equal(canHold({ availablePaise: 100 }, 100), true);
    assert.equal(canHold({ availablePaise: 99 }, 100), false);
    assert.equal(canHold({ availablePaise: -5 }, 0), true);
    const refusal = insufficientBalance({ availablePaise: 99 }, 100);
    assert.deepEqual([refusal.code, refusal.details], ['insufficient_balance', { availablePaise: 99, neededPaise: 100 }]);
  });
});

describe('wallet', () => {
  let world: World;

  before(async () => {
    world = await startWorld();
  });
  after(() => world.close());

  const system = (companyId: string): OutsideTx => systemCtx('test', companyId);
  const hold = (tx: Tx, shipmentId: string, amountPaise: number) =>
    holdForShipments(tx, [
      { tx, shipmentId, orderId: newId(), awb: `SB${shipmentId.slice(-8).toUpperCase()}`, amountPaise, cause: 'Booking', lines: [{ code: 'freight', amountPaise }] },
    ]);
  /** What the booking lane does: read, decide, hold under the database's guard. */
  const book = (companyId: string, shipmentId: string, amountPaise: number): Promise<void> =>
    againOnConflict(async () => {
      const balance = (await readWallets(acrossCompanies(system(companyId), 'test'), [companyId])).get(companyId);
      if (!balance || !canHold(balance, amountPaise)) throw insufficientBalance(balance ?? { availablePaise: 0 }, amountPaise);
      await withTransaction(system(companyId), async (ctx) => hold(ctx, shipmentId, amountPaise));
    });
  const credit = (companyId: string, amountPaise: number, cause = 'Opening credit') =>
    againOnConflict(() => withTransaction(system(companyId), async (ctx) => creditWallet(ctx, { amountPaise, cause })));
  const wallet = async (shop: Merchant) => (await world.api('GET', '/v1/wallet', { token: shop.token })).body;
  const entries = async (shop: Merchant, query = '') => (await world.api('GET', `/v1/wallet/entries${query}`, { token: shop.token })).body.data;
  const refused = (code: string) => (error: unknown) => error instanceof AppError && error.code === code;
  const ended = (companyId: string, step: typeof chargeHolds, shipmentId: string) =>
    withTransaction(system(companyId), async (ctx) => step(ctx, [{ tx: ctx, shipmentId, cause: 'test' }]));

  it('is all zeros before the first money, and needs the permission', async () => {
    const shop = await world.merchant();
    assert.deepEqual(await wallet(shop), { balancePaise: 0, heldPaise: 0, creditLimitPaise: 0, availablePaise: 0 });
    assert.deepEqual(await entries(shop), []);
    assert.equal((await world.api('GET', '/v1/wallet')).status, 401);
  });

  it('shows a member limited to some locations the balance, and nothing of the ledger, which names every parcel', async () => {
    const shop = await world.merchant();
    await credit(shop.companyId, 500);
    const email = `limited.${shop.companyId.slice(0, 8)}@shop.example.in`;
    const member = (await world.api('POST', '/v1/company/members', { token: shop.token, body: { email, name: 'Ravi Iyer', role: 'finance', password: PASSWORD } })).body;
    const { accessToken: token } = (await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } })).body;
    const ledger = ['/v1/wallet/entries', '/v1/wallet/entries?awb=DKX1', '/v1/wallet/statement.csv'];
    for (const path of ledger) assert.equal((await world.api('GET', path, { token })).status, 200, path);
    await world.api('PATCH', `/v1/company/members/${member.id}`, { token: shop.token, ifMatch: member.version, body: { locationIds: [shop.locationId] } });
    for (const path of ledger) {
      const refused = await world.api('GET', path, { token });
      assert.deepEqual([refused.status, refused.body.error?.code], [403, 'forbidden'], path);
    }
    assert.equal((await world.api('GET', '/v1/wallet', { token })).body.balancePaise, 500);
  });

  it('opens with a credit limit once', async () => {
    const shop = await world.merchant();
    const open = (limit: number) => withTransaction(system(shop.companyId), async (ctx) => openWallet(ctx, limit));
    await open(70_000);
    await open(90_000);
    assert.deepEqual(await wallet(shop), { balancePaise: 0, heldPaise: 0, creditLimitPaise: 70_000, availablePaise: 70_000 });
    await book(shop.companyId, newId(), 70_000);
    await assert.rejects(book(shop.companyId, newId(), 1), refused('insufficient_balance'));
    await world.checks();
  });

  it('holds, releases and charges; repeats do nothing; a hold ends one way only', async () => {
    const shop = await world.merchant();
    const [kept, cancelled] = [newId(), newId()];
    await credit(shop.companyId, 100_000);
    await book(shop.companyId, kept, 8_000);
    await book(shop.companyId, cancelled, 5_000);
    assert.deepEqual(await wallet(shop), { balancePaise: 100_000, heldPaise: 13_000, creditLimitPaise: 0, availablePaise: 87_000 });

    for (let i = 0; i < 3; i += 1) await ended(shop.companyId, chargeHolds, kept);
    for (let i = 0; i < 3; i += 1) await ended(shop.companyId, releaseHolds, cancelled);
    await ended(shop.companyId, releaseHolds, kept);
    await ended(shop.companyId, chargeHolds, cancelled);
    await ended(shop.companyId, releaseHolds, newId());
    await ended(shop.companyId, chargeHolds, newId());
    assert.deepEqual(await wallet(shop), { balancePaise: 92_000, heldPaise: 0, creditLimitPaise: 0, availablePaise: 92_000 });

    const shown = (await entries(shop)).map((e: { kind: string; amountPaise: number }) => [e.kind, e.amountPaise]);
    assert.deepEqual(shown, [['release', 5_000], ['charge', -8_000], ['hold', -5_000], ['hold', -8_000], ['credit', 100_000]]);
    await assert.rejects(withTransaction(system(shop.companyId), async (ctx) => hold(ctx, kept, 1)), refused('ledger_entry_exists'));
    await world.checks();
  });

  it('filters entries, keeps their references, and never shows another company’s', async () => {
    const [shop, other] = [await world.merchant(), await world.merchant()];
    const shipmentId = newId();
    await credit(shop.companyId, 50_000);
    await book(shop.companyId, shipmentId, 1_200);
    const [found] = await entries(shop, '?kind=hold');
    assert.deepEqual([found.shipmentId, found.cause, found.lines], [shipmentId, 'Booking', [{ code: 'freight', amountPaise: 1_200 }]]);
    assert.equal((await entries(shop, `?awb=${found.awb.toLowerCase()}`)).length, 1);
    assert.equal((await entries(shop, '?to=2020-01-01T00:00:00Z')).length, 0);
    assert.equal((await entries(shop, '?from=2020-01-01T00:00:00Z')).length, 2);
    assert.deepEqual(await entries(other), []);
    const first = await world.api('GET', '/v1/wallet/entries?limit=1', { token: shop.token });
    const second = await world.api('GET', `/v1/wallet/entries?limit=1&cursor=${first.body.nextCursor}`, { token: shop.token });
    assert.deepEqual([first.body.data[0].kind, second.body.data[0].kind, second.body.nextCursor], ['hold', 'credit', null]);
    for (const query of ['?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z', '?kind=gift', '?sort=at', '?limit=0']) {
      assert.equal((await world.api('GET', `/v1/wallet/entries${query}`, { token: shop.token })).status, 400, query);
    }
  });

  it('40 parallel bookings never take more than there is, credit limit included', async () => {
    const shop = await world.merchant();
    await withTransaction(system(shop.companyId), async (ctx) => openWallet(ctx, 3_000));
    await credit(shop.companyId, 7_000);
    const outcomes = await Promise.allSettled(Array.from({ length: 40 }, () => book(shop.companyId, newId(), 1_000)));
    assert.equal(outcomes.filter((o) => o.status === 'fulfilled').length, 10);
    for (const o of outcomes) if (o.status === 'rejected') assert.equal((o.reason as AppError).code, 'insufficient_balance');
    assert.deepEqual(await wallet(shop), { balancePaise: 7_000, heldPaise: 10_000, creditLimitPaise: 3_000, availablePaise: 0 });
    await world.checks();
  });

  it('the guard holds in the database, also for who decides wrongly', async () => {
    const shop = await world.merchant();
    await assert.rejects(withTransaction(system(shop.companyId), async (ctx) => hold(ctx, newId(), 1)), BatchConflict);
    await credit(shop.companyId, 100);
    await assert.rejects(withTransaction(system(shop.companyId), async (ctx) => hold(ctx, newId(), 101)), BatchConflict);
    await withTransaction(system(shop.companyId), async (ctx) => hold(ctx, newId(), 100));
    assert.equal((await wallet(shop)).availablePaise, 0);
    await world.checks();
  });

  it('20 parallel releases and charges of one hold end it once', async () => {
    const shop = await world.merchant();
    const shipmentId = newId();
    await credit(shop.companyId, 10_000);
    await book(shop.companyId, shipmentId, 4_000);
    await Promise.all(Array.from({ length: 20 }, (_, i) => againOnConflict(() => ended(shop.companyId, i % 2 ? chargeHolds : releaseHolds, shipmentId))));
    const { balancePaise, heldPaise } = await wallet(shop);
    assert.equal(heldPaise, 0);
    assert.ok(balancePaise === 10_000 || balancePaise === 6_000, String(balancePaise));
    await world.checks();
  });

  it('many companies and repeated shipments in one transaction: merged, each on its own account', async () => {
    const shops = [await world.merchant({ location: false }), await world.merchant({ location: false }), await world.merchant({ location: false })];
    for (const shop of shops) await credit(shop.companyId, 10_000);
    const items = shops.flatMap((shop) => [1, 2].map((n) => ({ shop, shipmentId: newId(), amountPaise: n * 1_000 })));
    const asked = (tx: Tx) => items.map(({ shop, shipmentId, amountPaise }) => ({ tx: tx.for(system(shop.companyId)), shipmentId, amountPaise, orderId: newId(), cause: 'Lane', lines: [] }));
    await withTransaction(system(PLATFORM_COMPANY_ID), async (ctx) => holdForShipments(ctx, asked(ctx)));
    world.commands();
    await withTransaction(system(PLATFORM_COMPANY_ID), async (ctx) => chargeHolds(ctx, [...asked(ctx), ...asked(ctx)]));
    assert.ok(world.commands() <= 7, 'one read per company, one insert, one bulk, one commit');
    for (const shop of shops) assert.deepEqual(await wallet(shop), { balancePaise: 7_000, heldPaise: 0, creditLimitPaise: 0, availablePaise: 7_000 });
    const found = await readWallets(acrossCompanies(system(PLATFORM_COMPANY_ID), 'test'), [...shops.map((s) => s.companyId), newId()]);
    assert.deepEqual([...found.values()].map((b) => b.balancePaise), [7_000, 7_000, 7_000, 0]);
    await world.checks();
  });

  it('RTO freight is a debt: charged once, also beyond what there is, the COD fee given back', async () => {
    const shop = await world.merchant();
    const item = { shipmentId: newId(), awb: 'SBRTO1', orderId: newId(), amountPaise: 6_000, refundPaise: 500, cause: 'RTO' };
    await credit(shop.companyId, 1_000);
    const rto = () => withTransaction(system(shop.companyId), async (ctx) => chargeRto(ctx, [{ tx: ctx, ...item }]));
    await rto();
    await rto();
    assert.deepEqual(await wallet(shop), { balancePaise: -4_500, heldPaise: 0, creditLimitPaise: 0, availablePaise: -4_500 });
    await assert.rejects(book(shop.companyId, newId(), 1), refused('insufficient_balance'));
    await world.checks();
  });

  it('COD dues are noted and reversed once and leave the balance alone', async () => {
    const shop = await world.merchant();
    const item = { shipmentId: newId(), awb: 'SBCOD1', orderId: newId(), amountPaise: 149_900, deliveredAt: AT };
    const run = (step: (tx: Tx) => Promise<void>) => withTransaction(system(shop.companyId), async (ctx) => step(ctx));
    const reversal = (ctx: Tx) => reverseCodDue(ctx, [{ tx: ctx, shipmentId: item.shipmentId, cause: 'Was an RTO delivery' }]);
    await run(reversal);
    for (let i = 0; i < 2; i += 1) await run((ctx) => noteCodDue(ctx, [{ tx: ctx, ...item }]));
    for (let i = 0; i < 2; i += 1) await run(reversal);
    const shown = (await entries(shop)).map((e: { kind: string; amountPaise: number }) => [e.kind, e.amountPaise]);
    assert.deepEqual(shown, [['cod_reversed', -149_900], ['cod_due', 149_900]]);
    assert.equal((await wallet(shop)).balancePaise, 0);
    await world.checks();
  });

  it('the statement adds up, for any period, and is no formula to a spreadsheet', async () => {
    const shop = await world.merchant();
    await credit(shop.companyId, 20_000, '=HYPERLINK("http://evil","x")');
    world.advance(60_000);
    const shipmentId = newId();
    await book(shop.companyId, shipmentId, 3_000);
    const [{ at: middle }] = await entries(shop);
    world.advance(60_000);
    await ended(shop.companyId, chargeHolds, shipmentId);
    const statement = async (query: string) => {
      const answer = await world.api('GET', `/v1/wallet/statement.csv${query}`, { token: shop.token });
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('content-type') ?? '', /^text\/csv/);
      return String(answer.body).trimEnd().split('\r\n');
    };
    const whole = await statement('');
    assert.equal(whole.length, 1 + 1 + 3 + 1);
    assert.ok(whole[2]?.endsWith(`"'=HYPERLINK(""http://evil"",""x"")"`), whole[2]);
    assert.equal(whole.at(-1)?.split(',')[5], '17000');
    const late = await statement(`?from=${middle}`);
    assert.equal(late[1]?.split(',')[5], '20000');
    const changes = late.slice(2, -1).reduce((sum, line) => sum + Number(line.split(',')[3]), 0);
    assert.equal(20_000 + changes, Number(late.at(-1)?.split(',')[5]));
    assert.equal((await world.api('GET', '/v1/wallet/statement.csv?from=2026-02-01&to=2026-01-01', { token: shop.token })).status, 400);
  });

  it('a list costs the same commands for 1 row and for 50', async () => {
    const shop = await world.merchant();
    const cost = async () => {
      world.commands();
      await entries(shop);
      return world.commands();
    };
    await credit(shop.companyId, 100);
    const one = await cost();
    const many = inCompany(system(shop.companyId), shop.companyId);
    await withTransaction(many, async (ctx) => {
      for (let i = 0; i < 50; i += 1) await creditWallet(ctx, { amountPaise: 1, cause: 'Small' });
    });
    assert.equal(await cost(), one);
  });

  it('entries are read by everybody of the company, whoever may write', async () => {
    const shop = await world.merchant();
    const viewer = await world.member(shop, 'viewer');
    const { statuses } = await race(3, () => world.api('GET', '/v1/wallet/entries', { token: viewer }));
    assert.deepEqual(statuses, { 200: 3 });
  });

  describe('planted faults are found', () => {
    const faults: [name: string, plant: (companyId: string, shipmentId: string) => Promise<unknown>, found: RegExp][] = [
      ['a wallet with a paisa too much', (companyId) => world.db.collection('wallets').updateOne({ companyId }, { $inc: { balancePaise: 1, availablePaise: 1 } }), /says balancePaise/],
      ['an available that is not the sum', (companyId) => world.db.collection('wallets').updateOne({ companyId }, { $inc: { availablePaise: 1 } }), /available, it is/],
      ['a lost entry', (companyId) => world.db.collection('ledger_entries').deleteOne({ companyId, kind: 'charge' }), /its entries/],
      ['a leg that was changed', (companyId) => world.db.collection('ledger_entries').updateOne({ companyId, kind: 'charge' }, { $inc: { 'legs.0.amountPaise': 5 } }), /sum to 5 paise/],
      ['a charge without its hold', (companyId, shipmentId) => world.db.collection('ledger_entries').deleteOne({ companyId, key: `hold:${shipmentId}` }), /without a hold/],
      ['entries without a wallet', (companyId) => world.db.collection('wallets').deleteOne({ companyId }), /no wallet/],
      [
        'a second charge',
        async (companyId) => {
          const charge = await world.db.collection('ledger_entries').findOne({ companyId, kind: 'charge' });
          await world.db.collection('ledger_entries').insertOne({ ...charge, _id: newId() as never, key: 'other' });
        },
        /twice/,
      ],
    ];
    for (const [name, plant, expected] of faults) {
      it(name, async () => {
        const shop = await world.merchant({ location: false });
        const shipmentId = newId();
        await credit(shop.companyId, 10_000);
        await book(shop.companyId, shipmentId, 400);
        await ended(shop.companyId, chargeHolds, shipmentId);
        await world.checks();
        await plant(shop.companyId, shipmentId);
        const found = (await Promise.all(walletChecks.map((check) => check.run()))).flat();
        assert.match(found.join('\n'), expected);
        await world.db.collection('ledger_entries').deleteMany({ companyId: shop.companyId });
        await world.db.collection('wallets').deleteMany({ companyId: shop.companyId });
        await world.checks();
      });
    }
  });
});
