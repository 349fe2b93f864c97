import { constants } from 'node:fs';
import { access, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../clock.ts';
import { makeFolder } from '../folders.ts';
import { type MongodBinary, type ResolveOptions, resolveMongod } from './mongod-binary.ts';
import { choosePort, isListening, lastErrors, lockedBy, SET_NAME, spawnMongod } from './mongod-process.ts';
import { type Attempt, becomePrimary, connectTo, identify, START_LIMIT_MS, untilPrimary } from './primary.ts';
import { countUsers, isAlive, joinUsers, untilGone, withFileLock } from './process-table.ts';
import { sayOnStderr, SetupError } from './setup-error.ts';

export { describeDeployment, type Deployment } from './deployment.ts';
export { startTemporary, type Temporary, type TemporaryOptions } from './temporary.ts';

const STOP_LIMIT_MS = 15_000;
const ADDRESS_IN_USE = 48;
const NEWER_DATA_FILES = 62;
const FOLDER_IN_USE = 100;

export interface EmbeddedOptions extends ResolveOptions {
  /** The folder that holds `db/`, the log and the notes on the running server. */
  dataDir: string;
  cacheSizeGB?: number;
  oplogSizeMB?: number;
  setParameters?: Record<string, string | number | boolean>;
}

export interface Embedded {
  uri: string;
  pid: number;
  port: number;
  /** True when the server was already running, started by another process or an earlier run. */
  adopted: boolean;
  /** Leaves the server; the last of the processes that use it stops it. Safe to call twice. */
  stop(): Promise<void>;
}

/** Kept in `mongod.json`; `established` once the set was primary for the first time, and its data must be kept. */
interface Note {
  port: number;
  pid: number;
  binary: string;
  version: string;
  established: boolean;
}

interface Paths {
  root: string;
  db: string;
  log: string;
  note: string;
  lock: string;
  users: string;
}

/**
 * Brings up the one-node replica set of this data folder, or joins the one that is running there.
 * Recovers from a killed server, an interrupted first start and a port taken by somebody else;
 * throws SetupError in plain words when it cannot.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const paths = pathsOf(resolve(options.dataDir));
  await makeFolder(paths.root);
  return await withFileLock(paths.lock, async () => {
    const note = await readNote(paths.note);
    const running = note === undefined ? undefined : await adopt(paths, note, 2_000);
    const { pid, port } = running ?? (await start(paths, note, options));
    const leave = await joinUsers(paths.users);
    const uri = `mongodb://127.0.0.1:${port}/dakiya?replicaSet=${SET_NAME}`;
    return { uri, pid, port, adopted: running !== undefined, stop: makeStop(paths, leave) };
  });
}

function pathsOf(root: string): Paths {
  const at = (name: string): string => join(root, name);
  return {
    root,
    db: at('db'),
    log: at('mongod.log'),
    note: at('mongod.json'),
    lock: at('mongod.start'),
    users: at('mongod.users'),
  };
}

async function readNote(file: string): Promise<Note | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  try {
    const note: Partial<Note> = JSON.parse(text);
    const { port, pid = 0, binary = '', version = '', established = true } = note;
    return port === undefined ? undefined : { port, pid, binary, version, established };
  } catch {
    return undefined;
  }
}

async function writeNote(file: string, note: Note): Promise<void> {
  await writeFile(`${file}.new`, `${JSON.stringify(note)}\n`);
  await rename(`${file}.new`, file);
}

interface Running {
  pid: number;
  port: number;
}

/** The server that runs on this folder, when there is one that answers on the noted port. */
async function adopt(paths: Paths, note: Note, limitMs: number): Promise<Running | undefined> {
  const pid = await lockedBy(paths.db);
  const start = monotonicMs();
  while (pid !== undefined && isAlive(pid) && monotonicMs() - start < limitMs) {
    if (!(await isListening(note.port))) {
      await delay(20);
      continue;
    }
    const client = await connectTo(note.port, limitMs).catch(() => undefined);
    if (client === undefined) return undefined;
    try {
      const server = await identify(client);
      if (server.pid !== pid || server.dbPath !== paths.db) return undefined;
      await becomePrimary(client, { pid, port: note.port }, START_LIMIT_MS);
      await writeNote(paths.note, { ...note, pid, established: true });
      return { pid, port: note.port };
    } catch {
      return undefined;
    } finally {
      await client.close();
    }
  }
  return undefined;
}

async function start(paths: Paths, before: Note | undefined, options: EmbeddedOptions): Promise<Running> {
  const binary = await chooseBinary(before, options);
  const fresh = !(await stat(paths.db).then(() => true, () => false));
  let note: Note = {
    port: await choosePort(before?.port),
    pid: 0,
    binary: binary.path,
    version: before?.version || binary.version,
    established: !fresh && (before?.established ?? true),
  };
  for (let attempt = 1; ; attempt += 1) {
    // Written before the server exists, so that whoever is killed in between leaves a way to find it.
    await writeNote(paths.note, note);
    await makeFolder(paths.db);
    const result = await tryStart(paths, note, options);
    if (result.ok) {
      await writeNote(paths.note, { ...note, pid: result.pid, version: binary.version, established: true });
      return { pid: result.pid, port: note.port };
    }
    if (result.exitCode === FOLDER_IN_USE) {
      const running = before === undefined ? undefined : await adopt(paths, before, 10_000);
      if (running !== undefined) return running;
    }
    if (attempt === 3 || !(await canTryAgain(paths, note, result.exitCode))) {
      throw new SetupError(await explain(paths, note, binary, result.exitCode));
    }
    note = { ...note, port: await choosePort(note.port) };
  }
}

async function chooseBinary(before: Note | undefined, options: EmbeddedOptions): Promise<MongodBinary> {
  // The one that wrote the data comes first: another major version may refuse the files.
  if (options.binary === undefined && before !== undefined && before.binary !== '') {
    const stillThere = await access(before.binary, constants.X_OK).then(() => true, () => false);
    if (stillThere) return { path: before.binary, version: before.version, source: 'cache' };
  }
  return await resolveMongod(options);
}

/** Whether a second attempt makes sense: on another port, or with the files of a first start that was never finished. */
async function canTryAgain(paths: Paths, note: Note, exitCode: number | null): Promise<boolean> {
  if (exitCode === ADDRESS_IN_USE) return true;
  if (note.established || exitCode === FOLDER_IN_USE || exitCode === null) return false;
  await rm(paths.db, { recursive: true, force: true });
  return true;
}

async function tryStart(paths: Paths, note: Note, options: EmbeddedOptions): Promise<Attempt> {
  const child = await spawnMongod({
    binary: note.binary,
    dbPath: paths.db,
    logPath: paths.log,
    port: note.port,
    detached: true,
    cacheSizeGB: options.cacheSizeGB,
    oplogSizeMB: options.oplogSizeMB,
    setParameters: options.setParameters,
  });
  return await untilPrimary(child, note.port);
}

async function explain(paths: Paths, note: Note, binary: MongodBinary, exitCode: number | null): Promise<string> {
  if (exitCode === FOLDER_IN_USE) {
    return `Another mongod uses ${paths.db} and does not answer on port ${note.port}: stop it, or set DATA_DIR to another folder.`;
  }
  if (exitCode === NEWER_DATA_FILES) {
    return (
      `The data in ${paths.db} was written by mongod ${note.version}; ${binary.path} is version ${binary.version} and ` +
      'refuses it: set MONGOD_BINARY to a mongod of the earlier version, or move the folder away to begin anew.'
    );
  }
  const code = exitCode === null ? 'it could not be run' : exitCode < 0 ? 'it was killed, or was not primary in time' : `exit code ${exitCode}`;
  return `The embedded mongod did not start (${code}): ${await lastErrors(paths.log)}. Its log: ${paths.log}`;
}

function makeStop(paths: Paths, leave: () => Promise<void>): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  return () => {
    stopping ??= withFileLock(paths.lock, async () => {
      await leave();
      if ((await countUsers(paths.users)) > 0) return;
      const note = await readNote(paths.note);
      const pid = await lockedBy(paths.db);
      if (note === undefined || pid === undefined || !isAlive(pid) || pid !== note.pid) return;
      await stopServer(pid);
    });
    return stopping;
  };
}

async function stopServer(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM');
  if (await untilGone(pid, STOP_LIMIT_MS)) return;
  sayOnStderr(`mongod (pid ${pid}) did not stop within ${STOP_LIMIT_MS / 1000} s and is killed; its journal keeps the data.`);
  process.kill(pid, 'SIGKILL');
  await untilGone(pid, STOP_LIMIT_MS);
}
