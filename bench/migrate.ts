import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import mongoose from 'mongoose';
import '../src/modules.ts';
import { kycTakeover } from '../scripts/migrations/migrate-encrypt-kyc.ts';
import { runMigrations } from '../scripts/migrations/runner/run.ts';
import { legacyReader } from '../scripts/migrations/runner/legacy-values.ts';
import { sealedRows, type Help, type LegacyDoc } from '../scripts/migrations/runner/takeover.ts';
import { loadConfig } from '../src/config.ts';
import { disconnect } from '../src/platform/db/connect.ts';
import { digestOf } from '../src/platform/db/raw.ts';
import { startTemporary } from '../src/platform/embedded/temporary.ts';
import { makeLogger } from '../src/platform/logger.ts';
import { connectDatabase } from '../src/service.ts';

// Run by hand: node --import=tsx bench/migrate.ts [rows]. The KYC migration against a plain rewrite of the same rows with the
// same sealing (read, convert, seal, insert, delete; no backup, no transaction, no verification), in one run.
const ROWS = Number(process.argv[2] ?? 100_000);
const BATCH = 500;
const LEGACY_SECRET = 'legacy-sample-secret-not-for-use';
const { EJSON, ObjectId } = mongoose.mongo.BSON;
type Plain = Record<string, unknown>;

async function sample(name: string): Promise<Plain[]> {
  const text = await readFile(fileURLToPath(new URL(`../data/legacy/${name}.jsonl`, import.meta.url)), 'utf8');
  return text.trimEnd().split('\n').map((line) => EJSON.parse(line, { relaxed: false }) as Plain);
}

/** The same document under other ids; references move along. */
function copyOf(doc: Plain, n: number): Plain {
  const moved = (id: unknown): unknown => {
    if (!(id instanceof ObjectId)) return id;
    const bytes = Buffer.from(id.id);
    bytes.writeUInt32BE((bytes.readUInt32BE(0) + n * 7919) >>> 0, 0);
    return new ObjectId(bytes);
  };
  return { ...doc, _id: moved(doc['_id']), ...(doc['companyId'] ? { companyId: moved(doc['companyId']) } : {}), ...(doc['userId'] ? { userId: moved(doc['userId']) } : {}) };
}

async function load(db: mongoose.mongo.Db): Promise<void> {
  for (const name of ['companies', 'kycs', 'users']) {
    const docs = await sample(name);
    for (let n = 0; n < Math.ceil(ROWS / 300); n += 1) await db.collection(name).insertMany(docs.map((doc) => copyOf(doc, n)) as never);
    // The former product looked people and records up by their company too.
    if (name !== 'companies') await db.collection(name).createIndex({ companyId: 1 });
  }
}

const server = await startTemporary('bench', {});
const log = makeLogger({ level: 'error', stream: process.stderr });
const open = async (name: string): Promise<mongoose.mongo.Db> => {
  const uri = server.uri.replace(/\/(?:[^/?]*)(\?|$)/, `/${name}$1`);
  const config = await loadConfig({ NODE_ENV: 'test', DATA_DIR: `/tmp/dakiya-bench-${process.pid}`, MONGODB_URI: uri, LEGACY_ENCRYPTION_SECRET: LEGACY_SECRET });
  await connectDatabase({ config, log, mongodbUri: uri });
  const { db } = mongoose.connection;
  if (!db) throw new Error('Not connected');
  await load(db);
  return db;
};
const config = await loadConfig({ NODE_ENV: 'test', DATA_DIR: `/tmp/dakiya-bench-${process.pid}`, LEGACY_ENCRYPTION_SECRET: LEGACY_SECRET });
const io = { step: () => undefined, event: () => undefined };
const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const from = performance.now();
  await work();
  return (performance.now() - from) / 1000;
};

const rawDb = await open('raw_bench_test');
const raw = await seconds(async () => {
  const help = { reader: legacyReader(LEGACY_SECRET), run: { config } as Help['run'], value: (doc: LegacyDoc, field: { path: string }) => help.reader.read(doc, field).value } as Help;
  for (const name of kycTakeover.sources) {
    for (;;) {
      const docs = (await rawDb.collection(name).find({ _id: { $type: 'objectId' } }).sort({ _id: 1 }).limit(BATCH).toArray()) as LegacyDoc[];
      if (docs.length === 0) break;
      const made = await sealedRows(await kycTakeover.convert(name, docs, help));
      for (const [target, rows] of Object.entries(made)) if (rows.length > 0) await rawDb.collection(target).insertMany(rows as never);
      await rawDb.collection(name).deleteMany({ _id: { $in: docs.map((d) => d._id) } });
    }
  }
});
await disconnect();

const db = await open('migrate_bench_test');
const before = await Promise.all(kycTakeover.sources.map((name) => digestOf(db, name)));
await runMigrations(config, { direction: 'up', to: 'indexes' }, io);
const up = await seconds(() => runMigrations(config, { direction: 'up', to: 'migrate-encrypt-kyc' }, io));
const down = await seconds(() => runMigrations(config, { direction: 'down' }, io));
const after = await Promise.all(kycTakeover.sources.map((name) => digestOf(db, name)));
const rows = before.reduce((sum, d) => sum + d.rows, 0);
console.log(JSON.stringify({ rows, rawSeconds: raw.toFixed(1), upSeconds: up.toFixed(1), downSeconds: down.toFixed(1), ratio: (raw / up).toFixed(2), equalDigests: JSON.stringify(before) === JSON.stringify(after) }));
await disconnect();
await server.stop();
