import cors from '@koa/cors';
import Router from '@koa/router';
import Koa, { type Context, type Middleware, type Next } from 'koa';
import compress from 'koa-compress';
import ratelimit from 'koa-ratelimit';
import type { Config } from './config.ts';
import { makeAddressGate, type AddressBlocks } from './platform/address-gate.ts';
import type { Authenticator } from './platform/auth.ts';
import { BoundedMap } from './platform/bounded-map.ts';
import { pageOrigins } from './platform/browser.ts';
import { monotonicMs } from './platform/clock.ts';
import { isDatabaseAway } from './platform/db/away.ts';
import { AppError, HTTP_STATUS, limited } from './platform/errors.ts';
import { errorBody, serve, type HttpDeps } from './platform/http.ts';
import { newRequestId } from './platform/ids.ts';
import type { Log } from './platform/logger.ts';
import { metrics } from './platform/metrics.ts';
import { limitPresets, makeRateLimiter, memoryLimitStore, tellWindow, type LimitStore } from './platform/rate-limit.ts';
import type { AnyRoute } from './platform/route.ts';

export interface AppDeps {
  config: Config;
  log: Log;
  routes: readonly AnyRoute[];
  authenticator: Authenticator;
  /** Where limits are counted; this process's memory without one. */
  limitStore?: LimitStore;
  /** Absent: no address is blocked. */
  blocks?: AddressBlocks;
  /** From then on every answer is the last of its connection. */
  isEnding?: () => boolean;
}

const REQUEST_ID = /^[\w.:-]{8,128}$/;

/** Security headers of every answer. */
const HEADERS = {
  'X-Frame-Options': 'DENY',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=()',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};
const PRODUCTION_HEADERS = { ...HEADERS, 'Strict-Transport-Security': 'max-age=31536000; includeSubDomains' };

/** The security headers of this kind of installation. */
export function securityHeaders({ nodeEnv }: Pick<Config, 'nodeEnv'>): Readonly<Record<string, string>> {
  return nodeEnv === 'production' ? PRODUCTION_HEADERS : HEADERS;
}

/** What a page of another origin may read of an answer's headers. */
const READABLE = ['ETag', 'X-Request-Id', 'X-Response-Time', 'Idempotent-Replayed', 'Retry-After', 'X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset', 'Content-Disposition', 'Deprecation', 'Sunset'];

/** The HTTP application: the whole order of its layers is on this screen. */
export function makeApp(deps: AppDeps): Koa {
  const { config } = deps;
  const app = new Koa({ proxy: false });
  app.silent = true;
  app.use(observe(deps));
  app.use(answerErrors(deps));
  if (config.corsOrigins !== '' || config.portalUrl !== undefined) app.use(cors({ origin: allowedOrigin(pageOrigins(config)), credentials: true, exposeHeaders: READABLE, maxAge: 600 }));
  app.use(compress({ threshold: 1024, br: false }));
  const http = httpDeps(deps);
  const routers = makeRouters(deps.routes, http);
  // What no route takes comes through to here; asking before the routers would match every path twice.
  app.use((ctx, next) => {
    const router = routers.get(areaOf(ctx.path));
    return router ? router.serve(ctx, next) : next();
  });
  if (config.rateLimits) app.use(limitUnknown(deps, http));
  app.use(refuseUnknown(routers));
  return app;
}

type Routers = ReadonlyMap<string, { router: Router; serve: Middleware }>;

/** A router for each area: one tries all of its routes at every call, and there are some two hundred. */
function makeRouters(routes: readonly AnyRoute[], http: HttpDeps): Routers {
  const routers = new Map<string, Router>();
  for (const route of routes) {
    const area = areaOf(route.path);
    const router = routers.get(area) ?? new Router({ strict: true });
    router.register(route.path, [route.method], serve(route, http));
    routers.set(area, router);
  }
  return new Map([...routers].map(([area, router]) => [area, { router, serve: router.routes() as Middleware }]));
}

/** The first part of a path, or the first two below `/v1`. */
function areaOf(path: string): string {
  const [, first = '', second = ''] = path.toLowerCase().split('/', 3);
  return first === 'v1' ? `v1/${second}` : first;
}

const NO_BLOCKS: AddressBlocks = { find: () => undefined, count: () => Promise.resolve(0), add: () => Promise.resolve() };

function httpDeps({ config, authenticator, blocks = NO_BLOCKS, limitStore: store = memoryLimitStore() }: AppDeps): HttpDeps {
  const limiter = makeRateLimiter({ enabled: config.rateLimits, presets: limitPresets(config), store });
  const gate = makeAddressGate({ blocks, automatic: config.rateLimits, after: config.rateLimitBlockAfter });
  return {
    authenticator,
    limit(ctx, route, identity, { address }) {
      const name = route.limit ?? (route.method === 'get' ? 'api' : 'write');
      const { actor, companyId, limitPerMinute: perMinute } = identity ?? {};
      const subject = { address, ...(actor ? { actorId: actor.id, companyId, perMinute } : {}) };
      return limiter.take(name, subject, (header, value) => ctx.set(header, value));
    },
    gate,
    facts: (ctx) => ({
      address: clientAddress(ctx, config.trustProxy),
      userAgent: ctx.get('user-agent').slice(0, 300),
      ...(config.rateLimits ? { tellAttempts: (window) => tellWindow(window, (header, value) => ctx.set(header, value)) } : {}),
    }),
    onIdentity(ctx, { actor, companyId }) {
      ctx.state['actorId'] = actor.id;
      ctx.state['companyId'] = companyId;
    },
    checkAnswers: config.nodeEnv === 'test',
  };
}

/** The address that the outermost trusted proxy saw; without trusted hops a forwarded header changes nothing. */
export function clientAddress(ctx: Pick<Context, 'get' | 'req'>, hops: number): string {
  const socket = ctx.req.socket.remoteAddress ?? 'unknown';
  if (hops === 0) return socket;
  const chain = [...ctx.get('x-forwarded-for').split(',').map((a) => a.trim()).filter(Boolean), socket];
  return chain[Math.max(0, chain.length - 1 - hops)] ?? socket;
}

/** Request id, security headers, time, log line, metric: around everything. */
function observe({ config, log, isEnding }: AppDeps) {
  const headers = Object.entries(securityHeaders(config));
  return async (ctx: Context, next: Next): Promise<void> => {
    const started = monotonicMs();
    const given = ctx.get('x-request-id');
    const requestId = REQUEST_ID.test(given) ? given : newRequestId();
    ctx.state['requestId'] = requestId;
    const { res } = ctx;
    for (const [name, value] of headers) res.setHeader(name, value);
    res.setHeader('X-Request-Id', requestId);
    await next();
    const ms = monotonicMs() - started;
    if (!res.headersSent) {
      res.setHeader('X-Response-Time', `${ms.toFixed(1)}ms`);
      if (isEnding?.()) res.setHeader('Connection', 'close');
    }
    const route = String(ctx['_matchedRoute'] ?? 'unmatched');
    metrics.httpRequest(ctx.method, route, ctx.status, ms / 1000);
    log.info('http.request', {
      requestId,
      method: ctx.method,
      route,
      status: ctx.status,
      ms: Math.round(ms * 10) / 10,
      companyId: ctx.state['companyId'] as string | undefined,
      actorId: ctx.state['actorId'] as string | undefined,
      code: ctx.state['errorCode'] as string | undefined,
    });
  };
}

/** The one mapper from errors to answers: known refusals as they are, everything else an opaque 500, logged once. */
function answerErrors({ log }: AppDeps) {
  return async (ctx: Context, next: Next): Promise<void> => {
    try {
      await next();
    } catch (error) {
      const known = asAppError(error);
      const requestId = String(ctx.state['requestId']);
      if (!known) {
        const { companyId, actorId } = ctx.state as { companyId?: string; actorId?: string };
        log.error('http.failed', { requestId, companyId, actorId, method: ctx.method, path: ctx.path, error });
      }
      const shown = known ?? OPAQUE;
      ctx.state['errorCode'] = shown.code;
      ctx.status = known ? HTTP_STATUS[known.kind] : 500;
      const retryAfter = shown.details?.['retryAfterSeconds'];
      if (typeof retryAfter === 'number') ctx.set('Retry-After', String(Math.max(1, Math.ceil(retryAfter))));
      if (ctx.status === 401) ctx.set('WWW-Authenticate', 'Bearer');
      ctx.body = known ? errorBody(known, requestId, ctx.path) : opaqueBody(requestId, ctx.path);
      ctx.type = 'application/json';
    }
  };
}

const OPAQUE = new AppError('unavailable', 'internal', 'Something went wrong on our side; quote the request id when you report it');

function opaqueBody(requestId: string, path: string): unknown {
  const body = errorBody(OPAQUE, requestId, path) as { error: Record<string, unknown> };
  return { error: { ...body.error, statusCode: 500 } };
}

/** Known refusals, and the database being away, which is a 503 and not a fault of ours. */
function asAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  if (!isDatabaseAway(error)) return undefined;
  return new AppError('unavailable', 'database_unavailable', 'The database is not reachable right now; try again', { retryAfterSeconds: 2 }, error);
}

