import { strict as assert } from 'node:assert';
import { newId } from '../../src/platform/ids.ts';
import { until } from '../support/process.ts';
import { startWorld, type Answer, type Merchant, type World } from '../support/world.ts';
import { staffToken } from './people.ts';

const PATH = '/v1/admin/blocked-addresses';
const AFTER = 6;
const MAX = 2;

describe('access: blocked addresses', () => {
  let world: World;
  let operator: string;
  let shop: Merchant;

  const from = async (address: string, token?: string): Promise<Answer> =>
    world.api('GET', token === undefined ? '/v1/track/NOSUCH' : '/v1/me', { headers: { 'x-forwarded-for': address }, token });
  const codes = async (address: string, calls: number): Promise<string[]> => {
    const seen: string[] = [];
    for (let n = 0; n < calls; n += 1) seen.push((await from(address)).body.error.code);
    return seen;
  };
  const codeOf = async (address: string): Promise<string | undefined> => (await codes(address, 1))[0];
  const listed = async (): Promise<{ id: string; address: string; kind: string }[]> => (await world.api('GET', PATH, { token: operator })).body.data;
  const block = (body: object) => world.api('POST', PATH, { token: operator, body });

  before(async () => {
    const limits = { RATE_LIMIT_PUBLIC_PER_MINUTE: String(MAX), RATE_LIMIT_BLOCK_AFTER: String(AFTER) };
    world = await startWorld({ TRUST_PROXY: '1', ...limits, ACCESS_TOKEN_SECONDS: '86400' });
    operator = await staffToken(world, 'operator');
    shop = await world.merchant({ verified: false });
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });
  afterEach(() => world.advance(60_000));

  it('one that keeps hitting limits is blocked for an hour, others are not, and it is noted', async () => {
    const seen = await codes('203.0.113.1', MAX + AFTER + 1);
    assert.deepEqual(seen.slice(MAX), [...Array.from({ length: AFTER }, () => 'rate_limited'), 'address_blocked']);
    const refused = await from('203.0.113.1');
    assert.equal(refused.status, 403);
    assert.ok(Number(refused.headers.get('retry-after')) > 3_500);
    assert.equal(await codeOf('203.0.113.2'), 'shipment_not_found');
    assert.deepEqual((await listed()).map(({ address, kind }) => [address, kind]), [['203.0.113.1', 'automatic']]);
    const events = await world.api('GET', '/v1/admin/security-events?type=security.address_blocked', { token: operator });
    assert.deepEqual(events.body.data.map((event: { address: string }) => event.address), ['203.0.113.1']);
    assert.equal(await world.db.collection('audit').countDocuments({ collection: 'blocked_addresses' }), 1);
    world.advance(3_600_000);
    assert.equal(await codeOf('203.0.113.1'), 'shipment_not_found');
    assert.deepEqual(await listed(), []);
  });

  it('an automatic block lets those in who are signed in, and health', async () => {
    await codes('203.0.113.3', MAX + AFTER);
    assert.equal(await codeOf('203.0.113.3'), 'address_blocked');
    assert.equal((await from('203.0.113.3', shop.token)).status, 200);
    assert.equal((await from('203.0.113.3', 'guessed')).body.error.code, 'address_blocked');
    assert.equal((await world.api('GET', '/health/live', { headers: { 'x-forwarded-for': '203.0.113.3' } })).status, 200);
  });

  it('refusals of signed-in calls and of this machine itself block nobody', async () => {
    const email = `nobody.${newId()}@shop.example.in`;
    await codes('127.0.0.1', MAX + 3 * AFTER);
    assert.equal(await codeOf('127.0.0.1'), 'rate_limited');
    await codes('::1', MAX + 3 * AFTER);
    assert.equal(await codeOf('::1'), 'rate_limited');
    const forgot = await world.api('POST', '/v1/auth/password/forgot', { body: { email } });
    assert.equal(forgot.status, 204);
  });

  it('staff block any address with a reason, of IPv6 its network, and lift it by id or address', async () => {
    const made = await block({ address: ' 2001:DB8:7::9 ', reason: 'Scraping', seconds: 120 });
    assert.deepEqual([made.status, made.body.address, made.body.kind, made.body.reason], [201, '2001:db8:7:0::/64', 'manual', 'Scraping']);
    assert.equal(await codeOf('2001:db8:7::1'), 'address_blocked');
    assert.equal((await from('2001:db8:7::1', shop.token)).body.error.code, 'address_blocked');
    assert.equal((await block({ address: '2001:db8:7::9', reason: 'Longer', seconds: 7_200 })).body.id, made.body.id);
    assert.equal((await world.api('DELETE', `${PATH}/${made.body.id}`, { token: operator })).status, 204);
    assert.equal(await codeOf('2001:db8:7::1'), 'shipment_not_found');
    await block({ address: '203.0.113.5', reason: 'x' });
    assert.equal((await world.api('DELETE', `${PATH}?address=203.0.113.5`, { token: operator })).status, 204);
    assert.equal(await codeOf('203.0.113.5'), 'shipment_not_found');
    assert.equal((await world.api('DELETE', `${PATH}?address=203.0.113.5`, { token: operator })).body.error.code, 'blocked_address_not_found');
  });

  it('bad input is refused by the name of its field', async () => {
    for (const [field, body] of Object.entries({
      address: { address: '300.1.1.1', reason: 'x' },
      reason: { address: '203.0.113.6' },
      seconds: { address: '203.0.113.6', reason: 'x', seconds: 0 },
    })) {
      const { status, body: answer } = await block(body);
      assert.deepEqual([status, answer.error.details.fields[0].path], [400, field]);
    }
  });

  it('a block of this machine holds, and does not shut out the staff who may lift it', async () => {
    const { body } = await block({ address: '127.0.0.1', reason: 'Maintenance' });
    assert.equal((await world.api('GET', '/v1/me', { token: shop.token })).body.error.code, 'address_blocked');
    assert.equal((await world.api('DELETE', `${PATH}/${body.id}`, { token: operator })).status, 204);
    assert.equal((await world.api('GET', '/v1/me', { token: shop.token })).status, 200);
  });

  it('what another process blocks and lifts holds here within a second', async () => {
    const at = new Date(Date.now() + 365 * 86_400_000);
    const row = { _id: newId(), companyId: '0'.repeat(24), address: '203.0.113.8', kind: 'manual', reason: 'x', until: at, createdAt: at, updatedAt: at, version: 1 };
    await world.db.collection('blocked_addresses').insertOne(row as never);
    await until('the block is known', async () => (await from('203.0.113.8', shop.token)).status === 403, 1_500);
    await world.db.collection('blocked_addresses').deleteOne({ _id: row._id as never });
    await until('the end is known', async () => (await from('203.0.113.8', shop.token)).status === 200, 1_500);
  });
});
