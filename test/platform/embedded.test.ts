import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import mongoose from 'mongoose';
import { resolveMongod } from '../../src/platform/embedded/mongod-binary.ts';
import { choosePort, isListening } from '../../src/platform/embedded/mongod-process.ts';
import { connectTo, untilPrimary } from '../../src/platform/embedded/primary.ts';
import { isAlive, untilGone } from '../../src/platform/embedded/process-table.ts';
import { describeDeployment, type Embedded, startEmbedded, startTemporary } from '../../src/platform/embedded/replica-set.ts';

const quiet = (): void => undefined;
const IMPORT_TSX = ['--import', 'tsx', '--input-type=module', '-e'];
const REPLICA_SET = new URL('../../src/platform/embedded/replica-set.ts', import.meta.url).href;

async function withClient<T>(uri: string, work: (client: mongoose.mongo.MongoClient) => Promise<T>): Promise<T> {
  const client = await new mongoose.mongo.MongoClient(uri, { serverSelectionTimeoutMS: 5_000 }).connect();
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

const storeParcel = (uri: string, awb: string): Promise<unknown> =>
  withClient(uri, (client) => client.db('t').collection('parcels').insertOne({ awb }, { writeConcern: { w: 'majority', j: true } }));

const parcels = (uri: string): Promise<string[]> =>
  withClient(uri, async (client) => {
    const found = await client.db('t').collection('parcels').find().sort({ awb: 1 }).toArray();
    return found.map((parcel) => String(parcel['awb']));
  });

describe('embedded replica set', () => {
  let dataDir: string;
  let servers: Embedded[];

  const start = async (): Promise<Embedded> => {
    const embedded = await startEmbedded({ dataDir, log: quiet, cacheSizeGB: 0.25 });
    servers.push(embedded);
    return embedded;
  };

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'dakiya-embedded-'));
    servers = [];
  });

  afterEach(async () => {
    for (const server of servers) {
      // Killed, since a stop in good order takes a second; it has its own tests.
      if (isAlive(server.pid)) process.kill(server.pid, 'SIGKILL');
      assert.ok(await untilGone(server.pid, 5_000));
      await server.stop();
    }
    await rm(dataDir, { recursive: true, force: true });
  });

  it('commits and aborts transactions, and is described as a replica set', async () => {
    const { uri, adopted } = await start();
    assert.equal(adopted, false);
    await withClient(uri, async (client) => {
      const rows = client.db('t').collection('rows');
      await client.db('t').createCollection('rows');
      await client.withSession((session) => session.withTransaction(() => rows.insertOne({ kept: true }, { session })));
      const aborted = client.withSession((session) =>
        session.withTransaction(async () => {
          await rows.insertOne({ kept: false }, { session });
          throw new Error('changed my mind');
        }),
      );
      await assert.rejects(aborted, /changed my mind/);
      assert.deepEqual((await rows.find().toArray()).map((row) => row['kept']), [true]);
      const deployment = await describeDeployment(client);
      assert.equal(deployment.kind, 'replica_set');
      const status = await client.db('admin').command({ replSetGetConfig: 1 });
      assert.equal(status['config'].settings.electionTimeoutMillis, 2_000);
    });
  });

  it('keeps data and port over a kill -9', async () => {
    const first = await start();
    await storeParcel(first.uri, 'A1');
    process.kill(first.pid, 'SIGKILL');
    assert.ok(await untilGone(first.pid, 5_000));
    const second = await start();
    assert.equal(second.adopted, false);
    assert.equal(second.port, first.port);
    assert.deepEqual(await parcels(second.uri), ['A1']);
  });

  it('adopts a running server, and only the last to leave stops it', async () => {
    const [first, second] = await Promise.all([start(), start()]);
    assert.equal(second.pid, first.pid);
    assert.deepEqual([first.adopted, second.adopted].sort(), [false, true]);
    await first.stop();
    await first.stop();
    assert.ok(isAlive(second.pid));
    await second.stop();
    assert.ok(!isAlive(second.pid));
  });

  it('outlives the process that started it and is found by the next, also without a note of its pid', async () => {
    const program = `
      const { startEmbedded } = await import(${JSON.stringify(REPLICA_SET)});
      const { pid } = await startEmbedded({ dataDir: ${JSON.stringify(dataDir)}, log: () => {} });
      process.stdout.write(String(pid), () => process.kill(process.pid, 'SIGKILL'));
    `;
    const pid = Number(await outputOf(program));
    assert.ok(isAlive(pid));
    const noteFile = join(dataDir, 'mongod.json');
    const note = JSON.parse(await readFile(noteFile, 'utf8'));
    await writeFile(noteFile, JSON.stringify({ ...note, pid: 0 }));
    const adopted = await start();
    assert.equal(adopted.adopted, true);
    assert.equal(adopted.pid, pid);
  });

  for (const [manner, silenceMs] of [['hangs up', 0], ['does not answer', 1_500]] as const) {
    it(`moves to another port when somebody who ${manner} has taken its own`, async () => {
      const first = await start();
      await storeParcel(first.uri, 'B1');
      await first.stop();
      const stranger = await listen(first.port, silenceMs);
      try {
        const second = await start();
        assert.notEqual(second.port, first.port);
        await storeParcel(second.uri, 'B2');
        assert.deepEqual(await parcels(second.uri), ['B1', 'B2']);
      } finally {
        stranger.close();
      }
    });
  }

  it('ends a server that listens and does not become primary in time', async () => {
    const port = await choosePort();
    const program = `require('net').createServer(() => {}).listen(${port}, '127.0.0.1')`;
    const child = spawn(process.execPath, ['-e', program], { stdio: 'ignore' });
    assert.deepEqual(await untilPrimary(child, port, 1_000), { ok: false, exitCode: -1 });
  });

  it('begins anew after a first start that broke off before the set was ever ready', async () => {
    const binary = await resolveMongod({ log: quiet });
    await mkdir(join(dataDir, 'db'));
    await writeFile(join(dataDir, 'db', 'WiredTiger'), 'half written');
    await writeFile(join(dataDir, 'db', 'storage.bson'), '');
    const note = { port: await choosePort(), pid: 0, binary: binary.path, version: binary.version, established: false };
    await writeFile(join(dataDir, 'mongod.json'), JSON.stringify(note));
    await storeParcel((await start()).uri, 'C1');
  });

  it('initiates a server that was started and never initiated', async () => {
    const port = await choosePort();
    const { path } = await resolveMongod({ log: quiet });
    await mkdir(join(dataDir, 'db'));
    const args = ['--dbpath', join(dataDir, 'db'), '--port', String(port), '--replSet', 'dakiya', '--nounixsocket'];
    const child = spawn(path, [...args, '--bind_ip', '127.0.0.1', '--wiredTigerCacheSizeGB', '0.25'], { stdio: 'ignore' });
    while (!(await isListening(port))) await delay(20);
    const binary = { binary: path, version: '6.0.5' };
    await writeFile(join(dataDir, 'mongod.json'), JSON.stringify({ port, pid: 0, ...binary, established: false }));
    const { pid, uri } = await start();
    assert.equal(pid, child.pid);
    await storeParcel(uri, 'D1');
  });

  it('never removes the files of a set that was ready once', async () => {
    const first = await start();
    process.kill(first.pid, 'SIGKILL');
    await untilGone(first.pid, 5_000);
    const damaged = join(dataDir, 'db', 'WiredTiger.turtle');
    await writeFile(damaged, 'damaged');
    const refused = (error: Error): boolean => error.name === 'SetupError' && /did not start/.test(error.message);
    await assert.rejects(start(), refused);
    assert.equal(await readFile(damaged, 'utf8'), 'damaged');
    assert.ok((await readdir(join(dataDir, 'db'))).includes('WiredTiger.wt'));
  });
});

