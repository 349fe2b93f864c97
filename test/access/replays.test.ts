import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { contractRoutes } from '../../src/service.ts';
import { rawText } from '../support/canaries.ts';
import { makeOrder } from '../support/shipping.ts';
import { startWorld, PASSWORD, type Answer, type Merchant, type World } from '../support/world.ts';
import { staffToken } from './people.ts';

/** Every POST, written out by hand: whether it takes an Idempotency-Key, or why a repeat is harmless without. */
const POSTS: Record<string, 'required' | 'accepted' | 'caller' | `no: ${string}`> = {
  '/v1/auth/register': 'no: an e-mail address registers once, then it signs in',
  '/v1/auth/login': 'no: a session more, and it asks for the password each time',
  '/v1/auth/refresh': 'no: the same token gives the same successor',
  '/v1/auth/logout': 'no: ends',
  '/v1/auth/logout-all': 'no: ends',
  '/v1/auth/email/verify': 'no: a token is good once',
  '/v1/auth/email/resend': 'no: a mail more',
  '/v1/auth/email/change': 'no: a mail more, the last one counts',
  '/v1/auth/email/confirm': 'no: a token is good once',
  '/v1/auth/reauthenticate': 'no: changes nothing of value',
  '/v1/auth/password/change': 'no: sets',
  '/v1/auth/password/forgot': 'no: a mail more, the last one counts',
  '/v1/auth/password/reset': 'no: a token is good once',
  '/v1/auth/invitations/accept': 'no: a token is good once',
  '/v1/auth/mfa/enroll': 'no: replaces what waits',
  '/v1/auth/mfa/confirm': 'no: a code is good once',
  '/v1/auth/mfa/disable': 'no: ends',
  '/v1/auth/oauth/google/complete': 'no: a ticket is good once',
  '/v1/company/members': 'accepted',
  '/v1/company/invitations': 'accepted',
  '/v1/api-keys': 'caller',
  '/v1/api-keys/:id/rotate': 'caller',
  '/v1/admin/users/:id/unlock': 'no: sets',
  '/v1/admin/users/:id/disable': 'no: sets',
  '/v1/admin/users/:id/enable': 'no: sets',
  '/v1/admin/users/:id/mfa/disable': 'no: ends',
  '/v1/locations': 'accepted',
  '/v1/kyc/documents': 'accepted',
  '/v1/kyc/submit': 'accepted',
  '/v1/kyc/reveal': 'no: each look is one to be noted',
  '/v1/admin/kyc/:id/decisions': 'accepted',
  '/v1/products': 'accepted',
  '/v1/stock/receipts': 'accepted',
  '/v1/stock/adjustments': 'accepted',
  '/v1/stock/transfers': 'accepted',
  '/v1/coupons': 'accepted',
  '/v1/coupons/validate': 'no: changes nothing',
  '/v1/rates': 'no: changes nothing',
  '/v1/rate-cards': 'accepted',
  '/v1/zones': 'accepted',
  '/v1/orders': 'required',
  '/v1/orders/:id/cancel': 'accepted',
  '/v1/orders/:id/confirm': 'accepted',
  '/v1/imports': 'accepted',
  '/v1/connections': 'caller',
  '/v1/connections/:id/test': 'no: asks',
  '/v1/shipments': 'required',
  '/v1/shipments/bulk': 'required',
  '/v1/shipments/labels.pdf': 'no: changes nothing',
  '/v1/shipments/:id/cancel': 'accepted',
  '/v1/shipments/:id/ewaybill': 'accepted',
  '/v1/manifests': 'accepted',
  '/v1/pickups': 'required',
  '/v1/shipments/:awb/scans': 'no: a scan is known by what it says',
  '/v1/shipments/:id/status': 'no: If-Match lets it in once',
  '/v1/courier-webhooks/:courier/:connectionId': 'no: a scan is known by what it says',
  '/v1/ndr/:id/actions': 'accepted',
  '/v1/wallet/topups': 'required',
  '/v1/payments': 'required',
  '/v1/payments/:id/verify': 'accepted',
  '/v1/payments/:id/refunds': 'required',
  '/v1/webhooks/razorpay': 'no: an event has an id of its own',
  '/v1/company/export': 'no: a file, made anew each time',
  '/v1/privacy/customers/export': 'no: a file, made anew each time',
  '/v1/privacy/customers/erase': 'accepted',
  '/v1/company/erase': 'accepted',
  '/v1/company/erase/cancel': 'no: ends',
  '/v1/admin/companies/:id/erase': 'accepted',
  '/v1/admin/jobs/:id/retry': 'no: only a dead job can be retried',
  '/v1/admin/blocked-addresses': 'accepted',
};

