import { now, nowMs } from '../../platform/clock.ts';
import type { OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { AppError, forbidden, unauthenticated } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { kit } from './identity.kit.ts';
import { assertSecondFactor } from './mfa.factor.service.ts';
import { sessions } from './session.model.ts';
import { sessionCounters, underThrottle } from './throttle.service.ts';
import { users, type User } from './user.model.ts';

/** What somebody who is signed in proves again who he is with. */
export interface Proofs {
  password?: string;
  /** The second factor: needed with the password when the sign-in is not fresh and the user has one. */
  otp?: string;
}

/**
 * The asker, when he has lately proved who he is: by these proofs, or by a sign-in within FRESH_SIGN_IN_SECONDS.
 * 403 `reauthentication_required` otherwise, 401 `invalid_credentials` for a wrong password, 429 after too many.
 */
export async function assertFresh(ctx: OutsideTx, proofs: Proofs): Promise<Row<User>> {
  const user = await users.get(ctx, ctx.actor.id);
  if (proofs.password !== undefined) await assertProofs(ctx, user, proofs);
  else if (!(await isFresh(ctx))) throw forbidden('reauthentication_required', 'Prove who you are first: POST /v1/auth/reauthenticate, or sign in again');
  return user;
}

/** Makes the asker's session fresh again by his password; refusals as `assertFresh`. */
export async function reauthenticate(ctx: OutsideTx, proofs: Proofs): Promise<void> {
  await assertProofs(ctx, await users.get(ctx, ctx.actor.id), proofs);
  await sessions.change({ ...ownSession(ctx), live: true }, { $set: { provedAt: now() } });
}

async function isFresh(ctx: OutsideTx): Promise<boolean> {
  const slot = await sessions.findOne({ ...ownSession(ctx), live: true });
  return nowMs() - (slot?.provedAt?.getTime() ?? 0) <= runtime().config.freshSignInSeconds * 1000;
}

function ownSession(ctx: OutsideTx): { sid: string; userId: string } {
  return { sid: ctx.actor.sessionId ?? '', userId: ctx.actor.id };
}

async function assertProofs(ctx: OutsideTx, user: Row<User>, { password = '', otp }: Proofs): Promise<void> {
  const isFailure = (error: unknown): boolean => error instanceof AppError && error.kind === 'unauthenticated' && error.code !== 'mfa_required';
  const prove = async (): Promise<void> => {
    if (!(await kit().passwords.verify(user.passwordHash, password))) throw unauthenticated('invalid_credentials', 'The password is wrong');
    if (otp !== undefined || !(await isFresh(ctx))) await assertSecondFactor(ctx, user, otp);
  };
  await underThrottle(sessionCounters(ctx.actor.sessionId ?? ''), prove, isFailure);
}
