import { strict as assert } from 'node:assert';
import type mongoose from 'mongoose';
import { createOperator } from '../../src/modules/identity/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { ENVELOPE } from '../../src/platform/db/sealed.ts';
import { leaks } from '../support/canaries.ts';
import { fund, makeShipment } from '../support/shipping.ts';
import { PASSWORD, startWorld, type Answer, type CallOptions, type World } from '../support/world.ts';

type Raw = { _id: string } & Record<string, unknown>;

/** Values of the company's own people that appear nowhere else; digits alone, because phones are stored as E.164. */
const CANARY = {
  owner: 'Canaryani Ownerwala',
  ownerEmail: 'Canary.Owner-q7x@example.in',
  ownerPhone: '9811180001',
  renamed: 'Canaryani Renamedwala',
  rephoned: '9811180002',
  reEmail: 'canary.moved-q7x@example.in',
  companyPhone: '9811180003',
  member: 'Canarymohan Memberwala',
  memberEmail: 'canary.member-q7x@example.in',
  memberPhone: '9811180004',
  invited: 'canary.invited-q7x@example.in',
  joined: 'Canarylata Joinedwala',
  pending: 'canary.pending-q7x@example.in',
  operator: 'Canaryraj Operatorwala',
  operatorEmail: 'canary.operator-q7x@dakiya.test',
  contact: 'Canarydev Contactwala',
  contactPhone: '9811180005',
  street: '77 Canarypur Godown',
  nearby: 'behind Canary Chowk',
  gstin: '29ABCPC1234F1Z9',
  newContact: 'Canarysita Contactwala',
  newStreet: '88 Canarypur Godown',
  unknown: 'canary.unknown-q7x@example.in',
  agent: 'owner canary',
} as const;
const { agent: _agent, ...PERSONAL } = CANARY;
const TEXTS = Object.values(PERSONAL);

