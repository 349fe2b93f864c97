import type { OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { sealIf } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { makeFaults } from '../../platform/faults.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { ownUser } from './account.service.ts';
import { parseName, parsePhone } from './identity.rules.ts';
import { assertFresh, type Proofs } from './reauth.service.ts';
import { users, type User } from './user.model.ts';

export interface OwnChange extends Proofs {
  name?: string;
  phone?: string;
}

/**
 * Changes the asker's own name or phone under the version that was seen. Another phone needs a fresh sign-in or the
 * password (403 `reauthentication_required`), and he is told of it by mail.
 */
export async function changeOwnUser(ctx: OutsideTx, { name: newName, phone: newPhone, ...proofs }: OwnChange, version: number): Promise<Row<User>> {
  const faults = makeFaults();
  const name = newName === undefined ? undefined : parseName(faults, 'name', newName);
  const phone = parsePhone(faults, newPhone);
  faults.throwIfAny();
  const before = await ownUser(ctx);
  const otherPhone = phone !== undefined && phone !== before.phone?.shown();
  if (otherPhone || proofs.password !== undefined) await assertFresh(ctx, proofs);
  return withTransaction(ctx, async (ctx) => {
    const user = await users.update(ctx, ctx.actor.id, { $set: { name: sealIf(name), phone: sealIf(phone) } }, { version });
    if (otherPhone) await noteSecurityEvent(ctx, { type: 'security.phone_changed', userId: user._id });
    return user;
  });
}
