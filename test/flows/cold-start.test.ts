import { strict as assert } from 'node:assert';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveMongod } from '../../src/platform/embedded/mongod-binary.ts';
import { choosePort, isListening } from '../../src/platform/embedded/mongod-process.ts';
import { testDatabaseUri } from '../support/database.ts';
import { apiOf, endOpenTransactionsAfter, killAll, openStore, spawnService, startProcess, until } from '../support/process.ts';

const SECOND_START_WITHIN_MS = 5_000;
/** How many rows of each kind the demo has. */
const DEMO = { companies: 1, users: 2, locations: 1, courier_connections: 1, products: 10, stock: 10, stock_movements: 1, kycs: 1, ledger_entries: 1 };

describe('a start', function () {
  this.timeout(90_000);
  let folder: string;
  let store: Awaited<ReturnType<typeof openStore>> | undefined;
  let mongod: ChildProcess | undefined;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dakiya-start-'));
  });
  after(async () => {
    await killAll();
    mongod?.kill('SIGKILL');
    await endOpenTransactionsAfter(20);
    await store?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('with a faulty configuration ends with 1 and names every fault, and no secret', async () => {
    const env = { PORT: '99999', LANES: 'perhaps', JWT_SECRET: 'short-canary-secret', LOG_LEVEL: 'loud', MONGODB_URI: 'not a uri' };
    const { ended, output } = spawnService(env);
    assert.deepEqual(await ended, { code: 1, signal: null });
    const said = output.join('\n');
    assert.match(said, /^Dakiya cannot start:/m);
    for (const name of Object.keys(env)) assert.match(said, new RegExp(`^- .*${name}`, 'm'));
    assert.ok(!said.includes('short-canary-secret') && !said.includes('    at '), said);
  });

  it('on a standalone server ends with 1 and says how to make it a replica set', async () => {
    const { path } = await resolveMongod();
    const port = await choosePort();
    mongod = spawn(path, ['--dbpath', folder, '--port', String(port), '--bind_ip', '127.0.0.1', '--nounixsocket'], { stdio: 'ignore' });
    await until('the server listens', () => isListening(port), 30_000);
    const { ended, output } = spawnService({ MONGODB_URI: `mongodb://127.0.0.1:${port}/dakiya_alone_test` });
    assert.deepEqual(await ended, { code: 1, signal: null });
    assert.match(output.join('\n'), /MONGODB_URI names a standalone server.*--replSet rs0.*rs\.initiate\(\).*\?replicaSet=rs0/);
    const gone = once(mongod, 'exit');
    mongod.kill('SIGKILL');
    await gone;
  });

  it('that was killed at any point of its first is completed by the next, once, and repeated in a few seconds', async () => {
    const uri = await testDatabaseUri();
    // A killed start may hold rows for longer than one transaction tries.
    const env = { MONGODB_URI: uri, SEED_DEMO: 'on', DATA_DIR: join(folder, 'data'), TRANSACTION_DEADLINE_MS: '500' };
    store = await openStore(uri, env.DATA_DIR);
    await endOpenTransactionsAfter(2);
    const { db } = store;
    // Each start is killed a little later than the one before: after the company, among the products, before the stock.
    for (const [name, rows] of [['companies', 1], ['products', 4], ['products', 10]] as const) {
      const { kill, ended } = spawnService(env);
      await Promise.race([until(`${rows} of ${name}`, async () => (await db.collection(name).countDocuments()) >= rows, 30_000), ended]);
      await kill();
    }
    const whole = await startProcess(env);
    const counts = async () => Object.fromEntries(await Promise.all(Object.keys(DEMO).map(async (name) => [name, await db.collection(name).countDocuments()])));
    const demo = await counts();
    assert.deepEqual(demo, DEMO);
    const told = /sign in as (\S+) \(owner\).*password (\S+)$/.exec(whole.output.find((line) => line.startsWith('Demo Traders')) ?? '');
    const login = await apiOf(whole.url)('POST', '/v1/auth/login', { body: { email: told?.[1], password: told?.[2] } });
    assert.equal(login.status, 200, JSON.stringify(login.body));
    assert.deepEqual(await whole.stop(), { code: 0, signal: null });

    const began = performance.now();
    const again = await startProcess(env);
    const tookMs = performance.now() - began;
    assert.deepEqual(await counts(), demo);
    assert.ok(again.output.some((line) => line.includes(String(told?.[2]))), 'the same password');
    await again.stop();
    const other = await startProcess({ ...env, DEMO_PASSWORD: 'Another-Password-42' });
    assert.ok(other.output.some((line) => /sign in as .* with the password that was set before$/.test(line)), 'a password that does not open the account is not told');
    await other.stop();
    // Where others compete for the processors everything takes longer, and that is not the start's doing.
    const crowd = Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
    assert.ok(tookMs < SECOND_START_WITHIN_MS * crowd, `a second start took ${Math.round(tookMs)} ms`);
    await store.checks();
  });
});
