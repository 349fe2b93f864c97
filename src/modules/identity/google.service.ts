import { BrowserAnswer, readCookie, type BrowserFacts, type Cookie } from '../../platform/browser.ts';
import { now, nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, inCompany, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { openText, seal, sealText } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict, invalid, unauthenticated } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { randomToken, sameText } from '../../platform/ids.ts';
import type { ConnectionFacts } from '../../platform/route.ts';
import { runtime } from '../../platform/runtime.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { everywhere, userByEmail } from './access.queries.ts';
import { registerCompany } from './account.service.ts';
import { backToPortal, type SessionForm } from './cookie.service.ts';
import { authorizationUrl, exchange, subjectOf, type GooglePerson } from './google.client.ts';
import { googleLinks, oauthGrants, oauthStates, type OauthState } from './google.model.ts';
import { kit } from './identity.kit.ts';
import { parseEmail } from './identity.rules.ts';
import { assertSecondFactor } from './mfa.factor.service.ts';
import { enter, type SignedIn } from './sign-in.service.ts';
import { attemptCounters, underThrottle } from './throttle.service.ts';
import { tokenInvalid } from './token.service.ts';
import { users, type User } from './user.model.ts';

const STATE_MS = 10 * 60_000;
const STATE_COOKIE = '__Host-dakiya-oauth';
const SERVICE = { companyId: PLATFORM_COMPANY_ID, purpose: 'system' } as const;
const placeOf = (id: string) => ({ collection: 'oauth_states', id, path: 'sealed' });

/**
 * Sends the browser to Google, with a state that only this browser can bring back, once, within ten minutes. A person whom
 * a portal waits for gets cookies unless he says otherwise.
 */
export async function startGoogle(wished: SessionForm | undefined, { wantsPage }: BrowserFacts): Promise<BrowserAnswer<undefined>> {
  const form = wished ?? (wantsPage && runtime().config.portalUrl !== undefined ? 'cookie' : 'token');
  const state = randomToken(32);
  const redirect = await authorizationUrl(state);
  await oauthStates.insert({ _id: idOf(state), kind: 'state', form, expireAt: new Date(nowMs() + STATE_MS) });
  return new BrowserAnswer({ redirect, cookies: [stateCookie(state, STATE_MS / 1000)] });
}

/** Our cookie comes along when Google's page sends the browser back, which Strict would not allow. */
function stateCookie(value: string, maxAgeSeconds: number): Cookie {
  return { name: STATE_COOKIE, value, maxAgeSeconds, httpOnly: true, sameSite: 'Lax' };
}

/**
 * Signs in who comes back from Google. 400 `google_state_invalid` for a state that is not this browser's, was used or has
 * ended. What is still missing is asked for with a `ticket` for `completeGoogle`: 401 `mfa_required`, 409
 * `google_link_required` (an account with this address has a password: it is never taken over by the address alone), 409
 * `google_registration_required`. With PORTAL_URL a browser that asked for cookies is sent back there instead, with the
 * outcome behind the `#`.
 */
export async function finishGoogle(ctx: OutsideTx, callback: Record<string, string>, { browser, facts }: { browser: BrowserFacts; facts: ConnectionFacts }): Promise<GoogleAnswer> {
  const { state = '' } = callback;
  const own = readCookie(browser, STATE_COOKIE);
  const row = own !== undefined && sameText(own, state) ? await take(state, 'state') : undefined;
  const { portalUrl } = runtime().config;
  const portal = (row ? row.form === 'cookie' : browser.wantsPage) ? portalUrl : undefined;
  try {
    const signedIn = await signInByCallback(ctx, callback, { row, facts });
    return portal === undefined ? signedIn : backToPortal(portal, { google: 'signed_in' }, signedIn.refreshToken);
  } catch (error) {
    if (portal === undefined || !(error instanceof AppError)) throw error;
    const ticket = error.details?.['ticket'];
    return backToPortal(portal, { google: error.code, ...(typeof ticket === 'string' ? { ticket } : {}) });
  }
}

export type GoogleAnswer = (SignedIn & { form: SessionForm }) | BrowserAnswer<undefined>;

async function signInByCallback(ctx: OutsideTx, callback: Record<string, string>, { row, facts }: { row: OauthState | undefined; facts: ConnectionFacts }): Promise<SignedIn & { form: SessionForm }> {
  if (!row) throw invalid('google_state_invalid', 'This sign-in was not started in this browser, was used already, or has ended; start again');
  const person = await exchange(new URLSearchParams(callback), callback['state'] ?? '');
  const linked = (await linkedUser(person)) ?? (await linkFormer(ctx, person));
  if (linked && !linked.mfaEnabledAt) return { ...(await enter(ctx, linked, facts)), form: row.form };
  const ticket = await makeTicket(person, row.form);
  if (linked) throw new AppError('unauthenticated', 'mfa_required', 'Send the ticket with otp to /v1/auth/oauth/google/complete', { ticket });
  if (await userOf(person)) throw conflict('google_link_required', 'An account with this address exists: send the ticket with its password to /v1/auth/oauth/google/complete', { ticket });
  throw conflict('google_registration_required', 'Send the ticket with companyName and phone to /v1/auth/oauth/google/complete', { ticket });
}

export interface Completion {
  ticket: string;
  password?: string;
  otp?: string;
  companyName?: string;
  phone?: string;
}

