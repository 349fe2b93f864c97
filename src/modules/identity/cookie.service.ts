import { BrowserAnswer, assertCsrf, assertOwnOrigin, csrfToken, pageOrigins, readCookie, type BrowserFacts, type Cookie } from '../../platform/browser.ts';
import { invalidFields } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { kit } from './identity.kit.ts';
import { refreshSession, type TokenPair } from './session.service.ts';

/** How the refresh token travels: in the answer, or in a cookie that no script can read. */
export type SessionForm = 'token' | 'cookie';

export const REFRESH_COOKIE = '__Host-dakiya-refresh';
export const CSRF_COOKIE = '__Host-dakiya-csrf';

interface Formed {
  form: SessionForm;
}

/** Asks for a cookie from somewhere else than our pages are refused; then notes how the answer shall look. */
export async function inForm<T extends TokenPair>(form: SessionForm | undefined, browser: BrowserFacts, work: () => Promise<T>): Promise<T & Formed> {
  if (form === 'cookie' && browser.origin !== '') assertOwnOrigin(browser, pageOrigins(runtime().config));
  return { ...(await work()), form: form ?? 'token' };
}

/** Refreshes by the token of the body, or by the cookie, which needs Origin and X-CSRF-Token. */
export async function refreshInForm(refreshToken: string | undefined, browser: BrowserFacts): Promise<TokenPair & Formed> {
  if (refreshToken !== undefined) return { ...(await refreshSession(refreshToken)), form: 'token' };
  const cookie = readCookie(browser, REFRESH_COOKIE);
  if (cookie === undefined) throw invalidFields([{ path: 'refreshToken', message: 'is required without the session cookie' }]);
  assertOwnOrigin(browser, pageOrigins(runtime().config));
  assertCsrf(browser, cookieSecret(), sidOf(cookie));
  return { ...(await refreshSession(cookie)), form: 'cookie' };
}

/** The answer in its form: with a cookie instead of the refresh token, and the token against forged requests. */
export function answerInForm<T extends { refreshToken: string }>(view: T, form: SessionForm): T | BrowserAnswer<Omit<T, 'refreshToken'> & { csrfToken: string }> {
  if (form === 'token') return view;
  const { refreshToken, ...rest } = view;
  const csrf = csrfToken(cookieSecret(), sidOf(refreshToken));
  return new BrowserAnswer({ view: { ...rest, csrfToken: csrf }, cookies: sessionCookies(refreshToken, csrf, runtime().config.sessionIdleSeconds) });
}

/** What a sign-out leaves in the browser: nothing. */
export function clearedCookies(): BrowserAnswer<undefined> {
  return new BrowserAnswer({ cookies: sessionCookies('', '', 0) });
}

function sessionCookies(refreshToken: string, csrf: string, maxAgeSeconds: number): Cookie[] {
  return [
    { name: REFRESH_COOKIE, value: refreshToken, maxAgeSeconds, httpOnly: true, sameSite: 'Strict' },
    { name: CSRF_COOKIE, value: csrf, maxAgeSeconds, httpOnly: false, sameSite: 'Strict' },
  ];
}

function sidOf(refreshToken: string): string {
  return kit().tokens.readRefresh(refreshToken)?.sid ?? '';
}

function cookieSecret(): string {
  const { cookieSecret: secret } = runtime().config;
  if (secret === undefined) throw new Error('COOKIE_SECRET is not set');
  return secret;
}

/**
 * Back to the portal's page, with the session in cookies; what the page must know stands behind the `#`, which no server
 * and no log ever sees.
 */
export function backToPortal(portalUrl: string, told: Readonly<Record<string, string>>, refreshToken?: string): BrowserAnswer<undefined> {
  const csrf = refreshToken === undefined ? undefined : csrfToken(cookieSecret(), sidOf(refreshToken));
  const fragment = new URLSearchParams({ ...told, ...(csrf === undefined ? {} : { csrfToken: csrf }) });
  const cookies = refreshToken === undefined || csrf === undefined ? [] : sessionCookies(refreshToken, csrf, runtime().config.sessionIdleSeconds);
  return new BrowserAnswer({ redirect: `${portalUrl.replace(/#.*$/, '')}#${fragment.toString()}`, cookies });
}
