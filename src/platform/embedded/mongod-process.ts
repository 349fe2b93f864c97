import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile, rename } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';

const LOWEST_PORT = 20_000;
const PORT_SPAN = 10_000;
const TAIL_BYTES = 64 * 1024;

export interface MongodSettings {
  binary: string;
  dbPath: string;
  logPath: string;
  port: number;
  /** A detached one has its own process group: Ctrl-C in the terminal does not reach it. */
  detached: boolean;
  cacheSizeGB?: number | undefined;
  oplogSizeMB?: number | undefined;
  setParameters?: Record<string, string | number | boolean> | undefined;
}

/** The name of the one-node replica set. */
export const SET_NAME = 'dakiya';

/** Starts a mongod bound to 127.0.0.1 and does not wait for it; its last log is kept beside as `.1`. */
export async function spawnMongod(settings: MongodSettings): Promise<ChildProcess> {
  await rename(settings.logPath, `${settings.logPath}.1`).catch(() => undefined);
  const log = await open(settings.logPath, 'w');
  try {
    const stdio = ['ignore', log.fd, log.fd] as const;
    const child = spawn(settings.binary, mongodArguments(settings), { stdio: [...stdio], detached: settings.detached });
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

function mongodArguments(settings: MongodSettings): string[] {
  // The open transaction of a killed process holds its rows until this many seconds; ours end within five or are imports.
  const parameters = { diagnosticDataCollectionEnabled: false, transactionLifetimeLimitSeconds: 20, ...settings.setParameters };
  return [
    ...['--dbpath', settings.dbPath, '--port', String(settings.port), '--bind_ip', '127.0.0.1', '--nounixsocket'],
    ...['--replSet', SET_NAME, '--oplogSize', String(settings.oplogSizeMB ?? 512)],
    ...['--wiredTigerCacheSizeGB', String(settings.cacheSizeGB ?? 0.5)],
    ...Object.entries(parameters).flatMap(([name, value]) => ['--setParameter', `${name}=${value}`]),
  ];
}

/** Whether something accepts connections on this port of 127.0.0.1. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  });
}

/** Whether this port of 127.0.0.1 can be bound now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}

/** The wished port when it is free, otherwise another one below the range that systems hand out for themselves. */
export async function choosePort(wished?: number): Promise<number> {
  if (wished !== undefined && (await isFree(wished))) return wished;
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = LOWEST_PORT + Math.floor(Math.random() * PORT_SPAN);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${LOWEST_PORT} and ${LOWEST_PORT + PORT_SPAN}`);
}

/** The process id that mongod wrote into its data folder, of a running or a killed one; undefined after a clean stop. */
export async function lockedBy(dbPath: string): Promise<number | undefined> {
  const text = await readFile(join(dbPath, 'mongod.lock'), 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  return Number.isInteger(pid) ? pid : undefined;
}

/** The last error lines of a mongod's log, as plain text. */
export async function lastErrors(logPath: string): Promise<string> {
  const text = (await readFile(logPath, 'utf8').catch(() => '')).slice(-TAIL_BYTES);
  const lines = text.trim().split('\n');
  const grave = lines.filter((line) => /"s":"[EF]"/.test(line) || !line.startsWith('{')).slice(-3);
  return grave.map(plainLine).join('; ') || 'its log says nothing';
}

function plainLine(line: string): string {
  const message = /"msg":"([^"]*)"/.exec(line)?.[1];
  const reason = /"(?:error|errmsg|reason|message)":"?([^"}]*)/.exec(line)?.[1];
  return message === undefined ? line.trim() : [message, reason].filter(Boolean).join(': ');
}
