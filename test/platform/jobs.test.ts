import { strict as assert } from 'node:assert';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { job, jobRows, makeJobRunner, type AnyJob, type JobRow } from '../../src/platform/jobs.ts';
import { useRuntime } from '../../src/platform/runtime.ts';
import { failNext, failNoMore, gate, memberCtx, openHouse, until, type House } from './house.ts';
import { books } from './shelf.ts';

const LEASE_MS = 60_000;

describe('jobs', () => {
  const ctx = memberCtx();
  let house: House;
  before(async () => {
    house = await openHouse({ JOB_LEASE_MS: String(LEASE_MS), JOB_POLL_MS: '20' });
  });
  afterEach(async () => {
    await failNoMore(house.db);
    await house.db.collection('jobs').deleteMany({});
  });
  after(() => house.close());

  const enqueue = (name: string, more: { runAt?: Date; dedupeKey?: string } = {}): Promise<void> =>
    withTransaction(ctx, async (ctx) => {
      await books.count(ctx, {});
      ctx.enqueue({ name, payload: { n: 1 }, ...more });
    });
  const rowOf = async (name: string): Promise<JobRow> => {
    const row = await jobRows.findOne({ name });
    assert(row);
    return row;
  };
  const spec = (name: string, handle: AnyJob['handle'], more: Partial<AnyJob> = {}): AnyJob => job({ name, attempts: 3, backoffMs: 1_000, handle, ...more });

  it('a due job runs once, for its company, and is done; one for later waits', async () => {
    const seen: unknown[] = [];
    const runner = makeJobRunner([spec('once', async (ctx, payload, run) => void seen.push([ctx.actor.id, payload, run.attempt]))]);
    await enqueue('once');
    assert.equal(await runner.runDue(), 1);
    assert.equal(await runner.runDue(), 0);
    assert.deepEqual(seen, [['job:once', { n: 1 }, 1]]);
    assert.equal((await rowOf('once')).state, 'done');
    await enqueue('once', { runAt: new Date(Date.now() + 3_600_000) });
    assert.equal(await runner.runDue(), 0);
  });

  it('two runners over one queue run each job once', async () => {
    const runs = new Map<string, number>();
    const specs = [spec('shared', async (_ctx, _payload, { id }) => void runs.set(id, (runs.get(id) ?? 0) + 1))];
    for (let i = 0; i < 20; i += 1) await enqueue('shared');
    const counts = await Promise.all([makeJobRunner(specs).runDue(), makeJobRunner(specs).runDue(), makeJobRunner(specs).runDue()]);
    assert.equal(counts.reduce((a, b) => a + b), 20);
    assert.deepEqual([runs.size, new Set(runs.values())], [20, new Set([1])]);
  });

  it('a job of a runner that vanished runs again when its lease is over, not before', async () => {
    let runs = 0;
    const specs = [spec('leased', async () => void (runs += 1))];
    await enqueue('leased');
    await jobRows.change({ name: 'leased' }, { $set: { state: 'running', owner: 'vanished', leaseUntil: new Date(Date.now() + LEASE_MS) }, $inc: { attempts: 1 } });
    assert.equal(await makeJobRunner(specs).runDue(), 0);
    house.advance(LEASE_MS + 1_000);
    assert.equal(await makeJobRunner(specs).runDue(), 1);
    const row = await rowOf('leased');
    assert.deepEqual([runs, row.attempts, row.state], [1, 2, 'done']);
  });

  it('who lost the lease finishes nothing: neither done nor failed', async () => {
    for (const fails of [false, true]) {
      const name = `lost-${fails}`;
      const { opened, open } = gate();
      const started = gate();
      const runner = makeJobRunner([
        spec(name, async () => {
          started.open();
          await opened;
          if (fails) throw new Error('too late');
        }),
      ]);
      await enqueue(name);
      const running = runner.runDue();
      await started.opened;
      const taken = { owner: 'another', leaseUntil: new Date(Date.now() + 10 * LEASE_MS + 3_600_000) };
      await jobRows.change({ name }, { $set: taken, $inc: { attempts: 1 } });
      open();
      await running;
      const row = await rowOf(name);
      assert.deepEqual([row.state, row.owner, row.log], ['running', 'another', []]);
    }
  });

  it('a heartbeat keeps the lease of a long job, and tells the job when the lease is lost', async () => {
    const { opened, open } = gate();
    const started = gate();
    let lost = false;
    const short = openShort();
    const runner = makeJobRunner([
      spec('long', async (_ctx, _payload, { signal }) => {
        signal.addEventListener('abort', () => {
          lost = true;
        });
        started.open();
        await opened;
      }),
    ]);
    await enqueue('long');
    const running = runner.runDue();
    await started.opened;
    const first = (await rowOf('long')).leaseUntil?.getTime() ?? 0;
    await until(async () => ((await rowOf('long')).leaseUntil?.getTime() ?? 0) > first, 'a longer lease');
    assert.equal(lost, false);
    await jobRows.change({ name: 'long' }, { $set: { owner: 'another' } });
    await until(() => lost, 'the signal');
    open();
    await running;
    short();
  });

  it('a failing job waits longer each time, then is dead with its log, and its key is free', async () => {
    const runner = makeJobRunner([spec('failing', () => Promise.reject(new RangeError('no such courier')))]);
    await enqueue('failing', { dedupeKey: 'k' });
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const at = Date.now();
      assert.equal(await runner.runDue(), 1);
      const row = await rowOf('failing');
      assert.deepEqual([row.attempts, row.state, row.log.length], [attempt, attempt < 3 ? 'queued' : 'dead', attempt]);
      waits.push(row.runAt.getTime() - at);
      assert.equal(await runner.runDue(), 0, 'not before its time');
      house.advance(10_000);
    }
    const row = await rowOf('failing');
    assert.match(row.log[2]?.error ?? '', /RangeError: no such courier/);
    assert.deepEqual([row.dedupeKey, row.owner, row.leaseUntil], [undefined, undefined, undefined]);
    await enqueue('failing', { dedupeKey: 'k' });
    assert.equal(await jobRows.count({ name: 'failing', state: 'queued' }), 1);
  });

  it('a job that ends its process during every attempt is dead after its attempts', async () => {
    let runs = 0;
    const runner = makeJobRunner([spec('deadly', async () => void (runs += 1))]);
    await enqueue('deadly');
    await jobRows.change({ name: 'deadly' }, { $set: { state: 'running', owner: 'vanished', leaseUntil: new Date(0), attempts: 3 } });
    assert.equal(await runner.runDue(), 1);
    assert.deepEqual([runs, (await rowOf('deadly')).state], [0, 'dead']);
  });

  it('the same key is queued once while open, and again after its end', async () => {
    const runner = makeJobRunner([spec('keyed', () => Promise.resolve())]);
    await enqueue('keyed', { dedupeKey: 'k' });
    await enqueue('keyed', { dedupeKey: 'k' });
    await enqueue('keyed', { dedupeKey: 'other' });
    assert.equal(await jobRows.count({ name: 'keyed' }), 2);
    assert.equal(await runner.runDue(), 2);
    await enqueue('keyed', { dedupeKey: 'k' });
    assert.equal(await runner.runDue(), 1);
  });

  it('a runner leaves jobs alone that it does not know', async () => {
    await enqueue('unknown');
    assert.equal(await makeJobRunner([spec('known', () => Promise.resolve())]).runDue(), 0);
    assert.equal((await rowOf('unknown')).state, 'queued');
  });

  it('started, it takes up what is queued, within its concurrency', async () => {
    let now = 0;
    let most = 0;
    const gates = Array.from({ length: 6 }, gate);
    let next = 0;
    const runner = makeJobRunner(
      [
        spec('parallel', async () => {
          now += 1;
          most = Math.max(most, now);
          await gates[next++]?.opened;
          now -= 1;
        }),
      ],
      { concurrency: 2 },
    );
    for (let i = 0; i < 6; i += 1) await enqueue('parallel');
    runner.start();
    await until(() => now === 2, 'two at work');
    for (const { open } of gates) open();
    await until(async () => (await jobRows.count({ name: 'parallel', state: 'done' })) === 6, 'all done');
    await runner.stop(1_000);
    assert.equal(most, 2);
  });

  it('stop waits for what runs, then releases the rest for others at once', async () => {
    const quick = gate();
    const never = gate();
    const atWork = new Set<string>();
    let told = false;
    const specs = [
      spec('quick', async () => {
        atWork.add('quick');
        await quick.opened;
      }),
      spec('endless', async (_ctx, _payload, { signal }) => {
        atWork.add('endless');
        signal.addEventListener('abort', () => {
          told = true;
        });
        await never.opened;
      }),
    ];
    await enqueue('quick');
    await enqueue('endless');
    const runner = makeJobRunner(specs);
    runner.start();
    await until(() => atWork.size === 2, 'both at work');
    const stopped = runner.stop(200);
    quick.open();
    await stopped;
    const released = await rowOf('endless');
    assert.deepEqual([(await rowOf('quick')).state, released.state, released.owner, told], ['done', 'queued', undefined, true]);
    await enqueue('quick');
    runner.poke();
    assert.equal(await jobRows.count({ name: 'quick', state: 'running' }), 0);
    never.open();
    await until(async () => (await rowOf('endless')).state === 'queued', 'the late end changes nothing');
  });

  it('what is claimed while the runner stops is given back unused', async () => {
    let runs = 0;
    const runner = makeJobRunner([spec('late', async () => void (runs += 1))]);
    await enqueue('late');
    runner.start();
    await runner.stop(1_000);
    const row = await rowOf('late');
    assert(row.state === 'done' ? runs === 1 : runs === 0 && row.state === 'queued' && row.attempts === 0, JSON.stringify([row.state, runs, row.attempts]));
  });

  it('an outcome that cannot be written is logged, and the lease brings the job back', async () => {
    const started = gate();
    const { opened, open } = gate();
    const runner = makeJobRunner([
      spec('unwritten', async () => {
        started.open();
        await opened;
      }),
    ]);
    await enqueue('unwritten');
    runner.start();
    await started.opened;
    await failNext(house.db, ['findAndModify'], { errorCode: 8_000 }, 1_000);
    open();
    await until(() => house.logLines.some((line) => line.includes('jobs.outcome_not_kept')), 'the log line');
    await failNoMore(house.db);
    await runner.stop(1_000);
    assert.equal((await rowOf('unwritten')).state, 'running');
    house.advance(2 * LEASE_MS);
    assert.equal(await makeJobRunner([spec('unwritten', () => Promise.resolve())]).runDue(), 1);
  });

  /** Leases so short that the heart beats soon; answers how to take them back. */
  function openShort(): () => void {
    useRuntime({ config: { ...house.config, jobLeaseMs: 60 }, log: house.log });
    return () => useRuntime({ config: house.config, log: house.log });
  }
});

