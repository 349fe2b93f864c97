import { now } from '../../platform/clock.ts';
import { inCompany, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { makeFaults } from '../../platform/faults.ts';
import { runtime } from '../../platform/runtime.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { noteEmailVerified } from '../companies/index.ts';
import { queueMail } from '../notifications/index.ts';
import { asEmailTaken, assertEmailFree } from './account.service.ts';
import { contactsOf } from './contact.queries.ts';
import { portalLink } from './identity.kit.ts';
import { parseEmail } from './identity.rules.ts';
import { emailChangeMail, emailNoticeMail } from './mail.rules.ts';
import { assertFresh, type Proofs } from './reauth.service.ts';
import { findToken, mintToken, tokenInvalid, useOthers, useToken } from './token.service.ts';
import { users, type User } from './user.model.ts';

/**
 * Mails a link to a new address of the asker, who must prove himself; nothing changes before it is opened. The present
 * address is told. 409 `email_taken`, 400 for the address that the account has already.
 */
export async function askForEmailChange(ctx: OutsideTx, input: { email: string } & Proofs): Promise<void> {
  const faults = makeFaults();
  const email = faults.take('email', parseEmail(input.email));
  faults.throwIfAny();
  const user = await assertFresh(ctx, input);
  if (email === user.email.shown()) {
    faults.add('email', 'is your address already');
    faults.throwIfAny();
  }
  await assertEmailFree(email);
  const seconds = runtime().config.emailChangeSeconds;
  await withTransaction(ctx, async (ctx) => {
    const { secret } = await mintToken(ctx, { purpose: 'changeEmail', email, userId: user._id }, seconds);
    const link = portalLink('confirm-email', secret);
    await queueMail(ctx, emailChangeMail({ to: email, name: user.name.shown(), link, minutes: Math.max(1, Math.floor(seconds / 60)) }));
    for (const present of contactsOf([user])) await queueMail(ctx, emailNoticeMail({ to: present.email, name: present.name, done: false }));
  });
}

/** Makes the mailed address the account's, once; the old one is told and other links of this kind die. */
export async function confirmEmailChange(ctx: OutsideTx, secret: string): Promise<Row<User>> {
  const token = await findToken('changeEmail', secret);
  return withTransaction(inCompany(ctx, token.companyId), async (ctx) => {
    const user = await users.findOne(ctx, { _id: token.userId ?? '', status: 'active' });
    if (!user) throw tokenInvalid();
    await useToken(ctx, token);
    await useOthers(ctx, user._id, 'changeEmail');
    const changed = await users.update(ctx, user._id, { $set: { email: seal(token.email.reveal()), emailVerifiedAt: now() } }, { version: user.version });
    if (user.role === 'owner') await noteEmailVerified(ctx);
    await noteSecurityEvent(ctx, { type: 'security.email_changed', userId: user._id });
    for (const former of contactsOf([user])) await queueMail(ctx, emailNoticeMail({ to: former.email, name: former.name, done: true }));
    return changed;
  }).catch(asEmailTaken);
}
