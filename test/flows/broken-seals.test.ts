import { strict as assert } from 'node:assert';
import type mongoose from 'mongoose';
import { Secret, TOTP } from 'otpauth';
import { destroyKeys } from '../../src/platform/db/keyring.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { aadhaarOf, gstinOf, panOf, png } from '../support/kyc.ts';
import { until } from '../support/process.ts';
import { book, fund, makeOrder } from '../support/shipping.ts';
import { PASSWORD, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

type Raw = { _id: string } & Record<string, unknown>;

const BANK = { accountNumber: '771234567812', ifsc: 'HDFC0000001', holderName: 'Kanarese Canaryson' };
const panBody = (digits: string): object => ({ number: panOf(digits), name: 'Kanarese Canaryson', holderType: 'individual' });

describe('R3 R4 a sealed value that was damaged or moved', function () {
  this.timeout(60_000);
  let world: World;
  let shop: Merchant;
  let other: Merchant;
  let gone: Merchant;
  const refusals = new Set<string>();

  const collection = (name: string): mongoose.mongo.Collection<Raw> => world.db.collection<Raw>(name);
  const ask = (method: string, path: string, body?: unknown, more: object = {}): Promise<Answer> => world.api(method, path, { token: shop.token, ...(body === undefined ? {} : { body }), ...more });
  const put = (what: string, body: object, who = shop): Promise<Answer> => world.api('PUT', `/v1/kyc/${what}`, { token: who.token, body });
  const reveal = (field: string): Promise<Answer> => ask('POST', '/v1/kyc/reveal', { field, reason: 'A test of damaged values' });
  const own = async (name: string, who = shop): Promise<Raw> => (await collection(name).findOne({ companyId: who.companyId })) ?? assert.fail(name);
  /** Every refusal is told in the same words, whatever was done to the value. */
  const refused = (answer: Answer): void => {
    const { code, message, statusCode } = answer.body.error ?? {};
    refusals.add(JSON.stringify([answer.status, code, message, statusCode, answer.body.error?.details]));
  };
  /** Puts something else in the place of a value, past the server's validator, and puts the value back afterwards. */
  const with_ = async (name: string, path: string, value: unknown, act: () => Promise<void>): Promise<void> => {
    const before = await own(name);
    const write = (v: unknown) => collection(name).updateOne({ _id: before._id }, { $set: { [path]: v } }, { bypassDocumentValidation: true });
    await write(value);
    await act();
    await write(before[path]);
  };
  /** The value with each of its bytes changed in turn; every `step`th of them. */
  const flipped = (envelope: string, step = 1): string[] =>
    Array.from({ length: Math.ceil(envelope.length / step) }, (_, i) => envelope.slice(0, i * step) + String.fromCharCode(envelope.charCodeAt(i * step) ^ 1) + envelope.slice(i * step + 1));
  /** Another value of the same form: what the server's validator lets through. */
  const damaged = (envelope: string): string => envelope.slice(0, 70) + (envelope[70] === 'A' ? 'B' : 'A') + envelope.slice(71);

  before(async () => {
    world = await startWorld({ KYC_KEEP_AADHAAR_FOR: 'all' });
    [shop, other, gone] = [await world.merchant(), await world.merchant({ location: false }), await world.merchant({ location: false })];
    for (const [i, who] of [shop, other, gone].entries()) {
      const pan = panBody(`123${i}`);
      for (const [what, body] of [['pan', pan], ['gstin', { number: gstinOf(panOf(`123${i}`)) }], ['bank-account', BANK], ['aadhaar', { number: aadhaarOf(`2345678901${i}`), consent: true }]] as const) {
        const saved = await put(what, body, who);
        assert.equal(saved.status, 200, JSON.stringify(saved.body));
      }
    }
    await world.settle();
    await fund(world, shop);
  });
  after(async () => {
    assert.equal(refusals.size, 1, [...refusals].join('\n'));
    assert.match([...refusals][0] ?? '', /^\[409,"sealed_value_unreadable"/);
    await world.close();
  });

  it('any flipped byte: one same refusal, and the masks still show', async () => {
    const stored = String((await own('kycs'))['pan']);
    for (const other of flipped(stored)) await with_('kycs', 'pan', other, async () => refused(await reveal('pan')));
    assert.equal((await reveal('pan')).body.value, panOf('1230'));
    for (const [path, name, field] of [['gstin', 'kycs', 'gstin'], ['bankAccount', 'kycs', 'bankAccount'], ['number', 'aadhaar_vault', 'aadhaar']] as const) {
      const envelope = String((await own(name))[path]);
      for (const value of [...flipped(envelope, 11), 'PLAIN', '', 7, envelope.slice(0, -4), `${envelope}AAAA`]) {
        await with_(name, path, value, async () => {
          refused(await reveal(field));
          const shown = await ask('GET', '/v1/kyc');
          assert.deepEqual([shown.status, shown.body.documents.pan.number], [200, 'XXXXXX230F']);
        });
      }
      assert.equal((await reveal(field)).status, 200);
    }
  });

  it('copies of another row, field or company, an erased one too: the same, and an alarm', async () => {
    const mine = await own('kycs');
    const theirs = await own('kycs', other);
    const erased = String((await own('kycs', gone))['pan']);
    await withTransaction(systemCtx('test', gone.companyId), async (ctx) => destroyKeys(ctx, gone.companyId));
    const aadhaar = String((await own('aadhaar_vault'))['number']);
    for (const copy of [theirs['pan'], mine['gstin'], mine['bankAccount'], erased, aadhaar]) await with_('kycs', 'pan', copy, async () => refused(await reveal('pan')));
    await with_('aadhaar_vault', 'number', (await own('aadhaar_vault', other))['number'], async () => refused(await reveal('aadhaar')));
    assert.equal((await reveal('pan')).body.value, panOf('1230'));
    await world.settle();
    const events = await until('alarms for both collections', async () => {
      const found = await ask('GET', '/v1/security-events?type=security.seal_tampered');
      return found.body.data.length >= 2 ? found : undefined;
    });
    assert.ok(!JSON.stringify(events.body).includes('e1.'));
  });

  it('a key id that nobody has rings too', async () => {
    world.advance(61_000);
    const count = async (): Promise<number> => (await ask('GET', '/v1/security-events?type=security.seal_tampered')).body.data.length;
    await world.settle();
    const before = await count();
    const [, , rest] = String((await own('kycs'))['gstin']).split('.');
    await with_('kycs', 'gstin', `e1.${'0'.repeat(16)}.${rest}`, async () => refused(await reveal('gstin')));
    await until('the alarm has rung', async () => (await count()) === before + 1);
  });

  it('another value takes its place, the same one too', async () => {
    for (const [path, what, field, body] of [['pan', 'pan', 'pan', panBody('1230')], ['gstin', 'gstin', 'gstin', { number: gstinOf(panOf('1230')) }], ['bankAccount', 'bank-account', 'bankAccount', BANK]] as const) {
      const envelope = String((await own('kycs'))[path]);
      await collection('kycs').updateOne({ companyId: shop.companyId }, { $set: { [path]: damaged(envelope) } }, { bypassDocumentValidation: true });
      refused(await reveal(field));
      const saved = await put(what, body);
      assert.equal(saved.status, 200, JSON.stringify(saved.body));
      assert.equal((await reveal(field)).status, 200);
    }
    // A PAN is saved although the GSTIN beside it cannot be read; that one is then in doubt.
    await collection('kycs').updateOne({ companyId: shop.companyId }, { $set: { gstin: damaged(String((await own('kycs'))['gstin'])) } }, { bypassDocumentValidation: true });
    const saved = await put('pan', panBody('4567'));
    assert.deepEqual([saved.status, saved.body.documents?.gstin.status], [200, 'needs_action'], JSON.stringify(saved.body));
    assert.equal((await put('gstin', { number: gstinOf(panOf('4567')) })).status, 200);
    await world.settle();
  });

  it('in an order: shown as its mask; what needs the value is refused', async () => {
    const order = await makeOrder(world, shop);
    const another = await makeOrder(world, shop);
    const shipment = (await book(world, shop, { orderId: another.id })).body;
    const damage = async (name: string, id: string, path: string): Promise<void> => {
      const row = (await collection(name).findOne({ _id: id })) ?? assert.fail();
      await collection(name).updateOne({ _id: id }, { $set: { [path]: damaged(String(row[path])) } }, { bypassDocumentValidation: true });
    };
    await damage('orders', order.id, 'customer');
    const masked = (await ask('GET', '/v1/orders')).body.data.find((one: { id: string }) => one.id === order.id);
    const shown = await ask('GET', `/v1/orders/${order.id}`);
    assert.deepEqual([shown.status, shown.body.customer], [200, masked.customer]);
    refused(await book(world, shop, { orderId: order.id }));
    const bulk = await ask('POST', '/v1/shipments/bulk', { orderIds: [order.id, (await makeOrder(world, shop)).id] }, { key: 'bulk' });
    assert.deepEqual(bulk.body.results.map((one: { error?: { code: string } }) => one.error?.code), ['sealed_value_unreadable', undefined], JSON.stringify(bulk.body));
    const changed = await ask('PATCH', `/v1/orders/${order.id}`, { customer: { name: 'Ravi Iyer', phone: '9812345678' } }, { ifMatch: shown.body.version });
    assert.deepEqual([changed.status, changed.body.customer?.name], [200, 'Ravi Iyer'], JSON.stringify(changed.body));
    assert.equal((await book(world, shop, { orderId: order.id })).status, 201);

    await damage('shipments', shipment.id, 'destination');
    assert.equal((await ask('GET', `/v1/shipments/${shipment.id}`)).status, 200);
    refused(await ask('GET', `/v1/shipments/${shipment.id}/label.pdf`));
    refused(await ask('POST', '/v1/shipments/labels.pdf', { ids: [shipment.id] }));
    for (const path of ['/v1/orders', '/v1/shipments', '/v1/orders/export.csv']) assert.equal((await ask('GET', path)).status, 200, path);
  });

  it('in the people and places of a company: lists show masks, and a new value takes its place', async () => {
    const hurt = async (name: string, path: string): Promise<void> => {
      const row = await own(name);
      const envelope = path.split('.').reduce<unknown>((value, key) => (value as Raw | undefined)?.[key], row);
      await collection(name).updateOne({ _id: row._id }, { $set: { [path]: damaged(String(envelope)) } }, { bypassDocumentValidation: true });
    };
    for (const [name, path] of Object.entries({ users: 'phone', companies: 'phone', locations: 'contactName' })) await hurt(name, path);
    for (const path of ['/v1/me', '/v1/company', '/v1/company/members', '/v1/locations']) assert.equal((await ask('GET', path)).status, 200, path);
    refused(await book(world, shop, { orderId: (await makeOrder(world, shop)).id }));
    const me = (await ask('GET', '/v1/me')).body;
    assert.equal((await ask('PATCH', '/v1/me', { phone: '9800054321', password: PASSWORD }, { ifMatch: me.version })).body.phone, '+919800054321');
    const company = (await ask('GET', '/v1/company')).body;
    assert.equal((await ask('PATCH', '/v1/company', { phone: '9800054322' }, { ifMatch: company.version })).body.phone, '9800054322');
    const [place] = (await ask('GET', '/v1/locations')).body.data;
    assert.equal((await ask('PATCH', `/v1/locations/${place.id}`, { contactName: 'Ravi Iyer' }, { ifMatch: place.version })).body.contactName, 'Ravi Iyer');
    assert.equal((await book(world, shop, { orderId: (await makeOrder(world, shop)).id })).status, 201);
  });

  it('in a connection and in a file', async () => {
    const made = (await ask('POST', '/v1/connections', { courier: 'sandbox', mode: 'sandbox', credentials: { seed: 'calm' } })).body;
    const envelope = String((await own('courier_connections'))['credentials']);
    await with_('courier_connections', 'credentials', damaged(envelope), async () => {
      assert.equal((await ask('GET', '/v1/connections')).status, 200);
      refused(await ask('POST', `/v1/connections/${made.id}/test`, {}));
      refused(await ask('PATCH', `/v1/connections/${made.id}`, { name: 'Another' }, { ifMatch: made.version }));
      refused(await book(world, shop, { orderId: (await makeOrder(world, shop)).id, connectionId: made.id }));
    });
    await collection('courier_connections').updateOne({ _id: made.id }, { $set: { credentials: damaged(envelope) } }, { bypassDocumentValidation: true });
    const changed = await ask('PATCH', `/v1/connections/${made.id}`, { credentials: { seed: 'other' } }, { ifMatch: made.version });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));

    const form = new FormData();
    form.set('file', new Blob([new Uint8Array(png())]), 'pan.png');
    const { body: file } = await world.api('POST', '/v1/kyc/documents', { token: shop.token, raw: form });
    assert.ok(file.id, JSON.stringify(file));
    const chunks = world.db.collection('uploads.chunks');
    const [chunk] = await chunks.find().sort({ _id: -1 }).limit(1).toArray();
    const bytes = Buffer.from((chunk?.['data'] as mongoose.mongo.Binary).buffer);
    bytes[bytes.length - 40] = (bytes[bytes.length - 40] ?? 0) ^ 1;
    await chunks.updateOne({ _id: chunk?._id }, { $set: { data: bytes } });
    refused(await ask('GET', `/v1/kyc/documents/${file.id}`));
  });

  it('an authenticator’s secret: the recovery keys still let its owner in', async () => {
    const code = (secret: string): string => new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + 61_000 });
    const { secret } = (await world.api('POST', '/v1/auth/mfa/enroll', { token: other.token })).body;
    const { recoveryKeys } = (await world.api('POST', '/v1/auth/mfa/confirm', { token: other.token, body: { otp: code(secret) } })).body;
    const envelope = String((await own('mfa_factors', other))['secret']);
    await collection('mfa_factors').updateOne({ companyId: other.companyId }, { $set: { secret: damaged(envelope) } }, { bypassDocumentValidation: true });
    const login = (otp: string): Promise<Answer> => world.api('POST', '/v1/auth/login', { body: { email: other.email, password: PASSWORD, otp } });
    refused(await login(code(secret)));
    assert.equal((await login(recoveryKeys[0])).status, 200);
  });
});
