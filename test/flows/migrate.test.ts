import { strict as assert } from 'node:assert';
import mongoose from 'mongoose';
import { testDatabaseUri } from '../support/database.ts';
import { cli, cliDone, grepDatabase, legacyDigests, legacySample, loadLegacy } from '../support/legacy.ts';
import { killAll, spawnService, startProcess, DATA_DIR } from '../support/process.ts';
import { PASSWORD } from '../support/world.ts';
import { at, legacyReader } from '../../scripts/migrations/runner/legacy-values.ts';

const SECRET_FIELDS: Record<string, string[]> = {
  kycs: ['documents.pan.number', 'documents.aadhaar.number', 'documents.bankAccount.accountNumber'],
  users: ['oauth.google.accessToken', 'oauth.google.refreshToken', 'security.resetToken'],
  integrations: ['accessToken'],
  sessions: ['refreshToken'],
};
const NAMES = ['indexes', 'migrate-encrypt-kyc', 'migrate-encrypt-oauth', 'migrate-hash-sessions'];

/** Every secret value of the sample: as it stood, and in clear. */
async function secrets(): Promise<string[]> {
  const reader = legacyReader('legacy-sample-secret-not-for-use');
  const values = new Set<string>();
  for (const [name, fields] of Object.entries(SECRET_FIELDS)) {
    for (const doc of await legacySample(name)) {
      for (const path of fields) {
        const stored = at(doc, path);
        if (typeof stored !== 'string') continue;
        values.add(stored);
        values.add(reader.read(doc, { path }).value ?? stored);
      }
    }
  }
  return [...values];
}

