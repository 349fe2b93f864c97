import { strict as assert } from 'node:assert';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import mongoose from 'mongoose';
import { startWorld, type Merchant, type World } from '../support/world.ts';

const ORDERS = 4_000;
const KILLS = 5;
const LEASE_MS = 400;
const HEADER = 'externalId,customerName,customerPhone,line1,city,state,pincode,paymentMethod,sku,itemName,quantity,unitPricePaise';

/** Every hundredth row is faulty, and every thousandth repeats an earlier order. */
function file(): string {
  const rows = Array.from({ length: ORDERS }, (_, i) => {
    const quantity = i % 100 === 50 ? '0' : '1';
    const id = i % 1_000 === 999 ? 'K-0' : `K-${i}`;
    return `${id},Asha Menon,9845012345,12 Lake View,Bengaluru,Karnataka,560001,prepaid,MUG,Mug,${quantity},39900`;
  });
  return `${[HEADER, ...rows].join('\n')}\n`;
}

/** The same delays with every run (Park and Miller's generator). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

describe('an import whose worker is killed', function () {
  this.timeout(120_000);
  let world: World;
  let shop: Merchant;
  let child: ChildProcess | undefined;

  before(async () => {
    world = await startWorld({ JOB_LEASE_MS: String(LEASE_MS) });
    await endOpenTransactionsAfter(2);
    shop = await world.merchant();
    await world.settle();
  });
  after(async () => {
    child?.kill('SIGKILL');
    await endOpenTransactionsAfter(60);
    await world.close();
  });

  /** The server's own limit: until then the open transaction of a killed worker keeps its rows. */
  async function endOpenTransactionsAfter(seconds: number): Promise<void> {
    await mongoose.connection.db?.admin().command({ setParameter: 1, transactionLifetimeLimitSeconds: seconds });
  }

  async function upload(mode: string, force: boolean): Promise<string> {
    const form = new FormData();
    form.set('kind', 'orders');
    form.set('mode', mode);
    form.set('force', String(force));
    form.set('file', new Blob([file()]), 'orders.csv');
    const answer = await world.api('POST', '/v1/imports', { token: shop.token, raw: form });
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    return answer.body.id;
  }


  async function startWorker(): Promise<ChildProcess> {
    const started = fork(new URL('../support/import-child.ts', import.meta.url), [], {
      execArgv: ['--import=tsx'],
      env: { ...process.env, NODE_ENV: 'test', MONGODB_URI: world.mongodbUri, JOB_LEASE_MS: String(LEASE_MS), JOB_POLL_MS: '20', DATA_DIR: `${process.env['TMPDIR'] ?? '/tmp'}/dakiya-tests-${process.pid}` },
    });
    child = started;
    await Promise.race([once(started, 'message'), once(started, 'exit').then(([code]) => assert.fail(`the worker ended by itself: ${String(code)}`))]);
    return started;
  }

  /** Kills a worker a seeded moment after it has committed something more; answers the counts found then. */
  async function killAfterNextCommit(id: string, delayMs: number): Promise<number> {
    const before = await recordsOf(id);
    const moved = { 'documentKey._id': id, 'fullDocument.counts.records': { $gt: before } };
    const changes = world.db.collection<{ _id: string }>('imports').watch([{ $match: moved }], { fullDocument: 'updateLookup' });
    const committed = changes.next();
    const worker = await startWorker();
    await committed;
    await changes.close();
    await wait(delayMs);
    const gone = once(worker, 'exit');
    worker.kill('SIGKILL');
    await gone;
    return recordsOf(id);
  }

  async function recordsOf(id: string): Promise<number> {
    const row = await world.db.collection<{ _id: string; counts: { records: number } }>('imports').findOne({ _id: id });
    return row?.counts.records ?? -1;
  }

  async function finish(id: string): Promise<Record<string, unknown>> {
    // The dead worker's lease is over; nothing else may take the job before.
    world.advance(60_000);
    await world.settle();
    const answer = await world.api('GET', `/v1/imports/${id}`, { token: shop.token });
    return answer.body;
  }

  const orders = (filter: object): Promise<number> => world.db.collection('orders').countDocuments({ companyId: shop.companyId, ...filter });

  it('goes on exactly where the last commit left it: nothing lost, nothing twice, every fault listed once', async () => {
    const random = seeded(20_261);
    const id = await upload('skip_invalid', false);
    const seen: number[] = [];
    for (let kill = 0; kill < KILLS && (seen.at(-1) ?? 0) < ORDERS; kill += 1) seen.push(await killAfterNextCommit(id, random() * 60));
    assert.ok(seen.filter((records) => records > 0 && records < ORDERS).length >= 3, `the kills came in the middle: ${seen.join(', ')}`);
    const done = await finish(id);
    assert.equal(done['status'], 'completed');
    assert.deepEqual(done['counts'], { rows: ORDERS, records: ORDERS, imported: 3_956, invalid: 40, duplicates: 4 });
    assert.equal(await orders({ importId: id }), 3_956);
    const numbers = await world.db.collection('orders').distinct('orderNumber', { companyId: shop.companyId });
    const external = await world.db.collection('orders').distinct('externalId', { companyId: shop.companyId });
    assert.deepEqual([numbers.length, external.length], [3_956, 3_956]);
    const listed = await world.db.collection('import_faults').distinct('record', { importId: id });
    assert.equal(listed.length, 44);
    assert.equal(await world.db.collection('import_faults').countDocuments({ importId: id }), 44);
    assert.equal(await world.db.collection('outbox').countDocuments({ type: 'order.placed', companyId: shop.companyId }), 3_956);
    assert.equal(await world.db.collection('audit').countDocuments({ collection: 'orders', action: 'insert', companyId: shop.companyId }), 3_956);
    await world.checks();
  });
});
