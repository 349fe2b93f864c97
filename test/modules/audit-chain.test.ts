import { strict as assert } from 'node:assert';
import { companyAudit, eachAuditRow } from '../../src/modules/audit/audit.service.ts';
import { auditChainHolds } from '../../src/modules/audit/chain.checks.ts';
import { reportChecks } from '../../src/modules/operations/operation.service.ts';
import { linkRetention, makeAuditChain } from '../../src/platform/audit-chain.ts';
import { linkHash, type AuditLink } from '../../src/platform/audit-links.ts';
import { anchorChain } from '../../src/platform/audit-memory.ts';
import { packRows, pendingFirst, unpackRows, type AuditRow, type Pending } from '../../src/platform/db/audit-seal.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { noteRead } from '../../src/platform/db/tx.ts';
import { newId } from '../../src/platform/ids.ts';
import { sweepRetention } from '../../src/platform/retention.ts';
import { startWorld, type Merchant, type World } from '../support/world.ts';

type Plain = Record<string, unknown>;

describe('B11 the chain over the audit log', () => {
  let world: World;
  let merchant: Merchant;
  const audit = () => world.db.collection<AuditRow & Partial<Pending>>('audit');
  const waiting = () => audit().find({ $or: [{ pending: { $exists: true } }, { pendingSince: { $exists: true } }] }).toArray();
  const links = () => world.db.collection<AuditLink>('audit_chain');
  const check = () => auditChainHolds.run();
  const link = () => world.service.auditChain.linkDue();

  /** Some changes, linked one link each. */
  async function change(times = 1): Promise<void> {
    for (let i = 0; i < times; i += 1) {
      const { body } = await world.api('GET', '/v1/company', { token: merchant.token });
      const patched = await world.api('PATCH', '/v1/company', { token: merchant.token, ifMatch: body.version, body: { name: `Shop ${newId()}` } });
      assert.equal(patched.status, 200);
      await link();
    }
  }

  /** Does harm, sees what the check says, and puts everything back. */
  async function harmed(harm: () => Promise<void>): Promise<string[]> {
    const kept = new Map<string, Plain[]>();
    for (const name of ['audit', 'audit_chain', 'audit_heads', 'audit_pending']) kept.set(name, (await world.db.collection(name).find().toArray()) as Plain[]);
    assert.deepEqual(await check(), []);
    await harm();
    const found = await check();
    for (const [name, rows] of kept) {
      await world.db.collection(name).deleteMany({});
      if (rows.length > 0) await world.db.collection(name).insertMany(rows as never);
    }
    anchorChain(undefined);
    assert.deepEqual(await check(), []);
    return found;
  }

  before(async () => {
    world = await startWorld();
    merchant = await world.merchant();
    await link();
    await change(4);
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  it('holds with rows linked and rows that still wait, and links each row once', async () => {
    assert.deepEqual(await check(), []);
    const linked = (await links().find().toArray()).flatMap((l) => unpackRows(l.rows).map((row) => row.id));
    assert.equal(new Set(linked).size, linked.length);
    assert.deepEqual([...linked].sort(), (await audit().find().toArray()).map((row) => row._id).sort());
    assert.deepEqual(await waiting(), []);
  });

  it('names the row of which a field was edited, whichever field', async () => {
    const row = (await audit().findOne({ collection: 'companies', action: 'update' })) ?? assert.fail();
    const edits: Plain[] = [{ actorId: newId() }, { at: new Date(0) }, { fields: ['status'] }, { fields: 'status' }, { rowId: newId() }, { requestId: 'other-id' }, { action: 'insert' }, { companyId: newId() }];
    for (const $set of edits) {
      const found = await harmed(async () => void (await audit().updateOne({ _id: row._id }, { $set })));
      assert.equal(found.length, 1, JSON.stringify($set));
      assert.match(found[0] ?? '', new RegExp(`${row._id} .*was changed`));
    }
  });

  it('names a row that was deleted, and one that was put in', async () => {
    const row = (await audit().findOne({ collection: 'companies', action: 'update' })) ?? assert.fail();
    const gone = await harmed(async () => void (await audit().deleteOne({ _id: row._id })));
    assert.match(gone.join(), new RegExp(`^Audit row ${row._id} .*is missing$`));
    const forged = { ...row, _id: newId() };
    const added = await harmed(async () => void (await audit().insertOne(forged)));
    assert.match(added.join(), new RegExp(`^Audit row ${forged._id} was never linked`));
    // With a waiting digest that only our key could make, the consumer links it and the check still names it.
    const packed = Buffer.from(packRows([forged]), 'base64').fill(7, 12).toString('base64');
    const smuggling = { ...forged, pending: packed, pendingSince: new Date() };
    const smuggled = await harmed(async () => void (await audit().insertOne(smuggling)));
    assert.deepEqual(smuggled, [], 'waiting: nothing is proved yet');
    const linked = await harmed(async () => {
      await audit().insertOne(smuggling);
      await link();
    });
    assert.ok(linked.some((text) => text.includes(forged._id)), linked.join());
  });

  it('names two rows that changed places, and two links that did', async () => {
    const [a, b] = await audit().find({ collection: 'companies', action: 'update' }).limit(2).toArray();
    assert.ok(a && b);
    const rows = await harmed(async () => {
      await audit().replaceOne({ _id: a._id }, { ...b, _id: a._id } as never);
      await audit().replaceOne({ _id: b._id }, { ...a, _id: b._id } as never);
    });
    assert.ok(rows.some((t) => t.includes(a._id)) && rows.some((t) => t.includes(b._id)), rows.join());
    const [x, y] = await links().find().sort({ _id: 1 }).skip(1).limit(2).toArray();
    assert.ok(x && y);
    const swapped = await harmed(async () => {
      await links().replaceOne({ _id: x._id }, { ...y, _id: x._id } as never);
      await links().replaceOne({ _id: y._id }, { ...x, _id: y._id } as never);
    });
    assert.ok(swapped.length >= 2, swapped.join());
  });

  it('names a link that was removed with its rows, in the middle and at the end', async () => {
    const earlier = (await world.db.collection('audit_heads').findOne({})) ?? assert.fail();
    await change();
    const all = await links().find().sort({ _id: 1 }).toArray();
    const remove = async (one: AuditLink): Promise<void> => {
      await audit().deleteMany({ _id: { $in: unpackRows(one.rows).map((row) => row.id) } });
      await links().deleteOne({ _id: one._id });
    };
    const [middle, last] = [all[2], all.at(-1)];
    assert.ok(middle && last);
    assert.match((await harmed(() => remove(middle))).join(), new RegExp(`Link ${middle.seq} of the audit chain is missing`));
    assert.match((await harmed(() => remove(last))).join(), new RegExp(`Link ${last.seq} of the audit chain is missing`));
    // The head of an earlier moment put back with the tail cut off: this process has seen a later one.
    const replay = await harmed(async () => {
      await remove(last);
      await world.db.collection('audit_heads').replaceOne({}, earlier);
    });
    assert.ok(replay.some((t) => t.includes(`link ${last.seq} was there before`)), replay.join());
    const rebuilt = await harmed(async () => {
      await remove(last);
      await world.db.collection('audit_heads').deleteMany({});
      await change();
    });
    assert.ok(rebuilt.some((t) => t.includes('made anew')), rebuilt.join());
  });

  it('names a link of another course of the chain, a head written without the key, and a retention that nobody linked', async () => {
    await change();
    const all = await links().find().sort({ _id: 1 }).toArray();
    const [, before, middle] = all;
    const [former, last] = all.slice(-2);
    assert.ok(before && middle && former && last);
    const remove = async (...which: AuditLink[]): Promise<void> => {
      await audit().deleteMany({ _id: { $in: which.flatMap((one) => unpackRows(one.rows).map((row) => row.id)) } });
      await links().deleteMany({ _id: { $in: which.map((one) => one._id) } });
    };
    // As after a restore: our own link, under our own key, of a chain that went on otherwise.
    const other = { ...middle, prev: last.hash };
    const forked = await harmed(async () => void (await links().replaceOne({ _id: middle._id }, { ...other, hash: linkHash(other) })));
    assert.ok(forked.includes(`Link ${middle.seq} does not follow from link ${before.seq}`), forked.join());
    const cut = await harmed(async () => {
      await remove(last);
      await world.db.collection('audit_heads').updateOne({}, { $set: { seq: former.seq, hash: former.hash } });
      // As in a process that has seen nothing of this chain yet.
      anchorChain(undefined);
    });
    assert.deepEqual(cut, ['The head of the audit chain was changed']);
    const forgotten = await harmed(async () => {
      await remove(...all.slice(0, 2));
      await links().updateOne({ _id: middle._id }, { $set: { kind: 'retention', upTo: before.seq, upToHash: before.hash } });
    });
    assert.ok(forgotten.includes('Links 1 to 2 of the audit chain are missing, with what they proved'), forgotten.join());
  });

  it('takes one of several links that are made for one place at the same time, and makes the others anew', async () => {
    const [first] = await links().find().sort({ _id: 1 }).limit(1).toArray();
    assert.ok(first);
    const count = await links().countDocuments();
    const found = await harmed(async () => {
      await Promise.all(Array.from({ length: 5 }, () => linkRetention(first)));
      assert.equal(await links().countDocuments(), count + 5);
    });
    assert.deepEqual(found, []);
  });

  it('is checked daily, and a breach is a critical security event of the platform', async () => {
    const row = (await audit().findOne({ collection: 'companies', action: 'update' })) ?? assert.fail();
    await audit().updateOne({ _id: row._id }, { $set: { actorId: newId() } });
    await reportChecks();
    await audit().replaceOne({ _id: row._id }, row);
    const event = await world.db.collection('security_events').findOne({ type: 'security.audit_tampered' });
    assert.deepEqual([event?.['severity'], event?.['details'].found], ['critical', 1]);
    assert.ok(String(event?.['details'].first).includes(row._id));
  });

  it('cannot be recomputed without the key', async () => {
    const [one] = await links().find().sort({ _id: -1 }).limit(1).toArray();
    assert.ok(one);
    const found = await harmed(async () => {
      const row = (await audit().findOne({ _id: unpackRows(one.rows)[0]?.id ?? '' })) ?? assert.fail();
      await audit().updateOne({ _id: row._id }, { $set: { actorId: newId() } });
      await links().updateOne({ _id: one._id }, { $set: { hash: Buffer.alloc(32).toString('base64url') } });
    });
    assert.ok(found.some((t) => t.includes(`Link ${one.seq} of the audit chain was changed`)), found.join());
    assert.equal(linkHash(one), one.hash);
  });

  it('links rows that commit late with older ids, and finishes what a killed process began, once each', async () => {
    await change();
    const head = (await world.db.collection('audit_heads').findOne({})) ?? assert.fail();
    const late: AuditRow = { _id: `00000001${newId().slice(8)}`, at: new Date(), collection: 'companies', rowId: merchant.companyId, action: 'update', fields: ['name'], actorKind: 'user', actorId: merchant.userId, companyId: merchant.companyId, requestId: 'late' };
    const [left] = pendingFirst([late]);
    assert.ok(left?.pending);
    await audit().insertOne(left);
    await link();
    assert.deepEqual(await check(), []);
    // As after a kill between the link and what follows it: the digests are still there and the head is the old one.
    await audit().replaceOne({ _id: late._id }, left);
    await world.db.collection('audit_heads').replaceOne({}, head);
    await link();
    assert.deepEqual(await check(), []);
    const linked = (await links().find().toArray()).flatMap((l) => unpackRows(l.rows).map((row) => row.id));
    assert.equal(linked.filter((id) => id === late._id).length, 1);
    assert.deepEqual(await waiting(), []);
  });

  it('is linked by one of several consumers at a time, each row once, while changes go on', async () => {
    const others = [makeAuditChain(), makeAuditChain()];
    const patches = Array.from({ length: 20 }, (_, i) =>
      world.api('POST', '/v1/locations', {
        token: merchant.token,
        body: { name: `L${i}`, contactName: 'Asha Rao', phone: '9800012345', line1: '1 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' },
      }),
    );
    await Promise.all([...patches, link(), ...others.map((one) => one.linkDue())]);
    await world.service.auditChain.stop();
    for (const one of others) await one.linkDue();
    for (const one of others) await one.stop();
    assert.deepEqual(await check(), []);
    assert.deepEqual(await waiting(), []);
    const linked = (await links().find().toArray()).flatMap((l) => unpackRows(l.rows).map((row) => row.id));
    assert.equal(new Set(linked).size, linked.length);
  });

  describe('what waits for its link', () => {
    /** One transaction that nobody has linked yet; its audit rows in order. */
    async function leave(count: 'one' | 'several'): Promise<(AuditRow & Partial<Pending>)[]> {
      await link();
      const requestId = `left-${newId()}`;
      world.commands();
      await withTransaction({ ...systemCtx('test', merchant.companyId), requestId }, async (ctx) => {
        for (const rowId of count === 'one' ? ['a'] : ['a', 'b', 'c']) noteRead(ctx, { collection: 'orders', rowId, fields: ['*'] });
      });
      assert.equal(world.commands(), 2, 'the rows with their digests, and the commit');
      return audit().find({ requestId }).sort({ _id: 1 }).toArray();
    }

    it('stands in the first row of each transaction, found by an index of its own and shown to nobody', async () => {
      for (const kind of ['one', 'several'] as const) {
        const [first, ...others] = await leave(kind);
        assert.ok(first);
        const { pending, pendingSince, ...row } = first;
        assert.deepEqual([pending, pendingSince], [packRows([row, ...others]), row.at]);
        assert.ok(others.every((other) => !('pending' in other) && !('pendingSince' in other)));
        assert.deepEqual(packRows([first]), packRows([row]), 'the digest is of what the row says');
        const plan = JSON.stringify(await audit().find({ pendingSince: { $exists: true } }).sort({ pendingSince: 1, _id: 1 }).explain('queryPlanner'));
        assert.ok(plan.includes('"indexName":"pendingSince_1__id_1"') && !plan.includes('COLLSCAN') && !plan.includes('"SORT"'), plan);
        const seen = [];
        for (const path of ['/v1/audit-log', '/v1/audit-log/export.csv']) seen.push((await world.api('GET', `${path}?requestId=${row.requestId}`, { token: merchant.token })).body);
        seen.push(await companyAudit(systemCtx('test', merchant.companyId), { requestId: row.requestId }));
        for await (const each of eachAuditRow(systemCtx('test', merchant.companyId))) if (each.requestId === row.requestId) seen.push(each);
        assert.ok(JSON.stringify(seen).split(row._id).length >= 4 && !JSON.stringify(seen).includes('pending'), JSON.stringify(seen));
        await link();
        assert.deepEqual(await audit().findOne({ _id: row._id }), row);
      }
    });

    it('names rows that were edited or removed before they were linked, the first one as well', async () => {
      for (const at of [0, 1]) {
        const row = (await leave('several'))[at] ?? assert.fail();
        const edited = await harmed(async () => {
          await audit().updateOne({ _id: row._id }, { $set: { actorId: newId() } });
          await link();
        });
        assert.match(edited.join(), new RegExp(`^Audit row ${row._id} of link \\d+ was changed$`));
      }
      const [, second] = await leave('several');
      assert.ok(second);
      const removed = await harmed(async () => {
        await audit().deleteOne({ _id: second._id });
        await link();
      });
      assert.match(removed.join(), new RegExp(`^Audit row ${second._id} of link \\d+ is missing$`));
    });

    it('names all others when the first row of a transaction goes with its digests, or only they', async () => {
      const [first, ...others] = await leave('several');
      assert.ok(first);
      const unlinked = (rows: AuditRow[]) => rows.map((row) => `Audit row ${row._id} was never linked: no transaction of ours wrote it`);
      const lost = `Audit row ${first._id} is missing: it was removed before it was linked`;
      const gone = await harmed(async () => {
        await audit().deleteOne({ _id: first._id });
        await link();
      });
      assert.deepEqual(gone, [...unlinked(others), lost]);
      await leave('several');
      const [next, ...nexts] = await leave('several');
      assert.ok(next);
      const bare = await harmed(async () => {
        await audit().updateOne({ _id: next._id }, { $unset: { pending: '', pendingSince: '' } });
        await link();
      });
      assert.ok(unlinked([next, ...nexts]).every((text) => bare.includes(text)), bare.join());
    });

    it('names the only row of a transaction that was removed before it was linked, and forgets none too soon', async () => {
      const [only] = await leave('one');
      assert.ok(only);
      const found = await harmed(async () => {
        await audit().deleteOne({ _id: only._id });
        await link();
        await change();
        await check();
      });
      assert.deepEqual(found, [`Audit row ${only._id} is missing: it was removed before it was linked`]);
    });

    it('stops nobody when somebody writes other things there, and the check names the row', async () => {
      for (const put of [{ pendingSince: 'x', pending: 'AAAA' }, { pending: 5 }, { pendingSince: new Date(0), pending: null }]) {
        const [mine] = await leave('one');
        assert.ok(mine);
        const found = await harmed(async () => {
          await audit().updateOne({ _id: mine._id }, { $set: put as object });
          await change();
          assert.equal(await audit().countDocuments({ pendingSince: { $exists: true } }), 0);
        });
        const unlinked = `Audit row ${mine._id} was never linked: no transaction of ours wrote it`;
        assert.ok(found.includes(unlinked) && found.every((text) => text.includes(mine._id)), `${JSON.stringify(put)}: ${found.join()}`);
      }
    });

    it('is no reason for retention to take the row', async () => {
      const [left] = await leave('one');
      assert.ok(left);
      await sweepRetention();
      world.advance(3_000 * 86_400_000);
      await sweepRetention();
      assert.ok(await audit().findOne({ _id: left._id, pendingSince: { $exists: true } }));
      assert.deepEqual(await check(), []);
      await link();
      assert.deepEqual(await check(), []);
    });

    it('is taken over from releases that left it beside the rows, once, wherever they or we were cut off', async () => {
      const old = () => world.db.collection<{ _id: string; at: Date; rows: string }>('audit_pending');
      const times = async (id: string) => (await links().find().toArray()).flatMap((l) => unpackRows(l.rows)).filter((row) => row.id === id).length;
      /** As a release of before left them. */
      const leaveBeside = async (): Promise<AuditRow[]> => {
        const rows = await leave('several');
        const [{ _id, at } = assert.fail()] = rows;
        await old().insertOne({ _id, at, rows: packRows(rows) });
        await audit().updateOne({ _id }, { $unset: { pending: '', pendingSince: '' } });
        return rows;
      };
      const upgrade = async (): Promise<void> => {
        const chain = makeAuditChain();
        await world.service.auditChain.stop();
        await chain.linkDue();
        await chain.stop();
      };
      const [first, second] = await leaveBeside();
      assert.ok(first && second);
      assert.deepEqual(await check(), [], 'they wait, before anybody has looked');
      const left = await old().find().toArray();
      await upgrade();
      assert.deepEqual([await times(first._id), await times(second._id), await old().countDocuments()], [1, 1, 0]);
      assert.deepEqual(await check(), []);
      // As after a kill between the link and the removal.
      await old().insertMany(left);
      await upgrade();
      assert.deepEqual([await times(first._id), await old().countDocuments()], [1, 0]);
      // Between the link and its head.
      const head = (await world.db.collection('audit_heads').findOne({})) ?? assert.fail();
      const [again] = await leaveBeside();
      const beside = await old().find().toArray();
      await upgrade();
      await old().insertMany(beside);
      await world.db.collection('audit_heads').replaceOne({}, head);
      await upgrade();
      assert.deepEqual([await times(again?._id ?? ''), await old().countDocuments()], [1, 0]);
      assert.deepEqual(await check(), []);
      // A first row that was removed meanwhile is named as it was then.
      const [gone] = await leaveBeside();
      const found = await harmed(async () => {
        await audit().deleteOne({ _id: gone?._id ?? '' });
        await upgrade();
      });
      assert.match(found.join(), new RegExp(`^Audit row ${gone?._id} of link \\d+ is missing$`));
      await upgrade();
    });
  });
});
