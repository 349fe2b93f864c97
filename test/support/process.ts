import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { setTimeout as wait } from 'node:timers/promises';
import mongoose from 'mongoose';
import { loadConfig } from '../../src/config.ts';
import { allChecks } from '../../src/modules.ts';
import { disconnect } from '../../src/platform/db/connect.ts';
import { randomToken } from '../../src/platform/ids.ts';
import { makeLogger } from '../../src/platform/logger.ts';
import { openDatabase } from '../../src/service.ts';
import type { Answer, Merchant, World } from './world.ts';
import { PASSWORD } from './world.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const READY_WITHIN_MS = 60_000;

/** One folder for all processes of this run, so that they sign tokens with the same secrets. */
export const DATA_DIR = join(tmpdir(), `dakiya-tests-${process.pid}`);

/** How a process ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** The service as a process of its own. */
export interface ServiceProcess {
  url: string;
  pid: number;
  /** Everything it has said so far on both streams. */
  output: string[];
  /** The lines of its log. */
  logs(): Record<string, unknown>[];
  api: World['api'];
  ended: Promise<Ended>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, and how it ended. */
  stop(): Promise<Ended>;
  /** kill -9. */
  kill(): Promise<Ended>;
  /** Makes it fail where nobody catches. */
  fail(how: 'reject' | 'throw', message: string): void;
}

/** What was started and what came of it; `ready` is undefined when it ended before it was ready. */
export interface Starting {
  pid: number;
  output: string[];
  ended: Promise<Ended>;
  ready: Promise<ServiceProcess | undefined>;
  kill(): Promise<Ended>;
}

const alive = new Set<ChildProcess>();

/** Kills what is still running of the processes that were started; for `after`, whatever came before. */
export async function killAll(): Promise<void> {
  await Promise.all(
    [...alive].map(async (child) => {
      const gone = once(child, 'close');
      child.kill('SIGKILL');
      await gone;
    }),
  );
}

/** Starts the service as a process of its own, like `npm start` does; it never outlives this one. */
export function spawnService(env: Record<string, string>): Starting {
  const child = spawn(process.execPath, ['--import=tsx', '--import=./test/support/leash.ts', 'src/main.ts', 'serve'], {
    cwd: ROOT,
    env: { ...withoutSettings(), ...DEFAULTS, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  alive.add(child);
  child.once('close', () => alive.delete(child));
  // What a failed test left behind must not keep this process from ending: its end is then theirs.
  child.unref();
  child.channel?.unref();
  for (const stream of [child.stdout, child.stderr]) if (stream instanceof Socket) stream.unref();
  const output: string[] = [];
  const ended = new Promise<Ended>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  const kill = async (): Promise<Ended> => {
    child.kill('SIGKILL');
    return ended;
  };
  const ready = new Promise<ServiceProcess | undefined>((resolve) => {
    const hear = (line: string): void => {
      output.push(line);
      const url = /^ready (http\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(running(child, url, output, ended));
    };
    if (child.stdout) createInterface(child.stdout).on('line', hear);
    if (child.stderr) createInterface(child.stderr).on('line', hear);
    void ended.then(() => resolve(undefined));
  });
  return { pid: child.pid ?? 0, output, ended, ready, kill };
}

/** The same, ready to be asked; fails the test with what it said when it did not get that far. */
export async function startProcess(env: Record<string, string>): Promise<ServiceProcess> {
  const starting = spawnService(env);
  const late = setTimeout(() => void starting.kill(), READY_WITHIN_MS);
  const ready = await starting.ready;
  clearTimeout(late);
  return ready ?? assert.fail(`The service did not start:\n${starting.output.join('\n')}`);
}

const DEFAULTS = { NODE_ENV: 'test', HOST: '127.0.0.1', PORT: '0', SEED_DEMO: 'off', RATE_LIMITS: 'off', LOG_LEVEL: 'info', DATA_DIR };

/** The variables a process needs to run, and none that configures ours. */
function withoutSettings(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'TEMP', 'LANG', 'MONGOMS_SYSTEM_BINARY', 'MONGOD_BINARY', 'DAKIYA_CACHE_DIR'];
  return Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
}

function running(child: ChildProcess, url: string, output: string[], ended: Promise<Ended>): ServiceProcess {
  const signal = (name: NodeJS.Signals): void => void child.kill(name);
  return {
    url,
    pid: child.pid ?? 0,
    output,
    ended,
    signal,
    api: apiOf(url),
    logs: () => output.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>),
    stop() {
      signal('SIGTERM');
      return ended;
    },
    kill() {
      signal('SIGKILL');
      return ended;
    },
    fail: (how, message) => void child.send({ fail: how, message }),
  };
}

/** Calls to a service by its address. */
export function apiOf(url: string): World['api'] {
  return async (method, path, { token, body, raw, headers = {}, key, ifMatch } = {}): Promise<Answer> => {
    const given = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
    };
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const answer = await fetch(url + path, { method, headers: { ...given, ...headers }, ...(sent === undefined ? {} : { body: sent }) });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const json = (answer.headers.get('content-type') ?? '').includes('json');
    return { status: answer.status, headers: answer.headers, bytes, body: json && bytes.length > 0 ? JSON.parse(bytes.toString('utf8')) : bytes.toString('utf8') };
  };
}

/** A fresh company with its owner and one location. */
export async function newShop(api: World['api']): Promise<Merchant> {
  const email = `owner.${randomToken(9).toLowerCase().replace(/[^a-z0-9]/g, 'x')}@shop.example.in`;
  const registered = await api('POST', '/v1/auth/register', { body: { companyName: 'Shop', name: 'Asha Rao', email, phone: '9800012345', password: PASSWORD } });
  assert.equal(registered.status, 201, JSON.stringify(registered.body));
  const { accessToken: token, user, company } = registered.body;
  const place = { name: 'Main', contactName: 'Asha Rao', phone: '9800012345', line1: '1 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' };
  const location = await api('POST', '/v1/locations', { token, body: place });
  assert.equal(location.status, 201, JSON.stringify(location.body));
  return { token, companyId: company.id, userId: user.id, locationId: location.body.id, email, password: PASSWORD };
}

/** Waits until `look` answers something else than undefined or false; fails after `ms`. */
export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, ms = 10_000): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) assert.fail(`not within ${ms} ms: ${what}`);
    await wait(20);
  }
}

/** Connects this process to the database of the others: for looking at what is stored, and for all checks. */
export async function openStore(mongodbUri: string, dataDir = DATA_DIR): Promise<{ db: mongoose.mongo.Db; checks(): Promise<void>; close(): Promise<void> }> {
  const config = await loadConfig({ NODE_ENV: 'test', DATA_DIR: dataDir, MONGODB_URI: mongodbUri });
  const log = makeLogger({ level: 'error', stream: new Writable({ write: (_chunk, _encoding, done) => done() }) });
  await openDatabase({ config, log, mongodbUri });
  const { db } = mongoose.connection;
  if (!db?.databaseName.endsWith('_test')) throw new Error('Not a test database');
  return {
    db,
    async checks() {
      for (const check of allChecks()) assert.deepEqual(await check.run(), [], check.name);
    },
    async close() {
      await db.dropDatabase();
      await disconnect();
    },
  };
}

/** How long the server keeps the open transaction of a process that died, and with it the rows it wrote. */
export async function endOpenTransactionsAfter(seconds: number): Promise<void> {
  await mongoose.connection.db?.admin().command({ setParameter: 1, transactionLifetimeLimitSeconds: seconds });
}
