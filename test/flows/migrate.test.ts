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
    const refused = spawnService(env);
    assert.equal((await refused.ended).code, 1);
    assert.match(refused.output.join('\n'), /not yet migrated.*npm run dakiya -- migrate up/);

    const dry = await cliDone(['migrate', '--dry-run'], { env });
    assert.deepEqual(dry.lines.filter((l) => l['dryRun']).slice(1).map((l) => l['rows']), [300, 300, 399]);
    assert.deepEqual((await db.listCollections().toArray()).map((c) => c.name).filter((n) => n !== 'keyvault').sort(), Object.keys(before).sort());
    assert.deepEqual(await legacyDigests(db), before);

    const up = await cliDone(['migrate', 'up'], { env });
    assert.deepEqual(up.lines.filter((l) => l['event'] === 'done').map((l) => l['migration']), NAMES);
    assert.ok(up.lines.some((l) => l['step'] === 'convert' && l['collection'] === 'kycs'));
    const values = await secrets();
    assert.ok(values.length > 1500);
    assert.deepEqual(await grepDatabase(db, values), []);
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
    assert.equal(queue.body.data.length, 100);
    assert.match(queue.body.data[0].documents.pan.number, /^X{6}\d{3}[A-Z]$/, JSON.stringify(queue.body.data[0]));
    const refreshed = await service.api('POST', '/v1/auth/refresh', { body: { refreshToken: session?.['refreshToken'] } });
    assert.equal(refreshed.status, 200, JSON.stringify(refreshed.body));
    const company = await service.api('GET', '/v1/company', { token: refreshed.body.accessToken });
    assert.equal(company.status, 200, JSON.stringify(company.body));
    await service.stop();
    assert.equal((await cli(['checks'], { env })).code, 0, 'checks');

    const down = await cliDone(['migrate', 'down', '--all'], { env });
    assert.deepEqual(down.lines.filter((l) => l['event'] === 'done').map((l) => l['migration']), [...NAMES].reverse());
    assert.deepEqual(await legacyDigests(db), before);
  });

  async function createOperator({ email, name, role }: { email: string; name: string; role: string }, own: Record<string, string>): Promise<number | null> {
    return (await cli(['admin', 'create-operator', '--email', email, '--name', name, '--role', role], { env: own, input: PASSWORD })).code;
  }
});
