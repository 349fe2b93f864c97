import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import Joi from 'joi';
import type { Context as KoaContext } from 'koa';
import type { AddressGate } from './address-gate.ts';
import { BrowserAnswer, writeCookie } from './browser.ts';
import { authorize, identify, type Authenticator, type Identity } from './auth.ts';
import { assertPlain, isJson, MAX_BODY_BYTES, parseJson, readBody } from './body.ts';
import { nowMs } from './clock.ts';
import { beforeSignIn, requestCtx, type AnswerRecorder, type Caller, type OutsideTx, type StoredAnswer } from './context.ts';
import { AlreadyAnswered } from './db/answers.ts';
import { AppError, HTTP_STATUS, invalid, invalidFields, preconditionRequired, type FieldFault } from './errors.ts';
import { assertIdempotencyKey, claim, hashOfRequest, isStorableRefusal, storeAnswer, storedAnswer } from './idempotency.ts';
import type { AnyRoute, ConnectionFacts, FileAnswer, Input } from './route.ts';

/** What the HTTP layer needs from outside; app.ts puts it together. */
export interface HttpDeps {
  authenticator: Authenticator;
  /** Throws 429, and sets the X-RateLimit headers. */
  limit(ctx: KoaContext, route: AnyRoute, identity: Identity | undefined, facts: ConnectionFacts): Promise<void> | void;
  /** Refuses blocked addresses, and is told of refusals by limits. */
  gate: AddressGate;
  facts(ctx: KoaContext): ConnectionFacts;
  /** Told who is asking, for the log fields of this request. */
  onIdentity(ctx: KoaContext, identity: Identity): void;
  /** True in tests: an answer that breaks its declared schema is then an error. */
  checkAnswers: boolean;
}

type AnyInput = Input<Record<string, unknown>, Record<string, unknown>, Record<string, unknown>>;

/** Serves one declared route. Refusals come in the order 403 `address_blocked`, 429, 401, 403, 400, 428, then what the handler decides. */
export function serve(route: AnyRoute, deps: HttpDeps): (ctx: KoaContext) => Promise<void> {
  return async (koa) => {
    const facts = deps.facts(koa);
    const asking = await whoAsks(route, koa, deps);
    if (asking.identity) deps.onIdentity(koa, asking.identity);
    // Health and documents are for machines and have no limits; a block is not for them either.
    if (route.limit === 'none') return answerCall(route, koa, deps, { ...asking, facts });
    deps.gate.admit(facts.address, asking.identity);
    try {
      await answerCall(route, koa, deps, { ...asking, facts });
    } catch (error) {
      if (!asking.identity && error instanceof AppError && error.kind === 'limited') await deps.gate.refused(facts.address, String(koa.state['requestId']));
      throw error;
    }
  };
}

class WaitingCaller implements Caller {
  readonly #res: ServerResponse;

  constructor(res: ServerResponse) {
    this.#res = res;
  }

  get gone(): boolean {
    return this.#res.destroyed && !this.#res.writableFinished;
  }

  signal(): AbortSignal {
    const abort = new AbortController();
    const tell = (): void => {
      if (this.gone) abort.abort();
    };
    this.#res.once('close', tell);
    tell();
    return abort.signal;
  }
}

interface Asking {
  identity?: Identity;
  refusal?: AppError;
}

async function answerCall(route: AnyRoute, koa: KoaContext, deps: HttpDeps, { identity, refusal, facts }: Asking & { facts: ConnectionFacts }): Promise<void> {
  const limited = deps.limit(koa, route, identity, facts);
  if (limited) await limited;
  if (refusal) throw refusal;
  authorize(route, identity);
  const requestId = String(koa.state['requestId']);
  const caller = new WaitingCaller(koa.res);
  const base = identity ? requestCtx(identity.actor, identity.companyId, requestId, caller) : beforeSignIn(requestId, caller);
  const input = await readInput(route, koa, facts);
  if (route.idempotent && input.idempotencyKey !== undefined) {
    await serveIdempotent(route, koa, base, input, deps);
    return;
  }
  const result = await call(route, base, input);
  send(koa, route, result, deps.checkAnswers);
}

/** A bad credential is told after the limits, so that guessing tokens is limited too. */
async function whoAsks(route: AnyRoute, koa: KoaContext, deps: HttpDeps): Promise<Asking> {
  if (route.permission === 'public') return {};
  try {
    const identity = await identify(koa.get('authorization'), deps.authenticator);
    return identity ? { identity } : {};
  } catch (error) {
    if (error instanceof AppError && error.kind === 'unauthenticated') return { refusal: error };
    throw error;
  }
}

async function call(route: AnyRoute, ctx: OutsideTx, input: AnyInput): Promise<unknown> {
  return route.handle(ctx, input as never);
}

function render(route: AnyRoute, result: unknown): unknown {
  return route.view(result as never);
}

