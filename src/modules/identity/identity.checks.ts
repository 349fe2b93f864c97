import { PLATFORM_COMPANY_ID, inCompany } from '../../platform/context.ts';
import { AppError } from '../../platform/errors.ts';
import { nowMs } from '../../platform/clock.ts';
import type { Check } from '../../platform/module.ts';
import { STAFF_ROLES } from '../../platform/permissions.ts';
import { runtime } from '../../platform/runtime.ts';
import { ownCompany } from '../companies/index.ts';
import { everywhere } from './access.queries.ts';
import { apiKeys } from './api-key.model.ts';
import { sessions } from './session.model.ts';
import { oneTimeTokens, users } from './user.model.ts';

const HASH = /^[\w-]{43}$/;
const isHash = (value: unknown): boolean => value === undefined || value === null || (typeof value === 'string' && HASH.test(value));

/** No user has more live sessions than there are slots. */
const sessionCap: Check = {
  name: 'identity.session-cap',
  async run() {
    const live = new Map<string, number>();
    for await (const slot of sessions.each({ live: true })) {
      if ((slot.idleExpiresAt?.getTime() ?? 0) > nowMs()) live.set(slot.userId, (live.get(slot.userId) ?? 0) + 1);
    }
    const { sessionMax } = runtime().config;
    return [...live].filter(([, count]) => count > sessionMax).map(([id, count]) => `User ${id} has ${count} live sessions, ${sessionMax} are allowed`);
  },
};

/** Every user belongs to a company that exists, staff to the platform; every company has an owner. */
const usersHaveCompanies: Check = {
  name: 'identity.users-have-companies',
  async run() {
    const problems: string[] = [];
    const owners = new Map<string, number>();
    const staff: ReadonlySet<string> = new Set(STAFF_ROLES);
    for await (const user of users.each(everywhere('check'), {}, { fields: ['role', 'companyId'] })) {
      if (staff.has(user.role) !== (user.companyId === PLATFORM_COMPANY_ID)) problems.push(`User ${user._id} has the role ${user.role} outside of its place`);
      if (user.companyId !== PLATFORM_COMPANY_ID) owners.set(user.companyId, (owners.get(user.companyId) ?? 0) + (user.role === 'owner' ? 1 : 0));
    }
    for (const [companyId, count] of owners) {
      if (count === 0) problems.push(`Company ${companyId} has no owner`);
      if (!(await exists(companyId))) problems.push(`Company ${companyId} has users and no row`);
    }
    return problems;
  },
};

async function exists(companyId: string): Promise<boolean> {
  return ownCompany(inCompany(everywhere('check'), companyId)).then(
    () => true,
    (error: unknown) => {
      if (error instanceof AppError && error.kind === 'not_found') return false;
      throw error;
    },
  );
}

/** Secrets are stored as hashes only. */
const noClearTokens: Check = {
  name: 'identity.no-clear-tokens',
  async run() {
    const problems: string[] = [];
    for await (const slot of sessions.each({})) {
      if (!isHash(slot.hash) || !isHash(slot.prevHash)) problems.push(`Session slot ${slot._id} holds something other than a hash`);
    }
    for await (const key of apiKeys.each(everywhere('check'), {}, { fields: ['hash', 'previousHash'] })) {
      if (!isHash(key.hash) || !isHash(key.previousHash)) problems.push(`API key ${key._id} holds something other than a hash`);
    }
    for await (const token of oneTimeTokens.each(everywhere('check'), {}, { fields: ['hash'] })) {
      if (!isHash(token.hash)) problems.push(`One-time token ${token._id} holds something other than a hash`);
    }
    for await (const user of users.each(everywhere('check'), {}, { fields: ['passwordHash'] })) {
      if (user.passwordHash !== undefined && !user.passwordHash.startsWith('$argon2id$')) problems.push(`User ${user._id} has a password in another form than argon2id`);
    }
    return problems;
  },
};

export const identityChecks: readonly Check[] = [sessionCap, usersHaveCompanies, noClearTokens];
