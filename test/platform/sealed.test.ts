import { strict as assert } from 'node:assert';
import { inspect } from 'node:util';
import type mongoose from 'mongoose';
import { acrossCompanies, inCompany, PLATFORM_COMPANY_ID, type OutsideTx } from '../../src/platform/context.ts';
import type { ChangeOf, Row } from '../../src/platform/db/collection.ts';
import { blindIndex } from '../../src/platform/db/blind-index.ts';
import { destroyKeys, followKeys, forgetKeys, rotateKey, writingKey } from '../../src/platform/db/keyring.ts';
import { ENVELOPE, openEnvelope, openText, Sealed, seal, sealEnvelope, sealText } from '../../src/platform/db/sealed.ts';
import { sealClearRows } from '../../src/platform/db/seal-clear.ts';
import { prepareSchema } from '../../src/platform/db/schema.ts';
import { openedFrames, sealedFrames } from '../../src/platform/db/sealed-stream.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { BatchConflict } from '../../src/platform/db/collection.bulk.ts';
import { AppError } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { failNext, memberCtx, openHouse, until, type House } from './house.ts';
import { readers, type Guardian, type Reader } from './shelf.ts';

type Raw = Record<string, unknown> & { _id: string };

const PERSON = { name: 'PLAIN Name', phone: '+919811112222', email: 'PLAIN@shop.example.in' };
let count = 0;

/** A PAN that no other test has. */
function aPan(): string {
  count += 1;
  return `PLAIN${String(1000 + count)}F`;
}

