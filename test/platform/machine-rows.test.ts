import { strict as assert } from 'node:assert';
import { MACHINE_ROWS, machineRows, type MachineRowsName } from '../../src/platform/db/machine-rows.ts';
import { openHouse, type House } from './house.ts';

interface Counter {
  _id: string;
  n: number;
  kind?: string;
}

describe('rows of the machinery', () => {
  const rows = machineRows<Counter>('throttles', []);
  let house: House;
  before(async () => {
    house = await openHouse();
  });
  afterEach(() => house.db.collection('throttles').deleteMany({}));
  after(() => house.close());

  it('every listed collection exists before the first transaction', async () => {
    const names = new Set((await house.db.listCollections({}, { nameOnly: true }).toArray()).map((c) => c.name));
    for (const name of Object.keys(MACHINE_ROWS)) assert(names.has(name), name);
    assert.throws(() => machineRows('anything' as MachineRowsName, []), /not a listed/);
  });

  it('insertNew stores what is new, ignores what is there, and says which was which', async () => {
    await rows.insert({ _id: 'b', n: 1 });
    const born = await rows.insertNew(['a', 'b', 'c', 'a'].map((_id, n) => ({ _id, n: n + 10 })));
    assert.deepEqual([...born].sort(), ['a', 'c']);
    assert.equal((await rows.findOne({ _id: 'b' }))?.n, 1);
    assert.equal((await rows.findOne({ _id: 'a' }))?.n, 10);
    assert.equal((await rows.insertNew([])).size, 0);
  });

  it('insertNew of the same rows from many sides: each is new for exactly one', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `s${i}`);
    const born = await Promise.all(Array.from({ length: 8 }, () => rows.insertNew(ids.map((_id) => ({ _id, n: 0 })))));
    assert.deepEqual(born.flatMap((set) => [...set]).sort(), [...ids].sort());
  });

  it('a change is one atomic step: twenty upserts of one counter count twenty', async () => {
    const seen = await Promise.all(Array.from({ length: 20 }, () => rows.change({ _id: 'hits' }, { $inc: { n: 1 } }, { upsert: true })));
    assert.deepEqual(seen.map((row) => row?.n).sort((a = 0, b = 0) => a - b), Array.from({ length: 20 }, (_, i) => i + 1));
  });

  it('a change that matches nothing answers undefined and makes nothing', async () => {
    assert.equal(await rows.change({ _id: 'none' }, { $inc: { n: 1 } }), undefined);
    assert.equal(await rows.count({}), 0);
  });

  it('finds, walks, counts and removes', async () => {
    await rows.insertNew(Array.from({ length: 9 }, (_, n) => ({ _id: `r${n}`, n, kind: n % 2 ? 'odd' : 'even' })));
    assert.deepEqual((await rows.find({ kind: 'odd' }, { sort: { n: -1 }, limit: 2 })).map((r) => r.n), [7, 5]);
    assert.deepEqual(Object.keys((await rows.find({ n: 1 }, { fields: ['n'] }))[0] ?? {}).sort(), ['_id', 'n']);
    const walked: number[] = [];
    for await (const row of rows.each({}, { sort: { n: 1 } })) walked.push(row.n);
    assert.deepEqual(walked, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert.equal(await rows.count({}, 4), 4);
    assert.equal(await rows.changeAll({ kind: 'odd' }, { $set: { kind: 'strange' } }), 4);
    assert.equal(await rows.remove({ kind: 'strange' }), 4);
    assert.equal(await rows.count({}), 5);
  });
});
