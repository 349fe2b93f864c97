import type { Ctx, OutsideTx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { sealIf } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { permissionsOf, type CompanyRole } from '../../platform/permissions.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { activeLocation, ownCompany } from '../companies/index.ts';
import { noteEnded, noteGrant } from './access.ts';
import { addUser, asEmailTaken, askToVerify, assertEmailFree, newPassword } from './account.service.ts';
import { forgetApiKeys } from './api-key.access.ts';
import { revokeKeysOf } from './api-key.service.ts';
import { forgetGrants } from './google.service.ts';
import { googleLinks } from './google.model.ts';
import { assertGoodPassword } from './identity.kit.ts';
import { mayManage, parseEmail, parseName, parsePhone, roleRefused } from './identity.rules.ts';
import { mfaFactors } from './mfa.model.ts';
import { endSessions } from './session.service.ts';
import { users, type User } from './user.model.ts';

export interface NewMember {
  email: string;
  name: string;
  role: CompanyRole;
  password: string;
  phone?: string;
  locationIds?: string[];
}

export interface MemberChange {
  name?: string;
  role?: CompanyRole;
  /** Null lifts the limit. */
  locationIds?: string[] | null;
}

/** One page of the company's people, oldest first. */
export async function listMembers(ctx: Ctx, request: PageRequest): Promise<Page<Row<User>>> {
  return users.list(ctx, {}, request, { field: 'createdAt', direction: 1 });
}

/** One person of the company. */
export async function getMember(ctx: Ctx, id: string): Promise<Row<User>> {
  return users.get(ctx, id);
}

/** Adds a member with an initial password; 403 for a role above the asker's, 409 `email_taken`. */
export async function addMember(ctx: OutsideTx, input: NewMember): Promise<Row<User>> {
  await assertMayGive(ctx, input.role, input.locationIds);
  const faults = makeFaults();
  const email = faults.take('email', parseEmail(input.email));
  const name = parseName(faults, 'name', input.name);
  const phone = parsePhone(faults, input.phone);
  faults.throwIfAny();
  await assertGoodPassword(input.password, { email, name, companyName: (await ownCompany(ctx)).name });
  await assertEmailFree(email);
  const secrets = await newPassword(input.password);
  const limit = input.locationIds === undefined ? {} : { locationIds: input.locationIds };
  return withTransaction(ctx, async (ctx) => {
    const user = await addUser(ctx, { email, name, role: input.role, ...(phone === undefined ? {} : { phone }), ...limit, ...secrets });
    await askToVerify(ctx, user);
    return user;
  }).catch(asEmailTaken);
}

/**
 * Changes a member's name, role or locations under the version that was seen; it holds for access tokens that are out
 * already. Who may no longer make API keys loses those he knows. 403 for roles above the asker's, 409 `last_owner` when nobody would own the company.
 */
export async function changeMember(ctx: OutsideTx, id: string, change: MemberChange, version: number): Promise<Row<User>> {
  const faults = makeFaults();
  const name = change.name === undefined ? undefined : parseName(faults, 'name', change.name);
  faults.throwIfAny();
  const before = await users.get(ctx, id);
  assertMayManage(ctx, before);
  await assertMayGive(ctx, change.role ?? (before.role as CompanyRole), change.locationIds ?? undefined);
  const changed = await withTransaction(ctx, async (ctx) => {
    const member = await users.get(ctx, id);
    assertMayManage(ctx, member);
    if (member.role === 'owner' && (change.role ?? 'owner') !== 'owner') await keepAnOwner(ctx, member);
    const { role = member.role, locationIds = member.locationIds } = change;
    if (canMakeKeys(member) && !canMakeKeys({ role, locationIds })) await revokeKeysOf(ctx, id, 'permission_changed');
    const moved = change.role !== undefined || change.locationIds !== undefined;
    if (moved) await noteSecurityEvent(ctx, { type: 'security.permission_changed', userId: id, details: { role } });
    return users.update(
      ctx,
      id,
      {
        $set: { name: sealIf(name), role: change.role, locationIds: change.locationIds ?? undefined, ...(moved ? { epoch: member.epoch + 1 } : {}) },
        ...(change.locationIds === null ? { $unset: { locationIds: '' as const } } : {}),
      },
      { version },
    );
  });
  forgetApiKeys();
  noteGrant(changed);
  return changed;
}

/** Removes a member, ends his sessions and the API keys whose secret he knows; the address is free again. 409 `last_owner` for the last one. */
export async function removeMember(ctx: OutsideTx, id: string, version: number): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const member = await users.get(ctx, id);
    assertMayManage(ctx, member);
    if (member.role === 'owner') await keepAnOwner(ctx, member);
    await users.remove(ctx, id, { version });
    await revokeKeysOf(ctx, id, 'member_removed');
    const factor = await mfaFactors.findOne(ctx, { _id: id });
    if (factor) await mfaFactors.remove(ctx, id, { version: factor.version });
    for (const link of await googleLinks.find(ctx, { userId: id }, { limit: 100 })) await googleLinks.remove(ctx, link._id, { version: link.version });
    await forgetGrants(ctx, id);
    await noteSecurityEvent(ctx, { type: 'security.permission_changed', userId: id, details: { removed: true, role: member.role } });
  });
  forgetApiKeys();
  noteEnded(id);
  await endSessions(id, 'removed');
}

function canMakeKeys({ role, locationIds }: { role: string; locationIds?: readonly string[] | null | undefined }): boolean {
  return permissionsOf(role, (locationIds ?? undefined) !== undefined).has('api-keys:write');
}

function assertMayManage(ctx: Ctx, member: Row<User>): void {
  if (!mayManage(ctx.actor.role, member.role)) throw roleRefused(member.role);
}

/** 403 when the asker may not give this role; 404 or 409 for locations that cannot be given. */
export async function assertMayGive(ctx: Ctx, role: CompanyRole, locationIds: readonly string[] | undefined): Promise<void> {
  if (!mayManage(ctx.actor.role, role)) throw roleRefused(role);
  for (const id of locationIds ?? []) await activeLocation(ctx, id);
}

/**
 * Refuses to lose the last owner. Touches another one, so that two owners who drop each other at the same moment meet
 * in a write conflict instead of both succeeding.
 */
async function keepAnOwner(tx: Tx, leaving: Row<User>): Promise<void> {
  const other = await users.findOne(tx, { role: 'owner', status: 'active', _id: { $ne: leaving._id } }, { sort: { _id: 1 } });
  if (!other) throw conflict('last_owner', 'A company keeps at least one owner; make somebody else an owner first');
  await users.update(tx, other._id, {}, { version: other.version });
}
