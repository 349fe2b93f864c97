/**
 * Every refusal the service makes on purpose. A new failure is a new `code`, never a class or a status:
 * the kind decides the HTTP status, in the one table below.
 */
export type ErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'stale'
  | 'limited'
  | 'unavailable'
  | 'method_not_allowed'
  | 'too_large'
  | 'unsupported_type'
  | 'precondition_required';

/** The only place where a kind becomes an HTTP status. The last four are the transport's own refusals. */
export const HTTP_STATUS: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  stale: 412,
  limited: 429,
  unavailable: 503,
  method_not_allowed: 405,
  too_large: 413,
  unsupported_type: 415,
  precondition_required: 428,
};

export type ErrorDetails = Record<string, unknown>;

/** One fault of one input field: `path` is dotted (`lines.0.sku`), `message` says what to do. */
export interface FieldFault {
  path: string;
  message: string;
}

/** A refusal with a stable code. `details` never carry a value that the caller typed into a personal field. */
export class AppError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly details: ErrorDetails | undefined;

  constructor(kind: ErrorKind, code: string, message: string, details?: ErrorDetails, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'AppError';
    this.kind = kind;
    this.code = code;
    this.details = details;
  }
}

/** 400 for input that has the right shape and the wrong meaning; every fault at once. */
export function invalid(code: string, message: string, details?: ErrorDetails): AppError {
  return new AppError('invalid', code, message, details);
}

/** A body of 700 kB with nothing right in it was answered with 4.5 MB of faults. */
const MAX_FAULTS = 1_000;

/** 400 `validation_failed` naming each faulty field, the first 1,000 of them. */
export function invalidFields(fields: FieldFault[]): AppError {
  return new AppError('invalid', 'validation_failed', 'Some fields are not valid; see details.fields', { fields: fields.slice(0, MAX_FAULTS) });
}

/** 401: who are you? */
export function unauthenticated(code = 'unauthenticated', message = 'Sign in first'): AppError {
  return new AppError('unauthenticated', code, message);
}

/** 403: known, and not allowed. */
export function forbidden(code = 'forbidden', message = 'Your role does not allow this', details?: ErrorDetails): AppError {
  return new AppError('forbidden', code, message, details);
}

/** 404: it does not exist, or it is another company's, which must look the same. */
export function notFound(what: string): AppError {
  return new AppError('not_found', `${what}_not_found`, `There is no such ${what.replaceAll('_', ' ')}`);
}

/** 409: the state of things forbids it. */
export function conflict(code: string, message: string, details?: ErrorDetails, cause?: unknown): AppError {
  return new AppError('conflict', code, message, details, cause);
}

/** 412: it changed since it was read; details carry the current version. */
export function stale(what: string, currentVersion: number): AppError {
  return new AppError('stale', 'stale_version', `The ${what.replaceAll('_', ' ')} changed since you read it; read it again`, {
    currentVersion,
  });
}

/** 428: what is changed must have been read before. */
export function preconditionRequired(why = ''): AppError {
  return new AppError('precondition_required', 'precondition_required', `${why}Send If-Match with the ETag of your last read`);
}

/** 429: too many; `retryAfterSeconds` becomes the Retry-After header. */
export function limited(code: string, message: string, retryAfterSeconds: number): AppError {
  return new AppError('limited', code, message, { retryAfterSeconds });
}

/** 503: not now; `retryAfterSeconds` becomes the Retry-After header. */
export function unavailable(code: string, message: string, retryAfterSeconds = 1, cause?: unknown): AppError {
  return new AppError('unavailable', code, message, { retryAfterSeconds }, cause);
}
