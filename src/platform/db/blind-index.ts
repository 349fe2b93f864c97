import { createHmac } from 'node:crypto';
import { secrets } from './key-wrap.ts';
import { lengthPrefixed } from './length-prefixed.ts';

/** What a blind index looks like at rest. */
export const BLIND_INDEX = /^b1\.[A-Za-z0-9_-]{22}$/;

/** Which spellings of a value are one value. */
export const BLIND_FORMS = {
  /** Codes and numbers: compatibility forms joined, upper case, without white space and hyphens. */
  code: (value: string) => value.normalize('NFKC').toUpperCase().replace(/[\s-]+/g, ''),
  /** E-mail addresses: a hyphen makes another mailbox, and upper case would make one of `ß` and `ss`. */
  email: (value: string) => value.normalize('NFKC').trim().toLowerCase(),
} as const;
export type BlindForm = keyof typeof BLIND_FORMS;

/** Within whose rows a value is found: those of one company, or everybody's. */
export type BlindScope = 'company' | 'platform';

/** No company's id, so an index over the platform is never equal to one of a company. */
const PLATFORM = 'platform';

/** One blind index of a collection. */
export interface Blind {
  /** `<collection>.<index>`. */
  name: string;
  scope: BlindScope;
  form: BlindForm;
}

/**
 * What stands in the database instead of a value that must be found again: a keyed hash of index name, scope and value, so
 * that a dump cannot be searched and, unless the index is the platform's, two companies with the same value cannot be joined.
 */
export function blindIndex({ name, scope, form }: Blind, companyId: string, value: string): string {
  const whose = scope === 'platform' ? PLATFORM : companyId;
  const tag = createHmac('sha256', secrets().blindIndex).update(lengthPrefixed(['b1', name, whose, BLIND_FORMS[form](value)])).digest();
  return `b1.${tag.toString('base64url', 0, 16)}`;
}
