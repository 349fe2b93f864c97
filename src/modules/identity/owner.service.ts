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

/** Those whom a KYC concerns: the member it is of, while he is there, or the owners when it is the company's. */
export async function peopleOfKyc(ctx: Ctx, memberId?: string): Promise<Row<User>[]> {
  return memberId === undefined ? ownersOf(ctx) : users.find(ctx, { _id: memberId, status: 'active' });
}

/** Carries the state of a KYC to those whom it concerns, in the transaction of the KYC's own change. */
export async function noteKyc(tx: Tx, people: readonly Row<User>[], kycStatus: string): Promise<void> {
  const changes = people.map(({ _id }) => ({ match: { _id }, change: { $set: { kycStatus } } }));
  if (changes.length > 0) await users.changeMany(tx, changes);
}
