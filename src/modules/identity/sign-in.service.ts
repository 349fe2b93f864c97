import { PLATFORM_COMPANY_ID, inCompany, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict, unauthenticated } from '../../platform/errors.ts';
import { randomToken } from '../../platform/ids.ts';
import type { ConnectionFacts } from '../../platform/route.ts';
import { runtime } from '../../platform/runtime.ts';
import { sameHash } from '../../platform/tokens.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import type { Company } from '../companies/index.ts';
import { userByEmail } from './access.queries.ts';
import { registerCompany, type Registration } from './account.service.ts';
import { kit } from './identity.kit.ts';
import { parseEmail } from './identity.rules.ts';
import { assertSecondFactor } from './mfa.factor.service.ts';
import { acceptInvitation, type Acceptance } from './invitation.service.ts';
import { assertMayEnter, openSession, slotsOf, wasTold, type SlotSeen, type TokenPair } from './session.service.ts';
import { addressCounters, attemptCounters, deviceCounters, forgetFailures, underThrottle } from './throttle.service.ts';
import { users, type User } from './user.model.ts';

/** What a sign-in answers. `company` is absent for our staff. */
export interface SignedIn extends TokenPair {
  deviceToken: string;
  user: Row<User>;
  company: Row<Company> | undefined;
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
 * too many of them, except from a device that has signed in before; `mfa_required`, `invalid_otp` and 403 only after
 * the right password.
 */
export async function signIn(ctx: OutsideTx, input: Credentials, facts: ConnectionFacts): Promise<SignedIn> {
  const parsed = parseEmail(input.email);
  const email = parsed.ok ? parsed.value : input.email.trim().toLowerCase();
  const known = await userByEmail('sign-in', email);
  const deviceId = input.deviceToken === undefined ? undefined : knownDevice(known, input.deviceToken);
  const onLocked = (): Promise<void> => noteLocked(ctx, known);
  // A known device does not ask for the account's failures, so there may be some.
  let mayHaveFailed = deviceId !== undefined;
  const onFailedBefore = (): void => void (mayHaveFailed = true);
  const counters = { ...(deviceId === undefined ? { ...attemptCounters(facts.address, email), onLocked, onFailedBefore } : deviceCounters(deviceId)), tell: facts.tellAttempts };
  const isFailure = (error: unknown): boolean => error instanceof AppError && (error.code === 'invalid_credentials' || error.code === 'invalid_otp');
  const prove = async (): Promise<Row<User>> => {
    const user = await assertPassword(known, input.password);
    await assertSecondFactor(ctx, user, input.otp);
    return user;
  };
  const user = await underThrottle(counters, prove, isFailure);
  const [company, slots] = await Promise.all([assertMayEnter(user), slotsOf(user._id)]);
  if (mayHaveFailed) await forgetFailures(email);
  await strengthen(ctx, user, input.password);
  if (deviceId !== undefined && input.deviceToken !== undefined) return { ...(await openSession(user, facts, { slots })), deviceToken: input.deviceToken, user, company };
  return { ...(await openOnNewDevice(ctx, user, { facts, slots })), deviceToken: newDeviceToken(user), user, company };
}

/** Mails the owner, but not again for the same address and program while that session is among his last ones. */
async function openOnNewDevice(ctx: OutsideTx, user: Row<User>, { facts, slots }: { facts: ConnectionFacts; slots: readonly SlotSeen[] }): Promise<TokenPair> {
  if (!wasTold(slots, facts)) await tellOfNewDevice(ctx, user, facts);
  return openSession(user, facts, { slots, told: true });
}

async function tellOfNewDevice(ctx: OutsideTx, user: Row<User>, facts: ConnectionFacts): Promise<void> {
  await withTransaction(inCompany(ctx, user.companyId), async (ctx) => {
    await noteSecurityEvent(ctx, { type: 'security.new_device', userId: user._id, address: facts.address });
  });
}

/** Writes the same for accounts that exist and that do not, so that neither time nor answer tells them apart. */
async function noteLocked(ctx: OutsideTx, user: Row<User> | undefined): Promise<void> {
  await withTransaction(inCompany(ctx, user?.companyId ?? PLATFORM_COMPANY_ID), async (ctx) => {
    await noteSecurityEvent(ctx, { type: 'security.lockout', userId: user?._id });
  });
}

async function assertPassword(user: Row<User> | undefined, password: string): Promise<Row<User>> {
  const fits = await kit().passwords.verify(user?.passwordHash, password);
  if (!user || !fits) throw unauthenticated('invalid_credentials', 'E-mail or password is wrong');
  return user;
}

const passwordChanged = (): AppError => conflict('password_changed', 'The password has changed');

/** Hashes again when the parameters have grown since; a change meanwhile wins. */
async function strengthen(ctx: OutsideTx, user: Row<User>, password: string): Promise<void> {
  const { passwords } = kit();
  if (user.passwordHash === undefined || !passwords.needsRehash(user.passwordHash)) return;
  const passwordHash = await passwords.hash(password);
  await withTransaction(inCompany(ctx, user.companyId), async (ctx) =>
    users.update(ctx, user._id, { $set: { passwordHash } }, { where: { passwordHash: user.passwordHash }, otherwise: passwordChanged }),
  ).catch((error: unknown) => runtime().log.warn('password.rehash_failed', { requestId: ctx.requestId, userId: user._id, error }));
}

/** Signs in somebody who has proved who he is in another way than by a password here; tells him of a new device. */
export async function enter(ctx: OutsideTx, user: Row<User>, facts: ConnectionFacts): Promise<SignedIn> {
  const [company, slots] = await Promise.all([assertMayEnter(user), slotsOf(user._id)]);
  return { ...(await openOnNewDevice(ctx, user, { facts, slots })), deviceToken: newDeviceToken(user), user, company };
}

/** Accepts an invitation and signs its new member in. */
export async function joinCompany(ctx: OutsideTx, input: Acceptance, facts: ConnectionFacts): Promise<SignedIn> {
  const user = await acceptInvitation(ctx, input);
  const company = await assertMayEnter(user);
  return { ...(await openSession(user, facts)), deviceToken: newDeviceToken(user), user, company };
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
