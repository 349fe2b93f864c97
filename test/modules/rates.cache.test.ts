import { strict as assert } from 'node:assert';
import { makeVersionedCache } from '../../src/platform/versioned-cache.ts';

function setup(usable = Infinity) {
  const state = { time: 0, loads: [] as string[], version: 1, usable };
  const gates: (() => void)[] = [];
  const held = { on: false };
  const cache = makeVersionedCache<string, string>({
    max: 2,
    now: () => state.time,
    usableForMs: () => state.usable,
    async load(key) {
      state.loads.push(key);
      const { version } = state;
      if (held.on) await new Promise<void>((resolve) => gates.push(resolve));
      if (key === 'broken') throw new Error('no database');
      return { value: `${key}${version}`, versions: new Map([[`row-${key}`, version]]) };
    },
  });
  return { state, cache, held, gates };
}

describe('the cache that knows row versions', () => {
  it('loads once for many callers and keeps nothing of a failed load', async () => {
    const { state, cache } = setup();
    assert.deepEqual(await Promise.all([cache.get('a'), cache.get('a')]), ['a1', 'a1']);
    assert.equal(cache.peek('a'), 'a1');
    await assert.rejects(cache.get('broken'));
    await assert.rejects(cache.get('broken'));
    assert.deepEqual(state.loads, ['a', 'broken', 'broken']);
  });

  const news: [string, { rowId: string; version?: number }, { key?: string; ifUnknown?: boolean }, boolean][] = [
    ['the version it holds', { rowId: 'row-a', version: 1 }, { key: 'a', ifUnknown: true }, false],
    ['a later version', { rowId: 'row-a', version: 2 }, { key: 'a' }, true],
    ['a row without a version', { rowId: 'row-a' }, { key: 'a' }, true],
    ['an unknown row', { rowId: 'row-x', version: 9 }, { key: 'a' }, false],
    ['an unknown row that belongs to it', { rowId: 'row-x', version: 9 }, { key: 'a', ifUnknown: true }, true],
    ['a row of another key', { rowId: 'row-a' }, { key: 'b', ifUnknown: true }, false],
    ['its row, whoever owns it', { rowId: 'row-a' }, {}, true],
    ['a foreign row, whoever owns it', { rowId: 'row-x' }, {}, false],
  ];
  for (const [name, change, where, forgets] of news) {
    it(`${forgets ? 'forgets' : 'keeps'} its entry at the news of ${name}`, async () => {
      const { cache } = setup();
      await cache.get('a');
      cache.heard(change, where);
      assert.equal(cache.peek('a'), forgets ? undefined : 'a1');
    });
  }

  it('does not keep what was loading when the news came', async () => {
    const { state, cache, held, gates } = setup();
    held.on = true;
    const early = cache.get('a');
    state.version = 2;
    cache.heard({ rowId: 'row-a', version: 2 }, { key: 'a' });
    held.on = false;
    assert.equal(await cache.get('a'), 'a2');
    for (const open of gates) open();
    assert.equal(await early, 'a1');
    assert.equal(cache.peek('a'), 'a2');
  });

  it('holds at most its number of entries, the oldest goes first, and none for longer than it may be used', async () => {
    const { state, cache } = setup();
    for (const key of ['a', 'b', 'c']) await cache.get(key);
    assert.deepEqual([cache.peek('a'), cache.peek('b'), cache.peek('c')], [undefined, 'b1', 'c1']);
    state.time = 5_000;
    assert.equal(cache.peek('c'), 'c1');
    state.usable = 1_000;
    state.version = 2;
    assert.equal(cache.peek('c'), undefined);
    assert.equal(await cache.get('c'), 'c2');
  });
});
