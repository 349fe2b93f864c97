import { now, nowMs } from '../../platform/clock.ts';
import type { OutsideTx } from '../../platform/context.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { ownUser } from './account.service.ts';
import { kit } from './identity.kit.ts';
import { invalidOtp, mfaNotEnabled, removeFactor } from './mfa.factor.service.ts';
import { mfaFactors } from './mfa.model.ts';
import { newEnrolment, newRecoveryKeys, plainCode, stepOf, type Enrolment } from './mfa.rules.ts';
import { assertFresh, type Proofs } from './reauth.service.ts';
import { endOthersForSure, endSessions } from './session.service.ts';
import { sessionCounters, underThrottle } from './throttle.service.ts';
import { users } from './user.model.ts';

/** A new secret for the asker's authenticator; asks nobody for a code before `confirmMfa`. 409 `mfa_enabled` when one is in use. */
export async function enrollMfa(ctx: OutsideTx, proofs: Proofs): Promise<Enrolment> {
  const user = await assertFresh(ctx, proofs);
  if (user.mfaEnabledAt) throw alreadyOn();
  const made = newEnrolment(user.email.reveal());
  await withTransaction(ctx, async (ctx) => {
    const factor = await mfaFactors.findOne(ctx, { _id: user._id });
    if (factor?.confirmedAt) throw alreadyOn();
    if (factor) await mfaFactors.remove(ctx, user._id, { version: factor.version });
    await mfaFactors.insert(ctx, { _id: user._id, secret: seal(made.secret), lastStep: 0, recoveryHashes: [] });
  });
  return made;
}

function alreadyOn(): AppError {
  return conflict('mfa_enabled', 'Two-step sign-in is on already; switch it off first');
}

/**
 * Switches two-step sign-in on by a first right code and answers the recovery keys, this once. The asker's other
 * sessions end. 401 `invalid_otp`, 409 `mfa_not_enrolled` or `mfa_enabled`.
 */
export async function confirmMfa(ctx: OutsideTx, otp: string): Promise<string[]> {
  const user = await assertFresh(ctx, {});
  const keys = newRecoveryKeys();
  const hashes = keys.map((key) => kit().tokens.hash('recoveryKey', plainCode(key)));
  const { sessionId: except } = ctx.actor;
  const isFailure = (error: unknown): boolean => error instanceof AppError && error.code === 'invalid_otp';
  const confirm = () =>
    withTransaction(ctx, async (ctx) => {
      const factor = await mfaFactors.findOne(ctx, { _id: user._id });
      if (!factor) throw conflict('mfa_not_enrolled', 'Ask for a secret first: POST /v1/auth/mfa/enroll');
      if (factor.confirmedAt) throw alreadyOn();
      if (stepOf(factor.secret.reveal(), plainCode(otp), nowMs()) === undefined) throw invalidOtp();
      await mfaFactors.update(ctx, user._id, { $set: { confirmedAt: now(), recoveryHashes: hashes } }, { version: factor.version });
      const seen = await users.get(ctx, user._id);
      await users.update(ctx, user._id, { $set: { mfaEnabledAt: now() } }, { version: seen.version });
      await noteSecurityEvent(ctx, { type: 'security.mfa_enabled', userId: user._id });
      endOthersForSure(ctx, user._id, { because: 'mfa', except });
    });
  await underThrottle(sessionCounters(except ?? ''), confirm, isFailure);
  await endSessions(user._id, 'mfa', { except });
  return keys;
}

/** Switches two-step sign-in off; the asker's other sessions end, and he is told by mail. 409 `mfa_not_enabled`. */
export async function disableMfa(ctx: OutsideTx, proofs: Proofs): Promise<void> {
  if (!(await ownUser(ctx)).mfaEnabledAt) throw mfaNotEnabled();
  const user = await assertFresh(ctx, proofs);
  const { sessionId: except } = ctx.actor;
  await withTransaction(ctx, async (ctx) => {
    await removeFactor(ctx, await users.get(ctx, user._id));
    await noteSecurityEvent(ctx, { type: 'security.mfa_disabled', userId: user._id });
    endOthersForSure(ctx, user._id, { because: 'mfa', except });
  });
  await endSessions(user._id, 'mfa', { except });
}
