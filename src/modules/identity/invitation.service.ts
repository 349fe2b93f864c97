import { now } from '../../platform/clock.ts';
import { inCompany, type Ctx, type OutsideTx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { notFound } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import type { CompanyRole } from '../../platform/permissions.ts';
import { runtime } from '../../platform/runtime.ts';
import { ownCompany } from '../companies/index.ts';
import { queueMail } from '../notifications/index.ts';
import { addUser, asEmailTaken, assertEmailFree, newPassword } from './account.service.ts';
import { assertGoodPassword, portalLink } from './identity.kit.ts';
import { parseEmail, parseName } from './identity.rules.ts';
import { invitationMail } from './mail.rules.ts';
import { assertMayGive } from './member.service.ts';
import { findToken, mintToken, tokenInvalid, useToken } from './token.service.ts';
import { oneTimeTokens, type OneTimeToken, type User } from './user.model.ts';

export interface Invitation {
  email: string;
  role: CompanyRole;
  locationIds?: string[];
}

export interface Acceptance {
  token: string;
  name: string;
  password: string;
}

/** Mails somebody a link to join the company; 403 for a role above the asker's, 409 `email_taken`. */
export async function invite(ctx: OutsideTx, input: Invitation): Promise<Row<OneTimeToken>> {
  await assertMayGive(ctx, input.role, input.locationIds);
  const faults = makeFaults();
  const email = faults.take('email', parseEmail(input.email));
  faults.throwIfAny();
  await assertEmailFree(email);
  const company = await ownCompany(ctx);
  const limit = input.locationIds === undefined ? {} : { locationIds: input.locationIds };
  return withTransaction(ctx, async (ctx) => {
    const { secret, row } = await mintToken(ctx, { purpose: 'invitation', email, role: input.role, ...limit }, runtime().config.invitationSeconds);
    const link = portalLink('accept-invitation', secret);
    await queueMail(ctx, invitationMail({ to: email, companyName: company.name, role: input.role, link }));
    return row;
  });
}

/** One page of the invitations that wait for an answer, newest first. */
export async function listInvitations(ctx: Ctx, request: PageRequest): Promise<Page<Row<OneTimeToken>>> {
  return oneTimeTokens.list(ctx, waiting(), request);
}

/** Takes an invitation back: its link no longer works. 404 once it was answered, taken back or has ended; 403 for a role above the asker's. */
export async function revokeInvitation(ctx: OutsideTx, id: string): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const invitation = await oneTimeTokens.findOne(ctx, { _id: id, ...waiting() });
    if (!invitation) throw notFound('invitation');
    await assertMayGive(ctx, invitation.role as CompanyRole, undefined);
    await oneTimeTokens.update(ctx, id, { $set: { usedAt: now() } }, { where: waiting(), otherwise: () => notFound('invitation') });
  });
}

function waiting(): Filter<OneTimeToken> {
  return { purpose: 'invitation', usedAt: { $exists: false }, expiresAt: { $gt: now() } };
}

/** Makes the invited member; the mailed link has proved the address. 400 `token_invalid` after the first time. */
export async function acceptInvitation(ctx: OutsideTx, input: Acceptance): Promise<Row<User>> {
  const token = await findToken('invitation', input.token);
  const { role, locationIds, companyId } = token;
  if (!role) throw tokenInvalid();
  const email = token.email.reveal();
  const own = inCompany(ctx, companyId);
  const faults = makeFaults();
  const name = parseName(faults, 'name', input.name);
  faults.throwIfAny();
  await assertGoodPassword(input.password, { email, name, companyName: (await ownCompany(own)).name });
  const secrets = await newPassword(input.password);
  return withTransaction(own, async (ctx) => {
    await useToken(ctx, token);
    return addUser(ctx, { email, name, role, ...(locationIds === undefined ? {} : { locationIds }), ...secrets, emailVerifiedAt: now() });
  }).catch(asEmailTaken);
}
