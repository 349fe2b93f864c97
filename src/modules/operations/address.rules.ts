import { isIP } from 'node:net';
import { invalidFields } from '../../platform/errors.ts';
import { addressKey } from '../../platform/rate-limit.ts';

/** The form in which an address is blocked: IPv4 whole, IPv6 as its network of 64 bits; 400 for anything else. */
export function parseAddress(text: string): string {
  const trimmed = text.trim();
  const address = trimmed.replace(/::\/64$/, '::');
  if (isIP(address) === 0) throw invalidFields([{ path: 'address', message: 'must be an IPv4 or IPv6 address' }]);
  return addressKey(address);
}
