import { createHmac } from 'node:crypto';
import { forbidden } from './errors.ts';
import { sameText } from './ids.ts';

/** A cookie of ours: always `Secure` and for the whole host, as its `__Host-` name demands. */
export interface Cookie {
  name: `__Host-${string}`;
  value: string;
  /** 0 removes it. */
  maxAgeSeconds: number;
  /** False for the one that scripts must read. */
  httpOnly: boolean;
  /** `Lax` only where another site sends the browser back to us. */
  sameSite: 'Strict' | 'Lax';
}

/** What a browser says of itself with a request. */
export interface BrowserFacts {
  origin: string;
  host: string;
  csrfToken: string;
  cookies: string;
  /** True when a person waits for a page, and not a script for an answer. */
  wantsPage: boolean;
}

/** An answer with cookies, or a redirect with cookies instead of an answer. */
export class BrowserAnswer<V> {
  readonly view: V | undefined;
  readonly cookies: readonly Cookie[];
  readonly redirect: string | undefined;

  constructor(answer: { view?: V; redirect?: string; cookies: readonly Cookie[] }) {
    this.view = answer.view;
    this.redirect = answer.redirect;
    this.cookies = answer.cookies;
  }
}

/** The Set-Cookie line of a cookie. */
export function writeCookie({ name, value, maxAgeSeconds, httpOnly, sameSite }: Cookie): string {
  return `${name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; Secure; SameSite=${sameSite}${httpOnly ? '; HttpOnly' : ''}`;
}

/** A cookie's value, or undefined without it or when it came twice. */
export function readCookie({ cookies }: BrowserFacts, name: Cookie['name']): string | undefined {
  const found = cookies.split(';').flatMap((part) => {
    const [key = '', value = ''] = part.trim().split('=', 2);
    return key === name ? [value] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}

/** The token that a page must send back in X-CSRF-Token; bound to the session it was given for. */
export function csrfToken(cookieSecret: string, sid: string): string {
  return createHmac('sha256', cookieSecret).update(`dakiya.csrf|${sid}`).digest('base64url');
}

/** The origins of the pages that may use session cookies and read answers. */
export function pageOrigins({ corsOrigins, publicUrl, portalUrl }: { corsOrigins: string; publicUrl?: string; portalUrl?: string }): string[] {
  const listed = corsOrigins.split(',').map((origin) => origin.trim()).filter(Boolean);
  return [...listed, ...[publicUrl, portalUrl].flatMap((url) => (url === undefined ? [] : [new URL(url).origin]))];
}

/** 403 `origin_not_allowed` for a request without Origin, or from a page that is neither ours nor in `allowed`. */
export function assertOwnOrigin({ origin, host }: BrowserFacts, allowed: readonly string[]): void {
  const isOwn = URL.canParse(origin) && new URL(origin).host === host;
  if (!isOwn && !allowed.includes(origin)) throw forbidden('origin_not_allowed', 'Requests with the session cookie come from the pages of this service only');
}

/** 403 `csrf_token_invalid` unless the request carries the session's token in X-CSRF-Token. */
export function assertCsrf(facts: BrowserFacts, cookieSecret: string, sid: string): void {
  if (!sameText(facts.csrfToken, csrfToken(cookieSecret, sid))) throw forbidden('csrf_token_invalid', 'Send the csrfToken of the sign-in in X-CSRF-Token');
}
