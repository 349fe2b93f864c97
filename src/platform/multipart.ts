import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import busboy from 'busboy';
import { AppError, invalid, type FieldFault } from './errors.ts';

export interface MultipartRules<T> {
  /** Text fields that may come, each once. */
  fields: readonly string[];
  /** The one field that holds a file. */
  file: string;
  /** Reads the file to its end; what it throws ends the request. */
  store(stream: Readable, fileName: string): Promise<T>;
  /** Undoes `store`, when the rest of the request turns out to be broken. */
  discard(stored: T): Promise<void>;
}

export interface Multipart<T> {
  fields: Partial<Record<string, string>>;
  stored: T | undefined;
  fileName: string;
  /** Fields that are unknown, repeated or too long; for the caller to answer with its own. */
  faults: FieldFault[];
}

/** What a part is called in faults when it has no name; busboy hands on undefined then, whatever its types say. */
const NAMELESS = '';

const LIMITS = { fields: 20, files: 2, parts: 22, fieldSize: 1_000, fieldNameSize: 100, headerPairs: 20 };

/**
 * Reads a multipart form whose file is handed on while it comes. 415 for another content type, 400
 * `malformed_multipart` for a broken or cut-off form. After a refusal the rest of the request is read and thrown away,
 * because a caller that is still sending does not see an answer.
 */
export async function readMultipart<T>(request: IncomingMessage, rules: MultipartRules<T>): Promise<Multipart<T>> {
  const form = openForm(request);
  const result: Multipart<T> = { fields: {}, stored: undefined, fileName: '', faults: [] };
  const fault = (path: string, message: string): void => void result.faults.push({ path, message });
  let storing: Promise<void> | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      form.on('field', (given: string | undefined, value, info) => {
        const name = given ?? NAMELESS;
        if (!rules.fields.includes(name)) fault(name.slice(0, 100), 'is not a field of this form');
        else if (result.fields[name] !== undefined) fault(name, 'must come once');
        else if (info.valueTruncated) fault(name, 'is too long');
        else result.fields[name] = value;
      });
      form.on('file', (given: string | undefined, stream, info) => {
        const name = given ?? NAMELESS;
        if (name !== rules.file || storing) {
          fault(name.slice(0, 100), storing ? 'must come once' : 'is not a field of this form');
          stream.resume();
          return;
        }
        result.fileName = (info.filename ?? '').slice(-200);
        storing = rules.store(stream, result.fileName).then((stored) => {
          result.stored = stored;
        });
        storing.catch(reject);
      });
      form.on('error', (error: unknown) => reject(malformed(error)));
      form.once('close', resolve);
      request.once('aborted', () => {
        reject(malformed());
        form.destroy();
      });
      request.pipe(form);
    });
    await storing;
    return result;
  } catch (error) {
    request.unpipe(form);
    request.resume();
    form.destroy();
    await storing?.catch(() => undefined);
    if (result.stored !== undefined) await rules.discard(result.stored);
    throw error;
  }
}

function openForm(request: IncomingMessage): busboy.Busboy {
  try {
    return busboy({ headers: request.headers, limits: LIMITS, defParamCharset: 'utf8' });
  } catch {
    request.resume();
    throw new AppError('unsupported_type', 'unsupported_media_type', 'Send the form as multipart/form-data with a boundary');
  }
}

function malformed(cause?: unknown): AppError {
  return invalid('malformed_multipart', 'The form is not valid multipart/form-data, or was cut off', cause instanceof Error ? { reason: cause.message } : undefined);
}
