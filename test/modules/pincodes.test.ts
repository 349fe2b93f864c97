import { strict as assert } from 'node:assert';
import { startWorld, type Merchant, type World } from '../support/world.ts';

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
});
