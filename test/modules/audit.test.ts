import { strict as assert } from 'node:assert';
import { createOperator } from '../../src/modules/identity/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { PASSWORD, startWorld, type Merchant, type World } from '../support/world.ts';

interface Entry {
  id: string;
  collection: string;
  rowId: string;
  action: string;
  companyId: string;
  fields: string[];
  actor: { kind: string; id: string };
}

describe('audit log', () => {
  let world: World;
  let merchant: Merchant;
  let other: Merchant;
  const read = async (query: string, token = merchant.token) => world.api('GET', `/v1/audit-log${query}`, { token });

  before(async () => {
    world = await startWorld();
    merchant = await world.merchant();
    other = await world.merchant();
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('shows who changed what in the own company only, and no values', async () => {
    const company = await world.api('GET', '/v1/company', { token: merchant.token });
    await world.api('PATCH', '/v1/company', { token: merchant.token, ifMatch: company.body.version, body: { name: 'A Very New Name' } });
    const { status, body } = await read('?collection=companies&action=update');
    assert.equal(status, 200, JSON.stringify(body));
    const newest = body.data[0] as Entry;
    assert.deepEqual([newest.rowId, newest.fields, newest.actor], [merchant.companyId, ['name'], { kind: 'user', id: merchant.userId }]);
    const all = (await read('?limit=1000')).body.data as Entry[];
    assert.ok(all.every((e) => e.companyId === merchant.companyId));
    assert.ok(!JSON.stringify(all).includes('A Very New Name'));
  });

  it('pages by key without a gap or a repeat', async () => {
    const all = ((await read('?limit=1000')).body.data as Entry[]).map((e) => e.id);
    const paged: string[] = [];
    for (let cursor = ''; ; ) {
      const { body } = await read(`?limit=2${cursor}`);
      paged.push(...(body.data as Entry[]).map((e) => e.id));
      if (body.nextCursor === null) break;
      cursor = `&cursor=${encodeURIComponent(body.nextCursor)}`;
    }
    assert.ok(all.length > 4);
    assert.deepEqual(paged, all);
  });

  it('filters by row, actor and time', async () => {
    const byRow = (await read(`?rowId=${merchant.locationId}`)).body.data as Entry[];
    assert.deepEqual(byRow.map((e) => [e.collection, e.action]), [['locations', 'insert']]);
    const byActor = (await read(`?actorId=${merchant.userId}`)).body.data as Entry[];
    assert.ok(byActor.length > 0 && byActor.every((e) => e.actor.id === merchant.userId));
    assert.deepEqual((await read('?to=2020-01-01T00:00:00Z')).body.data, []);
    assert.equal((await read('?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z')).status, 400);
    for (const query of ['?cursor=x', '?limit=0', '?unknown=1', '?rowId[$ne]=1']) assert.equal((await read(query)).status, 400, query);
  });

  it('filters by request and exports the search as CSV', async () => {
    const [newest] = (await read('?collection=companies&action=update')).body.data as (Entry & { requestId: string })[];
    const found = (await read(`?requestId=${newest!.requestId}`)).body.data as Entry[];
    assert.ok(found.some((e) => e.id === newest!.id));
    const csv = await world.api('GET', '/v1/audit-log/export.csv?collection=companies&action=update', { token: merchant.token, headers: { 'x-request-id': 'export-1' } });
    assert.equal(csv.status, 200);
    const [header, ...lines] = String(csv.body).trimEnd().split('\r\n');
    assert.equal(header, 'id,at,collection,rowId,action,fields,actorKind,actorId,requestId');
    assert.ok(lines.length >= 1 && lines.every((line) => line.includes(',companies,')));
    await world.db.collection('audit').insertOne({ ...(await world.db.collection('audit').findOne({ _id: newest!.id as never })), _id: 'f'.repeat(24) as never, requestId: '=HYPERLINK(1)' });
    const withFormula = await world.api('GET', '/v1/audit-log/export.csv', { token: merchant.token });
    assert.ok(String(withFormula.body).includes("'=HYPERLINK(1)"));
    await world.db.collection('audit').deleteOne({ _id: 'f'.repeat(24) as never });
    assert.equal((await world.api('GET', '/v1/audit-log/export.csv?limit=1', { token: merchant.token })).status, 400);
  });

  it('shows all companies to staff only', async () => {
    const path = '/v1/admin/audit-log';
    assert.equal((await world.api('GET', path, { token: merchant.token })).status, 403);
    assert.equal((await world.api('GET', path)).status, 401);
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email: 'op@dakiya.test', name: 'Uma Nair', role: 'operator', password: PASSWORD });
    const { accessToken } = (await world.api('POST', '/v1/auth/login', { body: { email: 'op@dakiya.test', password: PASSWORD } })).body;
    const seen = new Set(((await world.api('GET', `${path}?limit=1000`, { token: accessToken })).body.data as Entry[]).map((e) => e.companyId));
    assert.ok(seen.has(merchant.companyId) && seen.has(other.companyId));
    const one = (await world.api('GET', `${path}?companyId=${other.companyId}`, { token: accessToken })).body.data as Entry[];
    assert.ok(one.length > 0 && one.every((e) => e.companyId === other.companyId));
    assert.equal((await read('', accessToken)).status, 403);
    const looks = (await world.api('GET', '/v1/audit-log?action=read', { token: other.token })).body.data as Entry[];
    assert.deepEqual(looks.map((e) => [e.collection, e.fields, e.actor.kind]), [['audit', ['companyId'], 'operator']]);
    const paged = await world.api('GET', `${path}?limit=3&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z`, { token: accessToken });
    const next = await world.api('GET', `${path}?limit=3&cursor=${encodeURIComponent(paged.body.nextCursor)}`, { token: accessToken });
    assert.equal(new Set([...paged.body.data, ...next.body.data].map((e: Entry) => e.id)).size, 6);
  });
});