/** Addresses remembered at once; the library never forgets one, so the oldest make room. */
const MAX_STRANGERS = 10_000;

/** Who tries paths that do not exist is limited by his address, and blocked in the end: nobody searches the service like that. */
function limitUnknown({ config }: AppDeps, { gate }: HttpDeps) {
  const limit = ratelimit({
    driver: 'memory',
    db: new BoundedMap<string, unknown>(MAX_STRANGERS),
    duration: 60_000,
    max: limitPresets(config).auth.max,
    id: (ctx) => clientAddress(ctx, config.trustProxy),
  });
  return async (ctx: Context, next: Next): Promise<void> => {
    const address = clientAddress(ctx, config.trustProxy);
    gate.admit(address, undefined);
    // The library tells the end of its window with fractions of a second.
    const whole = (): void => ctx.set('X-RateLimit-Reset', String(Math.ceil(Number(ctx.response.get('X-RateLimit-Reset')))));
    await limit(ctx, () => {
      whole();
      return next();
    });
    whole();
    await gate.refused(address, String(ctx.state['requestId']));
    throw limited('rate_limited', 'Too many calls of paths that do not exist; see /docs', Number(ctx.response.get('Retry-After')));
  };
}

/** 404 for paths that no route has, 405 with Allow for methods that a path does not take. */
function refuseUnknown(routers: Routers) {
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
  return (ctx: Context): never => {
    const allowed = methods.filter((m) => routers.get(areaOf(ctx.path))?.router.match(ctx.path, m).route);
    if (allowed.length === 0) throw new AppError('not_found', 'route_not_found', 'There is no such path; see /docs');
    ctx.set('Allow', allowed.join(', '));
    throw new AppError('method_not_allowed', 'method_not_allowed', `This path takes ${allowed.join(', ')}`);
  };
}

function allowedOrigin(list: readonly string[]) {
  const origins = new Set(list);
  return (ctx: Context): string => (origins.has(ctx.get('origin')) ? ctx.get('origin') : '');
}

