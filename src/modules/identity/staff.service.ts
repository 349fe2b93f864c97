import { now } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, acrossCompanies, inCompany, type Ctx, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { forbidden, notFound } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { noteGrant } from './access.ts';
import { forgetApiKeys } from './api-key.access.ts';
import { revokeKeysOf } from './api-key.service.ts';
import { mfaNotEnabled, removeFactor } from './mfa.factor.service.ts';
import { endSessions } from './session.service.ts';
import { openLock } from './throttle.service.ts';
import { users, type User, type UserStatus } from './user.model.ts';

/** Lifts the lock-out of a user's sign-in, in any company; audited. */
export async function unlockUser(ctx: OutsideTx, userId: string): Promise<Row<User>> {
  const user = await staffUser(ctx, userId);
  const row = await withTransaction(inCompany(ctx, user.companyId), async (ctx) => {
    const seen = await users.get(ctx, userId);
    await noteSecurityEvent(ctx, { type: 'security.unlocked', userId });
    return users.update(ctx, userId, { $set: { unlockedAt: now() } }, { version: seen.version });
  });
  await openLock(user.email.shown());
  return row;
}

/** Shuts a user out, or lets him in again; the sessions of one who is shut out and the API keys he knows end at once, these for good. */
export async function setUserStatus(ctx: OutsideTx, userId: string, status: UserStatus): Promise<Row<User>> {
  const user = await staffUser(ctx, userId);
  const row = await withTransaction(inCompany(ctx, user.companyId), async (ctx) => {
    const seen = await users.get(ctx, userId);
    if (seen.status === status) return seen;
    const epoch = seen.epoch + 1;
    await noteSecurityEvent(ctx, { type: status === 'disabled' ? 'security.user_disabled' : 'security.user_enabled', userId });
    if (status === 'disabled') await revokeKeysOf(ctx, userId, 'user_disabled');
    return users.update(ctx, userId, { $set: { status, epoch, minEpoch: epoch } }, { version: seen.version });
  });
  forgetApiKeys();
  noteGrant(row);
  if (status === 'disabled') await endSessions(userId, 'disabled');
  return row;
}

const REASON = { min: 10, max: 200 };

/**
 * Switches the two-step sign-in of a user off who has lost his authenticator and his recovery keys, for a reason that is
 * kept; his sessions end, and he is told by mail. 409 `mfa_not_enabled`, 403 for oneself.
 */
export async function switchOffMfa(ctx: OutsideTx, userId: string, given: string): Promise<Row<User>> {
  const faults = makeFaults();
  const reason = given.trim();
  if (reason.length < REASON.min || reason.length > REASON.max) faults.add('reason', `must have ${REASON.min} to ${REASON.max} characters`);
  faults.throwIfAny();
  const user = await staffUser(ctx, userId);
  const row = await withTransaction(inCompany(ctx, user.companyId), async (ctx) => {
    const seen = await users.get(ctx, userId);
    if (!seen.mfaEnabledAt) throw mfaNotEnabled();
    const epoch = seen.epoch + 1;
    await noteSecurityEvent(ctx, { type: 'security.mfa_disabled', userId, details: { by: 'staff', reason } });
    return removeFactor(ctx, seen, { $set: { epoch, minEpoch: epoch } });
  });
  noteGrant(row);
  await endSessions(userId, 'mfa');
  return row;
}

/** Ends the sessions of everybody in a company that is suspended or closed, and lets this process ask anew about its API keys. */
export async function shutOut(ctx: OutsideTx): Promise<void> {
  forgetApiKeys();
  await endCompanySessions(ctx);
}

/** Ends the sessions of everybody in a company. */
export async function endCompanySessions(ctx: OutsideTx): Promise<void> {
  for await (const { _id } of users.each(ctx, {}, { fields: ['_id'] })) {
    const row = await withTransaction(ctx, async (ctx) => {
      const seen = await users.findOne(ctx, { _id });
      if (!seen) return undefined;
      const epoch = seen.epoch + 1;
      return users.update(ctx, _id, { $set: { epoch, minEpoch: epoch } }, { version: seen.version });
    });
    if (row) noteGrant(row);
    await endSessions(_id, 'company');
  }
}

/** A user of any company; our own staff only for those who manage staff, and never oneself. */
async function staffUser(ctx: Ctx, userId: string): Promise<Row<User>> {
  const user = await users.findOne(acrossCompanies(ctx, 'staff decision'), { _id: userId });
  if (!user) throw notFound('user');
  if (user.companyId !== PLATFORM_COMPANY_ID || ctx.actor.kind === 'system') return user;
  if (!ctx.actor.permissions.has('admin:staff') || ctx.actor.id === userId) throw forbidden('forbidden', 'You may not decide on this member of our staff');
  return user;
}
