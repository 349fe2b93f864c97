import type { Actor } from './context.ts';
import { forbidden, unauthenticated } from './errors.ts';
import type { AnyRoute } from './route.ts';

/** Who a credential stands for. */
export interface Identity {
  actor: Actor;
  companyId: string;
  /** A limit of calls per minute of its own, for API keys that have one. */
  limitPerMinute?: number;
}

/** Given by the identity module to the platform, which knows no users. Answers undefined for a bad credential. */
export interface Authenticator {
  accessToken(token: string): Identity | undefined;
  apiKey(key: string): Promise<Identity | undefined>;
}

const BEARER = /^Bearer ([\x21-\x7e]{1,4096})$/i;

/** The identity behind the Authorization header; undefined without a header; 401 for a header that proves nothing. */
export async function identify(header: string, authenticator: Authenticator): Promise<Identity | undefined> {
  if (header === '') return undefined;
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw unauthenticated('unauthenticated', 'Send Authorization: Bearer <access token or API key>');
  const found = token.startsWith('dk_') ? await authenticator.apiKey(token) : authenticator.accessToken(token);
  if (!found) throw unauthenticated('invalid_token', 'The token is not valid or has ended; sign in again');
  return found;
}

/** 401 without an identity, 403 when the route needs a permission that the identity lacks; public routes pass all. */
export function authorize(route: AnyRoute, identity: Identity | undefined): void {
  if (route.permission === 'public') return;
  if (!identity) throw unauthenticated();
  if (route.permission === 'signedIn') {
    if (identity.actor.kind !== 'user' && identity.actor.kind !== 'operator') throw forbidden('forbidden', 'This needs a signed-in user');
    return;
  }
  if (!identity.actor.permissions.has(route.permission)) {
    throw forbidden('forbidden', `This needs the permission ${route.permission}`, { permission: route.permission });
  }
}
