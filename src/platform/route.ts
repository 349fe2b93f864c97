import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import Joi from 'joi';
import type { BrowserAnswer, BrowserFacts } from './browser.ts';
import { isRealDay } from './clock.ts';
import type { OutsideTx } from './context.ts';
import type { Permission } from './permissions.ts';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** Which limit a route counts against; `none` is for health and documents. */
export type LimitName = 'api' | 'write' | 'auth' | 'register' | 'sensitive' | 'scans' | 'public' | 'none';

/** Strict: the schema must name exactly T's keys with their kinds, or it does not compile. */
export function shape<T>(keys: Joi.StrictSchemaMap<T>): Joi.ObjectSchema<T> {
  return Joi.object<T, true>(keys as never);
}

/** The schema of a list answer. */
export function pageOf<T>(item: Joi.ObjectSchema<T>): Joi.ObjectSchema<{ data: T[]; nextCursor: string | null }> {
  return Joi.object({ data: Joi.array().items(item).required(), nextCursor: Joi.string().allow(null).required() });
}

/** A file as an answer: bytes or a stream, with a name for saving. */
export interface FileAnswer {
  contentType: string;
  filename: string;
  content: Buffer | Readable;
  /** True: shown in the browser (pages); the default is to save it. */
  inline?: boolean;
  /** Default 200. */
  status?: number;
}

/** What reaches a handler: validated, typed, nothing else. */
export interface Input<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  /** The version of If-Match; -1 when the route accepts it and it was not sent. */
  ifMatch: number;
  idempotencyKey: string | undefined;
  connection: ConnectionFacts;
  /** Origin, cookies and the token against forged requests; for the few routes that know browsers. */
  browser: BrowserFacts;
  /** The unread request, for routes with `rawBody: 'stream'` (uploads). */
  request: IncomingMessage;
  /** The bytes of the body as they came; for signatures. */
  rawBody: Buffer;
}

/** Where a request came from, after the trusted proxies. */
export interface ConnectionFacts {
  address: string;
  userAgent: string;
  /** Sets the X-RateLimit headers to what a throttle of attempts has left; absent with RATE_LIMITS=off. */
  tellAttempts?: (window: { max: number; used: number; resetAtMs: number }) => void;
}

export interface Route<P, Q, B, R, V> {
  method: Method;
  path: string;
  summary: string;
  /** Longer text for the document. */
  description?: string;
  /** No default: a route without an access decision does not compile. `signedIn` means any user of any role. */
  permission: Permission | 'public' | 'signedIn';
  /** Default: `api` for GET, `write` for everything else. */
  limit?: LimitName;
  /** `required`: 400 without an Idempotency-Key. Absent: the header is ignored. */
  idempotent?: 'required' | 'accepted';
  /** True: the answer tells a secret, so that only its own caller has it replayed, not his whole company. */
  answersSecret?: boolean;
  /** True: 428 without If-Match. `accepted`: the command decides what it may go without. */
  ifMatch?: boolean | 'accepted';
  params?: Joi.ObjectSchema<P>;
  query?: Joi.ObjectSchema<Q>;
  body?: Joi.ObjectSchema<B>;
  /** `bytes`: any body, as it came (signed events). `stream`: the handler reads the request itself (uploads, with a limit of its own). */
  rawBody?: 'bytes' | 'stream';
  /** Largest body in bytes; default 1 MiB. */
  maxBodyBytes?: number;
  /** The schema of the answer, or the content type of a file. */
  response: Joi.Schema<V> | `${string}/${string}` | 'none';
  /** Default 200; 204 with `response: 'none'`. */
  status?: number;
  /** Codes of refusals beyond the common ones; shown in the document. */
  errors?: readonly string[];
  /** One statement: call the command or query. */
  handle(ctx: OutsideTx, input: Input<P, Q, B>): Promise<R>;
  /** Pure: from the command's result to what the caller sees. An idempotent answer is stored from it. */
  view: (result: R) => V | FileAnswer | BrowserAnswer<V>;
}

/** A route with its types hidden, as routers and documents hold it. */
export type AnyRoute = Route<never, never, never, never, unknown>;

/** Declares a route; types only, the object is returned as it is. */
export function route<P = Record<string, never>, Q = Record<string, never>, B = undefined, R = unknown, V = unknown>(
  declared: Route<P, Q, B, R, V>,
): AnyRoute {
  return declared as unknown as AnyRoute;
}

const id = Joi.string()
  .pattern(/^[0-9a-f]{24}$/)
  .messages({ 'string.pattern.base': '{{#label}} must be 24 hexadecimal characters' });

/** Left out of openapi.json, where the format says the same. */
const onRealDay: Joi.CustomValidator = (value: unknown, { original, message }) =>
  isRealDay(String(original)) ? value : message({ custom: '{{#label}} must be a day of the calendar' });

/** Schema pieces that all modules share; every text and number is bounded. */
export const field = {
  id: () => id,
  /** Text of 1 to `max` characters; trimming is the rules' work, because bodies are checked without conversion. */
  text: (max = 10_000) => Joi.string().min(1).max(max),
  paise: () => Joi.number().integer().min(0).max(1_000_000_000_000),
  signedPaise: () => Joi.number().integer().min(-1_000_000_000_000_000).max(1_000_000_000_000_000),
  count: (min: number, max: number) => Joi.number().integer().min(min).max(max),
  /** A time in a query, converted to a Date. */
  queryTime: () => Joi.date().iso().custom(onRealDay),
  /** A time in a body or an answer: ISO 8601 text. */
  isoTime: () => Joi.string().isoDate().max(40).custom(onRealDay),
  pincode: () =>
    Joi.string()
      .pattern(/^[1-9]\d{5}$/)
      .messages({ 'string.pattern.base': '{{#label}} must be six digits and not begin with 0' }),
  version: () => Joi.number().integer().min(0).max(Number.MAX_SAFE_INTEGER),
};

/** `:id` in the path. */
export const idParams = shape<{ id: string }>({ id: field.id().required() });

/** `?limit=&cursor=`; a limit above 1000 is capped, not refused. */
export const pageQueryKeys = {
  limit: Joi.number().integer().min(1).max(Number.MAX_SAFE_INTEGER),
  cursor: Joi.string().max(600),
};

/** The query of a plain list. */
export const pageQuery = Joi.object<{ limit?: number; cursor?: string }>(pageQueryKeys);
