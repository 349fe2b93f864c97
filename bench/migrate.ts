import { fork } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import mongoose from 'mongoose';
import '../src/modules.ts';
import { runMigrations } from '../scripts/migrations/runner/run.ts';
import { loadConfig, type Config } from '../src/config.ts';
import { connection, disconnect } from '../src/platform/db/connect.ts';
import { LEGACY_COLLECTIONS } from '../src/platform/db/migration-state.ts';
import { digestOf } from '../src/platform/db/raw.ts';
import { startTemporary } from '../src/platform/embedded/temporary.ts';
import { makeLogger } from '../src/platform/logger.ts';
import { connectDatabase } from '../src/service.ts';
import { databaseUri } from './lib/service.ts';
import { cpuMs, median, printTable, report } from './lib/measure.ts';
import { rawRewrite, takeovers, targets } from './raw/migrate.ts';

// `npm run bench -- migrate [copies of data/legacy, 100 = 99,900 rows] [rounds]`. The migrations, up and
// down, beside a plain rewrite of the same rows with the same sealing: each in a process of its own, on fresh copies, in turn.
const COPIES = Number(process.argv[2] ?? 100);
const ROUNDS = Number(process.argv[3] ?? 3);
const LEGACY_SECRET = 'legacy-sample-secret-not-for-use';
const { EJSON, ObjectId } = mongoose.mongo.BSON;
type Plain = Record<string, unknown>;
type Kind = 'raw' | 'up' | 'down';

/** What one process has done. */
interface Done {
  seconds: Record<string, number>;
  rssMb: number;
  cpuMs: number;
}

async function open(uri: string): Promise<{ config: Config; db: mongoose.mongo.Db }> {
  const config = await loadConfig({ NODE_ENV: 'test', DATA_DIR: join(tmpdir(), `dakiya-bench-${process.ppid}`), MONGODB_URI: uri, LEGACY_ENCRYPTION_SECRET: LEGACY_SECRET });
  await connectDatabase({ config, log: makeLogger({ level: 'error', stream: process.stderr }), mongodbUri: uri });
  const { db } = connection();
  if (!db) throw new Error('Not connected');
  return { config, db };
}

/** One way over one database, in this process. */
async function perform(kind: Kind, uri: string): Promise<Done> {
  const { config, db } = await open(uri);
  const seconds: Record<string, number> = {};
  const timed = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    const from = performance.now();
    await work();
    seconds[name] = (performance.now() - from) / 1000;
  };
  const io = { step: () => undefined, event: () => undefined };
  if (kind === 'up') await runMigrations(config, { direction: 'up', to: 'indexes' }, io);
  for (const spec of kind === 'down' ? [...takeovers].reverse() : takeovers) {
    if (kind === 'raw') await timed(spec.name, () => rawRewrite(db, spec, config));
    if (kind === 'up') await timed(spec.name, () => runMigrations(config, { direction: 'up', to: spec.name }, io));
    if (kind === 'down') await timed(spec.name, () => runMigrations(config, { direction: 'down' }, io));
  }
  await disconnect();
  return { seconds, rssMb: process.resourceUsage().maxRSS / 1024, cpuMs: cpuMs(process.pid) };
}

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
  const own = Object.fromEntries(['_id', 'companyId', 'userId'].filter((key) => doc[key] !== undefined).map((key) => [key, moved(doc[key])]));
  return { ...doc, ...own, ...(typeof doc['email'] === 'string' ? { email: `c${n}.${doc['email']}` } : {}), ...(typeof doc['refreshToken'] === 'string' ? { refreshToken: `${doc['refreshToken']}${n}` } : {}) };
}

async function load(db: mongoose.mongo.Db): Promise<void> {
  await db.dropDatabase();
  for (const name of LEGACY_COLLECTIONS) {
    const docs = await sample(name);
    for (let n = 0; n < COPIES; n += 1) await db.collection(name).insertMany(docs.map((doc) => copyOf(doc, n)) as never);
    // The former product looked its rows up by their company or user too.
    if (name === 'kycs' || name === 'users') await db.collection(name).createIndex({ companyId: 1 });
    if (name === 'sessions') await db.collection(name).createIndex({ userId: 1 });
  }
}

