import { strict as assert } from 'node:assert';
import mongoose from 'mongoose';
import '../../src/modules.ts';
import { kycTakeover } from '../../scripts/migrations/migrate-encrypt-kyc.ts';
import type { Migration, Run } from '../../scripts/migrations/migration.ts';
import { forgetBackups, planMigrations, runMigrations, type Wish } from '../../scripts/migrations/runner/run.ts';
import { takeover, type OurRow } from '../../scripts/migrations/runner/takeover.ts';
import { loadConfig, type Config } from '../../src/config.ts';
import { connection, disconnect } from '../../src/platform/db/connect.ts';
import { LEGACY_ROW, migrationRows } from '../../src/platform/db/migration-state.ts';
import { digestOf, type Digest } from '../../src/platform/db/raw.ts';
import { makeLogger } from '../../src/platform/logger.ts';
import { connectDatabase } from '../../src/service.ts';
import { testDatabaseUri } from '../support/database.ts';
import { legacySample, LEGACY_SECRET } from '../support/legacy.ts';
import { failNext, failNoMore } from '../platform/house.ts';
import { DATA_DIR } from '../support/process.ts';

type Plain = Record<string, unknown>;
interface Piece {
  _id: string;
  data?: mongoose.mongo.Binary;
  sha256: string;
}

/** Rows in a batch: enough batches to stop between them, few enough to be quick. */
const BATCH = 20;
const KYC = 'migrate-encrypt-kyc';

