import { strict as assert } from 'node:assert';
import { BoundedMap } from '../../src/platform/bounded-map.ts';

describe('bounded map', () => {
  it('never holds more than its most, and keeps what came last', () => {
    const map = new BoundedMap<number, number>(32);
    for (let i = 0; i < 1_000; i += 1) {
      map.set(i, i);
      assert.ok(map.size <= 32);
      assert.equal(map.get(i), i);
    }
    assert.ok(map.size >= 30);
    assert.deepEqual([map.has(999 - 29), map.has(0)], [true, false]);
  });

  it('forgets nothing for a key that it holds', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1).set('b', 2).set('a', 3);
    assert.deepEqual([...map], [['a', 3], ['b', 2]]);
    map.set('c', 4);
    assert.deepEqual([...map.keys()], ['b', 'c']);
  });
});
