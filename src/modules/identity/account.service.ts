import { now } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, inCompany, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { newId } from '../../platform/ids.ts';
import type { StaffRole } from '../../platform/permissions.ts';
import { runtime } from '../../platform/runtime.ts';
import { createCompany, noteEmailVerified, type Company } from '../companies/index.ts';
import { queueMail } from '../notifications/index.ts';
import { seal } from '../../platform/db/sealed.ts';
import { userByEmail } from './access.queries.ts';
import { contactOf } from './contact.queries.ts';
import { assertGoodPassword, kit, portalLink } from './identity.kit.ts';
import { parseEmail, parseName, parsePhone } from './identity.rules.ts';
import { verificationMail } from './mail.rules.ts';
import { findToken, mintToken, tokenInvalid, useToken } from './token.service.ts';
import { users, type User } from './user.model.ts';

export interface Registration {
  companyName: string;
  name: string;
  email: string;
  phone: string;
  password: string;
}

interface RegistrationOptions {
  emailVerified?: boolean;
  anyPassword?: boolean;
  /** Further steps of the same transaction. */
  also?: (tx: Tx, user: Row<User>) => Promise<void>;
}

interface Registered {
  user: Row<User>;
  company: Row<Company>;
}

/**
 * Opens a company's account with its owner, in one transaction with the mail that proves the address. 409
 * `email_taken` for an address that any company's user has; 400 naming all faulty fields. `anyPassword` is for the demo.
 */
export async function registerCompany(ctx: OutsideTx, input: Omit<Registration, 'password'> & { password?: string }, options: RegistrationOptions = {}): Promise<Registered> {
  const faults = makeFaults();
  const email = faults.take('email', parseEmail(input.email));
  const name = parseName(faults, 'name', input.name);
  const companyName = parseName(faults, 'companyName', input.companyName);
  const phone = parsePhone(faults, input.phone) ?? '';
  faults.throwIfAny();
  if (input.password !== undefined && !options.anyPassword) await assertGoodPassword(input.password, { email, name, companyName });
  await assertEmailFree(email);
  const secrets = input.password === undefined ? { passwordSetAt: now() } : await newPassword(input.password);
  return withTransaction(inCompany(ctx, newId()), async (ctx) => {
    const company = await createCompany(ctx, { name: companyName, email, phone });
    const user = await addUser(ctx, { email, name, phone, role: 'owner', ...secrets, ...(options.emailVerified ? { emailVerifiedAt: now() } : {}) });
    if (options.emailVerified) await noteEmailVerified(ctx);
    else await askToVerify(ctx, user);
    await options.also?.(ctx, user);
    return { user, company };
  }).catch(asEmailTaken);
}

/** A password as it is stored. Slow on purpose: never inside a transaction. */
export async function newPassword(password: string): Promise<{ passwordHash: string; passwordSetAt: Date }> {
  return { passwordHash: await kit().passwords.hash(password), passwordSetAt: now() };
}

/** 409 `email_taken` when any company's user has this address. */
export async function assertEmailFree(email: string): Promise<void> {
  if (await userByEmail('sign-up', email, ['_id'])) throw emailTaken();
}

function emailTaken(): AppError {
  return conflict('email_taken', 'Somebody has signed up with this e-mail address already; sign in, or reset the password');
}

/** The refusal of a sign-up that lost a race for its address, by its proper name. */
export function asEmailTaken(error: unknown): never {
  throw error instanceof AppError && error.code === 'user_exists' ? emailTaken() : error;
}

/** A user as he is told us. */
interface NewUser extends Omit<User, 'email' | 'name' | 'phone' | 'status' | 'epoch' | 'minEpoch'> {
  email: string;
  name: string;
  phone?: string;
}

/** Adds a user to the Tx's company; active, with the epoch of the limits he starts under. */
export async function addUser(tx: Tx, { email, name, phone, ...user }: NewUser): Promise<Row<User>> {
  const person: Pick<User, 'email' | 'name' | 'phone'> = { email: seal(email), name: seal(name), ...(phone === undefined ? {} : { phone: seal(phone) }) };
  return users.insert(tx, { ...user, ...person, status: 'active', epoch: user.locationIds === undefined ? 0 : 1, minEpoch: 0 });
}

/** Makes a member of our staff under the platform's own id, with a proved address; 409 `email_taken`. */
export async function createOperator(ctx: OutsideTx, input: { email: string; name: string; role: StaffRole; password: string }, options: { anyPassword?: boolean } = {}): Promise<Row<User>> {
  const faults = makeFaults();
  const email = faults.take('email', parseEmail(input.email));
  const name = parseName(faults, 'name', input.name);
  faults.throwIfAny();
  if (!options.anyPassword) await assertGoodPassword(input.password, { email, name });
  await assertEmailFree(email);
  const secrets = await newPassword(input.password);
  return withTransaction(inCompany(ctx, PLATFORM_COMPANY_ID), async (ctx) => addUser(ctx, { email, name, role: input.role, ...secrets, emailVerifiedAt: now() })).catch(asEmailTaken);
}

/** Mails the user a link that proves the address. */
export async function askToVerify(tx: Tx, user: Row<User>): Promise<void> {
  const { email, name } = contactOf(user);
  const { secret } = await mintToken(tx, { purpose: 'verifyEmail', email, userId: user._id }, runtime().config.verifyTokenSeconds);
  await queueMail(tx, verificationMail({ to: email, name, link: portalLink('verify-email', secret) }));
}

/** Proves an address by the mailed secret, once; the first proof of an owner counts for the company. */
export async function verifyEmail(ctx: OutsideTx, secret: string): Promise<void> {
  const token = await findToken('verifyEmail', secret);
  await withTransaction(inCompany(ctx, token.companyId), async (ctx) => {
    const user = await users.findOne(ctx, { ...users.blind(ctx, 'email', token.email.reveal()), _id: token.userId ?? '' });
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
