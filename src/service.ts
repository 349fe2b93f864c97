import { createServer, type Server } from 'node:http';
import { Server as SocketServer, type AddressInfo } from 'node:net';
import type Koa from 'koa';
import { makeApp, securityHeaders } from './app.ts';
import type { Config } from './config.ts';
import { allChecks, allCustomerData, allJobs, allRetention, allRoutes, allSchedules, allSubscribers, devRoutes, modules } from './modules.ts';
import { makeAuthenticator } from './modules/identity/index.ts';
import { addressBlocks } from './modules/operations/index.ts';
import { makeAuditChain, type AuditChain } from './platform/audit-chain.ts';
import { noteLeft } from './platform/audit-memory.ts';
import { registerChecks } from './platform/checks.ts';
import { answerSettings } from './platform/db/answers.ts';
import { verifySecrets } from './platform/db/canary.ts';
import { gatherFollowers } from './platform/db/change-feed.ts';
import { connect, disconnect } from './platform/db/connect.ts';
import { followKeys } from './platform/db/keyring.ts';
import { openSchema } from './platform/db/migration-state.ts';
import { prepareSchema, schemaFingerprint } from './platform/db/schema.ts';
import { transactionSettings } from './platform/db/transaction.ts';
import { watchFlows } from './platform/db/tx.ts';
import { docsRoutes } from './platform/docs.ts';
import { healthRoutes, noopRoute } from './platform/health.ts';
import { makeJobRunner, type JobRunner } from './platform/jobs.ts';
import type { Log } from './platform/logger.ts';
import { metrics } from './platform/metrics.ts';
import { openapiDocument } from './platform/openapi.ts';
import { bornState, makeOutboxDispatcher, type OutboxDispatcher } from './platform/outbox.ts';
import { registerCustomerData } from './platform/privacy.ts';
import { registerRetention } from './platform/retention.ts';
import { memoryLimitStore } from './platform/rate-limit.ts';
import { redisLimitStore } from './platform/rate-limit.redis.ts';
import type { AnyRoute } from './platform/route.ts';
import { useRuntime } from './platform/runtime.ts';
import { makeScheduler, type Scheduler } from './platform/scheduler.ts';
import { answerUnreadable } from './platform/unreadable.ts';
import { VERSION } from './version.ts';

/** A running service: its pieces, for tests and the command line, and how to end it in order. */
export interface Service {
  jobs: JobRunner;
  outbox: OutboxDispatcher;
  auditChain: AuditChain;
  scheduler: Scheduler;
  server: Server | undefined;
  url: string | undefined;
  /** The four stages of ending, for the shutdown's order. */
  stopAccepting(): Promise<void>;
  stopBackground(): Promise<void>;
  close(): Promise<void>;
}

export interface StartOptions {
  config: Config;
  log: Log;
  mongodbUri: string;
  /** False: no listener (command line). */
  listen: boolean;
  /** False: nothing runs in the background; tests and commands drive it themselves. */
  background: boolean;
  isEnding?: () => boolean;
}

/** Every route this process would serve under the configuration. */
export function servedRoutes(config: Config, isEnding: () => boolean): AnyRoute[] {
  const contract = contractRoutes(isEnding);
  const dev = config.nodeEnv === 'production' ? [] : [...devRoutes(), noopRoute()];
  return [...contract, ...docsRoutes(openapiDocument(contract, VERSION), config.docsPublic), ...dev];
}

/** The routes that openapi.json documents. */
export function contractRoutes(isEnding: () => boolean = () => false): AnyRoute[] {
  return [...allRoutes(), ...healthRoutes({ version: VERSION, isEnding })];
}

export type DatabaseOptions = Pick<StartOptions, 'config' | 'log' | 'mongodbUri'>;

/** Connects and checks the secrets; refuses a database that is newer than this code or not migrated. Brings up an empty one. */
export async function openDatabase(options: DatabaseOptions): Promise<void> {
  await connectDatabase(options);
  const strict = options.config.nodeEnv === 'production';
  await openSchema({ strict, fingerprint: schemaFingerprint(), prepare: (dryRun) => prepareSchema({ dryRun }) });
}

