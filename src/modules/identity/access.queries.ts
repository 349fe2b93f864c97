import { nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, acrossCompanies, systemCtx, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { kit } from './identity.kit.ts';
import { sessions, type SessionSlot } from './session.model.ts';
import { users, type User } from './user.model.ts';

/** Reads of the sign-in machinery, which must find users and keys of any company. */
export function everywhere(reason: string): OutsideTx {
  return acrossCompanies(systemCtx(reason, PLATFORM_COMPANY_ID), reason);
}

/** Slots in which a session ended during the last `withinMs`. */
export function recentlyEnded(withinMs: number): AsyncIterable<SessionSlot> {
  return sessions.each({ endedAt: { $exists: true, $gt: new Date(nowMs() - withinMs) } });
}

/** Users whose role, locations or status ever changed. */
export function changedUsers(): AsyncIterable<Row<User>> {
  return users.each(everywhere('session feed'), { epoch: { $gt: 0 } }, { fields: ['role', 'locationIds', 'epoch', 'minEpoch'] });
}

/** The user who signs in with this e-mail address, in any company. */
export async function userByEmail(reason: string, email: string, fields?: ['_id']): Promise<Row<User> | undefined> {
  const ctx = everywhere(reason);
  return users.findOne(ctx, users.blind(ctx, 'email', email), fields ? { fields } : {});
}

/** The user with this e-mail address, in any company; for the command line and the seed. */
export async function findUserByEmail(email: string): Promise<Row<User> | undefined> {
  return userByEmail('look-up by e-mail', email);
}

/** True when this password opens the account now; for the seed, which tells how to sign in. Counts no failure. */
export async function passwordFits(email: string, password: string): Promise<boolean> {
  return kit().passwords.verify((await findUserByEmail(email))?.passwordHash, password);
}