describe('the guards of the migration runner', function () {
  this.timeout(60_000);
  let config: Config;
  let db: mongoose.mongo.Db;
  let shared: Config;
  let kept: Record<string, Digest>;
  const events: string[] = [];

  before(async () => {
    const uri = await testDatabaseUri();
    shared = await loadConfig({ NODE_ENV: 'test', DATA_DIR, MONGODB_URI: uri, LEGACY_ENCRYPTION_SECRET: LEGACY_SECRET, MIGRATION_BATCH_ROWS: String(BATCH), MIGRATION_LEASE_MS: '1000' });
    await connectDatabase({ config: shared, log: makeLogger({ level: 'error' }), mongodbUri: uri });
    const here = connection().db;
    if (!here?.databaseName.endsWith('_test')) throw new Error('Not a test database');
    db = here;
  });
  beforeEach(async () => {
    config = shared;
    // The other collections and their indexes are made once: that takes longer than all these tests.
    for (const name of ['companies', 'kycs', 'users', 'oauth_grants', 'integrations', 'aadhaar_vault', 'migration_backups']) await db.collection(name).drop();
    await migrationRows().deleteMany({ _id: { $ne: 'indexes' } });
    for (const name of ['companies', 'kycs', 'users']) await db.collection(name).insertMany((await legacySample(name)) as never);
    kept = await digests();
    await run({ direction: 'up', to: 'indexes' });
  });
  after(async () => {
    await failNoMore(db);
    await db.dropDatabase();
    await disconnect();
  });

  const digests = async (): Promise<Record<string, Digest>> => ({ companies: await digestOf(db, 'companies'), kycs: await digestOf(db, 'kycs') });
  const run = (wish: Wish, step: Run['step'] = () => undefined): Promise<string[]> => runMigrations(config, wish, { step, event: (name) => void events.push(name) });
  const up = (step?: Run['step']): Promise<string[]> => run({ direction: 'up', to: KYC }, step);
  const down = (): Promise<string[]> => run({ direction: 'down' });
  const stateOf = async (): Promise<unknown> => (await migrationRows().findOne({ _id: KYC }))?.state;
  const legacyLeft = async (): Promise<number> => (await db.collection('companies').countDocuments(LEGACY_ROW)) + (await db.collection('kycs').countDocuments(LEGACY_ROW));
  /** Does something the first time that a step of this phase is told. */
  const at = (phase: string, collection: string, what: () => unknown): Run['step'] => {
    let done = false;
    return (p, c) => {
      if (done || p !== phase || c !== collection) return;
      done = true;
      void what();
    };
  };
  const rows = (name: string): mongoose.mongo.Collection<Plain & { _id: string }> => db.collection(name);

  it('a runner whose step was taken over stops at its next batch, and the other one ends the work', async () => {
    const other = at('convert', 'kycs', () => migrationRows().updateOne({ _id: KYC }, { $set: { owner: 'another runner' } }));
    await assert.rejects(up(other), /Another runner has taken migrate-encrypt-kyc over/);
    assert.equal(await stateOf(), 'running');
    assert.ok((await legacyLeft()) > 0);
    await up();
    await down();
    assert.deepEqual(await digests(), kept);
  });

  it('a runner whose lock is somebody else’s stops, and does not free it', async () => {
    const [patient, taken] = [config, { holder: 'another runner', until: new Date(Date.now() + 3_600_000) }];
    // Renewed so often that the loss is heard of before the step can end.
    config = { ...config, migrationLeaseMs: 100 };
    let stolen: Promise<unknown> | undefined;
    const thief = at('backup', 'companies', () => (stolen = migrationRows().updateOne({ _id: 'lock' }, { $set: taken })));
    await assert.rejects(up(thief), /This runner lost its lock/);
    await stolen;
    await assert.rejects(down(), /Another runner is migrating this database/);
    assert.equal((await migrationRows().findOne({ _id: 'lock' }))?.['holder'], 'another runner');
    config = patient;
    await migrationRows().updateOne({ _id: 'lock' }, { $set: { until: new Date(0) } });
    await up();
    assert.equal(await legacyLeft(), 0);
  });

  it('a batch that does not commit leaves no checkpoint behind', async () => {
    const refuse = at('convert', 'companies', () => failNext(db, ['delete'], { errorCode: 8 }));
    await assert.rejects(up(refuse), { code: 8 });
    events.length = 0;
    await up();
    assert.ok(events.includes('resumed') && !events.includes('rows_written_meanwhile'), events.join());
    await down();
    assert.deepEqual(await digests(), kept);
  });

  it('a half-done step keeps its backup and can be undone; half undone, only the way back goes on', async () => {
    await assert.rejects(up(at('convert', 'kycs', () => assert.fail('stopped'))), /stopped/);
    await assert.rejects(forgetBackups(config), /migrate-encrypt-kyc did not end and needs its backup/);
    await assert.rejects(run({ direction: 'down' }, at('restore', 'companies', () => assert.fail('stopped'))), /stopped/);
    await assert.rejects(up(), /migrate-encrypt-kyc is half undone/);
    await down();
    assert.deepEqual(await digests(), kept);
  });

  it('a row that is changed after its backup stops the step and is named', async () => {
    const [victim] = await db.collection('kycs').find().sort({ _id: -1 }).limit(1).toArray();
    await assert.rejects(up(at('convert', 'companies', () => assert.fail('stopped'))), /stopped/);
    const change = (status: unknown): Promise<unknown> => db.collection('kycs').updateOne({ _id: victim?._id }, { $set: { status } }, { bypassDocumentValidation: true });
    await change('swapped');
    await assert.rejects(up(), new RegExp(`kycs ${String(victim?._id)} was changed or removed after the backup`));
    assert.equal(await stateOf(), 'running');
    await change(victim?.['status']);
    await up();
    await down();
    assert.deepEqual(await digests(), kept);
  });

  it('a piece of the backup that was changed, exchanged or lost stops the way back before its first write', async () => {
    await up();
    const ours = await rows('kycs').countDocuments();
    const pieces = db.collection<Piece>('migration_backups');
    const [first, second] = (await pieces.find({ _id: { $regex: `^${KYC}/up/kycs/` } }).sort({ _id: 1 }).toArray()) as [Piece, Piece];
    const last = (await pieces.find({ _id: { $regex: `^${KYC}/up/kycs/` } }).sort({ _id: -1 }).limit(1).toArray())[0] as Piece;
    const flipped = Buffer.from(first.data?.buffer ?? []);
    flipped.writeUInt8(flipped.readUInt8(40) ^ 1, 40);
    const faults: [string, () => Promise<unknown>, RegExp][] = [
      ['changed', () => pieces.updateOne({ _id: first._id }, { $set: { data: new mongoose.mongo.Binary(flipped) } }), /000001 of the backup does not open; nothing was written/],
      ['exchanged', () => pieces.updateOne({ _id: first._id }, { $set: { data: second.data } as never }), /000001 of the backup does not open; nothing was written/],
      ['under another digest', () => pieces.updateOne({ _id: first._id }, { $set: { sha256: second.sha256 } }), /000001 of the backup was changed; nothing was written/],
      ['lost', () => pieces.deleteOne({ _id: first._id }), /A piece of the backup of migrate-encrypt-kyc is missing \(kycs 1\)/],
      ['lost at the end', () => pieces.deleteOne({ _id: last._id }), /The backup of kycs is not what migrate-encrypt-kyc kept \(180 of 200 rows/],
    ];
    for (const [what, harm, says] of faults) {
      await harm();
      await assert.rejects(down(), says, what);
      assert.deepEqual([await legacyLeft(), await rows('kycs').countDocuments()], [0, ours], what);
      for (const piece of [first, last]) await pieces.replaceOne({ _id: piece._id }, piece, { upsert: true });
    }
    await down();
    assert.deepEqual(await digests(), kept);
  });

  it('rows brought back that are not those that were kept are noticed', async () => {
    await up();
    const { insertedId } = await db.collection('kycs').insertOne({ note: 'by somebody else' }, { bypassDocumentValidation: true });
    await assert.rejects(down(), /kycs differs from its backup after it was brought back/);
    assert.equal(await stateOf(), 'undoing');
    await db.collection('kycs').deleteOne({ _id: insertedId });
    await down();
    assert.deepEqual(await digests(), kept);
  });

  it('two users of one address: named by their ids before anything is written, and taken up once one has another', async () => {
    const [one, two, three] = await db.collection('users').find(LEGACY_ROW, { sort: { _id: 1 }, limit: 3 }).toArray();
    assert(one && two && three);
    const users = db.collection('users');
    const address = String(one['email']);
    await users.updateOne({ _id: two._id }, { $set: { email: ` ${address.toUpperCase()} ` } });
    const states = await migrationRows().find().toArray();
    const before = await digestOf(db, 'users');
    const said = await run({ direction: 'up' }).then(() => '', (error: Error) => error.message);
    assert.match(said, new RegExp(`^1 rows cannot be taken up by migrate-encrypt-oauth beside others:\n {2}users ${two._id.toHexString()}: email is that of users ${one._id.toHexString()} too .*\n.*has written nothing`));
    assert.ok(!said.toLowerCase().includes(address.toLowerCase()));
    assert.deepEqual([await migrationRows().find().toArray(), await digestOf(db, 'users'), await digests(), await legacyLeft()], [states, before, kept, 300]);
    const plans = await planMigrations(config, { direction: 'up' }, { step: () => undefined, event: () => undefined });
    assert.deepEqual(plans.find(({ migration }) => migration === 'migrate-encrypt-oauth')?.plan.faults.map(({ id }) => id), [two._id.toHexString()]);

    await users.updateOne({ _id: two._id }, { $set: { email: 'other@legacy.example.in' } });
    await run({ direction: 'up', to: 'migrate-encrypt-oauth' });
    // A row that comes later and has the address of one that is ours already.
    const { insertedId } = await users.insertOne({ companyId: three['companyId'] as string, email: address, role: 'viewer' }, { bypassDocumentValidation: true });
    await migrationRows().updateOne({ _id: 'migrate-encrypt-oauth' }, { $set: { state: 'running' } });
    await assert.rejects(run({ direction: 'up', to: 'migrate-encrypt-oauth' }), new RegExp(`users ${insertedId.toHexString()}: email is that of users ${one._id.toHexString()} too`));
  });

  describe('verify what a migration made:', () => {
    /** The KYC migration, with one more field in each row of a collection. */
    const making = (target: string, extra: Plain): Migration =>
      takeover({
        ...kycTakeover,
        async convert(collection, docs, help) {
          const made = await kycTakeover.convert(collection, docs, help);
          return { ...made, ...(made[target] ? { [target]: made[target].map((row): OurRow => ({ ...row, ...extra })) } : {}) };
        },
      });
    const io: Run = { config: undefined as never, owner: 'test', dropUnreadable: false, step: () => undefined, note: () => undefined };
    const runUp = (migration: Migration): Promise<object> => migration.up.run({ ...io, config }, { _id: KYC, state: 'undone' });

    it('a row that reads back other than it was written takes its batch with it', async () => {
      let writes = 0;
      const restless = { toBSON: () => ({ writes: (writes += 1) }) };
      await assert.rejects(runUp(making('companies', { note: restless })), /20 rows of companies read back other than they were written; the batch was not kept/);
      assert.deepEqual([await rows('companies').countDocuments({ _id: { $type: 'string' } }), await legacyLeft()], [0, 300]);
    });

    it('a row that breaks the rules of its collection keeps the step from ending', async () => {
      await assert.rejects(runUp(making('kycs', { status: 42 })), /kycs [0-9a-f]{24} breaks the rules of its collection/);
      assert.equal(await stateOf(), 'running');
    });

    it('a row that was left where it was keeps the step from ending', async () => {
      await db.collection('kycs').deleteMany({ _id: { $gt: (await db.collection('kycs').findOne({}, { sort: { _id: 1 } }))?._id } as never });
      await assert.rejects(runUp(takeover({ ...kycTakeover, sources: ['companies'] })), /1 rows of kycs were not taken up/);
      assert.equal(await stateOf(), 'running');
    });
  });
});
