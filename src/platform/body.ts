import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { AppError, invalid, invalidFields, unavailable } from './errors.ts';

export const MAX_BODY_BYTES = 1_048_576;

/**
 * Reads a whole body; 413 `body_too_large` as soon as it exceeds the limit, without keeping the rest, 503 `caller_gave_up` when
 * the connection closes before its end.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxBytes) return Promise.reject(tooLarge(maxBytes));
  // Who left before we came to his body has been told of already: no event would come any more.
  if (request.destroyed) return Promise.reject(cutOff());
  // By events: they cost a small request less than an iterator over the stream.
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) return chunks.push(chunk);
      request.pause();
      reject(tooLarge(maxBytes));
      // Once the refusal is on its way: no more of it is read.
      setImmediate(() => request.destroy());
      return undefined;
    });
    request.once('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size)));
    request.once('error', (error) => reject(cutOff(error)));
    request.once('close', () => {
      if (!request.readableEnded) reject(cutOff());
    });
  });
}

/** Nobody is left to hear of it: a line in the log, and no fault of ours. */
function cutOff(cause?: unknown): AppError {
  return unavailable('caller_gave_up', 'The caller closed the connection within the body', 1, cause);
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('too_large', 'body_too_large', `The body may have ${maxBytes} bytes at most`);
}

/** 415 for a body in any coding: a few kilobytes can unfold into gigabytes, so bodies are taken as they are. */
export function assertPlain(contentEncoding: string): void {
  if (contentEncoding === '' || contentEncoding.trim().toLowerCase() === 'identity') return;
  throw new AppError('unsupported_type', 'unsupported_media_type', 'Send the body without Content-Encoding: compressed bodies are not taken');
}

/** True for the content types that are read as JSON. */
export function isJson(contentType: string): boolean {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return type === 'application/json' || type.endsWith('+json');
}

/** Parses JSON; 415 for another content type, 400 `malformed_json` for what is not a JSON object. */
export function parseJson(contentType: string, raw: Buffer): unknown {
  if (raw.length === 0) return {};
  if (!isJson(contentType)) {
    throw new AppError('unsupported_type', 'unsupported_media_type', 'Send the body as application/json');
  }
  // Read all the same, what is no UTF-8 would be stored as other characters than were sent.
  if (!isUtf8(raw)) throw invalid('malformed_json', 'The body is not UTF-8');
  const text = raw.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('malformed_json', 'The body is not valid JSON');
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalid('malformed_json', 'The body must be a JSON object');
  // Copied by assignment (Joi does) such a key would become the copy's prototype; escapes may hide it from a text search.
  if (/__proto__|\\u00[567]/i.test(text) && holdsPrototypeKey(value)) throw invalidFields([{ path: '__proto__', message: 'is not allowed' }]);
  // Neither can be stored as it is: the driver refuses NUL in names, and half a character would come back as another one.
  if (/\\u(?:0000|d[89a-f])/i.test(text) && holdsBrokenText(value)) throw invalid('malformed_json', 'The body holds NUL or half of a surrogate pair');
  return value;
}

function holdsBrokenText(value: unknown): boolean {
  const isBroken = (part: string): boolean => /[\0\ud800-\udfff]/u.test(part);
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string' && isBroken(next)) return true;
    if (next === null || typeof next !== 'object') continue;
    for (const [key, inner] of Object.entries(next)) {
      if (isBroken(key)) return true;
      open.push(inner);
    }
  }
  return false;
}

function holdsPrototypeKey(value: unknown): boolean {
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (next === null || typeof next !== 'object') continue;
    if (Object.hasOwn(next, '__proto__')) return true;
    for (const inner of Object.values(next)) open.push(inner);
  }
  return false;
}
