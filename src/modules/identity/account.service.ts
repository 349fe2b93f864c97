import { now, nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, inCompany, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict, invalid, unauthenticated } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { newId, randomToken } from '../../platform/ids.ts';
import type { StaffRole } from '../../platform/permissions.ts';
import type { ConnectionFacts } from '../../platform/route.ts';
import { runtime } from '../../platform/runtime.ts';
import { sameHash } from '../../platform/tokens.ts';
import { createCompany, noteEmailVerified, ownCompany, type Company } from '../companies/index.ts';
import { queueMail } from '../notifications/index.ts';
import { everywhere } from './access.queries.ts';
import { assertGoodPassword, kit, portalLink } from './identity.kit.ts';
import { parseEmail, parseName, parsePhone } from './identity.rules.ts';
import { verificationMail } from './mail.rules.ts';
import { assertMayEnter, openSession, type TokenPair } from './session.service.ts';
import { addressCounters, attemptCounters, deviceCounters, forgetFailures, underThrottle } from './throttle.service.ts';
import { oneTimeTokens, users, type OneTimeToken, type TokenKind, type User } from './user.model.ts';

export interface Registration {
  companyName: string;
  name: string;
  email: string;
  phone: string;
  password: string;
}

/** What a sign-in answers. `company` is absent for our staff. */
export interface SignedIn extends TokenPair {
  deviceToken: string;
  user: Row<User>;
  company: Row<Company> | undefined;
}

const KEEP_TOKENS_MS = 7 * 86_400_000;

/**
 * Opens a company's account with its owner, in one transaction with the mail that proves the address. 409
 * `email_taken` for an address that any company's user has; 400 naming all faulty fields.
 */
export async function registerCompany(ctx: OutsideTx, input: Registration, options: { emailVerified?: boolean } = {}): Promise<{ user: Row<User>; company: Row<Company> }> {
  const faults = makeFaults();
  const email = faults.take('email', parseEmail(input.email));
  const name = parseName(faults, 'name', input.name);
  const companyName = parseName(faults, 'companyName', input.companyName);
  const phone = parsePhone(faults, input.phone) ?? '';
  faults.throwIfAny();
  await assertGoodPassword(input.password, { email, name, companyName });
  await assertEmailFree(email);
  const secrets = await newPassword(input.password);
  return withTransaction(inCompany(ctx, newId()), async (ctx) => {
    const company = await createCompany(ctx, { name: companyName, email, phone });
    const user = await addUser(ctx, { email, name, phone, role: 'owner', ...secrets, ...(options.emailVerified ? { emailVerifiedAt: now() } : {}) });
    if (options.emailVerified) await noteEmailVerified(ctx);
    else await askToVerify(ctx, user);
    return { user, company };
  }).catch(asEmailTaken);
}

/** Registers and signs in; attempts with addresses that are taken count as failures of the caller's address. */
export async function signUp(ctx: OutsideTx, input: Registration, facts: ConnectionFacts): Promise<SignedIn> {
  const isTaken = (error: unknown): boolean => error instanceof AppError && error.code === 'email_taken';
  const { user, company } = await underThrottle(addressCounters(facts.address), () => registerCompany(ctx, input), isTaken);
  return { ...(await openSession(user, facts)), deviceToken: newDeviceToken(user), user, company };
}

export interface Credentials {
  email: string;
  password: string;
  otp?: string;
  deviceToken?: string;
}

/**
 * Signs in. 401 `invalid_credentials` for an unknown address and a wrong password alike; 429 `too_many_attempts` after
 * too many of them, except from a device that has signed in before; 403 only after the right password.
 */