describe('the migrations of a legacy database', function () {
  this.timeout(120_000);
  let client: mongoose.mongo.MongoClient;
  let uri: string;
  let db: mongoose.mongo.Db;
  let env: Record<string, string>;
  const databases: mongoose.mongo.Db[] = [];

  before(async () => {
    client = await new mongoose.mongo.MongoClient(await testDatabaseUri()).connect();
  });
  beforeEach(async () => {
    uri = await testDatabaseUri();
    db = client.db(new URL(uri).pathname.slice(1));
    databases.push(db);
    env = { MONGODB_URI: uri, DATA_DIR };
  });
  after(async () => {
    await killAll();
    for (const each of databases) await each.dropDatabase();
    await client.close();
  });

  it('C2: up, the app works and nothing is in clear; down, and every document is byte for byte as it was', async () => {
    const before = await loadLegacy(db);
    const dry = await cliDone(['migrate', '--dry-run'], { env });
    assert.deepEqual(dry.lines.filter((l) => l['dryRun']).slice(1).map((l) => l['rows']), [300, 300, 399]);
    assert.deepEqual((await db.listCollections().toArray()).map((c) => c.name).sort(), Object.keys(before).sort());
    assert.deepEqual(await legacyDigests(db), before);

    const refused = spawnService(env);
    assert.equal((await refused.ended).code, 1);
    assert.match(refused.output.join('\n'), /not yet migrated.*npm run dakiya -- migrate up/);

    const up = await cliDone(['migrate', 'up'], { env });
    assert.deepEqual(up.lines.filter((l) => l['event'] === 'done').map((l) => l['migration']), NAMES);
    assert.ok(up.lines.some((l) => l['step'] === 'convert' && l['collection'] === 'kycs'));
    const values = await secrets();
    assert.ok(values.length > 1500);
    assert.deepEqual(await grepDatabase(db, values), []);
    const people = await legacySample('users');
    const addresses = people.map((user) => String(user['email']));
    assert.ok(addresses.length === 200 && addresses.every((email) => email.endsWith('@legacy.example.in')));
    assert.deepEqual(await grepDatabase(db, [...addresses, ...people.map((user) => String(user['name']))]), []);
    assert.deepEqual((await cliDone(['migrate', 'status', '--check'], { env })).lines.map((l) => [l['name'], l['state'], l['waiting']]), NAMES.map((n) => [n, 'done', 0]));

    const [session] = await legacySample('sessions');
    const operator = { email: 'op@staff.example.in', name: 'Op', role: 'operator' };
    const service = await startProcess(env);
    const made = await createOperator(operator, env);
    assert.equal(made, 0);
    const login = await service.api('POST', '/v1/auth/login', { body: { email: operator.email, password: PASSWORD } });
    assert.equal(login.status, 200, JSON.stringify(login.body));
    const queue = await service.api('GET', '/v1/admin/kyc?limit=200', { token: login.body.accessToken });
    assert.equal(queue.status, 200, JSON.stringify(queue.body));
    const listed = queue.body.data as { id: string; version: number; memberId?: string; companyId: string; status: string; documents: { pan: { number: string; status: string } } }[];
    assert.deepEqual(listed.map((kyc) => kyc.id).sort(), (await legacySample('kycs')).map((doc) => String(doc['_id'])).sort(), 'every legacy KYC is listed');
    assert.equal(listed.filter((kyc) => kyc.memberId === undefined).length, 100);
    for (const { documents } of listed) assert.match(documents.pan.number, /^X{6}\d{3}[A-Z]$/);
    const ofMember = listed.find((kyc) => kyc.memberId !== undefined && kyc.documents.pan.status === 'submitted');
    const decided = await service.api('POST', `/v1/admin/kyc/${ofMember?.id}/decisions`, { token: login.body.accessToken, body: { document: 'pan', decision: 'verified' } });
    assert.equal(decided.status, 200, JSON.stringify(decided.body));
    const own = await service.api('GET', `/v1/admin/kyc/${ofMember?.companyId}`, { token: login.body.accessToken });
    assert.deepEqual([own.body.memberId, own.body.history], [undefined, []], 'the company’s own KYC is another one');
    const refreshed = await service.api('POST', '/v1/auth/refresh', { body: { refreshToken: session?.['refreshToken'] } });
    assert.equal(refreshed.status, 200, JSON.stringify(refreshed.body));
    const company = await service.api('GET', '/v1/company', { token: refreshed.body.accessToken });
    assert.equal(company.status, 200, JSON.stringify(company.body));
    const members = await service.api('GET', '/v1/company/members', { token: refreshed.body.accessToken });
    assert.ok(members.body.data.length > 0 && members.body.data.every((m: { email: string; name: string }) => addresses.includes(m.email) && !m.name.includes('*')), JSON.stringify(members.body));
    await service.stop();
    const unlocked = await cliDone(['admin', 'unlock', (addresses[0] ?? '').toUpperCase()], { env });
    assert.deepEqual(unlocked.lines.at(-1), { unlocked: true });
    const nothing = await cli(['admin', 'disable-mfa', '--email', addresses[0] ?? '', '--reason', 'Lost phone, proved by a call'], { env });
    assert.equal(nothing.code, 1);
    assert.match(nothing.err, /Two-step sign-in is not on/);
    assert.equal((await cli(['checks'], { env })).code, 0, 'checks');

    const down = await cliDone(['migrate', 'down', '--all'], { env });
    assert.deepEqual(down.lines.filter((l) => l['event'] === 'done').map((l) => l['migration']), [...NAMES].reverse());
    assert.deepEqual(await legacyDigests(db), before);
  });

  it('goes on after kill -9 in the backup, in the middle of every collection, and on the way back', async () => {
    const before = await loadLegacy(db);
    const own = { ...env, MIGRATION_BATCH_ROWS: '60' };
    const killed = async (args: string[], phase: string, collection: string): Promise<void> => {
      const end = await cli(['migrate', ...args], { env: own, killAt: (line) => line.includes(`"step":"${phase}","collection":"${collection}"`) });
      assert.equal(end.signal, 'SIGKILL', `${phase} ${collection}: ${end.out}${end.err}`);
    };
    await killed(['up'], 'backup', 'kycs');
    await killed(['up'], 'convert', 'kycs');
    const refused = spawnService(env);
    assert.equal((await refused.ended).code, 1);
    assert.match(refused.output.join('\n'), /migrate-encrypt-kyc did not end.*migrate up/);
    await killed(['up'], 'convert', 'users');
    await killed(['up'], 'convert', 'sessions');
    const up = await cliDone(['migrate', 'up'], { env: own });
    assert.ok(up.lines.some((l) => l['event'] === 'resumed' && l['migration'] === 'migrate-hash-sessions'));
    assert.deepEqual(await grepDatabase(db, await secrets()), []);
    for (const [name, rows] of Object.entries({ companies: 100, users: 200, kycs: 200, integrations: 100, oauth_grants: 134, aadhaar_vault: 200, sessions: 399 })) {
      assert.equal(await db.collection(name).countDocuments(), rows, name);
    }
    await killed(['down', '--all'], 'restore', 'users');
    await cliDone(['migrate', 'down', '--all'], { env: own });
    assert.deepEqual(await legacyDigests(db), before);
  });

  it('a wrong or missing secret, and a row that cannot be read, stop it before its first write and say what', async () => {
    await loadLegacy(db);
    const [victim] = await db.collection('kycs').find({ 'documents.pan.__enc_number': true }).limit(1).toArray();
    await cliDone(['migrate', 'up', '--to', 'indexes'], { env });
    const untouched = await legacyDigests(db);
    const wrong = await cli(['migrate', 'up'], { env: { ...env, LEGACY_ENCRYPTION_SECRET: 'another-secret-of-somebody-else' } });
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /LEGACY_ENCRYPTION_SECRET is not the secret .* Nothing was written/);
    const missing = await cli(['migrate', 'up'], { env: { ...env, LEGACY_ENCRYPTION_SECRET: '' } });
    assert.match(missing.err, /LEGACY_ENCRYPTION_SECRET is not set/);
    assert.deepEqual(await legacyDigests(db), untouched);
    assert.equal(await db.collection('migration_backups').countDocuments(), 0);

    const broken = String(at(victim, 'documents.pan.number')).slice(0, -32) + 'f'.repeat(32);
    await db.collection('kycs').updateOne({ _id: victim?._id }, { $set: { 'documents.pan.number': broken } });
    const before = await legacyDigests(db);
    const unread = await cli(['migrate', 'up'], { env });
    assert.equal(unread.code, 1);
    assert.match(unread.err, new RegExp(`kycs ${String(victim?._id)}: documents\\.pan\\.number does not open[^]*Nothing was written[^]*--drop-unreadable`));
    assert.ok(!unread.err.includes(broken));
    assert.deepEqual(await legacyDigests(db), before);
    await cliDone(['migrate', 'up', '--drop-unreadable'], { env });
    await cliDone(['migrate', 'down', '--to', 'migrate-encrypt-kyc'], { env });
    assert.deepEqual(await legacyDigests(db), before);
  });

  it('two runners at once: one works, the other waits and then finds nothing to do or says who works; a newer database is refused', async () => {
    await loadLegacy(db);
    const both = await Promise.all([cli(['migrate', 'up'], { env }), cli(['migrate', 'up'], { env })]);
    const ran = both.map((end) => end.lines.filter((l) => l['event'] === 'done').length);
    assert.deepEqual([...ran].sort(), [0, 4]);
    for (const [i, { code, err }] of both.entries()) if (ran[i] === 4 || code !== 1) assert.equal(code, 0, err);
    for (const { code, err } of both) if (code === 1) assert.match(err, /Another runner is migrating this database/);
    await db.collection<{ _id: string; state: string }>('migrations').insertOne({ _id: 'migrate-from-the-future', state: 'done' });
    const refused = spawnService(env);
    assert.equal((await refused.ended).code, 1);
    assert.match(refused.output.join('\n'), /newer than this version.*migrate-from-the-future/);
    assert.equal((await cli(['migrate', 'up'], { env })).code, 1);
  });

  async function createOperator({ email, name, role }: { email: string; name: string; role: string }, own: Record<string, string>): Promise<number | null> {
    return (await cli(['admin', 'create-operator', '--email', email, '--name', name, '--role', role], { env: own, input: PASSWORD })).code;
  }
});