function send(koa: KoaContext, route: AnyRoute, result: unknown, check: boolean): void {
  const rendered = render(route, result);
  const view = rendered instanceof BrowserAnswer ? rendered.view : rendered;
  if (rendered instanceof BrowserAnswer) {
    koa.set('Set-Cookie', rendered.cookies.map(writeCookie));
    if (rendered.redirect !== undefined) {
      koa.status = 302;
      koa.set('Location', rendered.redirect);
      return;
    }
  }
  if (isFile(view)) {
    if (!view.inline) koa.set('Content-Disposition', `attachment; filename="${view.filename.replace(/[^\w.-]/g, '_')}"`);
    else koa.set('Content-Security-Policy', PAGE_POLICY);
    koa.status = view.status ?? 200;
    koa.type = view.contentType;
    koa.body = view.content;
    return;
  }
  if (route.response === 'none') {
    koa.status = route.status ?? 204;
    return;
  }
  const answer = jsonAnswer(route, view, check);
  sendStored(koa, answer, false);
}

/** The answer as it is sent and, for idempotent requests, stored. */
function jsonAnswer(route: AnyRoute, view: unknown, check: boolean): StoredAnswer {
  if (check && typeof route.response !== 'string') assertDeclared(route, view);
  const version = (view as { version?: unknown } | null)?.version;
  return {
    status: route.status ?? (route.response === 'none' ? 204 : 200),
    body: route.response === 'none' ? '' : JSON.stringify(view),
    ...(typeof version === 'number' ? { etag: `"${version}"` } : {}),
  };
}

function assertDeclared(route: AnyRoute, view: unknown): void {
  const { error } = (route.response as Joi.Schema).validate(view, { convert: false, abortEarly: false });
  if (error) throw new Error(`${route.method} ${route.path} answers what it does not declare: ${error.message}`);
}

function sendStored(koa: KoaContext, answer: StoredAnswer, replayed: boolean): void {
  koa.status = answer.status;
  if (answer.etag !== undefined) koa.set('ETag', answer.etag);
  if (replayed) koa.set('Idempotent-Replayed', 'true');
  if (answer.status === 204) return;
  koa.set('Content-Type', 'application/json; charset=utf-8');
  koa.body = answer.body;
}

function isFile(view: unknown): view is FileAnswer {
  return typeof view === 'object' && view !== null && 'contentType' in view && 'content' in view && (Buffer.isBuffer(view.content) || view.content instanceof Readable);
}

async function serveIdempotent(route: AnyRoute, koa: KoaContext, base: OutsideTx, input: AnyInput, deps: HttpDeps): Promise<void> {
  const scope = base.actor.kind === 'anonymous' ? 'public' : base.companyId;
  // The route and its parameters, not the path as it was written: other letters or escapes do not make another call.
  const path = route.path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(input.params[name])));
  const whose = route.answersSecret ? ` by ${base.actor.id}` : '';
  const key = `${scope}|${route.method} ${path}${whose}|${input.idempotencyKey ?? ''}`;
  // A stream is hashed while the handler reads it; the handler then asks for the earlier answer itself.
  const requestHash = route.rawBody === 'stream' ? '' : hashOfRequest(input.rawBody);
  const earlierAnswer = async (): Promise<StoredAnswer | undefined> => (requestHash === '' ? undefined : storedAnswer(key, requestHash));
  const release = await claim(key);
  if (!release) {
    const earlier = await earlierAnswer();
    if (earlier) return sendStored(koa, earlier, true);
    // The first one ended without an answer to keep (a 5xx): this one may try.
    return serveIdempotent(route, koa, base, input, deps);
  }
  try {
    const earlier = await earlierAnswer();
    if (earlier) return sendStored(koa, earlier, true);
    let recorded: StoredAnswer | undefined;
    const answer: AnswerRecorder = {
      key,
      requestHash,
      render(result) {
        recorded = jsonAnswer(route, render(route, result), deps.checkAnswers);
        return recorded;
      },
    };
    try {
      const result = await call(route, { ...base, answer }, input);
      if (!recorded) await storeAnswer(key, answer.requestHash, base.companyId, answer.render(result));
      if (recorded) sendStored(koa, recorded, false);
    } catch (error) {
      if (error instanceof AlreadyAnswered) return sendStored(koa, await theirAnswer(key, answer.requestHash), true);
      if (isStorableRefusal(error) && answer.requestHash !== '') return await refuseForGood(koa, key, answer.requestHash, base.companyId, error);
      throw error;
    }
  } finally {
    release();
  }
}

async function theirAnswer(key: string, requestHash: string): Promise<StoredAnswer> {
  const found = await storedAnswer(key, requestHash);
  if (!found) throw new AppError('unavailable', 'busy', 'The first request with this key has just ended; try again', { retryAfterSeconds: 1 });
  return found;
}

