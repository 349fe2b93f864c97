import { strict as assert } from 'node:assert';
import type { OutsideTx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { makeOutboxDispatcher, outboxAgeMs, type OutboxEvent, type Subscriber } from '../../src/platform/outbox.ts';
import { makeScheduler } from '../../src/platform/scheduler.ts';
import { gate, memberCtx, openHouse, until, type House } from './house.ts';
import { books } from './shelf.ts';

const LEASE_MS = 60_000;

describe('events and schedules', () => {
  let house: House;
  before(async () => {
    house = await openHouse({ JOB_LEASE_MS: String(LEASE_MS), OUTBOX_POLL_MS: '20' });
  });
  afterEach(async () => {
    for (const name of ['outbox', 'schedules']) await house.db.collection(name).deleteMany({});
  });
  after(() => house.close());

  const emit = (key: string, n: number, ctx: OutsideTx = memberCtx('a'.repeat(24))): Promise<void> =>
    withTransaction(ctx, async (ctx) => {
      await books.count(ctx, {});
      ctx.emit({ type: 'book.moved', key, payload: { n } });
    });
  const subscriber = (handle: (event: OutboxEvent) => Promise<void> | void, name = 'shelf'): Subscriber => ({
    name,
    types: ['book.moved'],
    handle: async (_ctx, event) => handle(event),
  });
  const pending = (): Promise<number> => house.db.collection('outbox').countDocuments({ pending: true });

  it('each event reaches every subscriber of its type, for its company, once', async () => {
    const heard: string[] = [];
    const dispatcher = makeOutboxDispatcher([
      { name: 'first', types: ['book.moved'], handle: async (ctx, e) => void heard.push(`first ${ctx.companyId === e.companyId} ${ctx.actor.id} ${e.key}`) },
      subscriber((e) => void heard.push(`second ${e.key}`)),
      { name: 'deaf', types: ['book.sold'], handle: async () => void heard.push('deaf') },
    ]);
    await emit('k', 1);
    await dispatcher.deliverDue();
    await dispatcher.deliverDue();
    assert.deepEqual(heard, ['first true event:first k', 'second k']);
    assert.equal(await pending(), 0);
  });

  it('keeps the order of commit within a key, over more events than one page', async () => {
    const heard: number[] = [];
    const ctx = memberCtx();
    for (let n = 0; n < 3; n += 1) {
      await withTransaction(ctx, async (ctx) => {
        await books.count(ctx, {});
        for (let i = 0; i < 400; i += 1) ctx.emit({ type: 'book.moved', key: `k${i % 7}`, payload: { n: n * 400 + i } });
      });
    }
    await makeOutboxDispatcher([subscriber((e) => void heard.push(Number(e.payload['n'])))]).deliverDue();
    assert.deepEqual(heard, Array.from({ length: 1_200 }, (_, i) => i));
  });

  it('a failing event waits aside: its own key waits with it, the others go on, and order holds', async () => {
    const heard: string[] = [];
    let broken = true;
    const dispatcher = makeOutboxDispatcher([
      subscriber((e) => {
        if (broken && e.key === 'bad' && e.payload['n'] === 1) throw new Error('not now');
        heard.push(`${e.key}${String(e.payload['n'])}`);
      }),
    ]);
    for (const [key, n] of [['bad', 1], ['good', 1], ['bad', 2], ['good', 2]] as const) await emit(key, n);
    await emit('bad', 9, memberCtx('b'.repeat(24)));
    await dispatcher.deliverDue();
    assert.deepEqual(heard, ['good1', 'good2', 'bad9']);
    await emit('bad', 3);
    await dispatcher.deliverDue();
    assert.equal(await pending(), 3);
    broken = false;
    house.advance(10_000);
    await dispatcher.deliverDue();
    assert.deepEqual(heard.slice(3), ['bad1', 'bad2', 'bad3']);
    assert.equal(await pending(), 0);
  });

  it('a poison event is dead after its attempts, stays to be looked at, and frees its key', async () => {
    const heard: number[] = [];
    const dispatcher = makeOutboxDispatcher([
      subscriber((e) => {
        if (e.payload['n'] === 1) throw new Error('poison');
        heard.push(Number(e.payload['n']));
      }),
    ]);
    await emit('k', 1);
    await emit('k', 2);
    for (let attempt = 0; attempt < 9; attempt += 1) {
      await dispatcher.deliverDue();
      house.advance(3_600_000);
    }
    assert.deepEqual(heard, [2]);
    const dead = await house.db.collection('outbox').find({ dead: true }).toArray();
    assert.deepEqual(dead.map((e) => [e['attempts'], e['pending'], e['expireAt']]), [[8, undefined, undefined]]);
  });

  it('one dispatcher at a time delivers, whoever asks', async () => {
    const counts = [0, 0];
    const dispatchers = counts.map((_, i) => makeOutboxDispatcher([subscriber(() => void (counts[i] = (counts[i] ?? 0) + 1))]));
    for (let n = 0; n < 30; n += 1) await emit(`k${n}`, n);
    await Promise.all(dispatchers.map((d) => d.deliverDue()));
    assert.deepEqual([...counts].sort((a, b) => a - b), [0, 30]);
  });

  it('the lease of a dispatcher that vanished is taken over after its time; a stopped one frees it at once', async () => {
    const first = makeOutboxDispatcher([subscriber(() => undefined)]);
    let heard = 0;
    const second = makeOutboxDispatcher([subscriber(() => void (heard += 1))]);
    await first.deliverDue();
    await emit('k', 1);
    assert.equal(await second.deliverDue(), 0);
    house.advance(LEASE_MS + 1_000);
    await second.deliverDue();
    assert.equal(heard, 1);
    await second.stop();
    await emit('k', 2);
    assert.equal(await first.deliverDue(), 1);
  });

  it('a delivery that outlives its lease renews it, and ends when another has taken over', async () => {
    const heard: number[] = [];
    const slow = makeOutboxDispatcher([
      subscriber(async (e) => {
        heard.push(Number(e.payload['n']));
        house.advance(LEASE_MS + 1_000);
        if (heard.length === 2) await house.db.collection<{ _id: string }>('schedules').updateOne({ _id: 'outbox' }, { $set: { owner: 'another', leaseUntil: new Date(Date.now() + 1e10) } });
      }),
    ]);
    for (let n = 0; n < 4; n += 1) await emit(`k${n}`, n);
    await slow.deliverDue();
    assert.deepEqual(heard, [0, 1]);
  });

  it('started and poked it delivers; stop waits for the delivery under way', async () => {
    const { opened, open } = gate();
    const started = gate();
    let ended = false;
    const dispatcher = makeOutboxDispatcher([
      subscriber(async () => {
        started.open();
        await opened;
        ended = true;
      }),
    ]);
    dispatcher.start();
    await emit('k', 1);
    dispatcher.poke();
    await started.opened;
    const stopped = dispatcher.stop();
    open();
    await stopped;
    assert.equal(ended, true);
    assert.equal(await pending(), 0);
    const lease = await house.db.collection<{ _id: string }>('schedules').findOne({ _id: 'outbox' });
    assert.equal((lease as { owner?: string } | null)?.owner, undefined);
  });

  it('tells how long the oldest event has waited', async () => {
    assert.equal(await outboxAgeMs(), 0);
    await emit('k', 1);
    house.advance(5_000);
    assert(((await outboxAgeMs()) ?? 0) >= 5_000);
  });

  it('a tick runs once across schedulers, then again when its time has come', async () => {
    let runs = 0;
    const schedules = [{ name: 'sweep', everySeconds: 60, run: async () => void (runs += 1) }];
    const all = [makeScheduler(schedules), makeScheduler(schedules), makeScheduler(schedules)];
    const tick = async (): Promise<string[]> => (await Promise.all(all.map((s) => s.tick()))).flat();
    assert.deepEqual([await tick(), runs], [['sweep'], 1]);
    assert.deepEqual([await tick(), runs], [[], 1]);
    house.advance(60_000);
    assert.deepEqual([await tick(), runs], [['sweep'], 2]);
    house.advance(600_000);
    assert.deepEqual([await tick(), runs], [['sweep'], 3]);
  });

  it('a tick that fails is logged, neither stops the others nor comes before its time', async () => {
    let runs = 0;
    const scheduler = makeScheduler([
      { name: 'broken', everySeconds: 60, run: () => Promise.reject(new Error('no')) },
      { name: 'sound', everySeconds: 60, run: async () => void (runs += 1) },
    ]);
    assert.deepEqual(await scheduler.tick(), ['broken', 'sound']);
    assert.deepEqual(await scheduler.tick(), []);
    assert.equal(runs, 1);
    assert(house.logLines.some((line) => line.includes('schedule.failed')));
  });

  it('stop waits for the tick under way', async () => {
    const { opened, open } = gate();
    let begun = false;
    let ended = false;
    const scheduler = makeScheduler(
      [
        {
          name: 'slow',
          everySeconds: 60,
          run: async () => {
            begun = true;
            await opened;
            ended = true;
          },
        },
      ],
      5,
    );
    scheduler.start();
    await until(() => begun, 'the tick');
    const stopped = scheduler.stop();
    open();
    await stopped;
    assert.equal(ended, true);
  });
});
