import { strict as assert } from 'node:assert';
import { reportSecurityEvent } from '../../src/modules/audit/index.ts';
import { auditChainHolds } from '../../src/modules/audit/chain.checks.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { newId } from '../../src/platform/ids.ts';
import { sweepRetention } from '../../src/platform/retention.ts';
import { startWorld, type Merchant, type World } from '../support/world.ts';

const DAY_MS = 86_400_000;

describe('F18 retention', () => {
  let world: World;
  let merchant: Merchant;
  const count = (name: string, filter: object = {}) => world.db.collection(name).countDocuments(filter);
  const link = () => world.service.auditChain.linkDue();

  before(async () => {
    world = await startWorld({ RETENTION_AUDIT_DAYS: '400', RETENTION_SECURITY_EVENTS_DAYS: '200', RETENTION_MAIL_LOG_DAYS: '100', ACCESS_TOKEN_SECONDS: '86400' });
    merchant = await world.merchant();
    await reportSecurityEvent(systemCtx('test', merchant.companyId), { type: 'security.mfa_enabled', userId: merchant.userId });
    await world.settle();
    await link();
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('removes nothing that is young enough', async () => {
    const before = await count('audit');
    world.advance(90 * DAY_MS);
    await sweepRetention();
    assert.equal(await count('audit'), before);
    assert.equal(await count('security_events'), 1);
    assert.ok((await count('mails')) > 0);
  });

  it('removes mails, events and listed faults after their time, and what waits stays', async () => {
    await world.db.collection('mails').insertOne({ _id: newId() as never, companyId: merchant.companyId, version: 1, kind: 'test', state: 'queued', createdAt: new Date(0), updatedAt: new Date(0) });
    world.advance(20 * DAY_MS);
    await sweepRetention();
    assert.deepEqual([await count('mails', { state: 'sent' }), await count('mails', { state: 'queued' }), await count('security_events')], [0, 1, 1]);
    await world.db.collection('mails').deleteMany({ kind: 'test' });
    world.advance(100 * DAY_MS);
    await sweepRetention();
    assert.equal(await count('security_events'), 0);
  });

  it('removes audit rows by whole links, and the chain says up to where', async () => {
    const old = await count('audit');
    const other = await world.merchant();
    await link();
    const young = (await count('audit')) - old;
    world.advance(250 * DAY_MS);
    await sweepRetention();
    assert.equal(await count('audit'), young);
    assert.equal(await count('audit_chain', { kind: 'retention' }), 1);
    assert.deepEqual(await auditChainHolds.run(), []);
    await sweepRetention();
    assert.equal(await count('audit_chain', { kind: 'retention' }), 1, 'a sweep that finds nothing adds nothing');
    // A row that is removed without the chain's leave is named.
    const row = await world.db.collection('audit').findOne({ companyId: other.companyId });
    await world.db.collection('audit').deleteOne({ _id: row!._id });
    assert.match((await auditChainHolds.run()).join(), new RegExp(`Audit row ${String(row!._id)} .*is missing`));
    await world.db.collection('audit').insertOne(row!);
    assert.deepEqual(await auditChainHolds.run(), []);
  });

  it('survives being cut off between the note in the chain and the removal', async () => {
    world.advance(500 * DAY_MS);
    const rows = await world.db.collection('audit').find().toArray();
    const links = await world.db.collection('audit_chain').find().toArray();
    await world.merchant();
    await link();
    await sweepRetention();
    const now = new Set((await world.db.collection('audit').find().toArray()).map((r) => String(r._id)));
    const gone = rows.filter((r) => !now.has(String(r._id)));
    assert.ok(gone.length > 0);
    // As if the process had ended before it removed them.
    await world.db.collection('audit').insertMany(gone);
    const present = new Set((await world.db.collection('audit_chain').find().toArray()).map((l) => String(l._id)));
    await world.db.collection('audit_chain').insertMany(links.filter((l) => !present.has(String(l._id))));
    assert.deepEqual(await auditChainHolds.run(), []);
    await sweepRetention();
    assert.equal(await count('audit', { _id: { $in: gone.map((r) => r._id) } }), 0);
    assert.deepEqual(await auditChainHolds.run(), []);
  });
});