describe('sealed values', () => {
  let house: House;
  let ctx: OutsideTx;
  before(async () => {
    house = await openHouse();
  });
  after(() => house.close());
  beforeEach(() => {
    ctx = memberCtx();
  });

  const rows = (): mongoose.mongo.Collection<Raw> => house.db.collection<Raw>('test_readers');
  const raw = async (id: string): Promise<Raw> => {
    const row = await rows().findOne({ _id: id });
    assert(row);
    return row;
  };
  const noneClear = async (): Promise<void> => assert(!JSON.stringify(await rows().find({}).toArray()).includes('PLAIN'), 'a value is clear at rest');
  const aReader = (over: Partial<Reader> = {}): Reader => ({ tag: 'reader', pan: seal(aPan()), cards: [], ...over });
  const add = (doc: Reader, own = ctx): Promise<Row<Reader>> => withTransaction(own, async (ctx) => readers.insert(ctx, doc));
  const change = (row: Row<Reader>, what: ChangeOf<Reader>, own = ctx): Promise<Row<Reader>> =>
    withTransaction(own, async (ctx) => readers.update(ctx, row._id, what, { version: row.version }));
  const full = (): Reader =>
    aReader({
      guardian: seal(PERSON),
      bank: { name: 'A bank', accountNumber: seal('PLAIN-00123456') },
      cards: [{ note: 'first', number: seal('PLAIN-card-0') }, { number: seal('PLAIN-card-1') }],
      invoiceName: seal('PLAIN invoice'),
    });
  const revealed = (row: Row<Reader>): unknown => ({
    guardian: row.guardian?.reveal(),
    bank: row.bank?.accountNumber?.reveal(),
    cards: row.cards.map((c) => c.number?.reveal()),
    invoiceName: row.invoiceName?.reveal(),
  });
  const ALL = { guardian: PERSON, bank: 'PLAIN-00123456', cards: ['PLAIN-card-0', 'PLAIN-card-1'], invoiceName: 'PLAIN invoice' };

  describe('requirement 1: envelopes at rest after every write path', () => {
    it('insert, insertMany and orInsert', async () => {
      const one = await add(full());
      assert.deepEqual(revealed(one), ALL);
      const [many] = await withTransaction(ctx, async (ctx) => readers.insertMany(ctx, [{ tx: ctx, doc: full() }]));
      assert(many);
      assert.deepEqual(revealed(many), ALL);
      const id = newId();
      await withTransaction(ctx, async (ctx) => readers.changeMany(ctx, [{ match: { _id: id }, change: { $set: { tag: 'born' } }, orInsert: { pan: seal('PLAINupsert'), cards: [{ number: seal('PLAIN9') }] } }]));
      const born = await readers.get(ctx, id);
      assert.deepEqual([born.pan.reveal(), born.cards[0]?.number?.reveal(), born.tag], ['PLAINupsert', 'PLAIN9', 'born']);
      await noneClear();
    });

    it('makeMany seals before there is a transaction; what it shows is a copy, and only its own company stores it', async () => {
      const [made] = await readers.makeMany([{ ctx, doc: full() }]);
      assert(made);
      assert.deepEqual(revealed(made.row), ALL);
      const other = memberCtx();
      await assert.rejects(withTransaction(other, async (other) => readers.insertMany(other, [{ tx: other, made }])), /own company/);
      await assert.rejects(withTransaction(ctx, async (ctx) => readers.insertMany(ctx, [{ tx: ctx, made: { row: made.row } }])), /made row/);
      const [stored] = await withTransaction(ctx, async (ctx) => readers.insertMany(ctx, [{ tx: ctx, made }]));
      assert.equal(stored, made.row);
      assert.deepEqual(revealed(await readers.get(ctx, made.row._id)), ALL);
      await noneClear();
    });

    it('a made row is stored only while its keys still seal', async () => {
      const own = memberCtx();
      const make = async () => (await readers.makeMany([{ ctx: own, doc: full() }]))[0];
      const store = (made: Awaited<ReturnType<typeof make>>) => withTransaction(own, async (ctx) => readers.insertMany(ctx, made ? [{ tx: ctx, made }] : []));
      const before = await make();
      await rotateKey({ companyId: own.companyId, purpose: 'company' });
      await assert.rejects(store(before), BatchConflict);
      assert.equal((await store(await make())).length, 1);
      const last = await make();
      await withTransaction(own, async (ctx) => destroyKeys(ctx, ctx.companyId));
      await assert.rejects(store(last), (error) => error instanceof AppError && error.code === 'data_erased');
      assert.equal(await readers.count(own, {}), 1);
    });

    it('$set of a value, of an object around one, of a whole array, of one element and of a value in one', async () => {
      let row = await add(full());
      row = await change(row, { $set: { guardian: seal({ ...PERSON, name: 'PLAIN two' }) } });
      row = await change(row, { $set: { 'bank.accountNumber': seal('PLAIN-9') } });
      assert.deepEqual([row.guardian?.reveal().name, row.bank?.accountNumber?.reveal(), row.bank?.name], ['PLAIN two', 'PLAIN-9', 'A bank']);
      row = await change(row, { $set: { bank: { name: 'B', accountNumber: seal('PLAIN-10') } } });
      row = await change(row, { $set: { 'cards.1.number': seal('PLAIN-card-x'), 'cards.0': { note: 'again', number: seal('PLAIN-card-y') } } });
      assert.deepEqual([row.bank?.accountNumber?.reveal(), row.cards.map((c) => c.number?.reveal())], ['PLAIN-10', ['PLAIN-card-y', 'PLAIN-card-x']]);
      row = await change(row, { $set: { cards: [{ number: seal('PLAIN-z') }] } });
      assert.deepEqual([row.cards.map((c) => c.number?.reveal()), row.cards[0]?.number?.mask], [['PLAIN-z'], 'XXXXXXX']);
      await noneClear();
    });

    it('$push of one element and of several; $pull beside them', async () => {
      let row = await add(full());
      row = await change(row, { $push: { cards: { note: 'n', number: seal('PLAIN-p1') } } });
      row = await change(row, { $push: { cards: { $each: [{ number: seal('PLAIN-p2') }] } } });
      row = await change(row, { $pull: { cards: { note: 'first' } } });
      assert.deepEqual(row.cards.map((c) => c.number?.reveal()), ['PLAIN-card-1', 'PLAIN-p1', 'PLAIN-p2']);
      await noneClear();
      await assert.rejects(change(row, { $pull: { cards: { number: 'PLAIN-p1' } } }), /sealed/);
      await assert.rejects(change(row, { $addToSet: { cards: { number: seal('x') } } }), /sealed/);
      await assert.rejects(change(row, { $push: { cards: { number: 'PLAIN-p3' } } }), /seal\(value\)/);
    });

    it('changeMany writes values of many rows and companies, and needs the _id of each', async () => {
      const other = memberCtx();
      const [a, b] = [await add(full()), await add(full(), other)];
      await withTransaction(ctx, async (ctx) =>
        readers.changeMany(ctx, [
          { match: { _id: a._id }, change: { $set: { guardian: seal({ ...PERSON, name: 'PLAIN a' }) } } },
          { tx: ctx.for(other), match: { _id: b._id }, change: { $set: { guardian: seal({ ...PERSON, name: 'PLAIN b' }) }, $push: { cards: { number: seal('PLAIN-c') } } } },
        ]),
      );
      assert.deepEqual([(await readers.get(ctx, a._id)).guardian?.reveal().name, (await readers.get(other, b._id)).guardian?.reveal().name], ['PLAIN a', 'PLAIN b']);
      await noneClear();
    });

    it('a transaction that runs twice meets the same values again', async () => {
      const doc = full();
      const row = await add(full());
      await failNext(house.db, ['commitTransaction'], { errorCode: 251, errorLabels: ['TransientTransactionError'] });
      let runs = 0;
      const value = seal<Guardian, Guardian>({ ...PERSON, name: 'PLAIN retried' });
      const made = await withTransaction(ctx, async (ctx) => {
        runs += 1;
        await readers.update(ctx, row._id, { $set: { guardian: value } }, { version: row.version });
        return readers.insert(ctx, doc);
      });
      assert.equal(runs, 2);
      assert.deepEqual([revealed(await readers.get(ctx, made._id)), (await readers.get(ctx, row._id)).guardian?.reveal().name], [ALL, 'PLAIN retried']);
      await noneClear();
    });

    it('an aborted transaction leaves the old value', async () => {
      const row = await add(full());
      const undone = withTransaction(ctx, async (ctx) => {
        await readers.update(ctx, row._id, { $set: { pan: seal('PLAINgone') } }, { version: 1 });
        throw new Error('undone');
      });
      await assert.rejects(undone, /undone/);
      assert.equal((await readers.get(ctx, row._id)).pan.reveal(), row.pan.reveal());
    });

    it('a value read from one row and written to another is sealed again for that one', async () => {
      const source = await add(full());
      const copy = await add(aReader({ guardian: (await readers.get(ctx, source._id)).guardian }));
      assert.notEqual((await raw(copy._id))['guardian'], (await raw(source._id))['guardian']);
      assert.deepEqual((await readers.get(ctx, copy._id)).guardian?.reveal(), PERSON);
      const before = (await raw(source._id))['guardian'];
      await change(source, { $set: { guardian: source.guardian } });
      assert.equal((await raw(source._id))['guardian'], before, 'an unchanged value keeps its bytes');
    });

    it('nothing sealed can be stored anywhere else: another field, an event, a job', async () => {
      const row = await add(full());
      for (const path of ['tag', 'bank.name', 'cards.0.note']) await assert.rejects(change(row, { $set: { [path]: seal('PLAIN') } as never }), path);
      await assert.rejects(withTransaction(ctx, async (ctx) => ctx.emit({ type: 'x', key: 'x', payload: { customer: seal(PERSON) } })), /sealed value/);
      await assert.rejects(withTransaction(ctx, async (ctx) => ctx.enqueue({ name: 'x', payload: { customer: seal(PERSON) } })), /sealed value/);
      assert.equal(JSON.stringify(await house.db.collection('outbox').find({ type: 'x' }).toArray()), '[]');
    });

    it('a retry that reads a value and changes it: two writers, one stale', async () => {
      const row = await add(full());
      await change(row, { $set: { pan: seal(aPan()) } });
      await assert.rejects(change(row, { $set: { pan: seal(aPan()) } }), { kind: 'stale' });
    });
  });

  describe('requirement 2: the server refuses clear text from any client (121)', () => {
    it('at the top, inside an object, in an array element, in the blind indexes', async () => {
      const row = await add(full());
      for (const set of [{ pan: 'PLAIN' }, { 'bank.accountNumber': 'PLAIN' }, { 'cards.0.number': 'PLAIN' }, { guardian: PERSON }, { 'blind.pan': 'PLAIN' }, { 'blind.other': 'x' }, { pan: null }]) {
        await assert.rejects(rows().updateOne({ _id: row._id }, { $set: set }), { code: 121 }, JSON.stringify(set));
      }
      await assert.rejects(rows().updateOne({ _id: row._id }, { $push: { cards: { number: 'PLAIN' } } } as never), { code: 121 });
      await assert.rejects(rows().insertOne({ ...(await raw(row._id)), _id: newId(), companyId: newId(), pan: 'PLAIN' }), { code: 121 });
    });
  });

  describe('a path that was clear in an earlier version', () => {
    it('is sealed where it stands before the validator would refuse it, versions unmoved; a cut-off run goes on', async () => {
      const [row, other] = [await add(full()), await add(full(), memberCtx())];
      const gone = await add(full(), memberCtx());
      await withTransaction(inCompany(ctx, gone.companyId), async (ctx) => destroyKeys(ctx, gone.companyId));
      const before = [await raw(row._id), await raw(other._id)];
      const sealed = { $set: { pan: 'PLAIN9999X', guardian: PERSON, login: 'plain.9999@shop.example.in' } };
      await house.db.command({ collMod: 'test_readers', validator: {} });
      await rows().updateOne({ _id: row._id }, sealed);
      await rows().updateOne({ _id: other._id }, { $set: { 'bank.accountNumber': 'PLAIN77' } });
      await rows().updateOne({ _id: gone._id }, { $set: { pan: '[erased]', guardian: { name: '[erased]', phone: '[erased]' } } });
      await sealClearRows('test_readers');
      await rows().updateOne({ _id: other._id }, { $set: { pan: 'PLAIN8888X' } });
      assert.ok((await prepareSchema()).includes('test_readers.validator'));
      await noneClear();
      assert.deepEqual(await prepareSchema(), []);
      const found = await readers.findOne(acrossCompanies(ctx, 'test'), readers.blind(ctx, 'login', 'plain.9999@SHOP.example.in'));
      assert.deepEqual([found?._id, found?.pan.reveal(), found?.guardian?.reveal(), found?.version, found?.updatedAt], [row._id, 'PLAIN9999X', PERSON, before[0]?.['version'], before[0]?.['updatedAt']]);
      assert.deepEqual((await raw(row._id))['masks'], { ...(before[0]?.['masks'] as Raw), pan: 'XXXXXXXXXX', login: 'p***@shop.example.in' });
      const own = await readers.get(inCompany(ctx, other.companyId), other._id);
      assert.deepEqual([own.pan.reveal(), own.bank?.accountNumber?.reveal(), own.version], ['PLAIN8888X', 'PLAIN77', other.version]);
      const erasedOne = await readers.get(inCompany(ctx, gone.companyId), gone._id);
      assert.deepEqual([erasedOne.pan.mask, erasedOne.guardian?.mask, erasedOne.pan.shown()], ['[erased]', { name: '[erased]', phone: '[erased]' }, '[erased]']);
      await rows().deleteMany({ _id: { $in: [row._id, other._id, gone._id] } });
    });
  });

  describe('requirement 3: an envelope opens only where it was sealed', () => {
    it('another row, another field, another company: refused, alarm logged, mask shown', async () => {
      const [a, b] = [await add(full()), await add(full())];
      const [ra, rb] = [await raw(a._id), await raw(b._id)];
      const moves: Record<string, unknown>[] = [{ pan: ra['pan'] }, { pan: rb['guardian'] }, { guardian: rb['pan'] }, { invoiceName: rb['pan'] }];
      for (const move of moves) {
        await rows().updateOne({ _id: b._id }, { $set: move });
        house.logLines.length = 0;
        const [path = ''] = Object.keys(move);
        const found = (await readers.get(ctx, b._id))[path as 'pan'];
        assert.throws(() => found.reveal(), { name: 'UnreadableError' });
        assert.deepEqual(found.shown(), found.mask);
        await house.log.flush();
        const [alarm] = house.logLines.filter((l) => l.includes('sealed.unreadable'));
        assert(alarm?.includes(`"path":"${path}"`) && alarm.includes(b._id) && !alarm.includes('PLAIN'), alarm);
        await rows().replaceOne({ _id: b._id }, rb);
      }
      assert.deepEqual(revealed(await readers.get(ctx, b._id)), ALL);
      const other = memberCtx();
      await rows().updateOne({ _id: b._id }, { $set: { companyId: other.companyId } });
      await assert.rejects(readersPan(other, b._id), { name: 'UnreadableError' });
    });

    const readersPan = async (own: OutsideTx, id: string): Promise<string> => (await readers.get(own, id)).pan.reveal();
  });

  describe('requirement 4: one error for every fault', () => {
    it('each flipped byte, each truncation, each other key id, each other spelling', async () => {
      const owner = { companyId: ctx.companyId, purpose: 'company' } as const;
      const key = await writingKey(owner);
      const place = { collection: 'c', id: 'i', path: 'p' };
      const envelope = sealEnvelope(key, place, 'PLAIN');
      assert.equal(openEnvelope(key, place, envelope), 'PLAIN');
      const bytes = Buffer.from(envelope.split('.')[2] ?? '', 'base64url');
      const forms = Array.from({ length: bytes.length * 2 }, (_, i) => {
        const other = i < bytes.length ? Buffer.from(bytes) : bytes.subarray(0, i - bytes.length);
        if (i < bytes.length) other[i] = (other[i] ?? 0) ^ 1;
        return `e1.${key.id}.${other.toString('base64url')}`;
      });
      const last = envelope.at(-1) === 'A' ? 'B' : 'A';
      forms.push(`${envelope}A`, `${envelope}=`, envelope.replace('e1.', 'e2.'), envelope.replace(key.id, 'f'.repeat(16)), `${envelope.slice(0, -1)}${last}`, '', 'e1..', 'PLAIN');
      const errors = new Set(forms.map((form) => {
        try {
          return openEnvelope(key, place, form);
        } catch (error) {
          return String(error);
        }
      }));
      assert.deepEqual([...errors], ['UnreadableError: A stored value cannot be read: it was changed or moved in the database, or its key is missing. Enter it again, or have it restored']);
      for (const wrong of [{ ...place, id: 'j' }, { ...place, path: 'q' }, { ...place, collection: 'd' }, { collection: 'ci', id: '', path: 'p' }]) {
        assert.throws(() => openEnvelope(key, wrong, envelope), { name: 'UnreadableError' });
      }
    });

    it('what is no envelope at all is shown as its mask and opens no other way', async () => {
      const row = await add(full());
      await house.db.command({ collMod: 'test_readers', validationLevel: 'off' });
      try {
        await rows().updateOne({ _id: row._id }, { $set: { pan: 'PLAIN', guardian: PERSON } });
        const found = await readers.get(ctx, row._id);
        assert.throws(() => found.pan.reveal(), { name: 'UnreadableError' });
        assert(!(JSON.stringify(found) + inspect(found, { depth: 9 })).includes('PLAIN'));
      } finally {
        await house.db.command({ collMod: 'test_readers', validationLevel: 'strict' });
        await rows().deleteOne({ _id: row._id });
      }
    });
  });

  describe('requirement 5: generations of keys', () => {
    it('what the old key sealed stays readable; what is written is sealed with the new one', async () => {
      const row = await add(full());
      const old = String((await raw(row._id))['pan']).split('.')[1];
      const key = (await rotateKey({ companyId: ctx.companyId, purpose: 'company' })) ?? assert.fail();
      const changed = await change(row, { $set: { guardian: seal(PERSON) } });
      assert.deepEqual(revealed(changed), ALL);
      const stored = await raw(row._id);
      assert.deepEqual([String(stored['pan']).split('.')[1], String(stored['guardian']).split('.')[1]], [old, key.id]);
      // A value written back unchanged moves to the new key as well.
      await change(changed, { $set: { pan: changed.pan } });
      assert.equal(String((await raw(row._id))['pan']).split('.')[1], key.id);
    });

    it('a key that is in no vault reads nothing, and fails closed', async () => {
      const row = await add(full());
      await house.db.collection('keyvault').deleteMany({ companyId: ctx.companyId, purpose: 'company' });
      forgetKeys();
      const found = await readers.get(ctx, row._id);
      assert.throws(() => found.pan.reveal(), { name: 'UnreadableError' });
      assert.equal(found.invoiceName?.reveal(), 'PLAIN invoice');
      assert.equal(found.pan.mask, row.pan.mask);
    });

    it('many first writes at once make one key', async () => {
      await Promise.all(Array.from({ length: 12 }, () => add(full())));
      assert.equal(await house.db.collection('keyvault').countDocuments({ companyId: ctx.companyId, purpose: 'company' }), 1);
    });

    it('keys made, rotated and destroyed by another process are heard of', async () => {
      const stop = await followKeys();
      try {
        const row = await add(full());
        await house.db.collection('keyvault').updateMany({ companyId: ctx.companyId, purpose: 'company' }, { $unset: { wrapped: '' }, $set: { destroyedAt: new Date(), closed: true } });
        await until(() => row.pan.mask === '[erased]', 'the key is known to be destroyed');
        await assert.rejects(add(full()), { code: 'data_erased' });
      } finally {
        await stop();
      }
    });
  });

  describe('requirement 9: found again in every spelling, and never linked between companies', () => {
    it('the same value in two companies differs at rest and is allowed; twice in one company it is a conflict', async () => {
      const pan = aPan();
      const other = memberCtx();
      const [a, b] = [await add(aReader({ pan: seal(pan) })), await add(aReader({ pan: seal(pan) }), other)];
      const [ra, rb] = [await raw(a._id), await raw(b._id)];
      assert.notDeepEqual([ra['pan'], ra['blind']], [rb['pan'], rb['blind']]);
      assert.notDeepEqual(ra['blind'], rb['blind']);
      await assert.rejects(add(aReader({ pan: seal(pan.toLowerCase()) })), { code: 'reader_exists', details: { fields: ['pan'] } });
    });

    it('case, spaces, hyphens and full-width letters do not matter', async () => {
      const row = await add(aReader({ pan: seal('PLAIN7777K'), guardian: seal(PERSON) }));
      for (const spelling of ['PLAIN7777K', 'plain7777k', ' PLAIN 7777 K ', 'plain-7777-k', 'ＰＬＡＩＮ７７７７Ｋ']) {
        assert.equal((await readers.findOne(ctx, readers.blind(ctx, 'pan', spelling)))?._id, row._id, spelling);
      }
      assert.equal((await readers.findOne(ctx, { ...readers.blind(ctx, 'phone', PERSON.phone), tag: 'reader' }))?._id, row._id);
      assert.equal(await readers.findOne(memberCtx(), readers.blind(memberCtx(), 'pan', 'PLAIN7777K')), undefined);
      assert.throws(() => readers.blind(ctx, 'nothing', 'x'), /no blind index/);
      const named = (name: string) => ({ name, scope: 'company', form: 'code' }) as const;
      assert.notEqual(blindIndex(named('a'), 'bc', 'D'), blindIndex(named('ab'), 'c', 'D'));
    });

    it('an index of the platform finds a value in any company and is unique over all; it equals no company\'s, the platform\'s own neither', async () => {
      const login = 'plain.asha-rao@shop.example.in';
      const row = await add(aReader({ login: seal(login) }));
      for (const spelling of [login, ' PLAIN.Asha-Rao@SHOP.example.in']) {
        for (const who of [memberCtx(), ctx]) assert.equal((await readers.findOne(acrossCompanies(who, 'test'), readers.blind(who, 'login', spelling)))?._id, row._id, spelling);
      }
      // Another mailbox, each of them: loose spellings would let one person's mail reach another's account.
      for (const other of ['plain.asharao@shop.example.in', 'plain.asha rao@shop.example.in']) assert.equal(await readers.findOne(acrossCompanies(ctx, 'test'), readers.blind(ctx, 'login', other)), undefined, other);
      assert.notDeepEqual(readers.blind(ctx, 'login', 'straße@x.in'), readers.blind(ctx, 'login', 'strasse@x.in'));
      await assert.rejects(add(aReader({ login: seal(login) }), memberCtx()), { code: 'reader_exists', details: { fields: ['login'] } });
      const blind = (await raw(row._id))['blind'] as Raw;
      const twin = ({ companyId, name }: { companyId: string; name: string }) => blindIndex({ name, scope: 'company', form: 'email' }, companyId, login);
      for (const companyId of [ctx.companyId, PLATFORM_COMPANY_ID, '']) for (const name of ['test_readers.login', 'test_readers.ownLogin']) assert.notEqual(blind['login'], twin({ companyId, name }));
      assert.equal(blind['ownLogin'], twin({ companyId: ctx.companyId, name: 'test_readers.ownLogin' }));
      assert.notDeepEqual(readers.blind(memberCtx(), 'ownLogin', login), readers.blind(ctx, 'ownLogin', login));
    });

    it('a value that is changed or leaves takes its index and mask with it', async () => {
      let row = await add(full());
      row = await change(row, { $set: { guardian: seal({ name: 'x', phone: '+919811113333' }) } });
      let stored = await raw(row._id);
      assert.deepEqual(Object.keys(stored['blind'] as object).sort(), ['accountNumber', 'pan', 'phone']);
      row = await change(row, { $unset: { guardian: '', bank: '' } });
      stored = await raw(row._id);
      assert.deepEqual([Object.keys(stored['blind'] as object), Object.keys(stored['masks'] as object).sort()], [['pan'], ['bank', 'invoiceName', 'pan']]);
      assert.deepEqual((stored['masks'] as Raw)['bank'], {});
      assert.equal(await readers.findOne(ctx, readers.blind(ctx, 'phone', '+919811113333')), undefined);
    });
  });

  describe('requirement 11: destroying a key erases what it sealed', () => {
    it('rows show [erased], revealing is a named refusal, the books stay readable', async () => {
      const row = await add(full());
      await withTransaction(ctx, async (ctx) => destroyKeys(ctx, ctx.companyId));
      const found = await readers.get(ctx, row._id);
      assert.deepEqual([found.pan.mask, found.guardian?.mask], ['[erased]', { name: '[erased]', phone: '[erased]', email: '[erased]' }]);
      assert.throws(() => found.pan.reveal(), (error) => error instanceof AppError && error.code === 'data_erased' && error.kind === 'conflict');
      assert.equal(found.invoiceName?.reveal(), 'PLAIN invoice');
      assert.deepEqual(found.guardian?.shown(), found.guardian?.mask);
      assert.deepEqual((await readers.list(ctx, {}, {})).data.map((r) => JSON.parse(JSON.stringify(r.pan)) as unknown), ['[erased]']);
      await assert.rejects(add(full()), { code: 'data_erased' });
      const vault = await house.db.collection('keyvault').find({ companyId: ctx.companyId }).toArray();
      assert.deepEqual(vault.map((k) => [k['purpose'], 'wrapped' in k]).sort(), [['books', true], ['company', false]]);
    });

    it('an erasure that is rolled back erases nothing', async () => {
      const row = await add(full());
      const undone = withTransaction(ctx, async (ctx) => {
        await destroyKeys(ctx, ctx.companyId);
        throw new Error('undone');
      });
      await assert.rejects(undone, /undone/);
      assert.equal((await readers.get(ctx, row._id)).pan.reveal(), row.pan.reveal());
      await add(full());
    });

    it('one purpose alone can be destroyed, and begins anew with its next value', async () => {
      const row = await add(full());
      await withTransaction(ctx, async (ctx) => destroyKeys(ctx, ctx.companyId, 'books'));
      assert.equal((await readers.get(ctx, row._id)).invoiceName?.mask, '[erased]');
      const next = await add(full());
      assert.equal((await readers.get(ctx, next._id)).invoiceName?.reveal(), 'PLAIN invoice');
    });
  });

  describe('redaction: JSON, texts, inspection, logs and errors', () => {
    it('show the mask or [sealed], never the value, bound or not', async () => {
      const row = await add(full());
      for (const value of [seal(PERSON), row.guardian, (await readers.get(ctx, row._id)).guardian]) {
        assert(value);
        house.log.error('x', { customer: value, value, error: new Error('failed', { cause: value }) });
        const texts = [JSON.stringify({ value }), String(value), inspect({ value }, { depth: 9, showHidden: true }), JSON.stringify(Object.entries(value)), house.logLines.at(-1)];
        assert(!texts.join().includes('PLAIN'), texts.join('\n'));
      }
      assert.equal(JSON.stringify(seal('PLAIN')), '"[sealed]"');
      assert.equal(JSON.stringify(row.pan), JSON.stringify(row.pan.mask));
    });

    it('what cannot be sealed is said at once', () => {
      assert.throws(() => seal(undefined), /JSON/);
      assert.throws(() => Sealed.fresh(() => 1), /JSON/);
    });
  });

  describe('texts of machine rows', () => {
    it('open at their place only, under their owner’s key', async () => {
      const owner = { companyId: ctx.companyId, purpose: 'company' } as const;
      const place = { collection: 'idempotency', id: 'k', path: 'body' };
      const text = await sealText(owner, place, '{"x":"PLAIN ✓"}');
      assert.match(text, ENVELOPE);
      assert.equal(await openText(owner, place, text), '{"x":"PLAIN ✓"}');
      await assert.rejects(openText(owner, { ...place, id: 'other' }, text), { name: 'UnreadableError' });
      await assert.rejects(openText({ companyId: newId(), purpose: 'company' }, place, text), { name: 'UnreadableError' });
      await assert.rejects(openText(owner, place, 'PLAIN'), { name: 'UnreadableError' });
      await withTransaction(ctx, async (ctx) => destroyKeys(ctx, ctx.companyId));
      await assert.rejects(openText(owner, place, text), { code: 'data_erased' });
    });

    it('the system’s key is one for all companies', async () => {
      const place = { collection: 'jobs', id: 'k', path: 'payload' };
      const text = await sealText({ companyId: newId(), purpose: 'system' }, place, 'x');
      assert.equal(await openText({ companyId: newId(), purpose: 'system' }, place, text), 'x');
    });
  });

  describe('files sealed piece by piece', () => {
    const frames = async (clear: Buffer, id = 'f'): Promise<Buffer> => {
      const pieces: Buffer[] = [];
      for await (const piece of sealedFrames({ owner: { companyId: ctx.companyId, purpose: 'company' }, id }, chunked(clear, 100_000))) pieces.push(piece);
      return Buffer.concat(pieces);
    };
    const opened = async (stored: Buffer, id = 'f'): Promise<Buffer> => {
      const pieces: Buffer[] = [];
      for await (const piece of openedFrames({ owner: { companyId: ctx.companyId, purpose: 'company' }, id }, chunked(stored, 70_001))) pieces.push(piece);
      return Buffer.concat(pieces);
    };
    async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
      for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
    }

    for (const size of [0, 1, 262_143, 262_144, 262_145, 1_000_000]) {
      it(`${size} bytes come back, and not when cut, changed, swapped or of another file`, async () => {
        const clear = Buffer.alloc(size, 'PLAIN ');
        const stored = await frames(clear);
        assert((await opened(stored)).equals(clear));
        assert(!stored.includes('PLAIN'));
        const first = 4 + stored.readUInt32BE(0);
        const bad = [stored.subarray(0, -1), stored.subarray(0, -48), Buffer.concat([stored, stored]), Buffer.concat([stored, Buffer.alloc(1)]), Buffer.alloc(0), stored.subarray(first)];
        if (first < stored.length) bad.push(stored.subarray(0, first));
        for (const [i, other] of bad.entries()) await assert.rejects(opened(other), { name: 'UnreadableError' }, `case ${i}`);
        const flipped = Buffer.from(stored);
        flipped[40] = (flipped[40] ?? 0) ^ 1;
        await assert.rejects(opened(flipped), { name: 'UnreadableError' });
        await assert.rejects(opened(stored, 'g'), { name: 'UnreadableError' });
      });
    }
  });
});