async function child(kind: Kind, uri: string): Promise<Done> {
  const profile = process.env['BENCH_PROFILE'] === kind ? ['--cpu-prof', '--cpu-prof-dir=.data/profiles'] : [];
  const process_ = fork(fileURLToPath(import.meta.url), ['child', kind, uri], { execArgv: profile, stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    process_.once('message', (done) => resolve(done as Done));
    process_.once('exit', (code) => reject(new Error(`${kind} ended with ${code}`)));
  });
}

const sum = (figures: Record<string, number>): number => Object.values(figures).reduce((a, b) => a + b, 0);

async function compare(): Promise<void> {
  const server = await startTemporary('bench', {});
  const client = await new mongoose.mongo.MongoClient(databaseUri(server.uri, 'admin')).connect();
  const runs: Record<Kind, Done[]> = { raw: [], up: [], down: [] };
  let [rows, equal] = [0, true];
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const counts: string[] = [];
      for (const kinds of round % 2 === 0 ? [['raw'], ['up', 'down']] : [['up', 'down'], ['raw']]) {
        const db = client.db(`migrate_${kinds[0]}_bench`);
        await load(db);
        const before = await Promise.all(LEGACY_COLLECTIONS.map((name) => digestOf(db, name)));
        rows = before.reduce((total, d) => total + d.rows, 0);
        for (const kind of kinds as Kind[]) {
          const serverMs = cpuMs(server.pid);
          const done = await child(kind, databaseUri(server.uri, db.databaseName));
          runs[kind].push(done);
          process.stdout.write(`${JSON.stringify({ round, kind, rows, ...done, serverCpuMs: cpuMs(server.pid) - serverMs })}\n`);
          if (kind !== 'down') counts.push(JSON.stringify(await Promise.all(targets.map((name) => db.collection(name).countDocuments()))));
        }
        if (kinds.includes('down')) equal &&= JSON.stringify(before) === JSON.stringify(await Promise.all(LEGACY_COLLECTIONS.map((name) => digestOf(db, name))));
        await db.dropDatabase();
      }
      if (counts[0] !== counts[1]) throw new Error(`both ways must make the same rows: ${counts.join(' and ')}`);
    }
  } finally {
    await client.close();
    await server.stop();
    await rm(join(tmpdir(), `dakiya-bench-${process.pid}`), { recursive: true, force: true });
  }
  const ratios = (of: (done: Done) => number): number => median(runs.up.map((up, i) => of(runs.raw[i] ?? up) / of(up)));
  for (const { name } of takeovers) report({ name, value: ratios((d) => d.seconds[name] ?? 0), unit: '× raw rewrite', goal: '≥ 0.5', reached: ratios((d) => d.seconds[name] ?? 0) >= 0.5 });
  report({ name: 'migrate.up', value: ratios((d) => sum(d.seconds)), unit: '× raw rewrite', goal: '≥ 0.5', reached: ratios((d) => sum(d.seconds)) >= 0.5 });
  for (const kind of ['raw', 'up', 'down'] as const) {
    report({ name: `migrate.${kind}.speed`, value: median(runs[kind].map((d) => rows / sum(d.seconds))), unit: 'rows/s', note: `peak ${Math.round(Math.max(...runs[kind].map((d) => d.rssMb)))} MB` });
  }
  report({ name: 'migrate.digests', value: equal ? 0 : 1, unit: 'differ', goal: '0', reached: equal });
  printTable();
}

const [, , first, kind, uri] = process.argv;
if (first === 'child') {
  const done = await perform(kind as Kind, uri ?? '');
  await new Promise((resolve) => process.send?.(done, resolve));
  process.disconnect();
} else await compare();
