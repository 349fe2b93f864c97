import { makeFaults } from '../../platform/faults.ts';
import { parseMobile } from '../../platform/identifiers.ts';
import type { CustomerKeys } from '../../platform/privacy.ts';

export interface CustomerInput {
  phone?: string;
  email?: string;
}

/** Whom is meant: phone as E.164, e-mail lower case; 400 when there is neither, or one that cannot be. */
export function readCustomerKeys({ phone, email }: CustomerInput): CustomerKeys {
  const faults = makeFaults();
  const keys: CustomerKeys = {};
  if (phone === undefined && email === undefined) faults.add('phone', 'a phone number or an e-mail address is needed');
  if (phone !== undefined) keys.phone = faults.take('phone', parseMobile(phone));
  if (email !== undefined) {
    keys.email = email.trim().toLowerCase();
    if (!/^[^\s@]+@[^\s@]+$/.test(keys.email)) faults.add('email', 'is not an e-mail address');
  }
  faults.throwIfAny();
  return keys;
}
