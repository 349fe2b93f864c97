import { inCompany, systemCtx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { users, type User } from './user.model.ts';

/** Where mails about the safety of an account go. */
export interface Contact {
  email: string;
  name: string;
}

type Person = Pick<Row<User>, 'email' | 'name'>;

/** Where to write to a user; throws when his address does not open. */
export function contactOf({ email, name }: Person): Contact {
  return { email: email.reveal(), name: name.shown() };
}

/** Those of some users who can be reached: an erased company's people have no address any more, nor has a damaged row. */
export function contactsOf(people: readonly Person[]): Contact[] {
  return people.flatMap((person) => {
    const email = person.email.shown();
    return email === person.email.mask ? [] : [{ email, name: person.name.shown() }];
  });
}

const MOST_OWNERS = 20;

/** The one user of a company when an id is given, else its active owners; nobody when there is none, or no longer. */
export async function mailReceivers(companyId: string, userId?: string): Promise<Contact[]> {
  const ctx = inCompany(systemCtx('mail receivers', companyId), companyId);
  const which = userId === undefined ? ({ role: 'owner', status: 'active' } as const) : { _id: userId };
  return contactsOf(await users.find(ctx, which, { fields: ['email', 'name'], limit: MOST_OWNERS }));
}
