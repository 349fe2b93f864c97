import type { Ctx } from '../../platform/context.ts';
import { unauthenticated } from '../../platform/errors.ts';
import { kit } from './identity.kit.ts';
import { users } from './user.model.ts';

/** The asker proves himself once more by his password; 401 `invalid_credentials`. */
export async function confirmPassword(ctx: Ctx, password: string): Promise<void> {
  const user = await users.findOne(ctx, { _id: ctx.actor.id });
  if (!user || !(await kit().passwords.verify(user.passwordHash, password))) throw unauthenticated('invalid_credentials', 'The password is wrong');
}
