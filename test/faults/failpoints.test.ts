import { strict as assert } from 'node:assert';
import type { EventEmitter } from 'node:events';
import mongoose from 'mongoose';
import { orderBody, place, stockProduct } from '../support/shop.ts';
import { race, startWorld, type Merchant, type World } from '../support/world.ts';

const LABELS = { transient: ['TransientTransactionError'], unknown: ['UnknownTransactionCommitResult'] };

/** What the server is made to do to the next commands of these names. */
const FAULTS: { what: string; data: Record<string, unknown>; times: number }[] = [
  { what: 'the connection closes at an insert', data: { failCommands: ['insert'], closeConnection: true }, times: 1 },
  { what: 'the connection closes at an update', data: { failCommands: ['update'], closeConnection: true }, times: 1 },
  { what: 'the connection closes at a commit', data: { failCommands: ['commitTransaction'], closeConnection: true }, times: 1 },
  { what: 'the connection closes at two commits', data: { failCommands: ['commitTransaction'], closeConnection: true }, times: 2 },
  { what: 'the connection closes at a read', data: { failCommands: ['find'], closeConnection: true }, times: 1 },
  { what: 'a write conflict at an insert', data: { failCommands: ['insert'], errorCode: 112, errorLabels: LABELS.transient }, times: 3 },
  { what: 'a write conflict at a commit', data: { failCommands: ['commitTransaction'], errorCode: 112, errorLabels: LABELS.transient }, times: 3 },
  { what: 'the node steps down at a commit', data: { failCommands: ['commitTransaction'], errorCode: 11602, errorLabels: LABELS.unknown }, times: 2 },
  { what: 'the node steps down at reads', data: { failCommands: ['find'], errorCode: 11602 }, times: 6 },
  { what: 'the node is no primary at writes', data: { failCommands: ['findAndModify', 'update', 'insert'], errorCode: 10107, errorLabels: ['RetryableWriteError'] }, times: 6 },
  { what: 'no journal in time at a commit that took place', data: { failCommands: ['commitTransaction'], writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } }, times: 1 },
  { what: 'any error at an insert', data: { failCommands: ['insert'], errorCode: 8 }, times: 1 },
];

for (const lanes of ['on', 'off']) {
  describe(`a database that fails at the worst moment (LANES=${lanes})`, () => {
    let world: World;
    let shop: Merchant;
    let sku = 0;

    before(async () => {
      world = await startWorld({ LANES: lanes });
      shop = await world.merchant();
      await world.settle();
    });
    afterEach(() => failCommand('off'));
    after(() => world.close());

    async function failCommand(mode: 'off' | { times: number }, data: Record<string, unknown> = {}): Promise<void> {
      await mongoose.connection.db?.admin().command({ configureFailPoint: 'failCommand', mode, ...(mode === 'off' ? {} : { data }) });
    }

    for (const { what, data, times } of FAULTS) {
      it(`${what} (${times}×): answered or 503, and one effect after a repeat`, async () => {
        sku += 1;
        const name = `SKU-${sku}`;
        await stockProduct(world, shop, name, 10);
        await failCommand({ times }, data);
        const call = (i: number) => world.api('POST', '/v1/orders', { token: shop.token, key: `${name}-${i}`, body: orderBody([{ sku: name, quantity: 1 }]) });
        const { answers } = await race(4, call);
        await failCommand('off');
        const odd = answers.filter((a) => ![201, 503].includes(a.status) && !(data['errorCode'] === 8 && a.status === 500));
        assert.deepEqual(odd.map((a) => a.body), []);
        for (const a of answers) if (a.status === 503) assert.ok(Number(a.headers.get('retry-after')) >= 1);
        for (let i = 0; i < 4; i += 1) {
          const again = await call(i);
          assert.equal(again.status, 201, JSON.stringify(again.body));
          const first = answers[i];
          if (first?.status === 201) assert.deepEqual([again.body.id, again.headers.get('idempotent-replayed')], [first.body.id, 'true']);
        }
        assert.equal(await world.db.collection('orders').countDocuments({ companyId: shop.companyId, 'lines.sku': name }), 4);
        const row = await world.db.collection('stock').findOne({ companyId: shop.companyId, sku: name });
        assert.deepEqual([row?.['available'], row?.['reserved']], [6, 4]);
      });
    }

    it('an election that the driver hears of: what comes meanwhile is answered', async () => {
      const name = 'SKU-ELECTION';
      await stockProduct(world, shop, name, 10);
      const client: EventEmitter = mongoose.connection.getClient();
      const tell = (type: string): boolean => client.emit('topologyDescriptionChanged', { newDescription: { type } });
      tell('ReplicaSetNoPrimary');
      try {
        const { answers } = await race(4, (i) => world.api('POST', '/v1/orders', { token: shop.token, key: `${name}-${i}`, body: orderBody([{ sku: name, quantity: 1 }]) }));
        assert.deepEqual(answers.map((a) => a.status), [201, 201, 201, 201], JSON.stringify(answers.map((a) => a.body)));
      } finally {
        tell('ReplicaSetWithPrimary');
      }
    });

    it('a primary that steps down: answered or 503, and one effect after a repeat', async () => {
      const name = 'SKU-STEPDOWN';
      await stockProduct(world, shop, name, 10);
      await mongoose.connection.db?.admin().command({ replSetStepDown: 1, secondaryCatchUpPeriodSecs: 0, force: true });
      const call = (i: number) => world.api('POST', '/v1/orders', { token: shop.token, key: `${name}-${i}`, body: orderBody([{ sku: name, quantity: 1 }]) });
      const { answers } = await race(4, call);
      assert.deepEqual(answers.filter((a) => ![201, 503].includes(a.status)).map((a) => a.body), []);
      for (let i = 0; i < 4; i += 1) assert.equal((await call(i)).status, 201);
      const row = await world.db.collection('stock').findOne({ companyId: shop.companyId, sku: name });
      assert.deepEqual([row?.['available'], row?.['reserved']], [6, 4]);
    });

    it('leaves books that agree', async () => {
      assert.equal((await place(world, shop.token, [{ sku: 'SKU-1', quantity: 1 }])).status, 201);
      await world.settle();
      await world.checks();
    });
  });
}