describe('temporary replica set', () => {
  it('takes server parameters and leaves nothing behind', async () => {
    const temporary = await startTemporary('unit', { log: quiet, setParameters: { enableTestCommands: 1 } });
    await withClient(temporary.uri, async (client) => {
      const answer = await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' });
      assert.equal(answer['ok'], 1);
    });
    await temporary.stop();
    assert.ok(!isAlive(temporary.pid));
    assert.deepEqual((await readdir(tmpdir())).filter((name) => name.startsWith('dakiya-unit-')), []);
  });

  it('ends with the process that started it, even by SIGKILL', async () => {
    const program = `
      const { startTemporary } = await import(${JSON.stringify(REPLICA_SET)});
      const { pid } = await startTemporary('orphan', { log: () => {} });
      process.stdout.write(String(pid), () => process.kill(process.pid, 'SIGKILL'));
    `;
    const pid = Number(await outputOf(program));
    assert.ok(await untilGone(pid, 5_000), `mongod ${pid} is left behind`);
  });
});

describe('deployment', () => {
  it('refuses a standalone server and a set that was never initiated, saying how to fix it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dakiya-standalone-'));
    const { path } = await resolveMongod({ log: quiet });
    const cases = [
      { args: [], message: /standalone.*--replSet.*rs\.initiate/ },
      { args: ['--replSet', 'x'], message: /never initiated.*rs\.initiate/ },
    ];
    for (const [index, { args, message }] of cases.entries()) {
      const port = await choosePort();
      const dbPath = join(folder, String(index));
      await mkdir(dbPath);
      const common = ['--dbpath', dbPath, '--port', String(port), '--nounixsocket', '--wiredTigerCacheSizeGB', '0.25'];
      const child = spawn(path, [...common, ...args], { stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      while (!(await isListening(port))) await delay(20);
      const client = await connectTo(port, 5_000);
      const refused = (error: Error): boolean => error.name === 'SetupError' && message.test(error.message);
      await assert.rejects(describeDeployment(client), refused);
      await client.close();
      child.kill('SIGKILL');
      await ended;
    }
    await rm(folder, { recursive: true, force: true });
  });
});

describe('finding a mongod', () => {
  it('refuses a named one that does not run or is too old, with the reason', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dakiya-binary-'));
    const binary = join(folder, 'mongod');
    await assert.rejects(resolveMongod({ binary, log: quiet }), /MONGOD_BINARY names .* cannot be used/);
    await writeFile(binary, '#!/bin/sh\necho "db version v4.4.2"\n');
    await chmod(binary, 0o755);
    await assert.rejects(resolveMongod({ binary, log: quiet }), /version 4\.4\.2, and 6\.0 or later is needed/);
    await writeFile(binary, '#!/bin/sh\necho "libcurl.so.4: cannot open shared object file" >&2; exit 127\n');
    await assert.rejects(resolveMongod({ binary, log: quiet }), /libcurl.*apt-get install libcurl4/);
    await writeFile(binary, '#!/bin/sh\necho "db version v7.0.1"\n');
    assert.deepEqual(await resolveMongod({ binary, log: quiet }), { path: binary, version: '7.0.1', source: 'named' });
    await rm(folder, { recursive: true, force: true });
  });
});

function outputOf(program: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...IMPORT_TSX, program], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('error', reject).once('exit', () => resolve(output));
  });
}

/** A server of somebody else on this port, which says nothing for `silenceMs` and hangs up. */
function listen(port: number, silenceMs: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => setTimeout(() => socket.destroy(), silenceMs));
    server.once('error', reject).listen(port, '127.0.0.1', () => resolve(server));
  });
}