describe('requirements 1 and 7: the company’s own people, canaries through every way in', () => {
  let world: World;
  let shop: { token: string; userId: string; companyId: string; locationId: string; memberId: string };
  before(async () => {
    world = await startWorld();
    shop = await drive();
  });
  after(() => world.close());

  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer['body']> => {
    const answer = await world.api(method, path, options);
    assert.ok(answer.status < 300, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const login = (email: string): Promise<Answer> => world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } });
  const rows = (name: string): mongoose.mongo.Collection<Raw> => world.db.collection<Raw>(name);
  const mailed = async (to: string, subject: RegExp): Promise<string> => {
    assert.deepEqual(await leaks(world.db, TEXTS), [], `while a mail to ${to} waits`);
    await world.settle();
    const { data } = await call('GET', `/dev/mailbox?to=${encodeURIComponent(to.toLowerCase())}`);
    const mail = (data as { subject: string; links: string[] }[]).find((m) => subject.test(m.subject));
    return new URL(mail?.links[0] ?? assert.fail(`no mail ${String(subject)} to ${to}`)).searchParams.get('token') ?? '';
  };

  async function drive(): Promise<typeof shop> {
    const registered = await call('POST', '/v1/auth/register', { body: { companyName: 'Plain Shop', name: CANARY.owner, email: CANARY.ownerEmail, phone: CANARY.ownerPhone, password: PASSWORD } });
    const { accessToken: token, user, company } = registered;
    assert.deepEqual([user.name, user.email, user.phone, company.email, company.phone], [CANARY.owner, CANARY.ownerEmail.toLowerCase(), `+91${CANARY.ownerPhone}`, CANARY.ownerEmail.toLowerCase(), `+91${CANARY.ownerPhone}`]);
    await call('POST', '/v1/auth/email/verify', { body: { token: await mailed(CANARY.ownerEmail, /verify/i) } });
    await call('PATCH', '/v1/company', { token, ifMatch: (await call('GET', '/v1/company', { token })).version, body: { phone: CANARY.companyPhone } });
    const me = await call('GET', '/v1/me', { token });
    await call('PATCH', '/v1/me', { token, ifMatch: me.version, body: { name: CANARY.renamed, phone: CANARY.rephoned } });
    await call('POST', '/v1/auth/email/change', { token, body: { email: CANARY.reEmail, password: PASSWORD } });
    await call('POST', '/v1/auth/email/confirm', { body: { token: await mailed(CANARY.reEmail, /confirm/i) } });
    const location = await people(token);
    await fund(world, { token, companyId: company.id } as never);
    await makeShipment(world, { token } as never);
    for (const email of [CANARY.unknown, CANARY.memberEmail]) await call('POST', '/v1/auth/password/forgot', { body: { email } });
    assert.equal((await world.api('POST', '/v1/auth/login', { body: { email: CANARY.unknown, password: PASSWORD } })).status, 401);
    assert.equal((await world.api('POST', '/v1/auth/register', { body: { companyName: 'x', name: CANARY.owner, email: CANARY.reEmail, phone: '12', password: PASSWORD } })).status, 400);
    assert.deepEqual(await leaks(world.db, TEXTS), [], 'while requests to reset a password wait');
    await world.settle();
    const memberId = String((await call('GET', '/v1/company/members', { token })).data.find((m: { email: string }) => m.email === CANARY.memberEmail).id);
    return { token, userId: user.id, companyId: company.id, locationId: location.id, memberId };
  }

  async function people(token: string): Promise<Answer['body']> {
    await call('POST', '/v1/company/members', { token, key: 'm', body: { email: CANARY.memberEmail, name: CANARY.member, phone: CANARY.memberPhone, role: 'viewer', password: PASSWORD } });
    await call('POST', '/v1/company/invitations', { token, key: 'i', body: { email: CANARY.invited, role: 'viewer' } });
    const invitation = await mailed(CANARY.invited, /invited/i);
    await call('POST', '/v1/auth/invitations/accept', { body: { token: invitation, name: CANARY.joined, password: PASSWORD }, headers: { 'user-agent': CANARY.agent } });
    await call('POST', '/v1/company/invitations', { token, key: 'j', body: { email: CANARY.pending, role: 'viewer' } });
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email: CANARY.operatorEmail, name: CANARY.operator, role: 'platform_admin', password: PASSWORD });
    const place = { name: 'Main', contactName: CANARY.contact, phone: CANARY.contactPhone, line1: CANARY.street, line2: CANARY.nearby, city: 'Bengaluru', state: 'Karnataka', pincode: '560001', gstin: CANARY.gstin };
    const added = await call('POST', '/v1/locations', { token, key: 'l', body: place });
    assert.deepEqual({ ...added, id: undefined, version: undefined, createdAt: undefined }, { ...place, phone: `+91${CANARY.contactPhone}`, id: undefined, version: undefined, createdAt: undefined });
    const second = await call('POST', '/v1/locations', { token, key: 'n', body: { ...place, name: 'Second' } });
    await call('PATCH', `/v1/locations/${second.id}`, { token, ifMatch: second.version, body: { contactName: CANARY.newContact, line1: CANARY.newStreet } });
    return added;
  }

  it('none of them stands in any collection, in any letter case', async () => assert.deepEqual(await leaks(world.db, TEXTS), []));

  it('none of them stands in the log, the metrics or the audit log', async () => {
    const audit = await world.api('GET', '/v1/audit-log?limit=1000', { token: shop.token });
    const texts = [world.logLines.join('\n'), (await world.api('GET', '/metrics')).bytes.toString(), audit.bytes.toString()];
    for (const text of texts) for (const canary of TEXTS) assert.ok(!text.toLowerCase().includes(canary.toLowerCase()), `${canary} is shown`);
  });

  it('whoever may read them reads them in clear: members, locations, the company; a label shows where to send back to', async () => {
    const members = (await call('GET', '/v1/company/members', { token: shop.token })).data.map((m: Record<string, string>) => [m['name'], m['email'], m['phone']]);
    const joined = [CANARY.joined, CANARY.invited, undefined];
    assert.deepEqual(members, [[CANARY.renamed, CANARY.reEmail, `+91${CANARY.rephoned}`], [CANARY.member, CANARY.memberEmail, `+91${CANARY.memberPhone}`], joined]);
    const locations = (await call('GET', '/v1/locations', { token: shop.token })).data.map((l: Record<string, string>) => [l['contactName'], l['line1'], l['line2'], l['gstin']]);
    assert.deepEqual(locations, [[CANARY.contact, CANARY.street, CANARY.nearby, CANARY.gstin], [CANARY.newContact, CANARY.newStreet, CANARY.nearby, CANARY.gstin]]);
    assert.equal((await call('GET', '/v1/company', { token: shop.token })).phone, CANARY.companyPhone);
    const [shipment] = (await call('GET', '/v1/shipments', { token: shop.token })).data;
    await world.settle();
    assert.equal((await world.api('GET', `/v1/shipments/${shipment.id}/label.pdf`, { token: shop.token })).status, 200);
  });

  it('people sign in with their address in any spelling, with the present one only, and a hyphen makes another', async () => {
    for (const email of [CANARY.reEmail, ` ${CANARY.reEmail.toUpperCase()} `, CANARY.memberEmail, CANARY.operatorEmail]) assert.equal((await login(email)).status, 200, email);
    for (const email of [CANARY.ownerEmail, CANARY.reEmail.replace('-', '')]) assert.equal((await login(email)).status, 401, email);
  });

  it('requirement 2: the server refuses clear text from any client (121)', async () => {
    const clear: [collection: string, path: string, value: unknown][] = [
      ...['email', 'name', 'phone'].map((path): [string, string, string] => ['users', path, 'a@b.in']),
      ...['email', 'phone'].map((path): [string, string, string] => ['companies', path, 'a@b.in']),
      ...['contactName', 'phone', 'line1', 'line2', 'gstin'].map((path): [string, string, string] => ['locations', path, 'x']),
      ['one_time_tokens', 'email', 'a@b.in'],
      ['shipments', 'pickup', { name: 'Main', contactName: 'x' }],
      ['users', 'blind.email', 'a@b.in'],
    ];
    for (const [collection, path, value] of clear) {
      await assert.rejects(rows(collection).updateOne({ companyId: shop.companyId }, { $set: { [path]: value } }), { code: 121 }, `${collection}.${path}`);
    }
  });

  it('requirement 3: an envelope of another person, field or company is shown nowhere, and an alarm is logged', async () => {
    const [owner, member] = [await rows('users').findOne({ _id: shop.userId }), await rows('users').findOne({ _id: shop.memberId })];
    const staff = await rows('users').findOne({ companyId: PLATFORM_COMPANY_ID });
    assert.ok(owner && member && staff && ENVELOPE.test(String(owner['email'])));
    for (const planted of [{ email: owner['email'] }, { email: member['name'] }, { email: staff['email'] }]) {
      world.logLines.length = 0;
      await rows('users').updateOne({ _id: shop.memberId }, { $set: planted });
      const answer = await world.api('GET', `/v1/company/members/${shop.memberId}`, { token: shop.token });
      assert.deepEqual([answer.status, answer.body.email], [200, 'c***@example.in']);
      assert.ok(world.logLines.some((line) => line.includes('sealed.unreadable') && line.includes(shop.memberId)), world.logLines.join('\n'));
      await rows('users').replaceOne({ _id: shop.memberId }, member);
    }
    assert.equal((await call('GET', `/v1/company/members/${shop.memberId}`, { token: shop.token })).email, CANARY.memberEmail);
  });

  it('R4 a damaged address or phone is shown as its mask, can be entered again, and nobody else is mailed', async () => {
    const member = (await rows('users').findOne({ _id: shop.memberId })) ?? assert.fail();
    const damaged = (path: string): string => String(member[path]).replace(/.{4}$/, 'AAAA');
    await rows('users').updateOne({ _id: shop.memberId }, { $set: { email: damaged('email'), phone: damaged('phone') } });
    // The index still finds him, so he signs in.
    const { accessToken: token, user } = (await login(CANARY.memberEmail)).body;
    assert.deepEqual([user.email, user.phone], ['c***@example.in', '+91******0004']);
    const resets = async (): Promise<number> => (await call('GET', `/dev/mailbox?to=${CANARY.memberEmail}`)).data.filter((m: { subject: string }) => /password/i.test(m.subject)).length;
    assert.equal(await resets(), 1);
    assert.equal((await world.api('POST', '/v1/auth/password/forgot', { body: { email: CANARY.memberEmail } })).status, 204);
    await world.settle();
    assert.equal(await resets(), 1);
    await rows('jobs').deleteMany({ name: 'identity.send-reset' });
    assert.equal((await call('PATCH', '/v1/me', { token, ifMatch: user.version, body: { phone: CANARY.memberPhone } })).phone, `+91${CANARY.memberPhone}`);
    await call('POST', '/v1/auth/email/change', { token, body: { email: CANARY.memberEmail.replace('q7x', 'q8x'), password: PASSWORD } });
    await rows('users').replaceOne({ _id: shop.memberId }, member);
  });

  it('the same address of a person and of his company cannot be joined, and a dump cannot be searched for it', async () => {
    const owner = await rows('users').findOne({ _id: shop.userId });
    const index = (owner?.['blind'] as { email: string }).email;
    assert.match(index, /^b1\./);
    const others = await Promise.all(['companies', 'one_time_tokens', 'orders', 'shipments', 'throttles'].map((name) => rows(name).find({}).toArray()));
    assert.ok(!JSON.stringify(others).includes(index));
  });
});
