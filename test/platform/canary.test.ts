import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import type mongoose from 'mongoose';
import { ConfigError, loadConfig } from '../../src/config.ts';
import { acceptSecret, verifySecrets } from '../../src/platform/db/canary.ts';
import { writingKey } from '../../src/platform/db/keyring.ts';
import { newId } from '../../src/platform/ids.ts';
import { useRuntime } from '../../src/platform/runtime.ts';
import { openHouse, type House } from './house.ts';

const KEYS = { ENCRYPTION_KEY: hex(), BLIND_INDEX_KEY: hex(), TOKEN_PEPPER: randomBytes(32).toString('base64url') };

function hex(): string {
  return randomBytes(32).toString('hex');
}

describe('requirement 6: other secrets than the database was written with stop the start', () => {
  let house: House;
  beforeEach(async () => {
    house = await openHouse(KEYS);
    await verifySecrets();
  });
  afterEach(() => house.close());

  const startWith = async (over: Record<string, string>): Promise<string[]> => {
    useRuntime({ config: await loadConfig({ NODE_ENV: 'test', MONGODB_URI: house.config.mongodbUri, ...KEYS, ...over }), log: house.log });
    const before = JSON.stringify(await vault().find().toArray());
    const error: unknown = await verifySecrets().catch((e: unknown) => e);
    if (error instanceof ConfigError) {
      assert.equal(JSON.stringify(await vault().find().toArray()), before, 'nothing is written by a refused start');
      for (const secret of [...Object.values(KEYS), ...Object.values(over)]) assert(!error.message.includes(secret));
      return [...error.problems];
    }
    if (error instanceof Error) throw error;
    return [];
  };
  const vault = (): mongoose.mongo.Collection => house.db.collection('keyvault');

  it('the same ones again are fine', async () => assert.deepEqual(await startWith({}), []));

  for (const [variable, value] of [['ENCRYPTION_KEY', hex()], ['BLIND_INDEX_KEY', hex()], ['TOKEN_PEPPER', randomBytes(32).toString('base64url')]] as const) {
    it(`another ${variable}`, async () => {
      const problems = await startWith({ [variable]: value });
      assert.equal(problems.length, 1);
      assert.match(problems[0] ?? '', new RegExp(variable));
    });
  }

  it('several at once are all named', async () => assert.equal((await startWith({ ENCRYPTION_KEY: hex(), BLIND_INDEX_KEY: hex() })).length, 2));

  it('a new key beside the old one is welcome; without the old one while it wraps data keys it is not', async () => {
    await writingKey({ companyId: newId(), purpose: 'company' });
    const next = hex();
    assert.deepEqual(await startWith({ ENCRYPTION_KEYS: `k2:${next},k1:${KEYS.ENCRYPTION_KEY}` }), []);
    const { ENCRYPTION_KEY: _old, ...others } = KEYS;
    useRuntime({ config: await loadConfig({ NODE_ENV: 'test', MONGODB_URI: house.config.mongodbUri, ...others, ENCRYPTION_KEYS: `k2:${next}` }), log: house.log });
    await assert.rejects(verifySecrets(), /lacks the key k1/);
  });

  it('a change that is accepted on purpose is the new measure', async () => {
    const pepper = randomBytes(32).toString('base64url');
    assert.equal((await startWith({ TOKEN_PEPPER: pepper })).length, 1);
    await acceptSecret('pepper');
    assert.deepEqual(await startWith({ TOKEN_PEPPER: pepper }), []);
    assert.equal((await startWith({})).length, 1);
  });

  it('only check values stand in the database', async () => {
    const text = JSON.stringify(await vault().find().toArray());
    for (const secret of Object.values(KEYS)) assert(!text.includes(secret));
  });
});