async function refuseForGood(koa: KoaContext, key: string, requestHash: string, companyId: string, error: AppError): Promise<void> {
  const body = errorBody(error, String(koa.state['requestId']), koa.path);
  const answer = { status: HTTP_STATUS[error.kind], body: JSON.stringify(body) };
  await storeAnswer(key, requestHash, companyId, answer);
  const kept = await storedAnswer(key, requestHash);
  const replayed = kept !== undefined && kept.body !== answer.body;
  koa.state['errorCode'] = error.code;
  sendStored(koa, kept ?? answer, replayed);
}

const askedSchemas = { true: new WeakMap<Joi.Schema, Joi.Schema>(), false: new WeakMap<Joi.Schema, Joi.Schema>() };

/** A schema with how requests are judged by it: Joi then puts its settings together once, not at each call. */
function asked(schema: Joi.Schema, convert: boolean): Joi.Schema {
  const known = askedSchemas[`${convert}`].get(schema);
  if (known) return known;
  const made = schema.prefs({ abortEarly: false, convert, errors: { wrap: { label: false } } });
  askedSchemas[`${convert}`].set(schema, made);
  return made;
}

async function readInput(route: AnyRoute, koa: KoaContext, connection: ConnectionFacts): Promise<AnyInput> {
  const faults: FieldFault[] = [];
  const check = (schema: Joi.Schema | undefined, value: unknown, convert: boolean, where: string): Record<string, unknown> => {
    // Nothing asked for and nothing sent, as for most paths and queries: there is nothing to check.
    if (!schema && Object.keys(value as object).length === 0) return {};
    const used = asked(schema ?? NOTHING, convert);
    if (Object.hasOwn(value as object, '__proto__')) faults.push({ path: '__proto__', message: 'is not allowed' });
    const { value: checked, error } = used.validate(value) as Joi.ValidationResult<Record<string, unknown>>;
    for (const d of error?.details ?? []) faults.push({ path: d.path.join('.') || where, message: hideValue(d) });
    return checked ?? {};
  };
  const params = check(route.params, koa['params'] ?? {}, true, 'path');
  const query = check(route.query, koa.querystring === '' ? {} : koa.query, true, 'query');
  if (route.body ?? route.rawBody) assertPlain(koa.get('content-encoding'));
  const raw = route.rawBody === 'stream' || koa.method === 'GET' ? EMPTY : await readBody(koa.req, route.maxBodyBytes ?? MAX_BODY_BYTES);
  const body = holdsFields(route, koa, raw) ? check(route.body, parseJson(koa.get('content-type'), raw), false, 'body') : {};
  const idempotencyKey = koa.get('idempotency-key') || undefined;
  if (idempotencyKey !== undefined && route.idempotent) assertIdempotencyKey(idempotencyKey);
  if (faults.length > 0) throw invalidFields(faults);
  if (route.idempotent === 'required' && idempotencyKey === undefined) {
    throw invalid('idempotency_key_required', 'Send an Idempotency-Key header: it makes a repeated call safe');
  }
  const mayLackIfMatch = !route.ifMatch || (route.ifMatch === 'accepted' && koa.get('if-match').trim() === '');
  const ifMatch = mayLackIfMatch ? -1 : readIfMatch(koa.get('if-match'));
  const browser = { origin: koa.get('origin'), host: koa.get('host'), csrfToken: koa.get('x-csrf-token'), cookies: koa.get('cookie'), wantsPage: koa.get('accept').includes('text/html') };
  return { params, query, body, ifMatch, idempotencyKey, connection, browser, request: koa.req as IncomingMessage, rawBody: raw };
}

/** A route that takes no body takes no JSON with fields either: what was sent would be ignored in silence. */
function holdsFields(route: AnyRoute, koa: KoaContext, raw: Buffer): boolean {
  return route.body !== undefined || (route.rawBody === undefined && raw.length > 0 && isJson(koa.get('content-type')));
}

/** Pages of ours: own scripts and styles only; swagger-ui sets styles from its script. */
const PAGE_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
const EMPTY = Buffer.alloc(0);
const NOTHING = Joi.object({});


/** Joi's messages may quote the value; ours never do. */
function hideValue(detail: Joi.ValidationErrorItem): string {
  return detail.type === 'string.pattern.base' && detail.message.includes('with value') ? 'does not have the right form' : detail.message;
}

function readIfMatch(header: string): number {
  const match = /^(?:W\/)?"?(\d{1,15})"?$/.exec(header.trim());
  if (header.trim() === '') {
    throw preconditionRequired();
  }
  if (!match) throw invalidFields([{ path: 'If-Match', message: 'Send the ETag of your last read, such as "3"' }]);
  return Number(match[1]);
}

/** The one error form of the contract. */
export function errorBody(error: AppError, requestId: string, path: string): Record<string, unknown> {
  return {
    error: {
      code: error.code,
      message: error.message,
      statusCode: HTTP_STATUS[error.kind],
      requestId,
      timestamp: new Date(nowMs()).toISOString(),
      path,
      ...(error.details === undefined ? {} : { details: error.details }),
    },
  };
}
