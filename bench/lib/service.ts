import { fork, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTemporary, type Temporary } from '../../src/platform/embedded/temporary.ts';

export interface Subject {
  port: number;
  pid: number;
  readyMs: number;
  stop(): Promise<void>;
}

const NO_LIMIT = '1000000000';

/** `--profile` writes a CPU profile of the service into .data/profiles when it ends. */
const PROFILE = process.argv.includes('--profile') ? ['--cpu-prof', '--cpu-prof-dir=.data/profiles'] : [];

/** The service as it is shipped (compiled, development mode for the missing secrets), on its own process. */
export async function startSubject(mongodbUri: string, folder: string, overrides: Record<string, string> = {}): Promise<Subject> {
  const started = performance.now();
  const child = spawn(process.execPath, ['--max-semi-space-size=32', ...PROFILE, join(import.meta.dirname, '../../dist/src/main.js'), 'serve'], {
    env: {
      ...process.env,
      NODE_ENV: 'development',
      PORT: '0',
      MONGODB_URI: mongodbUri,
      DATA_DIR: folder,
      SEED_DEMO: 'off',
      // Limits are counted as in production; only their maximum is out of reach.
      RATE_LIMIT_API_PER_MINUTE: NO_LIMIT,
      RATE_LIMIT_WRITE_PER_MINUTE: NO_LIMIT,
      RATE_LIMIT_PUBLIC_PER_MINUTE: NO_LIMIT,
      RATE_LIMIT_SCANS_PER_MINUTE: NO_LIMIT,
      RATE_LIMIT_SENSITIVE_PER_HOUR: NO_LIMIT,
      RATE_LIMIT_AUTH_FAILURES: NO_LIMIT,
      ACCESS_TOKEN_SECONDS: '86400',
      ...overrides,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const log = createWriteStream(join(folder, 'service.log'));
  const port = await new Promise<number>((resolve, reject) => {
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => {
      log.write(chunk);
      if (seen.length > 1_000_000) return;
      seen += chunk.toString('utf8');
      const ready = /^ready http:\/\/[^\s:]+:(\d+)/m.exec(seen);
      if (ready) {
        seen = ' '.repeat(1_000_001);
        resolve(Number(ready[1]));
      }
    });
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}: ${seen.slice(-2000)}`)));
  });
  return {
    port,
    pid: child.pid ?? 0,
    readyMs: performance.now() - started,
    async stop() {
      child.removeAllListeners('exit');
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
      log.end();
    },
  };
}

/** A folder for the service's secrets and log, for the whole run. */
export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'dakiya-bench-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** The process of the reference loops. */
export interface Reference {
  run(order: object): Promise<unknown>;
  pid: number;
  stop(): void;
}

/** Starts the reference's process. */
export async function startReference(mongodbUri: string): Promise<Reference> {
  const child: ChildProcess = fork(join(import.meta.dirname, '../raw/child.js'), [mongodbUri], { stdio: 'inherit' });
  const answer = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      child.once('message', (m: { result?: unknown; error?: string }) => (m.error === undefined ? resolve(m.result) : reject(new Error(m.error))));
    });
  await answer();
  return {
    pid: child.pid ?? 0,
    run(order) {
      const result = answer();
      child.send(order);
      return result;
    },
    stop: () => void child.disconnect(),
  };
}

/** A replica set for the benchmark; both sides use it. Its cache is what a server of 5 GB has by mongod's own rule. */
export async function startDatabase(): Promise<Temporary> {
  return startTemporary('bench', { cacheSizeGB: 2 });
}

/** The same server, another database. */
export function databaseUri(uri: string, name: string): string {
  return uri.replace(/\/(?:[^/?]*)(\?|$)/, `/${name}$1`);
}
