import type { Authenticator, Identity } from '../../platform/auth.ts';
import { nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { followChanges } from '../../platform/db/change-feed.ts';
import { permissionsOf, type Role } from '../../platform/permissions.ts';
import { runtime } from '../../platform/runtime.ts';
import { apiKeyIdentity, forgetApiKeys } from './api-key.access.ts';
import { kit } from './identity.kit.ts';
import type { SessionSlot } from './session.model.ts';
import { changedUsers, recentlyEnded } from './access.queries.ts';
import type { User } from './user.model.ts';

/** Covers the clock tolerance of access tokens, and then some. */
const MARGIN_MS = 60_000;

/** What is known of a user beyond the access token: only of those whose role, locations or status ever changed. */
interface Grant {
  role: Role;
  locationIds?: readonly string[];
  epoch: number;
  minEpoch: number;
}

const grants = new Map<string, Grant>();
/** Families and removed users whose access tokens are dead, with the moment after which none can live anyway. */
const ended = new Map<string, number>();

/** Makes the access tokens of these families, or all those of a removed user, worthless in this process at once. */
export function noteEnded(...names: readonly string[]): void {
  const forgetAtMs = nowMs() + accessLifeMs();
  for (const [name, atMs] of ended) {
    if (atMs > nowMs()) break;
    ended.delete(name);
  }
  for (const name of names) ended.set(name, forgetAtMs);
}

/** Takes over a user's role, locations and epochs in this process at once. */
export function noteGrant(user: Pick<Row<User>, '_id' | 'role' | 'locationIds' | 'epoch' | 'minEpoch'>): void {
  const known = grants.get(user._id);
  if (user.epoch === 0 || (known && known.epoch >= user.epoch)) return;
  const { role, locationIds, epoch, minEpoch } = user;
  grants.set(user._id, { role, epoch, minEpoch, ...(locationIds === undefined ? {} : { locationIds }) });
}

/** How long after its end a session's access tokens must be remembered as dead. */
export function accessLifeMs(): number {
  return runtime().config.accessTokenSeconds * 1000 + MARGIN_MS;
}

/** Who is behind an Authorization header, from memory: tokens cost no database call. */
export function makeAuthenticator(): Authenticator {
  return { accessToken: tokenIdentity, apiKey: apiKeyIdentity };
}

function tokenIdentity(token: string): Identity | undefined {
  const claims = kit().accessTokens.verify(token);
  if (!claims || ended.has(claims.sid) || ended.has(claims.sub)) return undefined;
  const { sub, cid, sid, epoch = 0 } = claims;
  const grant = grants.get(sub);
  // A token of an epoch that this process has not heard of yet may be limited in a way it does not know: refuse.
  if (epoch > (grant?.epoch ?? 0) || epoch < (grant?.minEpoch ?? 0)) return undefined;
  const role = grant?.role ?? claims.role;
  return {
    companyId: cid,
    actor: {
      kind: cid === PLATFORM_COMPANY_ID ? 'operator' : 'user',
      id: sub,
      role,
      sessionId: sid,
      permissions: permissionsOf(role, grant?.locationIds !== undefined),
      ...(grant?.locationIds === undefined ? {} : { locationIds: grant.locationIds }),
    },
  };
}

/**
 * Follows what other processes do to sessions, users and API keys, so that a sign-out or a changed role holds here
 * within about a second. Resolves when the present state is loaded; the answer stops following.
 */
export async function startSessionFeed(): Promise<() => Promise<void>> {
  ended.clear();
  grants.clear();
  const stops = await Promise.all([followSessions(), followUsers(), followApiKeys()]);
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

function followSessions(): Promise<() => Promise<void>> {
  const noteSlot = (slot: SessionSlot): void => noteEnded(...(slot.ended ?? []).map((e) => e.sid));
  return followChanges<SessionSlot>({
    collection: 'sessions',
    match: { 'updateDescription.updatedFields.endings': { $exists: true } },
    async onOpen() {
      for await (const slot of recentlyEnded(accessLifeMs())) noteSlot(slot);
    },
    onChange({ row }) {
      if (row) noteSlot(row);
    },
  });
}

function followUsers(): Promise<() => Promise<void>> {
  return followChanges<Row<User>>({
    collection: 'users',
    match: {
      $or: [
        { operationType: 'delete' },
        { operationType: 'insert', 'fullDocument.epoch': { $gt: 0 } },
        { 'updateDescription.updatedFields.epoch': { $exists: true } },
      ],
    },
    async onOpen() {
      for await (const user of changedUsers()) noteGrant(user);
    },
    onChange({ id, row }) {
      if (row) noteGrant(row);
      else noteEnded(id);
    },
  });
}

function followApiKeys(): Promise<() => Promise<void>> {
  return followChanges({
    collection: 'api_keys',
    match: { operationType: { $in: ['update', 'delete'] } },
    onOpen: () => Promise.resolve(forgetApiKeys()),
    onChange: ({ id }) => forgetApiKeys(id),
  });
}
