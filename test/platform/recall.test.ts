import { strict as assert } from 'node:assert';
import { acrossCompanies, systemCtx } from '../../src/platform/context.ts';
import { makeRecall, type Recall, type Wanted } from '../../src/platform/recall.ts';

interface Item {
  companyId: string;
  name: string;
  left: number;
  often?: boolean;
}

describe('rows as they were seen lately', () => {
  const mine = systemCtx('test', 'c1');
  const across = acrossCompanies(mine, 'test');
  let stored: Item[];
  let reads: string[];
  let nowMs: number;
  let items: Recall<Item>;
  beforeEach(() => {
    stored = [{ companyId: 'c1', name: 'a', left: 5 }, { companyId: 'c1', name: 'b', left: 7 }, { companyId: 'c2', name: 'a', left: 9 }];
    reads = [];
    nowMs = 0;
    items = makeRecall<Item>({
      read: (ctx, wanted) => {
        const asked = wanted.flatMap(({ companyId, names }) => names.map((name) => `${companyId}|${name}`));
        reads.push(asked.join(' '));
        const seen = (item: Item): boolean => ctx.across !== undefined || item.companyId === ctx.companyId;
        return Promise.resolve(stored.filter((item) => seen(item) && asked.includes(`${item.companyId}|${item.name}`)).map((item) => ({ ...item })));
      },
      keyOf: ({ companyId, name }) => ({ companyId, name }),
      keep: ({ often }) => often !== true,
      max: 2,
      forMs: 100,
      now: () => nowMs,
    });
  });
  const of = (companyId: string, ...names: string[]): Wanted => ({ companyId, names });
  const left = (rows: Item[]): number[] => rows.map((item) => item.left);

  it('reads what it has not seen and recalls the rest, in one read', async () => {
    assert.deepEqual(left(await items.recall(mine, [of('c1', 'a')])), [5]);
    stored[0] = { companyId: 'c1', name: 'a', left: 1 };
    assert.deepEqual(left(await items.recall(mine, [of('c1', 'a', 'b')])), [5, 7]);
    assert.deepEqual(left(await items.recall(mine, [of('c1', 'a', 'b')])), [5, 7]);
    assert.deepEqual(reads, ['c1|a', 'c1|b']);
    assert.deepEqual(left(await items.see(mine, [of('c1', 'a')])), [1]);
    assert.deepEqual(left(await items.recall(mine, [of('c1', 'a')])), [1], 'what was seen anew is what is recalled');
  });

  it('forgets what was seen too long ago, the first of too many, and what is not kept', async () => {
    await items.recall(mine, [of('c1', 'a')]);
    nowMs = 101;
    await items.recall(mine, [of('c1', 'a')]);
    assert.deepEqual(reads, ['c1|a', 'c1|a']);
    await items.recall(across, [of('c1', 'b'), of('c2', 'a')]);
    await items.recall(across, [of('c1', 'a')]);
    assert.equal(reads.at(-1), 'c1|a');
    stored[1] = { companyId: 'c1', name: 'b', left: 7, often: true };
    await items.see(mine, [of('c1', 'b')]);
    reads.length = 0;
    await items.recall(mine, [of('c1', 'b')]);
    assert.deepEqual(reads, ['c1|b']);
  });

  it('forgets a name that no row has any more, and what it is told to forget', async () => {
    await items.recall(mine, [of('c1', 'a', 'b')]);
    stored = stored.filter(({ name }) => name !== 'a');
    assert.deepEqual(left(await items.recall(mine, [of('c1', 'a')])), [5]);
    assert.deepEqual(await items.see(mine, [of('c1', 'a')]), []);
    assert.deepEqual(await items.recall(mine, [of('c1', 'a')]), []);
    items.forget('c1', 'b');
    reads.length = 0;
    assert.deepEqual(left(await items.recall(mine, [of('c1', 'b')])), [7]);
    assert.deepEqual(reads, ['c1|b']);
  });

  it('tells a company nothing of another', async () => {
    assert.deepEqual(left(await items.see(across, [of('c2', 'a')])), [9]);
    assert.deepEqual(await items.recall(mine, [of('c2', 'a')]), []);
    assert.deepEqual(left(await items.recall(across, [of('c2', 'a')])), [9]);
  });

  it('keeps up with what is written here, and what was recalled is the caller\'s own', async () => {
    const [row] = await items.recall(mine, [of('c1', 'a')]);
    items.adjust('c1', 'a', (item) => void (item.left -= 2));
    items.adjust('c1', 'never seen', () => assert.fail());
    assert.equal(row?.left, 5);
    const [again] = await items.recall(mine, [of('c1', 'a')]);
    assert.equal(again?.left, 3);
    if (again) again.left = 0;
    assert.deepEqual(left(await items.recall(mine, [of('c1', 'a')])), [3]);
  });
});
