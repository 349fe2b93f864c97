import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { newId } from '../../src/platform/ids.ts';
import { takeTour, type Tour } from '../support/tour.ts';
import { startWorld, type Answer, type Merchant, type World } from '../support/world.ts';
import { operations, sampleOf, type Operation } from './contract.ts';
import { readMatrix } from './people.ts';

/** Bodies whose meaning is checked before anything is looked up. */
const BODIES: Record<string, object> = {
  'PATCH /v1/company/members/{id}': { role: 'viewer' },
  'PATCH /v1/locations/{id}': { name: 'Taken over' },
  'PATCH /v1/products/{id}': { pricePaise: 1 },
  'PATCH /v1/coupons/{id}': { usageLimit: 1 },
  'PATCH /v1/rate-cards/{id}': { name: 'Taken over' },
  'PATCH /v1/zones/{id}': { name: 'Taken over' },
  'PATCH /v1/orders/{id}': { notes: 'taken over' },
  'PATCH /v1/connections/{id}': { name: 'Taken over' },
  'POST /v1/api-keys/{id}/rotate': {},
  'POST /v1/orders/{id}/cancel': {},
  'POST /v1/orders/{id}/confirm': {},
  'POST /v1/shipments/{id}/cancel': {},
  'POST /v1/shipments/{id}/ewaybill': { number: '123456789012' },
  'POST /v1/shipments/{id}/status': { status: 'in_transit', occurredAt: new Date(Date.now() - 3_600_000).toISOString() },
  'POST /v1/shipments/{awb}/scans': { events: [{ code: 'in_transit', status: 'in_transit', occurredAt: new Date(Date.now() - 3_600_000).toISOString() }] },
  'POST /v1/ndr/{id}/actions': { action: 'reattempt', date: new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10) },
  'POST /v1/payments/{id}/refunds': {},
};

describe('access: ids of another company', () => {
  let world: World;
  let theirs: Tour;
  let stranger: Merchant;
  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400' });
    theirs = await takeTour(world.api, world.settle);
    stranger = await world.merchant();
  });
  after(() => world.close());

  /** Digests of everything that the first company owns. */
  const digests = async (): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
      if (name === 'api_key_uses') continue;
      const rows = await world.db.collection(name).find({ companyId: theirs.companyId }).sort({ _id: 1 }).toArray();
      found[name] = `${rows.length} ${createHash('sha256').update(JSON.stringify(rows)).digest('hex')}`;
    }
    return found;
  };

  const KINDS: [RegExp, keyof Tour['ids']][] = [
    [/invitations/, 'invitation'], [/members/, 'member'], [/locations/, 'location'], [/products/, 'product'], [/coupons/, 'coupon'], [/orders/, 'order'], [/imports/, 'import'],
    [/payments/, 'payment'], [/shipments/, 'shipment'], [/manifests/, 'manifest'], [/ndr/, 'ndr'], [/api-keys/, 'key'], [/connections/, 'connection'],
    [/rate-cards/, 'card'], [/zones/, 'zone'], [/kyc/, 'kycFile'],
  ];
  const idFor = (path: string): string => {
    const kind = KINDS.find(([pattern]) => pattern.test(path))?.[1];
    return kind === undefined ? newId() : theirs.ids[kind];
  };
  const call = (op: Operation): Promise<Answer> => {
    const path = op.path.replace('{awb}', theirs.awb).replace(/\{\w+\}/g, idFor(op.path));
    const body = op.body === undefined ? {} : { body: BODIES[op.name] ?? sampleOf(op.body) };
    return world.api(op.method, path, { token: stranger.token, key: newId(), ifMatch: 1, ...body });
  };

  it('R31 every route that takes an id answers 404 to another company and changes nothing', async () => {
    const foreign = new Map(readMatrix().map((row) => [`${row.method} ${row.path}`, row.cells.foreign]));
    const before = await digests();
    const wrong: string[] = [];
    for (const op of operations().filter(({ path, permission }) => path.includes('{') && permission !== 'public')) {
      const { status, body } = await call(op);
      if (String(status) !== foreign.get(op.name)) wrong.push(`${op.name}: ${status} ${JSON.stringify(body).slice(0, 300)}`);
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual(await digests(), before);
  });

  it('R31 ids inside bodies and filters reach nothing of another company either', async () => {
    const { ids } = theirs;
    const customer = { name: 'Meera Nair', phone: '9876543210' };
    const shippingAddress = { line1: 'Flat 12', city: 'Bengaluru', state: 'KA', pincode: '560001', country: 'IN' };
    const order = { customer, shippingAddress, paymentMethod: 'cod', lines: [{ sku: 'X', name: 'X', quantity: 1, unitPricePaise: 100 }], pickupLocationId: ids.location };
    const lines = [{ sku: 'TOUR-1', locationId: ids.location, quantity: 1 }];
    const today = new Date(Date.now() + 19_800_000).toISOString().slice(0, 10);
    const tries: [string, object][] = [
      ['/v1/orders', order],
      ['/v1/shipments', { orderId: ids.order }],
      ['/v1/shipments/labels.pdf', { ids: [ids.shipment] }],
      ['/v1/manifests', { shipmentIds: [ids.shipment] }],
      ['/v1/pickups', { locationId: ids.location, courier: 'sandbox', date: today }],
      ['/v1/payments', { orderId: ids.order }],
      ['/v1/stock/receipts', { reference: 'X', lines }],
      ['/v1/stock/transfers', { fromLocationId: ids.location, toLocationId: stranger.locationId, lines: [{ sku: 'TOUR-1', quantity: 1 }] }],
    ];
    const before = await digests();
    for (const [path, body] of tries) {
      const answer = await world.api('POST', path, { token: stranger.token, key: newId(), body });
      assert.ok(answer.status === 404 || answer.status === 400 || answer.status === 409, `${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    const bulk = await world.api('POST', '/v1/shipments/bulk', { token: stranger.token, key: newId(), body: { orderIds: [ids.order] } });
    assert.ok(bulk.status >= 400 || (bulk.body.results as { shipmentId?: string }[]).every(({ shipmentId }) => shipmentId === undefined));
    assert.deepEqual(await digests(), before);
  });

  it('R31 no list, search or export shows anything of another company', async () => {
    const secrets = [...Object.values(theirs.ids), theirs.awb, theirs.companyId, theirs.email];
    const lists = operations().filter(({ method, path, permission }) => method === 'GET' && !path.includes('{') && !/^(public|admin:)/.test(permission));
    for (const { path, query } of lists) {
      const searches = query.some(({ name }) => name === 'q') ? ['', '?q=TOUR-1', '?q=9876543210'] : [''];
      for (const search of searches) {
        const { bytes } = await world.api('GET', path + search, { token: stranger.token });
        const text = bytes.toString('utf8');
        assert.deepEqual(secrets.filter((secret) => text.includes(secret)), [], path + search);
      }
    }
  });
});
