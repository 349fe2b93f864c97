import { createHmac } from 'node:crypto';
import { secrets } from './key-wrap.ts';
import { lengthPrefixed } from './length-prefixed.ts';

/** What a blind index looks like at rest. */
export const BLIND_INDEX = /^b1\.[A-Za-z0-9_-]{22}$/;

/** One spelling of a value: compatibility forms joined, upper case, without white space and hyphens. */
export function normalised(value: string): string {
  return value.normalize('NFKC').toUpperCase().replace(/[\s-]+/g, '');
}

/**
 * What stands in the database instead of a value that must be found again: a keyed hash of index name, company and
 * value, so that two companies with the same value cannot be joined and a dump cannot be searched.
 */
export function blindIndex(name: string, companyId: string, value: string): string {
  const tag = createHmac('sha256', secrets().blindIndex).update(lengthPrefixed(['b1', name, companyId, normalised(value)])).digest();
  return `b1.${tag.toString('base64url', 0, 16)}`;
}
