import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import mongoose from 'mongoose';
import { monotonicMs } from '../clock.ts';
import { isListening, SET_NAME } from './mongod-process.ts';
import { isAlive } from './process-table.ts';

type Client = mongoose.mongo.MongoClient;

const POLL_MS = 20;
/** A server that goes by what it has stored says so by then. */
const INSIST_MS = 5_000;
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

/**
 * Makes this server the primary of its one-node set: initiates it, or moves it here from another port. A server that finds
 * itself removed from its set cuts all connections, so what fails is tried again while it lives.
 */
export async function becomePrimary(client: Client, { pid, port }: { pid: number; port: number }, limitMs: number): Promise<void> {
  const start = monotonicMs();
  const host = `127.0.0.1:${port}`;
  for (;;) {
    const waited = monotonicMs() - start;
    const failed = await stepTo(client, host, waited > INSIST_MS).catch((error: unknown) => (error instanceof mongoose.mongo.MongoError ? error : Promise.reject(error)));
    if (failed === undefined) return;
    if (waited > limitMs || !isAlive(pid)) throw new Error(`mongod on port ${port} did not become primary within ${limitMs / 1000} s`, { cause: failed });
    await delay(POLL_MS);
  }
}

/** Undefined when it is the primary, else what is still missing. */
async function stepTo(client: Client, host: string, insist: boolean): Promise<Error | undefined> {
  const hello = await client.db('admin').command({ hello: 1 });
  if (hello['isWritablePrimary'] === true) return undefined;
  const hosts: unknown = hello['hosts'];
  if (!Array.isArray(hosts) || !hosts.includes(host)) await tendConfiguration(client, host, insist);
  return new Error('It is no primary yet');
}

/**
 * Has the set's configuration name this host. The server refuses while it still reads its configuration, which takes seconds
 * when a stranger on the port named there accepts connections and does not answer: the server asks there whether it is itself.
 * What it has stored may be ours already and not yet be what it goes by.
 */
async function tendConfiguration(client: Client, host: string, insist: boolean): Promise<void> {
  const stored = await client.db('local').collection('system.replset').findOne();
  if (stored !== null && stored['members']?.[0]?.host === host && !insist) return;
  const members = [{ _id: 0, host }];
  const command =
    stored === null
      ? { replSetInitiate: { _id: SET_NAME, members, settings: { electionTimeoutMillis: 2_000 } } }
      : { replSetReconfig: { _id: stored['_id'], version: Number(stored['version']) + 1, settings: stored['settings'], members }, force: true };
  await client.db('admin').command(command);
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
      const { pid } = await identify(client).catch(() => identify(client));
      if (pid !== child.pid) return await gone;
      await becomePrimary(client, { pid, port }, limitMs);
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
