import { strict as assert } from 'node:assert';
import { registerChecks, runChecks } from '../../src/platform/checks.ts';

describe('checks', () => {
  /** A check that finds this at its looks, one after the other. */
  const finding = (...looks: string[][]) => ({ name: 'made up', run: () => Promise.resolve(looks.shift() ?? assert.fail('looked once more than needed')) });
  const found = async (...looks: string[][]): Promise<string[]> => {
    registerChecks([finding(...looks)]);
    const { ok, checks } = await runChecks();
    assert.equal(ok, checks[0]?.count === 0);
    return checks[0]?.violations ?? [];
  };
  afterEach(() => registerChecks([]));

  it('tell what is there at two looks: a change that commits between two reads is no violation', async () => {
    assert.deepEqual(await found([]), []);
    assert.deepEqual(await found(['Company 6b a shows 5'], []), []);
    assert.deepEqual(await found(['Company a is torn', 'Company b is wrong'], ['Company b is wrong', 'Company c is torn']), ['Company b is wrong']);
    assert.deepEqual(await found(['Wallet a has 5, its entries 7'], ['Wallet a has 6, its entries 8']), ['Wallet a has 6, its entries 8']);
  });
});
