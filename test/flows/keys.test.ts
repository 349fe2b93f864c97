import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { listKeys } from '../../src/platform/db/key-admin.ts';
import { retireKeys } from '../../src/platform/db/key-retire.ts';
import { heldKey, writingKey, type KeyOwner } from '../../src/platform/db/keyring.ts';
import { openBytes, sealBytes } from '../../src/platform/db/sealed-bytes.ts';
import { newId } from '../../src/platform/ids.ts';
import { pdf } from '../support/kyc.ts';
import { cli, cliDone } from '../support/legacy.ts';
import { killAll, spawnService, startProcess, until } from '../support/process.ts';
import { makeOrder } from '../support/shipping.ts';
import { orderBody, PRODUCT } from '../support/shop.ts';
import { startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

type Plain = Record<string, unknown> & { _id: string };

const [OLD, NEW] = [`k1:${randomBytes(32).toString('hex')}`, `k2:${randomBytes(32).toString('hex')}`];
const PRODUCT_BODY = { sku: "ANSWER-1", ...PRODUCT };

/** Every place that seals, one after the other: what one test leaves is where the next begins. */
describe('requirement 5: keys are replaced everywhere, through the command line, while the service runs', function () {
  this.timeout(60_000);
  let world: World;
  let shop: Merchant;
  let env: Record<string, string>;
  let order: Answer['body'];
  let fileId: string;
  let answered: Answer;
  let mailTo: string;
  let first: string[];
  // Three pieces, whose borders are not those of the chunks.
  const file = Buffer.concat([pdf(), randomBytes(600_000), Buffer.from('\n%%EOF\n')]);
  const event = { id: newId(), text: Buffer.from('{"consignee":"Meera Nair"}') };
  const ownerOf = (): KeyOwner => ({ companyId: shop.companyId, purpose: 'company' });
  const eventPlace = { collection: 'raw_events', id: event.id, path: 'body' };
  const rows = (name: string) => world.db.collection<Plain>(name);
  const readFile = () => world.api('GET', `/v1/kyc/documents/${fileId}`, { token: shop.token });
  const repeat = () => world.api('POST', '/v1/products', { token: shop.token, key: 'answered', body: PRODUCT_BODY });
  const readOrder = (api = world.api) => api('GET', `/v1/orders/${String(order.id)}`, { token: shop.token });
  /** Which of the first keys anything names, by collection. */
  const namedIn = async (): Promise<string[]> => {
    const found: string[] = [];
    for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
      if (name === 'keyvault') continue;
      const bytes = (await world.db.collection(name).find({}, { raw: true }).toArray()).map((row) => Buffer.from(row as unknown as Uint8Array).toString('latin1')).join();
      if (first.some((id) => bytes.includes(id))) found.push(name);
    }
    return found.sort();
  };
  /** As if the keys had been made two minutes ago. */
  const age = () => rows('keyvault').updateMany({ generation: { $exists: true } }, [{ $set: { createdAt: { $subtract: ['$createdAt', 120_000] } } }]);

  before(async () => {
    world = await startWorld({ ENCRYPTION_KEYS: OLD });
    env = { MONGODB_URI: world.mongodbUri, ENCRYPTION_KEYS: OLD };
    shop = await world.merchant();
    order = await makeOrder(world, shop);
    const form = new FormData();
    form.set('document', 'address');
    form.set('file', new Blob([new Uint8Array(file)]), 'x.pdf');
    const uploaded = await world.api('POST', '/v1/kyc/documents', { token: shop.token, raw: form });
    assert.equal(uploaded.status, 201, JSON.stringify(uploaded.body));
    fileId = uploaded.body.id;
    answered = await repeat();
    assert.equal(answered.status, 201, JSON.stringify(answered.body));
    await rows('raw_events').insertOne({ _id: event.id, companyId: shop.companyId, kind: 'courier', state: 'done', body: await sealBytes(ownerOf(), eventPlace, event.text) });
    await world.settle();
    // A mail and the ask for one, both still waiting.
    const other = await world.merchant({ verified: false, location: false });
    mailTo = other.email;
    assert.equal((await world.api('POST', '/v1/auth/password/forgot', { body: { email: shop.email } })).status, 204);
    first = (await listKeys()).map((key) => key.id);
  });
  after(async () => {
    await killAll();
    await world.close();
  });

  it('rotate and reencrypt reach rows, files, waiting mails, kept answers and raw events, while they are read and written', async () => {
    const before = await namedIn();
    for (const name of ['idempotency', 'jobs', 'orders', 'raw_events', 'uploads.chunks', 'users']) assert.ok(before.includes(name), `${name} of ${before.join()}`);
    await cliDone(['keys', 'rotate'], { env });
    let done = false;
    const wrong: unknown[] = [];
    const traffic = async (): Promise<void> => {
      while (!done) {
        const [bytes, again, read] = [await readFile(), await repeat(), await readOrder()];
        if (bytes.status !== 200 || !bytes.bytes.equals(file)) wrong.push(['file', bytes.status, bytes.body]);
        if (again.status !== 201 || again.body.id !== answered.body.id) wrong.push(['answer', again.status, again.body]);
        if (read.status !== 200) wrong.push(['order', read.status, read.body]);
        await makeOrder(world, shop);
      }
    };
    const busy = traffic();
    const end = await cliDone(['keys', 'reencrypt'], { env });
    done = true;
    await busy;
    assert.deepEqual(wrong, []);
    assert.equal(end.lines.find((l) => l['collection'] === 'uploads.files')?.['renewed'], 1);
    assert.deepEqual(await namedIn(), []);
    assert.deepEqual((await cliDone(['keys', 'reencrypt'], { env })).lines.filter((l) => l['collection'] !== undefined && (l['renewed'] !== 0 || l['unreadable'] !== 0)), []);
  });

  it('retire keeps a key that was replaced just now, and one that anything names: a row, a migration’s backup, two chunks of a file', async () => {
    assert.ok((await retireKeys()).every((key) => key.kept?.startsWith('rotated less than 60 s ago')));
    await age();
    const [id = ''] = first;
    const keeps = async (name: string, ...stray: object[]): Promise<void> => {
      await world.db.collection(name).insertMany(stray);
      const found = await retireKeys({ dryRun: true });
      assert.match(found.find((key) => key.id === id)?.kept ?? '', new RegExp(`^named in ${name}$`), JSON.stringify(found));
      await world.db.collection(name).deleteMany({ _id: { $in: stray.map((row) => (row as Plain)._id) } as never });
    };
    await keeps('unknown_to_us', { _id: 'stray', deep: [{ text: `{"x":"e1.${id}.AAAA"}` }] });
    await keeps('uploads.chunks', { _id: 'a', files_id: 'stray', n: 0, data: Buffer.from(`....e1.${id.slice(0, 5)}`) }, { _id: 'b', files_id: 'stray', n: 1, data: Buffer.from(`${id.slice(5)}.b\n`) });
    await world.db.collection('migration_backups').insertOne({ of: 'migrate-encrypt-kyc/down' });
    assert.ok((await retireKeys()).every((key) => key.kept?.includes('migrate down')));
    await world.db.collection('migration_backups').deleteMany({});
    const { wrapped, ...newest } = (await rows('keyvault').findOne({ companyId: shop.companyId, purpose: 'company', generation: 2 })) ?? assert.fail('no second generation');
    await rows('keyvault').updateOne({ _id: newest._id }, { $set: { wrapped: `${String(wrapped).slice(0, -4)}AAAA` } });
    const refused = await cli(['keys', 'retire', '--company', shop.companyId], { env });
    await rows('keyvault').updateOne({ _id: newest._id }, { $set: { wrapped } });
    assert.equal(refused.code, 1);
    assert.match(String(refused.lines.find((l) => l['purpose'] === 'company')?.['kept']), /its successor [0-9a-f]{16} is locked/);
    assert.equal((await listKeys()).filter((key) => key.state === 'old').length, first.length);
  });

  it('then it removes every old key, and everything is still read', async () => {
    const end = await cliDone(['keys', 'retire'], { env });
    assert.deepEqual(end.lines.at(-1), { retired: first.length, kept: 0 });
    assert.deepEqual((await listKeys()).filter((key) => key.state !== 'current' || first.includes(key.id)), []);
    assert.ok((await readFile()).bytes.equals(file));
    assert.deepEqual((await repeat()).body, answered.body);
    const read = await readOrder();
    assert.deepEqual([read.status, read.body.customer], [200, order.customer]);
    const raw = (await rows('raw_events').findOne({ _id: event.id }))?.['body'] as { buffer: Uint8Array };
    assert.deepEqual(await openBytes(ownerOf(), eventPlace, Buffer.from(raw.buffer)), event.text);
    await world.settle();
    for (const [to, subject] of [[mailTo, /verif|confirm/i], [shop.email, /new password/i]] as const) {
      const { data } = (await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(to)}`)).body;
      assert.ok((data as { subject: string }[]).some((mail) => subject.test(mail.subject)), String(subject));
    }
    assert.deepEqual((await cliDone(['keys', 'retire'], { env })).lines.at(-1), { retired: 0, kept: 0 });
  });

  it('a rotation under a key-encryption key that a process lacks makes it not ready, and writes are 503 until it is undone', async () => {
    const write = () => world.api('POST', '/v1/orders', { token: shop.token, key: newId(), body: orderBody([{ sku: 'TOY-1', name: 'Toy', quantity: 1, unitPricePaise: 100 }]) });
    await cliDone(['keys', 'rotate'], { env: { ...env, ENCRYPTION_KEYS: `${NEW},${OLD}` } });
    await until('not ready', async () => (await world.api('GET', '/health/ready')).status === 503);
    const refused = await write();
    assert.deepEqual([refused.status, refused.body.error.code], [503, 'keys_locked']);
    await cliDone(['keys', 'rewrap'], { env: { ...env, ENCRYPTION_KEYS: `${OLD},${NEW}` } });
    await until('ready again', async () => (await world.api('GET', '/health/ready')).status === 200);
    assert.equal((await write()).status, 201);
  });

  it('a mistyped company is no work done', async () => {
    for (const command of ['list', 'rotate', 'reencrypt', 'retire']) {
      const [wrong, unknown] = [await cli(['keys', command, '--company', 'xyz'], { env }), await cli(['keys', command, '--company', newId()], { env })];
      assert.deepEqual([wrong.code, unknown.code], [2, 1], command);
      assert.match(wrong.err, /24-character id/);
      assert.match(unknown.err, /There is no such company/);
    }
  });

  it('a start without the key-encryption key that is still needed is refused and names it; after rewrap the old one can go', async () => {
    const refused = spawnService({ ...env, ENCRYPTION_KEYS: NEW });
    assert.equal((await refused.ended).code, 1);
    assert.match(refused.output.join('\n'), /ENCRYPTION_KEYS lacks the key k1/);
    await cliDone(['keys', 'rewrap'], { env: { ...env, ENCRYPTION_KEYS: `${NEW},${OLD}` } });
    const service = await startProcess({ ...env, ENCRYPTION_KEYS: NEW });
    const read = await readOrder(service.api);
    assert.deepEqual([read.status, read.body.customer], [200, order.customer]);
    await service.stop();
  });

  it('a process that stood still asks the vault again: a key may have been rotated and retired meanwhile', async () => {
    await writingKey(ownerOf());
    assert.equal(writingKey(ownerOf()) instanceof Promise, false);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5_100);
    const asked = writingKey(ownerOf());
    const [newestRow] = await rows('keyvault').find({ companyId: shop.companyId, purpose: 'company' }).sort({ generation: -1 }).limit(1).toArray();
    assert.ok(asked instanceof Promise);
    assert.equal((await asked).id, newestRow?._id);
    await rows('keyvault').deleteOne({ _id: String(newestRow?._id) });
    const held = heldKey(String(newestRow?._id));
    await until('the key is closed here too', () => held.state === 'missing');
    assert.notEqual((await writingKey(ownerOf())).id, held.id);
  });
});
