import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import mongoose from 'mongoose';
import { storeFile } from '../../src/platform/db/files.ts';
import type { Manifest } from '../../src/platform/db/backup/manifest.ts';
import { writeBackup } from '../../src/platform/db/backup/write.ts';
import { restoreBackup } from '../../src/platform/db/backup/restore.ts';
import { digestOf } from '../../src/platform/db/raw.ts';
import { readSchema } from '../../src/platform/db/schema.ts';
import { openHouse, type House } from '../platform/house.ts';
import { withDatabase } from '../support/database.ts';
import { cli, cliDone } from '../support/legacy.ts';

const HOSTILE = ['; touch pwned;', '/tmp/escape', '`id`; rm -rf ~', "it's \"quoted\" & | > <", 'line\nbreak', '--out'];

describe('backup and restore', function () {
  this.timeout(60_000);
  let house: House;
  let folder: string;
  let number = 0;
  let backup: string;
  const env = (): Record<string, string> => ({ MONGODB_URI: house.config.mongodbUri ?? '', LOG_LEVEL: 'error' });
  const tell = (): void => undefined;
  const restoreInto = (from: string, into: string, force = false) => restoreBackup({ folder: from, into, force, tell });
  const target = (name: string): mongoose.mongo.Db => mongoose.connection.getClient().db(name);
  const freshName = (): string => `${house.db.databaseName.replace(/_test$/, '')}_r${(number += 1)}_test`;
  const copyOf = async (): Promise<string> => {
    const copy = join(folder, `copy${(number += 1)}`);
    await cp(backup, copy, { recursive: true });
    return copy;
  };

  before(async () => {
    house = await openHouse();
    folder = await mkdtemp(join(tmpdir(), 'dakiya-backup-'));
    // A few declared collections stand for all: a restore builds every index.
    const few = new Set(['orders', 'users', 'scan_batches']);
    for (const { name } of await house.db.listCollections({}, { nameOnly: true }).toArray()) if (!few.has(name)) await house.db.collection(name).drop();
    for (const [i, name] of HOSTILE.entries()) await house.db.collection(name).insertOne({ n: i });
    const { Long, Double, Int32, Decimal128, Timestamp } = mongoose.mongo;
    await house.db.collection('kinds').insertMany([
      { a: new Int32(1), b: new Double(1), c: Long.fromNumber(1), d: Decimal128.fromString('1.10'), e: new Timestamp({ t: 1, i: 2 }), f: null, g: /x/gi, h: new Date(0), i: Buffer.from('x') },
      new Map<string, unknown>([['_id', 'keys'], ['110001', 1], ['9', new Map([['2', 'b'], ['1', 'a']])], ['x', [{ z: 1, a: [] }]]]) as never,
    ]);
    await house.db.collection('kinds').createIndex({ a: 1 }, { unique: true, partialFilterExpression: { a: { $exists: true } }, name: 'odd name' });
    await storeFile(Readable.from([Buffer.alloc(700_000, 7)]), { purpose: 'test', maxBytes: 1_000_000 });
    await house.db.collection('scan_batches').insertMany(Array.from({ length: 3_000 }, (_, i) => ({ _id: `b${i}`, at: new Date(i), pad: 'x'.repeat(200) })) as never);
    backup = join(folder, 'whole');
    await cliDone(['backup', '--out', backup], { env: env() });
  });
  after(async () => {
    const admin = mongoose.connection.getClient().db('admin').admin();
    for (const { name } of (await admin.listDatabases()).databases) if (/_r\d+_test$/.test(name)) await target(name).dropDatabase();
    await house.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('F11: every document, index and validator comes back byte for byte, files and hostile names included', async () => {
    const into = freshName();
    const end = await cliDone(['restore', '--from', backup, '--into', into], { env: env() });
    assert.ok(end.lines.some((l) => l['restored'] === backup));
    const names = (await house.db.listCollections({}, { nameOnly: true }).toArray()).map((c) => c.name).sort();
    const restored = target(into);
    assert.deepEqual((await restored.listCollections({}, { nameOnly: true }).toArray()).map((c) => c.name).sort(), names);
    for (const name of HOSTILE) assert.ok(names.includes(name));
    for (const name of names) assert.deepEqual(await digestOf(restored, name), await digestOf(house.db, name), name);
    const schema = await readSchema(names);
    for (const name of names) {
      const [info] = (await restored.listCollections({ name }).toArray()) as { options?: { validator?: object } }[];
      assert.deepEqual(info?.options?.validator, schema[name]?.validator, name);
      assert.deepEqual((await restored.collection(name).listIndexes().toArray()).filter((i) => i['name'] !== '_id_'), schema[name]?.indexes, name);
    }
  });

  it('writes files for their owner only, named by numbers, and nothing outside its folder', async () => {
    for (const file of await readdir(backup)) {
      assert.match(file, /^(?:manifest\.json|\d{4}\.bson\.gz)$/);
      assert.equal((await stat(join(backup, file))).mode & 0o777, 0o600);
    }
    assert.equal((await stat(backup)).mode & 0o777, 0o700);
    assert.deepEqual((await readdir(folder)).filter((n) => !/^(?:whole|copy\d+)$/.test(n)), []);
    await assert.rejects(writeBackup({ folder: backup, gzip: true, version: '0', tell }), /is not empty/);
  });

  const damages: Record<string, [RegExp, (copy: string) => Promise<void>]> = {
    'a flipped byte': [/was changed/, async (copy) => flip(join(copy, '0001.bson.gz'))],
    'a truncated file': [/bytes and not/, async (copy) => truncate(join(copy, '0002.bson.gz'), 10)],
    'a missing file': [/is missing/, async (copy) => rm(join(copy, '0003.bson.gz'))],
    'a link in the place of a file': [/no plain file/, async (copy) => link(copy)],
    'a missing manifest': [/no whole backup/, async (copy) => rm(join(copy, 'manifest.json'))],
    'a changed count': [/was changed after/, async (copy) => edit(copy, (text) => text.replace(/"rows": \d+/, '"rows": 99'))],
    'a path in the manifest': [/is damaged/, async (copy) => edit(copy, (text) => text.replace('0001.bson.gz', '../0001.bson.gz'))],
    'a manifest that is no JSON': [/is damaged/, async (copy) => edit(copy, (text) => text.slice(0, -5))],
    // The digest has no key: whoever changes a manifest can make it anew.
    'options that are no JSON': [/is damaged/, async (copy) => forge(copy, { options: '{nope' })],
    'a view': [/is damaged/, async (copy) => forge(copy, { options: '{"viewOn":"orders","pipeline":[{"$out":"x"}]}' })],
    'indexes that are no list': [/is damaged/, async (copy) => forge(copy, { indexes: '5' })],
    'a collection of the server': [/is damaged/, async (copy) => forge(copy, { name: 'system.users' })],
    'a name that no collection can have': [/is damaged/, async (copy) => forge(copy, { name: 'a$b' })],
    'a backup of nothing': [/is damaged/, async (copy) => forge(copy)],
  };
  for (const [name, [says, damage]] of Object.entries(damages)) {
    it(`refuses ${name} before the first write`, async () => {
      const [copy, into] = [await copyOf(), freshName()];
      await damage(copy);
      await assert.rejects(restoreInto(copy, into), says);
      assert.deepEqual(await target(into).listCollections().toArray(), []);
    });
  }

  it('says in one sentence that the server refuses an index, and lets no service start on the rest', async () => {
    const [copy, into] = [await copyOf(), freshName()];
    await forge(copy, { indexes: '[{"name":"x","key":{"a":"bogus"}}]' });
    await assert.rejects(restoreInto(copy, into), /The server refuses .* as the backup describes it .*restore another backup with --force/);
    assert.equal((await target(into).collection<{ _id: string; state: string }>('migrations').findOne({ _id: 'restore' }))?.state, 'running');
    await restoreInto(backup, into, true);
  });

  it('refuses a database that holds something unless forced, and hostile names of databases', async () => {
    const into = freshName();
    await target(into).collection('precious').insertOne({ a: 1 });
    await assert.rejects(restoreInto(backup, into), /is not empty.*--into NAME.*--force/);
    assert.equal(await target(into).collection('precious').countDocuments(), 1);
    await restoreInto(backup, into, true);
    assert.equal(await target(into).collection('precious').countDocuments(), 0);
    for (const name of ['../x', '$(id)', 'a b', 'a.b', 'a;b', '', 'a\0b', 'x'.repeat(64)]) await assert.rejects(restoreInto(backup, name), /--into takes a name/);
    for (const name of ['admin', 'config', 'local', 'Local']) await assert.rejects(restoreInto(backup, name, true), /keeps its own data/);
    await assert.rejects(restoreInto(backup, into.toUpperCase()), /names may not differ by their case/);
  });

  it('wrong use ends with 2, a refusal with 1 and one sentence, and nothing is written', async () => {
    const unknown = 'a'.repeat(24);
    const cases: [string[], number, RegExp][] = [
      [['nope'], 2, /unknown command/],
      [['keys'], 2, /Usage: dakiya keys/],
      [['admin', 'unlock'], 2, /missing required argument/],
      [['import', folder], 2, /^There is no file/m],
      [['simulate', '--file', join(folder, 'none')], 2, /^There is no file/m],
      [['import', '--company', unknown, 'data/samples/shopify-orders.csv'], 1, /^There is no such company$/m],
      [['simulate', '--company', unknown], 1, /^There is no such company$/m],
      [['backup', '--out', join(backup, 'manifest.json')], 1, /manifest\.json cannot be made \(EEXIST\)/],
      [['backup', '--out', ''], 2, /A folder has a name/],
      [['restore', '--from', ' '], 2, /A folder has a name/],
      [['migrate', 'up', '--to', 'nope'], 2, /Allowed choices are indexes/],
      [['import', '--mode', 'foo', 'data/samples/shopify-orders.csv'], 2, /Allowed choices are skip_invalid, all_or_nothing/],
      [['backup', '--out', '/proc/dakiya/backup'], 1, /backup cannot be made \(ENOENT\)/],
      [['--help'], 0, /^$/],
    ];
    for (const [args, code, said] of cases) {
      const end = await cli(args, { env: env() });
      assert.equal(end.code, code, `${args.join(' ')}: ${end.err}`);
      assert.match(end.err, said, args.join(' '));
      assert.doesNotMatch(end.err, /^ {4}at /m);
    }
    for (const name of ['orders', 'imports', 'keyvault']) assert.equal(await house.db.collection(name).countDocuments({ companyId: unknown }), 0, name);
  });

  it('a backup that was killed is never taken for one, and a restore that was killed lets no service start', async () => {
    const out = join(folder, `copy${(number += 1)}`);
    const killed = await cli(['backup', '--out', out], { env: env(), killAt: (line) => line.includes('"step":"backup"') });
    assert.equal(killed.signal, 'SIGKILL');
    await rm(join(out, 'manifest.json'), { force: true });
    await assert.rejects(restoreInto(out, freshName()), /no whole backup/);
    const into = freshName();
    const half = await cli(['restore', '--from', backup, '--into', into], { env: env(), killAt: (line) => line.includes('"step":"restore"') });
    assert.equal(half.signal, 'SIGKILL');
    assert.equal((await target(into).collection<{ _id: string; state: string }>('migrations').findOne({ _id: 'restore' }))?.state, 'running');
    const refused = await cli(['checks'], { env: { ...env(), MONGODB_URI: withDatabase(house.config.mongodbUri ?? '', into) } });
    assert.equal(refused.code, 1, 'the command ends');
    assert.match(refused.err, /A restore into this database did not end/);
    await restoreInto(backup, into, true);
    assert.equal(await target(into).collection<{ _id: string }>('migrations').findOne({ _id: 'restore' }), null);
  });

  async function flip(path: string): Promise<void> {
    const bytes = await readFile(path);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(path, bytes);
  }
  async function link(copy: string): Promise<void> {
    await rename(join(copy, '0001.bson.gz'), join(copy, 'elsewhere'));
    await symlink(join(copy, 'elsewhere'), join(copy, '0001.bson.gz'));
  }
  /** Changes the first collection of a manifest, or takes all out, and makes its digest anew. */
  async function forge(copy: string, change?: object): Promise<void> {
    await edit(copy, (text) => {
      const { digest: _digest, ...manifest } = JSON.parse(text) as Manifest;
      const collections = change ? manifest.collections.map((entry, i) => (i === 0 ? { ...entry, ...change } : entry)) : [];
      const forged = { ...manifest, collections };
      return JSON.stringify({ ...forged, digest: createHash('sha256').update(JSON.stringify(forged)).digest('hex') });
    });
  }
  async function edit(copy: string, change: (text: string) => string): Promise<void> {
    const path = join(copy, 'manifest.json');
    await writeFile(path, change(await readFile(path, 'utf8')));
  }
});