/** Connects and checks the secrets; enough for commands that bring a database into shape. */
export async function connectDatabase({ config, log, mongodbUri }: DatabaseOptions, { checkSecrets = true } = {}): Promise<void> {
  useRuntime({ config, log });
  transactionSettings.deadlineMs = config.transactionDeadlineMs;
  transactionSettings.onFinished = (attempts, committed) => metrics.transaction(committed ? 'committed' : 'failed', attempts);
  answerSettings.ttlSeconds = config.idempotencyTtlSeconds;
  await connect({
    uri: mongodbUri,
    poolSize: config.mongoPoolSize,
    onSlow: (command, collection, ms) => {
      metrics.slowQuery(collection, command);
      log.warn('db.slow_query', { command, collection, ms });
    },
    slowMs: config.slowQueryMs,
    tellsCommands: config.nodeEnv === 'test',
  });
  if (config.nodeEnv === 'test') watchFlows();
  if (checkSecrets) await verifySecrets();
}

/** Starts the service; resolves when it listens. Undo with the returned stages. */
export async function startService(options: StartOptions): Promise<Service> {
  const { config, log } = options;
  await openDatabase(options).catch(async (error: unknown) => {
    // A database that is refused after it was connected to: an open connection would keep the process for ever.
    await disconnect();
    throw error;
  });
  registerChecks(allChecks());
  registerRetention(allRetention());
  registerCustomerData(allCustomerData());
  const jobs = makeJobRunner(allJobs(), { concurrency: config.jobConcurrency });
  const outbox = makeOutboxDispatcher(allSubscribers());
  transactionSettings.eventState = bornState;
  const auditChain = makeAuditChain();
  const scheduler = makeScheduler(allSchedules());
  transactionSettings.onCommitted = ({ events, jobs: queued, audited }) => {
    if (events > 0) outbox.poke();
    if (queued > 0) jobs.poke();
    if (audited !== undefined) noteLeft(audited);
    auditChain.poke();
  };
  const openFeed = gatherFollowers();
  const stops: (() => Promise<void>)[] = [await followKeys()];
  for (const module of modules) if (module.start) stops.push(await module.start());
  await openFeed();
  const works = options.background && config.role !== 'api';
  if (works) {
    jobs.start();
    outbox.start();
    auditChain.start();
    scheduler.start();
  }
  const isEnding = options.isEnding ?? (() => false);
  const shared = config.redisUrl === undefined ? undefined : redisLimitStore({ url: config.redisUrl, fallback: memoryLimitStore(), log });
  if (shared) stops.push(() => shared.close());
  const app = makeApp({ config, log, routes: servedRoutes(config, isEnding), authenticator: makeAuthenticator(), limitStore: shared, blocks: addressBlocks, isEnding });
  const server = options.listen ? await listen(makeServer(app, config), config) : undefined;
  const address = server?.address() as AddressInfo | undefined;
  return {
    jobs,
    outbox,
    auditChain,
    scheduler,
    server,
    url: address ? `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${address.port}` : undefined,
    stopAccepting: () => stopListening(server, options.isEnding ? LINGER_MS : 0),
    async stopBackground() {
      await Promise.all([jobs.stop(config.shutdownGraceMs / 2), outbox.stop(), auditChain.stop(), scheduler.stop()]);
      for (const stop of stops.reverse()) await stop();
    },
    close: disconnect,
  };
}

function makeServer(app: Koa, config: Config): Server {
  const server = createServer({ requestTimeout: config.requestTimeoutMs, keepAliveTimeout: 65_000 }, app.callback());
  answerUnreadable(server, securityHeaders(config));
  return server;
}

async function listen(server: Server, config: Config): Promise<Server> {
  server.listen({ port: config.port, host: config.host, backlog: 1024 });
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  return server;
}

/** Kept connections may send one more request this long: its answer then tells the caller that the connection ends. */
const LINGER_MS = 500;

/** Takes no new connections, waits for the answers that are under way, and closes kept connections after `lingerMs`. */
async function stopListening(server: Server | undefined, lingerMs: number): Promise<void> {
  if (!server) return;
  // Not the HTTP server's own close: it cuts kept connections at once, and with them requests that are just arriving.
  const closed = new Promise<void>((resolve) => SocketServer.prototype.close.call(server, () => resolve()));
  let sweep: NodeJS.Timeout | undefined;
  const linger = setTimeout(() => {
    server.closeIdleConnections();
    sweep = setInterval(() => server.closeIdleConnections(), 50);
  }, lingerMs);
  await closed;
  clearTimeout(linger);
  clearInterval(sweep);
}