/** Ends a sign-in with Google by what was missing: the second factor, the password of the account, or the company's name. */
export async function completeGoogle(ctx: OutsideTx, input: Completion, facts: ConnectionFacts): Promise<SignedIn> {
  const id = idOf(input.ticket);
  const row = await oauthStates.findOne({ _id: id, kind: 'ticket', expireAt: { $gt: now() } });
  if (!row?.sealed) throw tokenInvalid();
  const person = JSON.parse(await openText(SERVICE, placeOf(id), row.sealed)) as GooglePerson;
  const linked = await linkedUser(person);
  const known = linked ?? (await userOf(person));
  if (!known) return enter(ctx, await register(ctx, person, input), facts);
  const prove = async (): Promise<void> => {
    if (!linked && !(await kit().passwords.verify(known.passwordHash, input.password ?? ''))) throw unauthenticated('invalid_credentials', 'The password is wrong');
    await assertSecondFactor(ctx, known, input.otp);
  };
  const isFailure = (error: unknown): boolean => error instanceof AppError && error.kind === 'unauthenticated' && error.code !== 'mfa_required';
  await underThrottle({ ...attemptCounters(facts.address, known.email.reveal()), tell: facts.tellAttempts }, prove, isFailure);
  if (!(await take(input.ticket, 'ticket'))) throw tokenInvalid();
  if (!linked) await withTransaction(inCompany(ctx, known.companyId), async (ctx) => link(ctx, known, person));
  return enter(ctx, known, facts);
}

async function register(ctx: OutsideTx, person: GooglePerson, { ticket, companyName, phone }: Completion): Promise<Row<User>> {
  const faults = makeFaults();
  if (companyName === undefined) faults.add('companyName', 'is required to open an account');
  if (phone === undefined) faults.add('phone', 'is required to open an account');
  faults.throwIfAny();
  if (!(await take(ticket, 'ticket'))) throw tokenInvalid();
  const { email, name } = person;
  const input = { email, name, companyName: companyName ?? '', phone: phone ?? '' };
  const { user } = await registerCompany(ctx, input, { emailVerified: true, also: (tx, user) => link(tx, user, person) });
  return user;
}

async function link(tx: Tx, user: Row<User>, person: GooglePerson): Promise<void> {
  const { accessToken, refreshToken } = person;
  const tokens = { accessToken: seal<string>(accessToken), ...(refreshToken === undefined ? {} : { refreshToken: seal<string>(refreshToken) }) };
  await googleLinks.insert(tx, { userId: user._id, subjectHash: subjectHash(person), ...tokens });
  await forgetGrants(tx, user._id);
  await noteSecurityEvent(tx, { type: 'security.identity_linked', userId: user._id, details: { provider: 'google' } });
}

/**
 * Links who was linked in the former product: the user of this verified address, when Google says that the refresh token
 * kept for him is of this very account.
 */
async function linkFormer(ctx: OutsideTx, person: GooglePerson): Promise<Row<User> | undefined> {
  const user = await userOf(person);
  const grant = user && (await oauthGrants.findOne(inCompany(ctx, user.companyId), { userId: user._id, provider: 'google' }));
  const refreshToken = grant?.refreshToken?.opened();
  if (!user || refreshToken === undefined || (await subjectOf(refreshToken)) !== person.subject) return undefined;
  await withTransaction(inCompany(ctx, user.companyId), async (ctx) => link(ctx, user, person));
  return user;
}

/** What was kept of a user's Google account in the former product: of no use once he is linked, or gone. */
export async function forgetGrants(tx: Tx, userId: string): Promise<void> {
  for (const grant of await oauthGrants.find(tx, { userId }, { limit: 100 })) await oauthGrants.remove(tx, grant._id, { version: grant.version });
}

async function linkedUser(person: GooglePerson): Promise<Row<User> | undefined> {
  const found = await googleLinks.findOne(everywhere('Google sign-in'), { subjectHash: subjectHash(person) });
  return found && users.findOne(everywhere('Google sign-in'), { _id: found.userId });
}

async function userOf({ email }: GooglePerson): Promise<Row<User> | undefined> {
  const parsed = parseEmail(email);
  return parsed.ok ? userByEmail('Google sign-in', parsed.value) : undefined;
}

function subjectHash({ issuer, subject }: GooglePerson): string {
  return kit().tokens.hash('oauth', `subject|${issuer}|${subject}`);
}

async function makeTicket(person: GooglePerson, form: SessionForm): Promise<string> {
  const ticket = randomToken(32);
  const id = idOf(ticket);
  const sealed = await sealText(SERVICE, placeOf(id), JSON.stringify(person));
  await oauthStates.insert({ _id: id, kind: 'ticket', form, sealed, expireAt: new Date(nowMs() + STATE_MS) });
  return ticket;
}

/** The row of a state or ticket, for one of those who ask at the same time. */
async function take(secret: string, kind: OauthState['kind']): Promise<OauthState | undefined> {
  const which = { _id: idOf(secret), kind, expireAt: { $gt: now() } };
  const row = await oauthStates.findOne(which);
  return row && (await oauthStates.remove(which)) === 1 ? row : undefined;
}

function idOf(secret: string): string {
  return kit().tokens.hash('oauth', `state|${secret}`);
}
