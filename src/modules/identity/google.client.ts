import * as oauth from 'oauth4webapi';
import { makeBreaker } from '../../platform/breaker.ts';
import { nowMs } from '../../platform/clock.ts';
import { AppError, forbidden, invalid, notFound, unauthenticated, unavailable } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { kit } from './identity.kit.ts';

/** Who Google says has signed in, and what it gave us to ask further. */
export interface GooglePerson {
  issuer: string;
  subject: string;
  email: string;
  name: string;
  accessToken: string;
  refreshToken?: string;
}

const SCOPES = 'openid email profile';
const KEEP_MS = 3_600_000;

interface Provider {
  server: oauth.AuthorizationServer;
  client: oauth.Client;
  secret: string;
}

let known: { issuer: string; server: oauth.AuthorizationServer; untilMs: number } | undefined;

/** Where our users come back to. */
export function callbackUrl(): string {
  const { publicUrl, host, port } = runtime().config;
  return `${(publicUrl ?? `http://${host}:${port}`).replace(/\/+$/, '')}/v1/auth/oauth/google/callback`;
}

/** Nothing of a running sign-in is stored in clear: PKCE verifier and nonce follow from its state. */
function secretsOf(state: string): { verifier: string; nonce: string } {
  const { tokens } = kit();
  return { verifier: tokens.hash('oauth', `verifier|${state}`), nonce: tokens.hash('oauth', `nonce|${state}`) };
}

/** The page of Google to send a browser to; 404 `google_not_configured`, 503 `google_unavailable`. */
export async function authorizationUrl(state: string): Promise<string> {
  const { server, client } = await provider();
  const { verifier, nonce } = secretsOf(state);
  const url = new URL(server.authorization_endpoint ?? '');
  const asked = {
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: callbackUrl(),
    scope: SCOPES,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    prompt: 'select_account',
  };
  for (const [key, value] of Object.entries(asked)) url.searchParams.set(key, value);
  return url.href;
}

/** Exchanges the code of a callback; signature, issuer, audience, times and nonce of the ID token are all checked. */
export async function exchange(callback: URLSearchParams, state: string): Promise<GooglePerson> {
  const { server, client, secret } = await provider();
  const { verifier, nonce } = secretsOf(state);
  try {
    const checked = oauth.validateAuthResponse(server, client, callback, state);
    const response = await oauth.authorizationCodeGrantRequest(server, client, oauth.ClientSecretPost(secret), checked, callbackUrl(), verifier, options());
    if (response.status >= 500) throw googleAway();
    const result = await oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce, requireIdToken: true });
    await oauth.validateApplicationLevelSignature(server, response, options());
    return personOf(result);
  } catch (error) {
    throw told(error);
  }
}

function personOf(result: oauth.TokenEndpointResponse): GooglePerson {
  const claims = oauth.getValidatedIdTokenClaims(result);
  const { email, email_verified: verified, name } = (claims ?? {}) as { email?: unknown; email_verified?: unknown; name?: unknown };
  if (!claims || typeof email !== 'string' || verified !== true) throw forbidden('google_email_unverified', 'Google has not verified the e-mail address of this account');
  const person = { issuer: claims.iss, subject: claims.sub, email, name: typeof name === 'string' && name.trim() !== '' ? name.slice(0, 200) : (email.split('@')[0] ?? email) };
  return { ...person, accessToken: result.access_token, ...(result.refresh_token === undefined ? {} : { refreshToken: result.refresh_token }) };
}

/** Whose Google account a refresh token is of: its subject. Undefined when Google does not take the token or says nothing. */
export async function subjectOf(refreshToken: string): Promise<string | undefined> {
  try {
    const { server, client, secret } = await provider();
    const response = await oauth.refreshTokenGrantRequest(server, client, oauth.ClientSecretPost(secret), refreshToken, options());
    const result = await oauth.processRefreshTokenResponse(server, client, response);
    if (result.id_token === undefined) return undefined;
    await oauth.validateApplicationLevelSignature(server, response, options());
    return oauth.getValidatedIdTokenClaims(result)?.sub;
  } catch (error) {
    // A token that has ended is nothing special: the account's password links the two then.
    runtime().log.info('google.grant_not_taken', { reason: (error as { code?: unknown }).code });
    return undefined;
  }
}

function googleAway(cause?: unknown, retryAfterSeconds = 5): AppError {
  return unavailable('google_unavailable', 'Google does not answer right now; try again, or sign in with your password', retryAfterSeconds, cause);
}

/** Google's own troubles are a 503, a person who declined a 400, and anything that does not check out a 401 without details. */
function told(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof oauth.AuthorizationResponseError) return invalid('google_declined', 'The sign-in with Google was not allowed or was given up');
  const isAway = error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError' || error.message === 'fetch failed');
  if (isAway) return googleAway(error);
  runtime().log.warn('google.refused', { reason: (error as { code?: unknown }).code });
  return unauthenticated('google_refused', 'The sign-in with Google could not be proved; start again');
}

async function provider(): Promise<Provider> {
  const { googleClientId, googleClientSecret, googleIssuer } = runtime().config;
  if (googleClientId === undefined || googleClientSecret === undefined) throw notFound('google_sign_in');
  const client = { client_id: googleClientId, [oauth.clockTolerance]: 30 };
  if (known?.issuer !== googleIssuer || known.untilMs < nowMs()) known = { issuer: googleIssuer, server: await discover(googleIssuer), untilMs: nowMs() + KEEP_MS };
  return { server: known.server, client, secret: googleClientSecret };
}

async function discover(issuer: string): Promise<oauth.AuthorizationServer> {
  try {
    const url = new URL(issuer);
    return await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: 'oidc', ...options() }));
  } catch (error) {
    throw error instanceof AppError ? error : googleAway(error);
  }
}

const breaker = makeBreaker({ name: 'google', refusal: (seconds) => googleAway(undefined, seconds) });

/** A local stand-in speaks plain HTTP; production never does. */
function options() {
  const { googleTimeoutMs, nodeEnv } = runtime().config;
  const guarded = (url: string, request: object): Promise<Response> => breaker.run(() => fetch(url, request), ({ status }) => status >= 500);
  return { signal: AbortSignal.timeout(googleTimeoutMs), [oauth.customFetch]: guarded, ...(nodeEnv === 'production' ? {} : { [oauth.allowInsecureRequests]: true as const }) };
}
