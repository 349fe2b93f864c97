import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import mongoose from 'mongoose';
import { monotonicMs } from '../clock.ts';
import { isListening, SET_NAME } from './mongod-process.ts';

type Client = mongoose.mongo.MongoClient;

const NOT_YET_INITIALIZED = 94;
const ALREADY_INITIALIZED = 23;
const CONFIGURATION_IN_PROGRESS = 109;
const STILL_LOADING = new Set([NOT_YET_INITIALIZED, ALREADY_INITIALIZED, CONFIGURATION_IN_PROGRESS]);
const POLL_MS = 20;
const KILLED = -1;

/** How long a server may take until it is primary, recovery after a crash included. */
export const START_LIMIT_MS = 60_000;

/** A client that talks to this one server whatever its state; close it after use. */
export async function connectTo(port: number, timeoutMs: number): Promise<Client> {
  const client = new mongoose.mongo.MongoClient(`mongodb://127.0.0.1:${port}/`, {
    directConnection: true,
    maxPoolSize: 1,
    serverSelectionTimeoutMS: timeoutMs,
    connectTimeoutMS: timeoutMs,
  });
  try {
    return await client.connect();
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** Makes the server on this port the primary of its one-node set: initiates it, or moves it here from another port. */
export async function becomePrimary(client: Client, port: number, limitMs: number): Promise<void> {
  const admin = client.db('admin');
  const start = monotonicMs();
  let tended = false;
  for (;;) {
    const hello = await admin.command({ hello: 1 });
    if (hello['isWritablePrimary'] === true) return;
    if (!tended) tended = await tendConfiguration(client, port);
    if (monotonicMs() - start > limitMs) {
      throw new Error(`mongod on port ${port} did not become primary within ${limitMs / 1000} s`);
    }
    await delay(POLL_MS);
  }
}

/** True once the set's configuration names this port; false while the server is still reading it. */
async function tendConfiguration(client: Client, port: number): Promise<boolean> {
  const host = `127.0.0.1:${port}`;
  const stored = await client.db('local').collection('system.replset').findOne();
  if (stored === null) {
    const settings = { electionTimeoutMillis: 2_000 };
    return await accepted(client, { replSetInitiate: { _id: SET_NAME, members: [{ _id: 0, host }], settings } });
  }
  const members: unknown = stored['members'];
  if (!Array.isArray(members)) return false;
  if (members[0]?.host === host) return true;
  const { _id, version, settings } = stored;
  const config = { _id, version: Number(version) + 1, settings, members: [{ _id: 0, host }] };
  return await accepted(client, { replSetReconfig: config, force: true });
}

/**
 * False when the server refuses because it still reads its configuration. That takes seconds when a stranger on the
 * port that the configuration names accepts connections and does not answer: the server asks there whether it is itself.
 */
async function accepted(client: Client, command: mongoose.mongo.Document): Promise<boolean> {
  try {
    await client.db('admin').command(command);
    return true;
  } catch (error) {
    if (error instanceof mongoose.mongo.MongoServerError && STILL_LOADING.has(Number(error.code))) return false;
    throw error;
  }
}

/** What a server says about itself, to recognise one that was started earlier. */
export async function identify(client: Client): Promise<{ pid: number; dbPath: string }> {
  const admin = client.db('admin');
  const [status, options] = await Promise.all([
    admin.command({ serverStatus: 1, repl: 0, metrics: 0, wiredTiger: 0 }),
    admin.command({ getCmdLineOpts: 1 }),
  ]);
  return { pid: Number(status['pid']), dbPath: String(options['parsed']?.storage?.dbPath) };
}

/** `exitCode` is null when the program could not be run and -1 when a signal ended it. */
export type Attempt = { ok: true; pid: number } | { ok: false; exitCode: number | null };

/** Waits until the started mongod is primary, or has ended; one that is not primary in time is killed. */
export async function untilPrimary(child: ChildProcess, port: number, limitMs = START_LIMIT_MS): Promise<Attempt> {
  const failed = new Promise<null>((settle) => child.once('error', () => settle(null)));
  const ended = new Promise<number>((settle) => child.once('exit', (code) => settle(code ?? KILLED)));
  let over: Attempt | undefined;
  const gone = Promise.race([failed, ended]).then((exitCode): Attempt => (over = { ok: false, exitCode }));
  const begin = monotonicMs();
  while (over === undefined && !(await isListening(port))) {
    if (monotonicMs() - begin > limitMs) child.kill('SIGKILL');
    await delay(10);
  }
  if (over !== undefined) return over;
  const reached = connectTo(port, limitMs).then(async (client): Promise<Attempt> => {
    try {
      // The port may answer for a stranger while our own server is about to end because of it.
      const { pid } = await identify(client);
      if (pid !== child.pid) return await gone;
      await becomePrimary(client, port, limitMs);
      return { ok: true, pid };
    } finally {
      await client.close();
    }
  });
  // What went wrong on the way may leave the server running, and then its end does not come by itself.
  const stuck = setTimeout(() => child.kill('SIGKILL'), limitMs);
  try {
    return await Promise.race([gone, reached.catch(() => gone)]);
  } finally {
    clearTimeout(stuck);
  }
}
