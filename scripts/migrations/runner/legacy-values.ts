import { createHash } from 'node:crypto';
import fieldEncryption from 'mongoose-field-encryption';

type Plain = Record<string, unknown>;

/** What mongoose-field-encryption writes: IV and cipher text in hex. */
const CIPHER = /^[0-9a-f]{32}:([0-9a-f]{32})+$/;
// A wrong key now and then gives text, but hardly ever printable text.
const PRINTABLE = /^[^\u0000-\u001f\u007f\ufffd]+$/;

/** A field of the former product that may be clear or enciphered. */
export interface LegacyField {
  /** Dotted: `documents.pan.number`. */
  path: string;
  /** What a value must look like once it is clear. */
  looks?: RegExp;
}

/** Reads fields of the former product. */
export interface LegacyReader {
  /** The clear value, undefined when there is none; `fault` says why it cannot be read. */
  read(doc: Plain, field: LegacyField): { value?: string; fault?: string; enciphered: boolean };
}

/** The value at a dotted path. */
export function at(doc: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (typeof value === 'object' && value !== null ? (value as Plain)[key] : undefined), doc);
}

/** A reader under the former product's secret; without one enciphered values are faults. */
export function legacyReader(secret: string | undefined): LegacyReader {
  const key = secret === undefined ? undefined : createHash('sha256').update(secret).digest('hex').slice(0, 32);
  return {
    read(doc, { path, looks }) {
      const value = at(doc, path);
      if (value === undefined || value === null || value === '') return { enciphered: false };
      if (typeof value !== 'string') return { fault: 'is no text', enciphered: false };
      const [name = '', ...above] = path.split('.').reverse();
      const marker = at(doc, [...above.reverse(), `__enc_${name}`].join('.'));
      // Neither alone decides: a clear token may look like cipher text, and a marker may have come with a request's body.
      const enciphered = marker === true && CIPHER.test(value);
      if (!enciphered) return shaped(value, looks, false);
      if (key === undefined) return { fault: 'is enciphered, and LEGACY_ENCRYPTION_SECRET is not set', enciphered };
      const clear = fieldEncryption.decrypt(value, key) as string;
      return PRINTABLE.test(clear) ? shaped(clear, looks, true) : { fault: 'does not open with LEGACY_ENCRYPTION_SECRET', enciphered };
    },
  };
}

function shaped(value: string, looks: RegExp | undefined, enciphered: boolean): { value?: string; fault?: string; enciphered: boolean } {
  if (looks && !looks.test(value)) return { fault: enciphered ? 'opens to something else than it should hold' : 'holds something else than it should', enciphered };
  return { value, enciphered };
}
