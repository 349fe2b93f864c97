import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import mongoose from 'mongoose';
import { makeApp, securityHeaders } from '../../src/app.ts';
import { loadConfig, type Config } from '../../src/config.ts';
import type { Authenticator, Identity } from '../../src/platform/auth.ts';
import { useClock } from '../../src/platform/clock.ts';
import { requestCtx, type Caller, type OutsideTx } from '../../src/platform/context.ts';
import { connect, disconnect } from '../../src/platform/db/connect.ts';
import { prepareSchema } from '../../src/platform/db/schema.ts';
import { transactionSettings } from '../../src/platform/db/transaction.ts';
import { watchFlows } from '../../src/platform/db/tx.ts';
import { newId } from '../../src/platform/ids.ts';
import '../../src/platform/jobs.ts';
import '../../src/platform/outbox.ts';
import { makeLogger, type Log } from '../../src/platform/logger.ts';
import { permissionsOf, type Role } from '../../src/platform/permissions.ts';
import type { AnyRoute } from '../../src/platform/route.ts';
import { answerUnreadable } from '../../src/platform/unreadable.ts';
import { useRuntime } from '../../src/platform/runtime.ts';
import { testDatabaseUri } from '../support/database.ts';

/** The platform alone: a database with every declared collection, a clock that can be moved, and the log. */
export interface House {
  db: mongoose.mongo.Db;
  config: Config;
  log: Log;
  logLines: string[];
  advance(ms: number): void;
  close(): Promise<void>;
}

export async function openHouse(overrides: Record<string, string> = {}): Promise<House> {
  const uri = await testDatabaseUri();
  const config = await loadConfig({
    NODE_ENV: 'test',
    PORT: '0',
    DATA_DIR: `${tmpdir()}/dakiya-tests-${process.pid}`,
    RATE_LIMITS: 'on',
    RATE_LIMIT_API_PER_MINUTE: '1000000',
    RATE_LIMIT_WRITE_PER_MINUTE: '1000000',
    ...overrides,
    MONGODB_URI: uri,
  });
  let offset = 0;
  const restoreClock = useClock({ ms: () => Date.now() + offset });
  const logLines: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      logLines.push(chunk.toString('utf8').trimEnd());
      done();
    },
  });
  const log = makeLogger({ level: 'debug', stream });
  useRuntime({ config, log });
  const deadlineMs = transactionSettings.deadlineMs;
  transactionSettings.deadlineMs = 5_000;
  watchFlows();
  await connect({ uri, poolSize: 50, onSlow: () => undefined, slowMs: 10_000 });
  await prepareSchema();
  const { db } = mongoose.connection;
  if (!db?.databaseName.endsWith('_test')) throw new Error('Not a test database');
  return {
    db,
    config,
    log,
    logLines,
    advance(ms) {
      offset += ms;
    },
    async close() {
      // Not the first connection's: a test may have connected anew.
      await mongoose.connection.db?.dropDatabase();
      await disconnect();
      transactionSettings.deadlineMs = deadlineMs;
      restoreClock();
    },
  };
}

export interface Reply {
  status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into any answer; assertions do the typing
  body: any;
  headers: Headers;
}

export interface Served {
  url: string;
  call(method: string, path: string, options?: { token?: string; body?: unknown; raw?: string | Uint8Array; key?: string; headers?: Record<string, string> }): Promise<Reply>;
  close(): Promise<void>;
}

/** The bearer token of a user with a role in a company, as the house's authenticator reads it. */
export function tokenOf(companyId: string, role: Role = 'owner'): string {
  return `${companyId}.${role}`;
}

const authenticator: Authenticator = {
  accessToken: (token) => identityOf(token),
  apiKey: () => Promise.resolve(undefined),
};

function identityOf(token: string): Identity | undefined {
  const [companyId, role] = token.split('.');
  if (!companyId || !role || companyId.length !== 24) return undefined;
  return { companyId, actor: { kind: 'user', id: `u${companyId.slice(1)}`, role, permissions: permissionsOf(role) } };
}

/** A real listener in front of some routes, with tokens that need no database. */
export async function serveRoutes(house: House, routes: readonly AnyRoute[], config: Config = house.config): Promise<Served> {
  const app = makeApp({ config, log: house.log, routes, authenticator });
  const server = createServer(app.callback());
  answerUnreadable(server, securityHeaders(config));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    async call(method, path, { token, body, raw, key, headers = {} } = {}) {
      const answer = await fetch(url + path, {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === undefined ? {} : { 'idempotency-key': key }),
          ...headers,
        },
        ...(raw !== undefined ? { body: raw } : body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      return { status: answer.status, headers: answer.headers, body: text.startsWith('{') ? (JSON.parse(text) as unknown) : text };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A caller who can leave before his answer. */
export function leavingCaller(): Caller & { gone: boolean } {
  return { gone: false, signal: () => AbortSignal.any([]) };
}

/** Somebody in a company, outside any transaction. */
export function memberCtx(companyId: string = newId(), role: Role = 'owner', caller?: Caller): OutsideTx {
  return requestCtx({ kind: 'user', id: newId(), role, permissions: permissionsOf(role) }, companyId, `req-${newId()}`, caller);
}

/** Waits for a condition, a turn of the event loop at a time, up to 5 s; no sleeps. */
export async function until(condition: () => boolean | Promise<boolean>, what = 'the condition'): Promise<void> {
  const end = performance.now() + 5_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what} did not come true within 5 s`);
    await turn();
  }
}

/** Makes the server fail the next commands of some kinds, once or `times`. */
export async function failNext(db: mongoose.mongo.Db, failCommands: string[], data: { errorCode?: number; errorLabels?: string[]; closeConnection?: boolean; writeConcernError?: object }, times = 1): Promise<void> {
  await db.admin().command({ configureFailPoint: 'failCommand', mode: { times }, data: { failCommands, ...data } });
}

/** Takes the failure back. */
export async function failNoMore(db: mongoose.mongo.Db): Promise<void> {
  await db.admin().command({ configureFailPoint: 'failCommand', mode: 'off' });
}

/** A promise and its ends. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
