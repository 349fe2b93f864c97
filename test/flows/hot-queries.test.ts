import { strict as assert } from 'node:assert';
import mongoose from 'mongoose';
import { allSubscribers } from '../../src/modules.ts';
import { onCommandSent } from '../../src/platform/db/connect.ts';
import { newId } from '../../src/platform/ids.ts';
import { explain, multiply, statementsOf, type Statement } from '../support/explain.ts';
import { listPaths, singlePaths, takeTour, type Tour } from '../support/tour.ts';
import { orderBody } from '../support/shop.ts';
import { startWorld, type World } from '../support/world.ts';

const COPIES = 200;
/** What a statement may read beside twice what it answers: candidates of an $or, a row that a guard refuses. */
const SPARE = 12;
/** Of each shape this many are explained. */
const SAMPLES = 3;

/** Filters that narrow a list without an index of their own: they walk along the list, so that writing stays cheap. */
const WALKS: readonly RegExp[] = [
  /^find stock_movements .*kind:\?.*sort/,
  /^find audit .*(?:collection|actorId|action):\?.*sort/,
  /^find rate_cards .*courier:\?.*sort/,
];
/** How many rows a page among given ids may read: those, and no other. */
function idsGiven({ command }: Statement): number {
  if (command['hint'] !== '_id_') return 0;
  return /"_id":\{"\$in":\[([^\]]*)\]/.exec(JSON.stringify(command['filter']))?.[1]?.split(',').length ?? 0;
}
/** Marks what nobody hears of: reads the waiting events once a pass, as the delivery after it does. */
const UNHEARD = /^update outbox .*pending:\?,type:{\$nin/;
/** The driver looks whether a file was ever stored. */
const DRIVERS_OWN = /^find uploads\.files .*filter:{},projection:{_id:\?},limit:\?}$/;

describe('every query that a request or a job sends', function () {
  this.timeout(120_000);
  let world: World;
  let tour: Tour;
  let few: Record<string, string[]>;
  const sent: Statement[] = [];
  let listening = true;
  let stopListening: () => void = () => undefined;

  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400' });
    stopListening = onCommandSent((name, body) => void (listening && sent.push(...statementsOf(name, body))));
    tour = await takeTour(world.api, world.settle);
    few = await listCommands();
    await fill();
  });
  after(async () => {
    stopListening();
    await world.close();
  });

  const get = async (path: string): Promise<void> => {
    const { status, body } = await world.api('GET', path, { token: tour.token });
    assert.equal(status, 200, `${path}: ${JSON.stringify(body)}`);
  };

  /** Two hundred more of everything, half of them another company's. */
  async function fill(): Promise<void> {
    listening = false;
    const other = newId();
    const db = mongoose.connection.db ?? assert.fail();
    for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
      // A user has a few sessions at most.
      if (name === 'sessions') continue;
      const row = await world.db.collection(name).findOne({ companyId: tour.companyId }) ?? (await world.db.collection(name).findOne());
      if (row) await multiply(db, name, row, COPIES, other);
    }
    listening = true;
  }

  /** Claims and deliveries are explained over queues that are full. */
  async function plantDueWork(): Promise<void> {
    const db = mongoose.connection.db ?? assert.fail();
    const due = { jobs: { state: 'queued', runAt: new Date(), dedupeKey: undefined }, outbox: { pending: true, type: allSubscribers()[0]?.types[0] } };
    for (const [name, state] of Object.entries(due)) {
      const row = (await db.collection(name).findOne({ companyId: tour.companyId })) ?? assert.fail();
      await multiply(db, name, { ...row, ...state }, COPIES, newId());
    }
  }

  async function listCommands(): Promise<Record<string, string[]>> {
    const found: Record<string, string[]> = {};
    for (const path of listPaths(tour).plain) {
      await get(path);
      const from = sent.length;
      await get(path);
      found[path] = sent.slice(from).map((s) => s.shape.split(' ', 2).join(' '));
    }
    return found;
  }

  it('is the same number of commands for a list of one as for a list of a hundred', async () => {
    assert.deepEqual(await listCommands(), few);
    assert.ok(Object.values(few).every((commands) => commands.length <= 2), JSON.stringify(few));
    const { body } = await world.api('GET', '/v1/orders?limit=100', { token: tour.token });
    assert.equal(body.data.length, 100);
  });

  it('is a search of orders that other filters narrow, page by page, and never widen', async () => {
    const find = async (query: string) => (await world.api('GET', `/v1/orders?${query}`, { token: tour.token })).body;
    assert.deepEqual((await find('q=no-such&status=placed')).data, []);
    assert.equal((await find('q=X-1')).data.length, 1);
    const first = await find('q=9876543210&limit=1');
    const second = await find(`q=9876543210&limit=1&cursor=${encodeURIComponent(first.nextCursor)}`);
    const ids = [...first.data, ...second.data].map(({ id }: { id: string }) => id);
    assert.deepEqual([ids.length, new Set(ids).size], [2, 2]);
    const narrowed = (await find('q=9876543210&status=cancelled&limit=100')).data as { status: string }[];
    assert.ok(narrowed.every(({ status }) => status === 'cancelled'));
  });

  it('finds what it looks for by an index and reads little besides', async () => {
    const { filtered } = listPaths(tour);
    for (const path of [...filtered, ...singlePaths(tour)]) await get(path);
    for (const path of listPaths(tour).plain) {
      const { body } = await world.api('GET', `${path}?limit=20`, { token: tour.token });
      if (body.nextCursor) await get(`${path}?limit=20&cursor=${encodeURIComponent(body.nextCursor)}`);
    }
    await world.api('POST', '/v1/orders', { token: tour.token, key: 'one-more', body: orderBody([{ sku: 'TOUR-1', quantity: 1 }], { couponCode: 'TOUR', externalId: 'X-2' }) });
    await world.service.outbox.deliverDue();

    const byShape = new Map<string, Statement[]>();
    for (const statement of sent) byShape.set(statement.shape, [...(byShape.get(statement.shape) ?? []).slice(1 - SAMPLES), statement]);
    const offenders: string[] = [];
    listening = false;
    await plantDueWork();
    for (const [shape, statements] of byShape) {
      if (DRIVERS_OWN.test(shape)) continue;
      for (const statement of statements) {
        const { stages, docsExamined, returned } = await explain(world.db, statement);
        const scanned = stages.has('COLLSCAN');
        if (!scanned && (docsExamined <= Math.max(2 * returned + SPARE, idsGiven(statement)) || [...WALKS, UNHEARD].some((walk) => walk.test(shape)))) continue;
        offenders.push(`${scanned ? 'scan' : 'reads'} ${docsExamined} for ${returned} by ${[...stages].join('<')}: ${shape}`);
        break;
      }
    }
    assert.ok(byShape.size > 100, `${byShape.size} shapes were seen`);
    assert.deepEqual(offenders, []);
  });
});
