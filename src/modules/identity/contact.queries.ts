import { inCompany, systemCtx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { ERASED } from '../../platform/privacy.ts';
import { users, type User } from './user.model.ts';

/** Where mails about the safety of an account go. */
export interface Contact {
  email: string;
  name: string;
}

/** Name and address of a user in clear. */
export function contactOf({ email, name }: Pick<Row<User>, 'email' | 'name'>): Contact {
  return { email: email.reveal(), name: name.reveal() };
}

/** Those of some users who can still be reached: an erased company's people have no address any more. */
export function contactsOf(people: readonly Pick<Row<User>, 'email' | 'name'>[]): Contact[] {
  return people.filter(({ email }) => email.mask !== ERASED).map(contactOf);
}

const MOST_OWNERS = 20;

/** The one user of a company when an id is given, else its active owners; nobody when there is none, or no longer. */
export async function mailReceivers(companyId: string, userId?: string): Promise<Contact[]> {
  const ctx = inCompany(systemCtx('mail receivers', companyId), companyId);
  const which = userId === undefined ? ({ role: 'owner', status: 'active' } as const) : { _id: userId };
  return contactsOf(await users.find(ctx, which, { fields: ['email', 'name'], limit: MOST_OWNERS }));
}
