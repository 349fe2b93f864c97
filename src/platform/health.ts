import Joi from 'joi';
import { breakerStates } from './breaker.ts';
import { monotonicMs, now } from './clock.ts';
import { PLATFORM_COMPANY_ID } from './context.ts';
import { secretsFit } from './db/canary.ts';
import { connection } from './db/connect.ts';
import { writingKey } from './db/keyring.ts';
import { isMigrated } from './db/migration-state.ts';
import { AppError, unauthenticated } from './errors.ts';
import { sameText } from './ids.ts';
import { METRICS_CONTENT_TYPE, metricsText } from './metrics.ts';
import { outboxAgeMs } from './outbox.ts';
import { route, type AnyRoute } from './route.ts';
import { runtime } from './runtime.ts';

/** What readiness needs to know from the process. */
export interface HealthFacts {
  version: string;
  isEnding(): boolean;
}

interface CheckResult {
  name: string;
  ok: boolean;
  ms: number;
  detail?: string;
}

async function timed(name: string, check: () => Promise<string | undefined>): Promise<CheckResult> {
  const started = monotonicMs();
  try {
    const detail = await check();
    return { name, ok: true, ms: Math.round(monotonicMs() - started), ...(detail === undefined ? {} : { detail }) };
  } catch {
    return { name, ok: false, ms: Math.round(monotonicMs() - started) };
  }
}

async function databaseIsPrimary(): Promise<undefined> {
  const hello = await connection().db?.admin().command({ hello: 1 });
  if (!hello?.['isWritablePrimary']) throw new Error('not a writable primary');
}

async function databaseIsMigrated(): Promise<undefined> {
  if (!(await isMigrated())) throw new Error('a migration has not run to its end');
}

async function keysAreOurs(): Promise<undefined> {
  if (!(await secretsFit())) throw new Error('the secrets are not those of this database');
  // A rotation under a key-encryption key that this process does not have stops every write.
  await writingKey({ companyId: PLATFORM_COMPANY_ID, purpose: 'system' });
}

async function queueAge(): Promise<string> {
  return `${await outboxAgeMs()} ms`;
}

const answer = Joi.object({
  status: Joi.string().required(),
  version: Joi.string(),
  time: Joi.string(),
  checks: Joi.array().items(Joi.object().unknown()),
  memory: Joi.object().unknown(),
  breakers: Joi.object().pattern(Joi.string(), Joi.string().valid('closed', 'open', 'half_open')),
});

async function ready(facts: HealthFacts): Promise<{ status: string; checks: CheckResult[] }> {
  const checks = await Promise.all([
    timed('database', databaseIsPrimary),
    timed('migrations', databaseIsMigrated),
    timed('key ring', keysAreOurs),
    timed('outbox', queueAge),
  ]);
  if (facts.isEnding() || checks.some((c) => !c.ok)) {
    throw new AppError('unavailable', 'not_ready', 'The service is not ready', { retryAfterSeconds: 1, checks });
  }
  return { status: 'ready', checks };
}

/** The routes that tell machines how the process is; none needs a sign-in, metrics need their token when one is set. */
export function healthRoutes(facts: HealthFacts): AnyRoute[] {
  const common = { method: 'get', permission: 'public', limit: 'none' } as const;
  return [
    route({
      ...common,
      path: '/health/live',
      summary: 'The process answers',
      response: answer,
      handle: () => Promise.resolve({ status: 'live' }),
      view: (result) => result,
    }),
    route({
      ...common,
      path: '/health/ready',
      summary: 'The process can serve: database writable and migrated, its keys are ours, queues within reach',
      response: answer,
      handle: () => ready(facts),
      view: (result) => result,
    }),
    route({
      ...common,
      path: '/health',
      summary: 'All checks with their times, version, memory and breakers',
      response: answer,
      handle: async () => ({ ...(await ready(facts)), version: facts.version, time: now().toISOString(), memory: { rssBytes: process.memoryUsage.rss() }, breakers: breakerStates() }),
      view: (result) => result,
    }),
    route({
      ...common,
      path: '/metrics',
      summary: 'Counters in Prometheus form',
      query: Joi.object({}),
      response: 'text/plain',
      handle: async (_ctx, { request }) => {
        const { metricsToken: token, nodeEnv } = runtime().config;
        if (token === undefined && nodeEnv === 'production') throw unauthenticated('metrics_token_required', 'Set METRICS_TOKEN to read metrics in production');
        if (token !== undefined && !sameText(request.headers.authorization ?? '', `Bearer ${token}`)) throw unauthenticated();
        return metricsText();
      },
      view: (text) => ({ contentType: METRICS_CONTENT_TYPE, filename: 'metrics.txt', content: Buffer.from(text) }),
    }),
  ];
}

/** A route that does nothing but sign-in check, limits, validation and log: what every request costs. Not in production. */
export function noopRoute(): AnyRoute {
  return route({
    method: 'post',
    path: '/dev/noop',
    summary: 'Does nothing; for measuring',
    permission: 'signedIn',
    body: Joi.object<{ text: string; count: number }>({ text: Joi.string().max(100).required(), count: Joi.number().integer().min(0).max(1_000_000).required() }),
    response: Joi.object({ text: Joi.string().required(), count: Joi.number().required() }),
    handle: (_ctx, { body }) => Promise.resolve(body),
    view: (body) => body,
  });
}