export async function signIn(ctx: OutsideTx, input: Credentials, facts: ConnectionFacts): Promise<SignedIn> {
  const parsed = parseEmail(input.email);
  const email = parsed.ok ? parsed.value : input.email.trim().toLowerCase();
  const known = await users.findOne(ctx, { email });
  const deviceId = input.deviceToken === undefined ? undefined : knownDevice(known, input.deviceToken);
  const counters = deviceId === undefined ? attemptCounters(facts.address, email) : deviceCounters(deviceId);
  const isFailure = (error: unknown): boolean => error instanceof AppError && error.code === 'invalid_credentials';
  const user = await underThrottle(counters, () => assertPassword(known, input.password), isFailure);
  const company = await assertMayEnter(user);
  await forgetFailures(email);
  await strengthen(ctx, user, input.password);
  const deviceToken = deviceId === undefined || input.deviceToken === undefined ? newDeviceToken(user) : input.deviceToken;
  return { ...(await openSession(user, facts)), deviceToken, user, company };
}

async function assertPassword(user: Row<User> | undefined, password: string): Promise<Row<User>> {
  const fits = await kit().passwords.verify(user?.passwordHash, password);
  if (!user || !fits) throw unauthenticated('invalid_credentials', 'E-mail or password is wrong');
  return user;
}

/** Hashes again when the parameters have grown since; a change meanwhile wins. */
async function strengthen(ctx: OutsideTx, user: Row<User>, password: string): Promise<void> {
  const { passwords } = kit();
  if (!passwords.needsRehash(user.passwordHash)) return;
  const passwordHash = await passwords.hash(password);
  await withTransaction(inCompany(ctx, user.companyId), async (ctx) =>
    users.update(ctx, user._id, { $set: { passwordHash } }, { where: { passwordHash: user.passwordHash }, otherwise: () => conflict('password_changed', 'The password has changed') }),
  ).catch((error: unknown) => runtime().log.warn('password.rehash_failed', { userId: user._id, error }));
}

/** A password as it is stored. Slow on purpose: never inside a transaction. */
export async function newPassword(password: string): Promise<{ passwordHash: string; passwordSetAt: Date }> {
  return { passwordHash: await kit().passwords.hash(password), passwordSetAt: now() };
}

/** 409 `email_taken` when any company's user has this address. */
export async function assertEmailFree(email: string): Promise<void> {
  if (await users.findOne(everywhere('sign-up'), { email }, { fields: ['_id'] })) throw emailTaken();
}

function emailTaken(): AppError {
  return conflict('email_taken', 'Somebody has signed up with this e-mail address already; sign in, or reset the password');
}

/** The refusal of a sign-up that lost a race for its address, by its proper name. */
export function asEmailTaken(error: unknown): never {
  throw error instanceof AppError && error.code === 'user_exists' ? emailTaken() : error;
}

/** Adds a user to the Tx's company; active, with the epoch of the limits he starts under. */
export async function addUser(tx: Tx, user: Omit<User, 'status' | 'epoch' | 'minEpoch'>): Promise<Row<User>> {
  return users.insert(tx, { ...user, status: 'active', epoch: user.locationIds === undefined ? 0 : 1, minEpoch: 0 });
}

/** Makes a member of our staff under the platform's own id, with a proved address; 409 `email_taken`. */
export async function createOperator(ctx: OutsideTx, input: { email: string; name: string; role: StaffRole; password: string }): Promise<Row<User>> {
  const faults = makeFaults();
  const email = faults.take('email', parseEmail(input.email));
  const name = parseName(faults, 'name', input.name);
  faults.throwIfAny();
  await assertGoodPassword(input.password, { email, name });
  await assertEmailFree(email);
  const secrets = await newPassword(input.password);
  return withTransaction(inCompany(ctx, PLATFORM_COMPANY_ID), async (ctx) => addUser(ctx, { email, name, role: input.role, ...secrets, emailVerifiedAt: now() })).catch(asEmailTaken);
}

/** Stores a new one-time token and answers its secret, for a mail. */
export async function mintToken(tx: Tx, token: Pick<OneTimeToken, 'purpose' | 'email' | 'userId' | 'role' | 'locationIds'>, seconds: number): Promise<{ secret: string; row: Row<OneTimeToken> }> {
  const { token: secret, hash } = kit().tokens.mint(token.purpose);
  const expiresAt = new Date(nowMs() + seconds * 1000);
  const row = await oneTimeTokens.insert(tx, { ...token, hash, expiresAt, purgeAt: new Date(expiresAt.getTime() + KEEP_TOKENS_MS) });
  return { secret, row };
}

