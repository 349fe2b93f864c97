import { now } from '../../platform/clock.ts';
import { inCompany, systemCtx, PLATFORM_COMPANY_ID, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { declareSealedRows } from '../../platform/db/renew-rows.ts';
import { openText, sealText, type Place } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { ownCompany } from '../companies/index.ts';
import { queueMail } from '../notifications/index.ts';
import { noteGrant } from './access.ts';
import { everywhere, userByEmail } from './access.queries.ts';
import { newPassword } from './account.service.ts';
import { contactOf } from './contact.queries.ts';
import { assertGoodPassword, kit, portalLink } from './identity.kit.ts';
import { parseEmail } from './identity.rules.ts';
import { resetMail } from './mail.rules.ts';
import { assertFresh } from './reauth.service.ts';
import { endOthersForSure, endSessions } from './session.service.ts';
import { openLock } from './throttle.service.ts';
import { findToken, mintToken, tokenInvalid, useOthers, useToken } from './token.service.ts';
import { oneTimeTokens, users, type User } from './user.model.ts';

/** Nobody's mailbox is filled by strangers. */
const MAX_OPEN_RESETS = 5;

/**
 * Asks for a reset mail. Known and unknown addresses take the same way, which is a queued job: neither answer nor time
 * tells them apart. One open request an address.
 */
export async function forgotPassword(ctx: OutsideTx, text: string): Promise<void> {
  const parsed = parseEmail(text);
  if (!parsed.ok) return;
  const email = parsed.value;
  const address = kit().blind(email);
  const payload: ResetPayload = { address, sealed: await sealText(SERVICE, placeOf(address), email) };
  await withTransaction(systemCtx('password-forgot', PLATFORM_COMPANY_ID, ctx.requestId), async (ctx) => {
    ctx.enqueue({ name: 'identity.send-reset', payload: { ...payload }, dedupeKey: address });
  });
}

/** What waits in the job: whoever's address somebody typed, sealed, under its keyed hash. */
export interface ResetPayload {
  address: string;
  sealed: string;
}

const SERVICE = { companyId: PLATFORM_COMPANY_ID, purpose: 'system' } as const;

function placeOf(address: string): Place {
  return { collection: 'jobs', id: address, path: 'payload.sealed' };
}

declareSealedRows({ collection: 'jobs', path: 'payload.sealed', idPath: 'payload.address' });

/** Mails a reset link to an active user with this address, if there is one. */
export async function sendReset(ctx: OutsideTx, { address, sealed }: ResetPayload): Promise<void> {
  const user = await userByEmail('password reset', await openText(SERVICE, placeOf(address), sealed));
  if (!user || user.status !== 'active') return;
  const live = { userId: user._id, purpose: 'resetPassword' as const, usedAt: { $exists: false }, expiresAt: { $gt: now() } };
  if ((await oneTimeTokens.count(everywhere('password reset'), live, MAX_OPEN_RESETS)) >= MAX_OPEN_RESETS) return;
  const seconds = runtime().config.resetTokenSeconds;
  // To the address that the account has, whatever was typed: an index that was moved in the database must not lead to another.
  const { email, name } = contactOf(user);
  await withTransaction(inCompany(ctx, user.companyId), async (ctx) => {
    const { secret } = await mintToken(ctx, { purpose: 'resetPassword', email, userId: user._id }, seconds);
    const link = portalLink('reset-password', secret);
    await queueMail(ctx, resetMail({ to: email, name, link, minutes: Math.max(1, Math.floor(seconds / 60)) }));
  });
}

/**
 * Sets a new password by the mailed secret, once: every session ends, every other reset link dies, the owner is told
 * by mail, and a lock-out is lifted. It signs nobody in.
 */
export async function resetPassword(ctx: OutsideTx, secret: string, password: string): Promise<void> {
  const token = await findToken('resetPassword', secret);
  const across = everywhere('password reset');
  const user = await users.findOne(across, { ...users.blind(across, 'email', token.email.reveal()), _id: token.userId ?? '' });
  if (!user) throw tokenInvalid();
  const own = inCompany(ctx, user.companyId);
  await assertGoodFor(own, user, password);
  const secrets = await newPassword(password);
  const changed = await withTransaction(own, async (ctx) => {
    const seen = await users.get(ctx, user._id);
    await useToken(ctx, token);
    const epoch = seen.epoch + 1;
    const row = await users.update(ctx, user._id, { $set: { ...secrets, epoch, minEpoch: epoch } }, { version: seen.version });
    await useOthers(ctx, user._id, 'resetPassword');
    await noteSecurityEvent(ctx, { type: 'security.password_reset', userId: user._id });
    return row;
  });
  noteGrant(changed);
  await endSessions(user._id, 'password');
  await openLock(user.email.shown());
}

/** The password rules with the user's own names; `own` is a ctx of his company. */
async function assertGoodFor(own: OutsideTx, user: Row<User>, password: string): Promise<void> {
  const company = user.companyId === PLATFORM_COMPANY_ID ? undefined : await ownCompany(own);
  await assertGoodPassword(password, { email: user.email.shown(), name: user.name.shown(), ...(company ? { companyName: company.name } : {}) });
}

export interface NewPassword {
  currentPassword: string;
  newPassword: string;
  otp?: string;
}

/**
 * Changes the asker's password, proved by the present one. His other sessions end, open reset links and known devices
 * are worth nothing any more, the session that asks goes on; he is told by mail.
 */
export async function changePassword(ctx: OutsideTx, input: NewPassword): Promise<void> {
  const user = await assertFresh(ctx, { password: input.currentPassword, ...(input.otp === undefined ? {} : { otp: input.otp }) });
  await assertGoodFor(ctx, user, input.newPassword);
  const secrets = await newPassword(input.newPassword);
  const { sessionId: except } = ctx.actor;
  await withTransaction(ctx, async (ctx) => {
    const where = { passwordSetAt: user.passwordSetAt };
    await users.update(ctx, user._id, { $set: secrets }, { where, otherwise: () => conflict('password_changed', 'The password has changed meanwhile') });
    await useOthers(ctx, user._id, 'resetPassword');
    await noteSecurityEvent(ctx, { type: 'security.password_changed', userId: user._id });
    endOthersForSure(ctx, user._id, { because: 'password', except });
  });
  await endSessions(user._id, 'password', { except });
}
