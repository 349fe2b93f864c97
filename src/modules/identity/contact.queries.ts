import { inCompany, systemCtx } from '../../platform/context.ts';
import { users } from './user.model.ts';

/** Where mails about the safety of an account go. */
export interface Contact {
  email: string;
  name: string;
}

const MOST_OWNERS = 20;

/** The one user of a company when an id is given, else its active owners; nobody when there is none. */
export async function mailReceivers(companyId: string, userId?: string): Promise<Contact[]> {
  const ctx = inCompany(systemCtx('mail receivers', companyId), companyId);
  const which = userId === undefined ? ({ role: 'owner', status: 'active' } as const) : { _id: userId };
  const found = await users.find(ctx, which, { fields: ['email', 'name'], limit: MOST_OWNERS });
  return found.map(({ email, name }) => ({ email, name }));
}