describe('access: repeated calls', () => {
  let world: World;
  let shop: Merchant;
  let staff: string;

  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400', COMPANY_ERASURE_DAYS: '7' });
    shop = await world.merchant();
    staff = await staffToken(world, 'platform_admin');
  });
  after(() => world.close());

  it('every POST stands here with its answer to Idempotency-Key', () => {
    const declared = contractRoutes()
      .filter(({ method }) => method === 'post')
      .map(({ path, idempotent, answersSecret }) => [path, answersSecret ? 'caller' : (idempotent ?? 'no')]);
    assert.deepEqual(Object.fromEntries(declared), Object.fromEntries(Object.entries(POSTS).map(([path, takes]) => [path, takes.split(':')[0]])));
  });

  const isReplay = (answer: Answer): boolean => answer.headers.get('idempotent-replayed') === 'true';

  /** The same call twice, the second a replay; then another body under that key. */
  async function twice(path: string, body: object, token = shop.token): Promise<Answer> {
    const call = (sent: object) => world.api('POST', path, { token, key: 'twice', body: sent });
    const first = await call(body);
    assert.ok(first.status < 300, `${path} ${JSON.stringify(first.body)}`);
    const second = await call(body);
    assert.deepEqual([second.status, second.body, isReplay(first), isReplay(second)], [first.status, first.body, false, true], path);
    const other = await call({ ...body, ...('reason' in body ? { reason: 'another one' } : 'overlapSeconds' in body ? { overlapSeconds: 61 } : { name: 'Another one' }) });
    assert.deepEqual([other.status, other.body.error?.code], [409, 'idempotency_key_reused'], path);
    return first;
  }

  it('what is made, blocked, or asked to be erased, is so once', async () => {
    await twice('/v1/admin/blocked-addresses', { address: '203.0.113.7', reason: 'a test' }, staff);
    const { id } = (await makeOrder(world, shop, { customer: { name: 'Asha Rao', phone: '9811170078' } }));
    const order = await world.api('GET', `/v1/orders/${id}`, { token: shop.token });
    await world.api('POST', `/v1/orders/${id}/cancel`, { token: shop.token, ifMatch: order.body.version, body: {} });
    await twice('/v1/privacy/customers/erase', { phone: '9811170078', reason: 'asked for it' });
    const closing = await world.merchant({ verified: false, location: false });
    await twice('/v1/company/erase', { password: PASSWORD, reason: 'we close' }, closing.token);
    const [left, kinds] = [await world.db.collection('blocked_addresses').countDocuments(), await world.db.collection('erasures').distinct('kind')];
    assert.deepEqual([left, kinds.sort(), await world.db.collection('erasures').countDocuments()], [1, ['company', 'customer'], 2]);
  });

  it('a company that staff erase is erased once', async () => {
    const made = await world.merchant({ verified: false, location: false });
    const { body } = await world.api('GET', '/v1/company', { token: made.token });
    await twice(`/v1/admin/companies/${made.companyId}/erase`, { reason: 'a court says so', name: body.name as string }, staff);
  });

  it('a secret that is told once is told again to its own caller only, and kept sealed', async () => {
    const key = await twice('/v1/api-keys', { name: 'Till', scopes: ['orders:read'] });
    const rotated = await twice(`/v1/api-keys/${key.body.id}/rotate`, { overlapSeconds: 60 });
    const connection = await twice('/v1/connections', { courier: 'sandbox', mode: 'sandbox', name: 'One' });
    assert.equal(await world.db.collection('api_keys').countDocuments({ companyId: shop.companyId }), 1);
    assert.equal(await world.db.collection('courier_connections').countDocuments({ companyId: shop.companyId }), 1);
    const secrets = [key.body.key, rotated.body.key, connection.body.webhook.token] as string[];
    const kept = await rawText(world.db, 'idempotency');
    for (const secret of secrets) assert.ok(secret.length > 20 && !kept.includes(secret));
    const admin = await world.member(shop, 'admin');
    const theirs = await world.api('POST', '/v1/api-keys', { token: admin, key: 'twice', body: { name: 'Till', scopes: ['orders:read'] } });
    assert.deepEqual([theirs.status, isReplay(theirs), theirs.body.id === key.body.id], [201, false, false]);
  });

  it('what a body says cannot be guessed from what is kept of it', async () => {
    const body = { name: 'Ravi', email: 'ravi.guess@example.in', role: 'viewer', password: PASSWORD };
    await world.api('POST', '/v1/company/members', { token: shop.token, key: 'guess', body });
    const row = await world.db.collection('idempotency').findOne({ requestHash: createHash('sha256').update(JSON.stringify(body)).digest('base64url') });
    assert.equal(row, null);
    assert.ok(await world.db.collection<{ _id: string }>('idempotency').findOne({ _id: `${shop.companyId}|post /v1/company/members|guess` }));
  });
});
