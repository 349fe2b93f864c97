import { strict as assert } from 'node:assert';
import { rawText } from '../support/canaries.ts';
import { fund, makeOrder, makeShipment } from '../support/shipping.ts';
import { race, startWorld, type Merchant, type World } from '../support/world.ts';

describe('couriers', () => {
  let world: World;
  let shop: Merchant;
  before(async () => {
    world = await startWorld({ AWB_BLOCK_SIZE: '5', ACCESS_TOKEN_SECONDS: '86400' });
    shop = await world.merchant();
    await fund(world, shop);
  });
  after(() => world.close());

  const connect = (body: Record<string, unknown>, token = shop.token) => world.api('POST', '/v1/connections', { token, body });

  it('makes a connection: the webhook token once, the credentials never, the token stored hashed', async () => {
    const made = await connect({ courier: 'delhivery', name: ' Main ', mode: 'live', credentials: { token: 'secret-credential-1' } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const { id, webhook } = made.body;
    assert.equal(made.body.name, 'Main');
    assert.match(webhook.url, new RegExp(`/v1/courier-webhooks/delhivery/${id}$`));
    assert.ok(webhook.token.length >= 40);
    const listed = await world.api('GET', '/v1/connections', { token: shop.token });
    const single = await world.api('GET', `/v1/connections/${id}`, { token: shop.token });
    for (const answer of [made, listed, single]) assert.ok(!answer.bytes.toString().includes('secret-credential-1'));
    for (const answer of [listed, single]) assert.ok(!answer.bytes.toString().includes(webhook.token));
    const stored = JSON.stringify(await world.db.collection('courier_connections').find().toArray());
    const everything = await rawText(world.db, 'idempotency');
    assert.ok(!stored.includes(webhook.token) && !everything.includes(webhook.token));
    assert.ok(!world.logLines.join('').includes('secret-credential-1'));
  });

  const faulty: [string, Record<string, unknown>, string[]][] = [
    ['an unknown courier', { courier: 'pigeon', mode: 'live', credentials: {} }, ['courier']],
    ['a missing credential', { courier: 'bluedart', mode: 'live', credentials: { licenceKey: 'x' } }, ['credentials.loginId']],
    ['an unknown credential', { courier: 'delhivery', mode: 'live', credentials: { token: 'x', user: 'y' } }, ['credentials.user']],
    ['a live sandbox', { courier: 'sandbox', mode: 'live' }, ['mode']],
    ['another mode', { courier: 'sandbox', mode: 'test' }, ['mode']],
    ['an unknown key', { courier: 'sandbox', mode: 'sandbox', secret: 1 }, ['secret']],
  ];
  for (const [name, body, paths] of faulty) {
    it(`refuses ${name}`, async () => {
      const answer = await connect(body);
      assert.equal(answer.status, 400, JSON.stringify(answer.body));
      assert.deepEqual(answer.body.error.details.fields.map((f: { path: string }) => f.path), paths);
    });
  }

  it('changes and archives under the version that was seen; another company sees nothing', async () => {
    const { body } = await connect({ courier: 'sandbox', mode: 'sandbox', credentials: { seed: 'ok' } });
    const path = `/v1/connections/${body.id}`;
    const stranger = await world.merchant();
    assert.equal((await world.api('GET', path, { token: stranger.token })).status, 404);
    assert.equal((await world.api('PATCH', path, { token: shop.token, body: { name: 'B' } })).status, 428);
    const changed = await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { name: 'B', credentials: { seed: 'slow:1' } } });
    assert.deepEqual([changed.status, changed.body.name, changed.body.version], [200, 'B', 2]);
    assert.equal((await world.api('PATCH', path, { token: shop.token, ifMatch: 1, body: { name: 'C' } })).status, 412);
    assert.equal((await world.api('DELETE', path, { token: shop.token, ifMatch: 2 })).status, 200);
    assert.equal((await world.api('GET', path, { token: shop.token })).status, 404);
  });

  it('tests a connection, and says when a courier cannot be reached from here yet', async () => {
    const good = await connect({ courier: 'sandbox', mode: 'sandbox' });
    const bad = await connect({ courier: 'sandbox', mode: 'sandbox', credentials: { seed: '500' } });
    const real = await connect({ courier: 'delhivery', mode: 'live', credentials: { token: 'x' } });
    const test = (id: string) => world.api('POST', `/v1/connections/${id}/test`, { token: shop.token });
    assert.deepEqual((await test(good.body.id)).body, { ok: true });
    assert.equal((await test(bad.body.id)).body.code, 'courier_error');
    const refused = await test(real.body.id);
    assert.deepEqual([refused.status, refused.body.error.code], [409, 'courier_not_available']);
    const { body } = await world.api('GET', '/v1/couriers', { token: shop.token });
    const sandbox = body.data.find((c: { courier: string }) => c.courier === 'sandbox');
    assert.equal(sandbox.available, true);
    assert.ok(sandbox.lastSuccessAt && sandbox.calls >= 2 && sandbox.p95Ms !== null);
  });

  it('opens the breaker of one connection after five failures, and leaves the others alone', async () => {
    const bad = await connect({ courier: 'sandbox', mode: 'sandbox', credentials: { seed: '500' } });
    const test = (id: string) => world.api('POST', `/v1/connections/${id}/test`, { token: shop.token });
    for (let i = 0; i < 5; i += 1) assert.equal((await test(bad.body.id)).body.code, 'courier_error');
    assert.equal((await test(bad.body.id)).body.code, 'courier_unavailable');
    const good = await connect({ courier: 'sandbox', mode: 'sandbox' });
    assert.equal((await test(good.body.id)).body.ok, true);
  });

  it('gives 40 parallel bookings 40 numbers over many blocks', async () => {
    const orders = await Promise.all(Array.from({ length: 40 }, () => makeOrder(world, shop)));
    const { answers } = await race(40, (i) => world.api('POST', '/v1/shipments', { token: shop.token, key: `awb-${i}`, body: { orderId: orders[i]?.id } }));
    const awbs = answers.map((a) => a.body.awb as string);
    assert.ok(awbs.every((awb) => /^DKX\d{11}$/.test(awb)), JSON.stringify(answers[0]?.body));
    assert.equal(new Set(awbs).size, 40);
    await world.settle();
    await world.checks();
  });

  it('takes over what a killed process has leased: its used numbers stay used, its free ones come back', async () => {
    const rows = world.db.collection<{ _id: string; from?: number; to?: number }>('number_blocks');
    const taken = async (): Promise<Set<string>> => new Set((await world.db.collection('shipments').find({ awb: { $exists: true } }).toArray()).map((s) => s['awb'] as string));
    const freeNumbers = async (): Promise<number[]> => {
      const used = new Set([...(await taken())].map(serial));
      const blocks = await rows.find({ awbCourier: 'sandbox' }).toArray();
      return blocks.flatMap(({ from = 0, to = -1 }) => Array.from({ length: to - from + 1 }, (_, i) => from + i)).filter((n) => !used.has(n));
    };
    const used = (await makeShipment(world, shop)).awb as string;
    assert.ok(await rows.findOne({ awbCourier: 'sandbox', from: { $lte: serial(used) }, to: { $gte: serial(used) } }));
    // A block that is just used up has nothing to give back: the next booking opens another one.
    while ((await freeNumbers()).length === 0) await makeShipment(world, shop);
    const free = await freeNumbers();
    // All blocks belong to somebody who will not come back; the clock passes the ends of their leases.
    await rows.updateMany({ awbCourier: 'sandbox' }, { $set: { owner: 'somebody dead' } });
    world.advance(11 * 60_000);
    const before = await taken();
    const fresh: string[] = [];
    for (let i = 0; i < 6; i += 1) fresh.push((await makeShipment(world, shop)).awb);
    assert.equal(new Set([...before, ...fresh]).size, before.size + 6);
    assert.ok(free.length <= 6, `${free.length} free numbers`);
    for (const number of free) assert.ok(fresh.map(serial).includes(number), `${number} comes back`);
    await world.settle();
    await world.checks();
  });
});

function serial(awb: string): number {
  return Number(awb.slice(3, 13));
}