/** The live token behind a mailed secret, in whatever company; 400 `token_invalid` for any other text. */
export async function findToken(purpose: TokenKind, secret: string): Promise<Row<OneTimeToken>> {
  const row = await oneTimeTokens.findOne(everywhere('mailed link'), { hash: kit().tokens.hash(purpose, secret) });
  if (!row || row.purpose !== purpose || row.usedAt || row.expiresAt <= now()) throw tokenInvalid();
  return row;
}

/** Uses a token up with the caller's transaction: of many at once one succeeds, the others get 400 `token_invalid`. */
export async function useToken(tx: Tx, token: Row<OneTimeToken>): Promise<void> {
  const where = { usedAt: { $exists: false }, expiresAt: { $gt: now() } };
  await oneTimeTokens.update(tx, token._id, { $set: { usedAt: now() } }, { where, otherwise: tokenInvalid });
}

function tokenInvalid(): AppError {
  return invalid('token_invalid', 'This link is not valid, was used already, or has ended; ask for a new one');
}

/** Mails the user a link that proves the address. */
export async function askToVerify(tx: Tx, user: Row<User>): Promise<void> {
  const { secret } = await mintToken(tx, { purpose: 'verifyEmail', email: user.email, userId: user._id }, runtime().config.verifyTokenSeconds);
  await queueMail(tx, verificationMail({ to: user.email, name: user.name, link: portalLink('verify-email', secret) }));
}

/** Proves an address by the mailed secret, once; the first proof of an owner counts for the company. */
export async function verifyEmail(ctx: OutsideTx, secret: string): Promise<void> {
  const token = await findToken('verifyEmail', secret);
  await withTransaction(inCompany(ctx, token.companyId), async (ctx) => {
    const user = await users.findOne(ctx, { _id: token.userId ?? '', email: token.email });
    if (!user) throw tokenInvalid();
    await useToken(ctx, token);
    if (!user.emailVerifiedAt) await users.update(ctx, user._id, { $set: { emailVerifiedAt: now() } }, { version: user.version });
    if (user.role === 'owner') await noteEmailVerified(ctx);
  });
}

/** Mails the verification link again; does nothing when the address is proved already. */
export async function resendVerification(ctx: OutsideTx): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const user = await users.get(ctx, ctx.actor.id);
    if (!user.emailVerifiedAt) await askToVerify(ctx, user);
  });
}

/** The one who asks. */
export async function ownUser(ctx: Ctx): Promise<Row<User>> {
  return users.get(ctx, ctx.actor.id);
}

/** Changes the asker's own name or phone under the version that was seen. */
export async function changeOwnUser(ctx: OutsideTx, change: { name?: string; phone?: string }, version: number): Promise<Row<User>> {
  const faults = makeFaults();
  const name = change.name === undefined ? undefined : parseName(faults, 'name', change.name);
  const phone = parsePhone(faults, change.phone);
  faults.throwIfAny();
  return withTransaction(ctx, async (ctx) => users.update(ctx, ctx.actor.id, { $set: { name, phone } }, { version }));
}

/** The name of the company of this ctx. */
export async function companyName(ctx: Ctx): Promise<string> {
  return (await ownCompany(ctx)).name;
}

/** A token that lets its device try while the account is locked; it ends with the password and is stored nowhere. */
function newDeviceToken(user: Row<User>): string {
  const random = randomToken(16);
  return `dd1.${user._id}.${random}.${deviceMac(user, random)}`;
}

/** The id of a device that has signed in as this user since the password was set. */
function knownDevice(user: Row<User> | undefined, token: string): string | undefined {
  const match = /^dd1\.([0-9a-f]{24})\.([\w-]{22})\.([\w-]{43})$/.exec(token);
  const [, userId, random = '', mac = ''] = match ?? [];
  if (!user || userId !== user._id || !sameHash(mac, deviceMac(user, random))) return undefined;
  return `${userId}.${random}`;
}

function deviceMac(user: Row<User>, random: string): string {
  return kit().tokens.hash('device', `${user._id}|${random}|${user.passwordSetAt.getTime()}`);
}
