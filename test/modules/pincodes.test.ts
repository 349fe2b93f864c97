import { strict as assert } from 'node:assert';
import { createOperator } from '../../src/modules/identity/index.ts';
import { lookupPin } from '../../src/modules/pincodes/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { PASSWORD, startWorld, type Merchant, type World } from '../support/world.ts';

describe('pincodes', function () {
  this.timeout(60_000);
  let world: World;
  let shop: Merchant;

  before(async () => {
    world = await startWorld();
    shop = await world.merchant();
  });
  after(() => world.close());

  const location = (pincode: string) => ({ name: 'Godown', contactName: 'Asha', phone: '9800012345', line1: '2 MG Road', city: 'Pune', state: 'Maharashtra', pincode });
  const add = (pincode: string) => world.api('POST', '/v1/locations', { token: shop.token, body: location(pincode) });

  describe('of a location', () => {
    it('is one that India Post knows, or whose first three digits it knows', async () => {
      for (const text of ['990000', '999001', '12345', '011001']) {
        const answer = await add(text);
        assert.deepEqual([answer.status, answer.body.error?.details.fields.map((f: { path: string }) => f.path)], [400, ['pincode']], text);
      }
      const spelt = await add('411 001');
      assert.deepEqual([spelt.status, spelt.body.pincode], [201, '411001']);
      const inferred = await add('560999');
      assert.equal(inferred.status, 201, JSON.stringify(inferred.body));
      assert.equal((await world.api('GET', '/v1/serviceability?pincode=560999', { token: shop.token })).body.inferred, true);
    });

    it('is looked at again when it changes', async () => {
      const { id, version } = (await add('411001')).body;
      const change = (pincode: string) => world.api('PATCH', `/v1/locations/${id}`, { token: shop.token, ifMatch: version, body: { pincode } });
      const refused = await change('990000');
      assert.deepEqual([refused.status, refused.body.error.details.fields[0].path], [400, 'pincode']);
      assert.equal((await change('411002')).status, 200);
    });
  });

  describe('added by staff', () => {
    it('are imported: new ones and corrected ones, for prices and addresses at once', async () => {
      const email = 'root@dakiya.test';
      await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email, name: 'Uma Nair', role: 'platform_admin', password: PASSWORD });
      const { accessToken: token } = (await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } })).body;
      const send = (content: string, as = token) => {
        const form = new FormData();
        for (const [name, value] of Object.entries({ kind: 'pincodes', mode: 'skip_invalid' })) form.set(name, value);
        form.set('file', new Blob([content]), 'p.csv');
        return world.api('POST', '/v1/imports', { token: as, raw: form });
      };
      const zone = async (destinationPincode: string) => {
        const body = { originPincode: '110001', destinationPincode, weightGrams: 400, lengthMm: 100, breadthMm: 100, heightMm: 50, paymentMethod: 'prepaid' };
        const answer = await world.api('POST', '/v1/rates', { token: shop.token, body });
        return answer.status === 200 ? answer.body.options[0].zone : answer.status;
      };
      assert.equal((await send('pincode,state,districts\n', shop.token)).status, 403);
      assert.deepEqual([await zone('990000'), await zone('560001')], [400, 'C']);
      const accepted = await send('pincode,state,districts\n990000,Delhi,New Shahdara;Old Shahdara\n560001,Assam,Kamrup\n12,Delhi,X\n990001,Atlantis,X\n');
      assert.equal(accepted.status, 202, JSON.stringify(accepted.body));
      await world.settle();
      const done = (await world.api('GET', `/v1/imports/${accepted.body.id}`, { token })).body;
      assert.deepEqual([done.status, done.counts], ['completed', { rows: 4, records: 4, imported: 2, invalid: 2, duplicates: 0 }]);
      assert.deepEqual(await lookupPin('990000'), { pincode: '990000', state: 'Delhi', districts: ['New Shahdara', 'Old Shahdara'], inferred: false });
      assert.deepEqual([await zone('990000'), await zone('560001'), await zone('400001')], ['B', 'E', 'C']);
      assert.equal((await add('990000')).status, 201);
      assert.equal((await send('pincode,state,districts\n990000,Assam,Kamrup\n')).status, 202);
      await world.settle();
      assert.equal(await zone('990000'), 'E', 'the table of before is forgotten');
      await world.checks();
    });
  });
});
