import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import type mongoose from 'mongoose';
import { loadConfig } from '../../src/config.ts';
import type { OutsideTx } from '../../src/platform/context.ts';
import type { Row } from '../../src/platform/db/collection.ts';
import { verifySecrets } from '../../src/platform/db/canary.ts';
import { connect, disconnect } from '../../src/platform/db/connect.ts';
import { destroyKeys, keyVault, prepareKeys, writingKey } from '../../src/platform/db/keyring.ts';
import { listKeys, rewrapKeys, rotateKeys } from '../../src/platform/db/key-admin.ts';
import { reencryptAll, type Renewed } from '../../src/platform/db/reencrypt.ts';
import { seal } from '../../src/platform/db/sealed.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { AppError } from '../../src/platform/errors.ts';
import { useRuntime } from '../../src/platform/runtime.ts';
import { memberCtx, openHouse, type House } from './house.ts';
import { readers, type Reader } from './shelf.ts';

const OLD_KEY = randomBytes(32).toString('hex');
const NEW_KEY = randomBytes(32).toString('hex');
const ROWS = 260;
const PERSON = { name: 'PLAIN Name', phone: '+919811112222', email: 'plain@shop.example.in' };

describe('requirement 5: rotation of keys', () => {
  let house: House;
  let ctx: OutsideTx;
  beforeEach(async () => {
    house = await openHouse({ ENCRYPTION_KEYS: `k1:${OLD_KEY}` });
    await verifySecrets();
    ctx = memberCtx();
    await withTransaction(ctx, async (ctx) => readers.insertMany(ctx, Array.from({ length: ROWS }, (_, n) => ({ tx: ctx, doc: aReader(n) }))));
  });
  afterEach(() => house.close());

  const aReader = (n: number): Reader => ({
    tag: `t${n}`,
    pan: seal(`PLAIN${n}`),
    guardian: seal(PERSON),
    bank: { accountNumber: seal(`PLAIN-account-${n}`) },
    cards: [{ number: seal(`PLAIN-card-${n}`) }, { note: 'without' }],
    invoiceName: seal('PLAIN invoice'),
  });
  const rows = (): mongoose.mongo.Collection => house.db.collection('test_readers');
  const keysInUse = async (): Promise<string[]> => {
    const texts = JSON.stringify(await rows().find({ companyId: ctx.companyId }).toArray());
    return [...new Set([...texts.matchAll(/"e1\.([0-9a-f]{16})\./g)].map((m) => m[1] ?? ''))].sort();
  };
  const readersOf = (results: Renewed[]): Renewed | undefined => results.find((r) => r.collection === 'test_readers');
  const current = async (): Promise<string[]> => (await listKeys(ctx.companyId)).filter((k) => k.state === 'current').map((k) => k.id).sort();

  it('while others read, add and change: nothing fails, nothing is lost, versions stay, all rows have the newest keys', async () => {
    let done = false;
    const wrong: unknown[] = [];
    const touched = new Map<string, number>();
    let added = 0;
    const traffic = async (worker: number): Promise<void> => {
      for (let n = 0; !done; n += 1) {
        try {
          const [row] = await readers.find(ctx, { tag: `t${(n * 7 + worker * 31) % ROWS}` });
          assert(row);
          assert.equal(row.bank?.accountNumber?.reveal(), `PLAIN-account-${row.tag.slice(1)}`);
          await withTransaction(ctx, async (ctx) => {
            await readers.update(ctx, row._id, { $set: { guardian: seal({ ...PERSON, name: `PLAIN ${worker}` }) } }, { version: row.version });
            added += 1;
            await readers.insert(ctx, aReader(ROWS + added));
          });
          touched.set(row._id, (touched.get(row._id) ?? 0) + 1);
        } catch (error) {
          // Two of the workers may want one row: that refusal is theirs, not the rotation's.
          if (!(error instanceof AppError && error.kind === 'stale')) wrong.push(error);
        }
      }
    };
    const workers = [0, 1, 2].map(traffic);
    const old = await current();
    assert.equal(await rotateKeys(), 2);
    const result = readersOf(await reencryptAll());
    done = true;
    await Promise.all(workers);
    assert.deepEqual(wrong, []);
    assert(result && result.renewed >= ROWS - touched.size && result.unreadable === 0, JSON.stringify(result));
    assert.deepEqual(await keysInUse(), await current());
    assert.notDeepEqual(await current(), old);
    for await (const row of readers.each(ctx, {})) {
      assert.equal(row.version, 1 + (touched.get(row._id) ?? 0));
      assert.deepEqual([row.pan.reveal(), row.cards[0]?.number?.reveal(), row.invoiceName?.reveal()], [`PLAIN${row.tag.slice(1)}`, `PLAIN-card-${row.tag.slice(1)}`, 'PLAIN invoice']);
    }
    const again = readersOf(await reencryptAll());
    assert.deepEqual([again?.renewed, (await readers.find(ctx, readers.blind(ctx, 'pan', 'PLAIN7'))).length], [0, 1]);
  });

  it('a run that was killed goes on where it was', async () => {
    await rotateKeys();
    const killed = reencryptAll({
      onProgress: ({ collection }) => {
        if (collection === 'test_readers') throw new Error('killed');
      },
    });
    await assert.rejects(killed, /killed/);
    assert.equal(readersOf(await reencryptAll())?.rows, ROWS - 200);
    assert.deepEqual(await keysInUse(), await current());
    assert.equal(readersOf(await reencryptAll())?.rows, ROWS, 'a finished run leaves no mark');
  });

  it('keys of many companies are made at once: one each, whoever else makes them at the same time, and never for an erased one', async () => {
    await withTransaction(ctx, async (ctx) => destroyKeys(ctx, ctx.companyId));
    const companies = [ctx.companyId, ...Array.from({ length: 40 }, () => memberCtx().companyId)];
    const owners = companies.map((companyId) => ({ companyId, purpose: 'company' as const }));
    const [, , alone] = await Promise.all([prepareKeys(owners), prepareKeys([...owners].reverse()), writingKey({ companyId: companies[7] ?? '', purpose: 'company' })]);
    const rows = await keyVault().find({ companyId: { $in: companies.slice(1) } }).toArray();
    assert.deepEqual([rows.length, new Set(rows.map((row) => row.companyId)).size], [40, 40]);
    assert.equal(rows.find((row) => row.companyId === companies[7])?._id, alone.id);
    for (const row of rows) assert.equal((await writingKey(row)).id, row._id);
    await assert.rejects(async () => writingKey({ companyId: ctx.companyId, purpose: 'company' }), { code: 'data_erased' });
  });

  it('one company can be rotated and sealed again alone', async () => {
    const other = memberCtx();
    await withTransaction(other, async (ctx) => readers.insert(ctx, aReader(1)));
    const before = await listKeys(ctx.companyId);
    assert.equal(await rotateKeys({ companyId: other.companyId, purpose: 'company' }), 1);
    assert.deepEqual(readersOf(await reencryptAll({ companyId: other.companyId }))?.renewed, 1);
    assert.deepEqual(await listKeys(ctx.companyId), before);
  });

  it('after rewrap the old key-encryption key can go; before, nothing opens without it and the start is refused', async () => {
    const only = async (keys: string): Promise<void> => {
      await disconnect();
      const config = await loadConfig({ NODE_ENV: 'test', MONGODB_URI: house.config.mongodbUri, DATA_DIR: house.config.dataDir, ENCRYPTION_KEYS: keys });
      useRuntime({ config, log: house.log });
      await connect({ uri: house.config.mongodbUri ?? '', poolSize: 10, onSlow: () => undefined, slowMs: 10_000 });
    };
    const first = async (): Promise<Row<Reader>> => (await readers.find(ctx, { tag: 't0' }))[0] as Row<Reader>;
    await only(`k2:${NEW_KEY}`);
    await assert.rejects(verifySecrets(), /lacks the key k1/);
    const locked = await first();
    assert.throws(() => locked.pan.reveal(), { name: 'UnreadableError' });
    await assert.rejects(withTransaction(ctx, async (ctx) => readers.insert(ctx, aReader(ROWS + 1))), /cannot be opened/);
    await assert.rejects(rewrapKeys(), /lacks the key k1/);
    await only(`k2:${NEW_KEY},k1:${OLD_KEY}`);
    await verifySecrets();
    assert.equal(await rewrapKeys(), 2);
    assert.equal(await rewrapKeys(), 0);
    await only(`k2:${NEW_KEY}`);
    await verifySecrets();
    assert.equal((await first()).pan.reveal(), 'PLAIN0');
    assert.deepEqual([...new Set((await listKeys()).map((k) => k.wrappedBy))], ['k2']);
  });

  it('an erased company keeps neither masks nor blind indexes after the next run', async () => {
    await withTransaction(ctx, async (ctx) => destroyKeys(ctx, ctx.companyId));
    const result = readersOf(await reencryptAll({ companyId: ctx.companyId }));
    assert.equal(result?.erased, ROWS);
    const stored = JSON.stringify(await rows().find({ companyId: ctx.companyId }).toArray());
    assert(!stored.includes('"b1.') && !stored.includes('"XXX'), 'a mask or an index is left');
    const [row] = await readers.find(ctx, { tag: 't0' });
    assert.deepEqual([row?.pan.mask, row?.guardian?.mask.phone, row?.invoiceName?.reveal()], ['[erased]', '[erased]', 'PLAIN invoice']);
    assert.deepEqual((await listKeys(ctx.companyId)).map((k) => [k.purpose, k.state]), [['books', 'current'], ['company', 'destroyed']]);
  });

  it('blind indexes are made again after a change of their key; what was taken meanwhile is counted and named', async () => {
    const own = (login: string, tag: string): Promise<unknown> => withTransaction(ctx, async (ctx) => readers.insert(ctx, { tag, pan: seal(`${tag}-pan`), cards: [], login: seal(login) }));
    await own('first@shop.example.in', 'first');
    await own('second@shop.example.in', 'second');
    const { blindIndexKey: _old, ...config } = house.config;
    useRuntime({ config: { ...config, blindIndexKey: randomBytes(32).toString('hex') }, log: house.log });
    assert.equal(await readers.findOne(ctx, readers.blind(ctx, 'pan', 'PLAIN3')), undefined);
    await own('second@shop.example.in', 'quick');
    assert.equal(readersOf(await reencryptAll({ indexes: true }))?.unreadable, 1);
    assert.equal((await readers.findOne(ctx, readers.blind(ctx, 'pan', 'PLAIN3')))?.tag, 't3');
    for (const [login, tag] of [['first@shop.example.in', 'first'], ['second@shop.example.in', 'quick']] as const) {
      assert.equal((await readers.findOne(ctx, readers.blind(ctx, 'login', login)))?.tag, tag);
    }
    assert.ok(house.logLines.some((line) => line.includes('sealed.index_taken') && !line.includes('@')));
  });

  it('a value that was tampered with is counted, named in the log, and left as it is', async () => {
    const [a, b] = await readers.find(ctx, { tag: { $in: ['t0', 't1'] } });
    const from = await rows().findOne({ _id: a?._id } as never);
    await rows().updateOne({ _id: b?._id } as never, { $set: { guardian: from?.['guardian'] } });
    await rotateKeys();
    house.logLines.length = 0;
    assert.equal(readersOf(await reencryptAll())?.unreadable, 1);
    assert(house.logLines.some((l) => l.includes('sealed.unreadable') && l.includes(b?._id ?? '-')));
    assert.equal((await rows().findOne({ _id: b?._id } as never))?.['guardian'], from?.['guardian']);
  });
});
