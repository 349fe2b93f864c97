import { nowMs } from '../../platform/clock.ts';
import { inCompany, type OutsideTx, type Tx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, unauthenticated, type AppError } from '../../platform/errors.ts';
import type { ChangeOf, Row } from '../../platform/db/collection.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { kit } from './identity.kit.ts';
import { mfaFactors } from './mfa.model.ts';
import { isCode, plainCode, stepOf } from './mfa.rules.ts';
import { users, type User } from './user.model.ts';

/**
 * Asks for the second factor of a user who has one: a code of his authenticator or a recovery key, each good once.
 * 401 `mfa_required` without one, `invalid_otp` for a wrong or spent one.
 */
export async function assertSecondFactor(ctx: OutsideTx, user: Row<User>, given: string | undefined): Promise<void> {
  if (!user.mfaEnabledAt) return;
  if (given === undefined) throw unauthenticated('mfa_required', 'Send otp: the code of your authenticator, or a recovery key');
  const own = inCompany(ctx, user.companyId);
  const code = plainCode(given);
  await (isCode(code) ? spendCode(own, user._id, code) : spendRecoveryKey(own, user._id, code));
}

/** 409: there is nothing to switch off. */
export function mfaNotEnabled(): AppError {
  return conflict('mfa_not_enabled', 'Two-step sign-in is not on');
}

/** Takes the second factor of a user away, with `change` to him. */
export async function removeFactor(tx: Tx, user: Row<User>, change: ChangeOf<User> = {}): Promise<Row<User>> {
  const factor = await mfaFactors.findOne(tx, { _id: user._id });
  if (factor) await mfaFactors.remove(tx, user._id, { version: factor.version });
  return users.update(tx, user._id, { ...change, $unset: { mfaEnabledAt: '' } }, { version: user.version });
}

/** The refusal of a code or recovery key, which never says why. */
export function invalidOtp(): AppError {
  return unauthenticated('invalid_otp', 'The code is wrong, was used already, or has ended');
}

async function spendCode(ctx: OutsideTx, userId: string, code: string): Promise<void> {
  const factor = await mfaFactors.findOne(ctx, { _id: userId, confirmedAt: { $exists: true } });
  const step = factor ? stepOf(factor.secret.reveal(), code, nowMs()) : undefined;
  if (step === undefined) throw invalidOtp();
  await withTransaction({ ...ctx, answer: undefined }, async (ctx) => {
    await mfaFactors.update(ctx, userId, { $set: { lastStep: step } }, { where: { lastStep: { $lt: step } }, otherwise: invalidOtp });
  });
}

async function spendRecoveryKey(ctx: OutsideTx, userId: string, key: string): Promise<void> {
  const hash = kit().tokens.hash('recoveryKey', key);
  if (!(await mfaFactors.findOne(ctx, { _id: userId, recoveryHashes: hash, confirmedAt: { $exists: true } }))) throw invalidOtp();
  await withTransaction({ ...ctx, answer: undefined }, async (ctx) => {
    const left = await mfaFactors.update(ctx, userId, { $pull: { recoveryHashes: hash } }, { where: { recoveryHashes: hash }, otherwise: invalidOtp });
    await noteSecurityEvent(ctx, { type: 'security.recovery_key_used', userId, details: { left: left.recoveryHashes.length } });
  });
}
