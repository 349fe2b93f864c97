import type { Ctx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { users, type User } from './user.model.ts';

/** More owners than these are told nothing; no company has so many. */
const MAX_OWNERS = 50;

/** The active owners of the ctx's company, who hear of what concerns it as a whole. */
export async function ownersOf(ctx: Ctx): Promise<Row<User>[]> {
  const found = await users.find(ctx, { role: 'owner' }, { sort: { _id: 1 }, limit: MAX_OWNERS });
  return found.filter((user) => user.status === 'active');
}

/** Carries the state of the company's KYC to its owners, in the transaction of the KYC's own change. */
export async function noteKycOfOwners(tx: Tx, kycStatus: string): Promise<void> {
  const changes = (await ownersOf(tx)).map(({ _id }) => ({ match: { _id }, change: { $set: { kycStatus } } }));
  if (changes.length > 0) await users.changeMany(tx, changes);
}
