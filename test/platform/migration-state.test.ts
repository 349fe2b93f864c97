import { strict as assert } from 'node:assert';
import { openSchema } from '../../src/platform/db/migration-state.ts';
import { prepareSchema, schemaFingerprint } from '../../src/platform/db/schema.ts';
import { openHouse, type House } from './house.ts';

describe('a database that a service is started on', () => {
  let house: House;

  before(async () => {
    house = await openHouse();
  });
  after(async () => {
    await house.close();
  });

  const open = (strict: boolean): Promise<void> => openSchema({ strict, fingerprint: schemaFingerprint(), prepare: (dryRun) => prepareSchema({ dryRun }) });

  it('is looked at anew in production, whatever was noted: a dropped index and a dropped collection are named', async () => {
    await open(false);
    await open(true);
    await house.db.collection('outbox').dropIndex('expireAt_1');
    await assert.rejects(open(true), /This database lacks outbox\.expireAt_1\. Run: .*migrate up/);
    await house.db.collection('outbox').drop();
    await assert.rejects(open(true), /This database lacks outbox, outbox\./);
    await prepareSchema();
    await open(true);
  });
});
