import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import mongoose from 'mongoose';
import { LEGACY_COLLECTIONS } from '../../src/platform/db/migration-state.ts';
import { digestOf, rawBatches, type Digest } from '../../src/platform/db/raw.ts';
import { DATA_DIR } from './process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { BSON } = mongoose.mongo;
type Plain = Record<string, unknown>;

/** The secret of the sample; see data/legacy/README.md. */
export const LEGACY_SECRET = 'legacy-sample-secret-not-for-use';

/** The documents of a collection of the sample. */
export async function legacySample(name: string): Promise<Plain[]> {
  const lines = (await readFile(`${ROOT}/data/legacy/${name}.jsonl`, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => BSON.EJSON.parse(line, { relaxed: false }) as Plain);
}

/** Puts the sample into a database and answers the digest of each collection. */
export async function loadLegacy(db: mongoose.mongo.Db): Promise<Record<string, Digest>> {
  const digests: Record<string, Digest> = {};
  for (const name of LEGACY_COLLECTIONS) {
    await db.collection(name).insertMany((await legacySample(name)) as never);
    digests[name] = await digestOf(db, name);
  }
  return digests;
}

/** The digests of the same collections as they are now, every row counted. */
export async function legacyDigests(db: mongoose.mongo.Db): Promise<Record<string, Digest>> {
  return Object.fromEntries(await Promise.all(LEGACY_COLLECTIONS.map(async (name) => [name, await digestOf(db, name)] as const)));
}

/** Looks for texts in every byte of every collection; answers where it found which, by position in the list. */
export async function grepDatabase(db: mongoose.mongo.Db, texts: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
    for await (const batch of rawBatches(db.collection(name).find({}, { raw: true }))) {
      const bytes = Buffer.concat(batch).toString('latin1');
      texts.forEach((text, i) => bytes.includes(text) && found.push(`${name}: text ${i}`));
    }
  }
  return found;
}

export interface CliEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
  /** The lines of standard output that are JSON. */
  lines: Record<string, unknown>[];
}

export interface CliOptions {
  env?: Record<string, string>;
  /** Kills it (-9) as soon as this line of output is seen. */
  killAt?: (line: string) => boolean;
  /** What it reads from standard input. */
  input?: string;
}

/** The command line as a process of its own, compiled as `npm run dakiya` has it: that starts in half the time of the sources. */
export async function cli(args: readonly string[], { env = {}, killAt, input = '' }: CliOptions = {}): Promise<CliEnd> {
  const kept = Object.fromEntries(['PATH', 'HOME', 'TMPDIR'].flatMap((n) => (process.env[n] === undefined ? [] : [[n, process.env[n]]])));
  const child = spawn(process.execPath, ['scripts/dakiya.mjs', ...args], {
    cwd: ROOT,
    env: { ...kept, NODE_ENV: 'test', DATA_DIR, SEED_DEMO: 'off', LEGACY_ENCRYPTION_SECRET: LEGACY_SECRET, MIGRATION_LEASE_MS: '1000', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(input);
  let [out, err, seen] = ['', '', 0];
  child.stderr.on('data', (d: Buffer) => (err += d.toString('utf8')));
  child.stdout.on('data', (d: Buffer) => {
    out += d.toString('utf8');
    for (const line of out.slice(seen).split('\n').slice(0, -1)) {
      seen += line.length + 1;
      if (killAt?.(line)) child.kill('SIGKILL');
    }
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => child.once('close', (c, s) => resolve([c, s])));
  const lines = out.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));
  return { code, signal, out, err, lines };
}

/** The same, and it must end well. */
export async function cliDone(args: readonly string[], options: CliOptions = {}): Promise<CliEnd> {
  const end = await cli(args, options);
  assert.equal(end.code, 0, `${args.join(' ')} ended with ${end.code}\n${end.out}\n${end.err}`);
  return end;
}
