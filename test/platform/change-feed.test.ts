import { strict as assert } from 'node:assert';
import { hearsAll } from '../../src/platform/db/change-feed.ts';
import { until } from '../support/process.ts';
import { startWorld, type World } from '../support/world.ts';

describe('change feed', function () {
  this.timeout(60_000);
  let world: World;

  before(async () => {
    world = await startWorld();
    await world.merchant({ verified: false, location: false });
  });
  after(() => world.close());

  it('hears all while nothing happens, and also where something happens all the time', async () => {
    const vault = world.db.collection('keyvault');
    const { _id } = (await vault.findOne({ generation: 1 })) ?? assert.fail('a key');
    let [writes, behind] = [0, 0];
    const end = performance.now() + 9_000;
    while (performance.now() < end) {
      await vault.updateOne({ _id }, { $set: { createdAt: new Date(Date.now() - writes) } });
      writes += 1;
      if (!hearsAll()) behind += 1;
    }
    assert.ok(writes > 100);
    assert.equal(behind, 0);
  });

  it('does not after a standstill, until it has caught up', async () => {
    await until('all is heard', hearsAll);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5_100);
    assert.equal(hearsAll(), false);
    await until('all is heard again', hearsAll);
  });
});
