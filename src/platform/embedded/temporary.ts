import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ResolveOptions, resolveMongod } from './mongod-binary.ts';
import { choosePort, lastErrors, SET_NAME, spawnMongod } from './mongod-process.ts';
import { untilPrimary } from './primary.ts';
import { untilGone } from './process-table.ts';
import { SetupError } from './setup-error.ts';

export interface TemporaryOptions extends ResolveOptions {
  /** Such as `{ enableTestCommands: 1 }` for failpoints, or `{ notablescan: 1 }`. */
  setParameters?: Record<string, string | number | boolean>;
  /** The server's cache; a quarter of a GB without it, for several may run side by side. */
  cacheSizeGB?: number;
}

export interface Temporary {
  /** Without a database name: each test file takes its own. */
  uri: string;
  pid: number;
  port: number;
  stop(): Promise<void>;
}

/**
 * Starts a replica set in a temporary folder, for tests and trials; `stop` removes it with its data.
 * It does not outlive this process, however that ends, and does not keep it from ending.
 */
export async function startTemporary(name: string, options: TemporaryOptions = {}): Promise<Temporary> {
  const binary = await resolveMongod(options);
  const folder = await mkdtemp(join(tmpdir(), `dakiya-${name}-`));
  const dbPath = join(folder, 'db');
  const logPath = join(folder, 'mongod.log');
  await mkdir(dbPath);
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort();
    const child = await spawnMongod({
      ...{ binary: binary.path, dbPath, logPath, port, detached: false, cacheSizeGB: options.cacheSizeGB ?? 0.25, oplogSizeMB: 128 },
      setParameters: options.setParameters,
    });
    const dismiss = watchOver(child.pid ?? 0, folder);
    const result = await untilPrimary(child, port);
    if (result.ok) {
      const stop = async (): Promise<void> => {
        child.kill('SIGKILL');
        await untilGone(result.pid, 5_000);
        dismiss();
        await rm(folder, { recursive: true, force: true });
      };
      return { uri: `mongodb://127.0.0.1:${port}/?replicaSet=${SET_NAME}`, pid: result.pid, port, stop };
    }
    dismiss();
    if (attempt === 3) throw new SetupError(`The temporary mongod did not start: ${await lastErrors(logPath)}`);
  }
}

/** Kills the server and removes its folder when this process dies, even by SIGKILL: its end of the pipe then closes. */
function watchOver(pid: number, folder: string): () => void {
  const script = 'read line && exit 0; kill -9 "$1"; rm -rf "$2"';
  const guard = spawn('sh', ['-c', script, 'sh', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  const { stdin } = guard;
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  return () => void stdin.end('dismissed\n');
}
