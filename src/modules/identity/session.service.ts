import { now, nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, inCompany, systemCtx, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { forbidden, notFound, unauthenticated, type AppError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { ConnectionFacts } from '../../platform/route.ts';
import { runtime } from '../../platform/runtime.ts';
import type { RefreshToken } from '../../platform/tokens.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { ownCompany, type Company } from '../companies/index.ts';
import { accessLifeMs, noteEnded, noteGrant } from './access.ts';
import { everywhere } from './access.queries.ts';
import { kit } from './identity.kit.ts';
import { sessions, type SessionSlot } from './session.model.ts';
import { users, type User } from './user.model.ts';

/** For how long a retry of a refresh, whose answer was lost, still gets the successor. */
const RETRY_MS = 10_000;
const ENDED_KEPT = 50;
const FORMER_TOKEN = /^[\w-]{40,200}$/;

export interface TokenPair {
  accessToken: string;
  /** Seconds. */
  expiresIn: number;
  refreshToken: string;
}

/** The part of a slot that decides which one the next session takes, and whether the owner was told of its device. */
export type SlotSeen = Pick<SessionSlot, 'slot' | 'live' | 'told' | 'address' | 'userAgent'>;

/** What is known of the session to open: the user's slots when they were read, and whether he is told of the device. */
export interface Opening {
  slots?: readonly SlotSeen[];
  told?: boolean;
}

/** Opens a session in one of the user's slots; the least used one gives way when all are taken. */
export async function openSession(user: Row<User>, { address, userAgent }: ConnectionFacts, { slots, told = false }: Opening = {}): Promise<TokenPair> {
  const refresh = kit().tokens.newRefresh();
  const { sessionIdleSeconds, sessionAbsoluteSeconds } = runtime().config;
  const at = now();
  const fresh = {
    live: true,
    sid: refresh.sid,
    sessionId: newId(),
    gen: 0,
    hash: kit().tokens.hash('refresh', refresh.secret),
    startedAt: at,
    lastUsedAt: at,
    provedAt: at,
    idleExpiresAt: new Date(at.getTime() + sessionIdleSeconds * 1000),
    absoluteExpiresAt: new Date(at.getTime() + sessionAbsoluteSeconds * 1000),
    epoch: user.epoch,
    // Text from outside must not be read as an expression of the pipeline.
    address: { $literal: address },
    userAgent: { $literal: userAgent },
    told,
  };
  const change = [...ending('replaced'), { $set: fresh }, { $unset: ['prevHash', 'rotatedAt', 'endedBecause', 'formerHash'] }];
  const slot = await takeSlot(user, change, slots ?? (await slotsOf(user._id)));
  noteEnded(...(slot.ended ?? []).map((e) => e.sid));
  return pair(user, refresh);
}

/** The user's slots as they are now; none before his first sign-in. */
export async function slotsOf(userId: string): Promise<SlotSeen[]> {
  return sessions.find({ userId }, { fields: ['slot', 'live', 'told', 'address', 'userAgent'] });
}

/** True when the user was told of a sign-in from this address with this program, as far as his slots remember. */
export function wasTold(slots: readonly SlotSeen[], { address, userAgent }: ConnectionFacts): boolean {
  return slots.some((slot) => slot.told === true && slot.address === address && slot.userAgent === userAgent);
}

/**
 * One atomic command on one of a fixed number of rows, so parallel sign-ins never leave more sessions than slots. Rows
 * are made at the first sign-in, and when SESSION_MAX was raised. What was read before saves commands and decides nothing.
 */
async function takeSlot(user: Row<User>, change: object[], seen: readonly SlotSeen[]): Promise<SessionSlot> {
  const { sessionMax } = runtime().config;
  const own = { userId: user._id, slot: { $lt: sessionMax } };
  const isLive = Array.from({ length: sessionMax }, (_, slot) => seen.find((known) => known.slot === slot)?.live);
  const missing = [...isLive.keys()].filter((slot) => isLive[slot] === undefined);
  const blank = { userId: user._id, companyId: user.companyId, live: false, lastUsedAt: new Date(0) };
  await sessions.insertNew(missing.map((slot) => ({ _id: `${user._id}:${slot}`, slot, ...blank })));
  // Only a free one, as long as there may be one: of two who sort at once the second could get what the first has just taken.
  const free = isLive.every((live) => live === true) ? undefined : await sessions.change({ ...own, live: false }, change as never, { sort: { lastUsedAt: 1 } });
  const taken = free ?? (await sessions.change(own, change as never, { sort: { live: 1, lastUsedAt: 1 } }));
  if (!taken) throw new Error('A user has no session slots');
  return taken;
}

/** The stages that end the session of a slot, keeping its family's name for as long as an access token could live. */
function ending(because: string): object[] {
  const at = now();
  const recent = { $filter: { input: { $ifNull: ['$ended', []] }, cond: { $gt: ['$$this.at', new Date(nowMs() - accessLifeMs())] } } };
  const isLive = { $eq: ['$live', true] };
  const withThis = { $slice: [{ $concatArrays: [recent, [{ sid: '$sid', at }]] }, -ENDED_KEPT] };
  return [
    {
      $set: {
        ended: { $cond: [isLive, withThis, recent] },
        endedAt: { $cond: [isLive, at, '$endedAt'] },
        endings: { $add: [{ $ifNull: ['$endings', 0] }, { $cond: [isLive, 1, 0] }] },
        endedBecause: because,
        live: false,
      },
    },
    { $unset: ['hash', 'prevHash'] },
  ];
}

interface Which {
  sid?: string | { $ne: string };
  userId?: string;
  sessionId?: string;
  startedAt?: { $lt: Date };
}

async function endOne(filter: Which, because: string): Promise<SessionSlot | undefined> {
  const slot = await sessions.change({ ...filter, live: true }, ending(because) as never);
  if (slot?.sid !== undefined) noteEnded(slot.sid);
  return slot;
}

/** Which sessions of a user end: all, all but one, those that began before a moment. */
export interface Ending {
  except?: string | undefined;
  startedBefore?: Date;
}

/** Ends sessions of a user; their access tokens stop at once here, within about a second elsewhere. */
export async function endSessions(userId: string, because: string, { except, startedBefore }: Ending = {}): Promise<void> {
  const which = { userId, ...(except === undefined ? {} : { sid: { $ne: except } }), ...(startedBefore ? { startedAt: { $lt: startedBefore } } : {}) };
  while (await endOne(which, because));
}

/**
 * Asks with the caller's transaction for the end of a user's other sessions that began before now: what the caller does
 * at once after its commit then also happens when its process dies in between.
 */
export function endOthersForSure(tx: Tx, userId: string, { because, except }: { because: string; except: string | undefined }): void {
  const startedBefore = now().toISOString();
  tx.enqueue({ name: 'identity.end-sessions', payload: { userId, because, startedBefore, ...(except === undefined ? {} : { except }) } });
}

function pair(user: Row<User>, refresh: RefreshToken): TokenPair {
  noteGrant(user);
  const { token, expiresInSeconds } = kit().accessTokens.sign({
    sub: user._id,
    cid: user.companyId,
    role: user.role,
    sid: refresh.sid,
    ...(user.epoch === 0 ? {} : { epoch: user.epoch }),
  });
  return { accessToken: token, expiresIn: expiresInSeconds, refreshToken: kit().tokens.writeRefresh(refresh) };
}

/**
 * Turns a refresh token into its successor and a new access token. A retry within 10 s gets the same successor; a
 * spent token ends the whole session (401 `refresh_token_reused`); a forged one is 401 and changes nothing.
 */
export async function refreshSession(text: string): Promise<TokenPair> {
  const token = kit().tokens.readRefresh(text) ?? (await formerToken(text));
  if (!token) throw refused();
  const next = kit().tokens.refreshSuccessor(token);
  const slot = (await rotate(token, next)) ?? (await explainRefusal(token));
  const user = await users.findOne(everywhere('refresh'), { _id: slot.userId });
  if (!user || (slot.epoch ?? 0) < user.minEpoch) {
    await endOne({ sid: token.sid }, 'account');
    throw refused();
  }
  await assertMayEnter(user);
  return pair(user, next);
}

/** A token of the former product is the first of the family that its session was given when it was taken up. */
async function formerToken(text: string): Promise<RefreshToken | undefined> {
  if (!FORMER_TOKEN.test(text)) return undefined;
  const slot = await sessions.findOne({ formerHash: kit().tokens.hash('refresh', text) });
  return slot?.sid === undefined ? undefined : { sid: slot.sid, gen: 0, secret: text };
}

async function rotate(token: RefreshToken, next: RefreshToken): Promise<SessionSlot | undefined> {
  const { tokens } = kit();
  const at = now();
  const hash = tokens.hash('refresh', token.secret);
  return sessions.change(
    { sid: token.sid, gen: token.gen, hash, live: true, idleExpiresAt: { $gt: at }, absoluteExpiresAt: { $gt: at } },
    {
      $set: {
        hash: tokens.hash('refresh', next.secret),
        prevHash: hash,
        rotatedAt: at,
        lastUsedAt: at,
        idleExpiresAt: new Date(at.getTime() + runtime().config.sessionIdleSeconds * 1000),
      },
      $inc: { gen: 1 },
    },
  );
}

/** The slot when this is a retry of the last rotation; otherwise why not, ending the session of a spent token. */
async function explainRefusal(token: RefreshToken): Promise<SessionSlot> {
  const slot = await sessions.findOne({ sid: token.sid });
  const at = now();
  if (!slot?.live || !slot.idleExpiresAt || !slot.absoluteExpiresAt || slot.idleExpiresAt <= at || slot.absoluteExpiresAt <= at) throw refused();
  const spentNow = slot.gen === token.gen + 1 && slot.prevHash === kit().tokens.hash('refresh', token.secret);
  if (spentNow && slot.rotatedAt && at.getTime() - slot.rotatedAt.getTime() < RETRY_MS) return slot;
  await endOne({ sid: token.sid }, 'reuse');
  runtime().log.warn('session.token_reused', { userId: slot.userId, sessionId: slot.sessionId });
  await withTransaction(systemCtx('refresh', slot.companyId), async (ctx) => noteSecurityEvent(ctx, { type: 'security.refresh_reuse', userId: slot.userId }));
  throw unauthenticated('refresh_token_reused', 'This refresh token was used before, so the session was ended; sign in again');
}

function refused(): AppError {
  return unauthenticated('invalid_refresh_token', 'The session has ended; sign in again');
}

/** The user's company (none for our staff); 403 `account_disabled` or `company_suspended`. Ask only after the proof. */
export async function assertMayEnter(user: Row<User>): Promise<Row<Company> | undefined> {
  if (user.status !== 'active') throw forbidden('account_disabled', 'This account is disabled; ask your administrator');
  if (user.companyId === PLATFORM_COMPANY_ID) return undefined;
  const company = await ownCompany(inCompany(everywhere('sign-in'), user.companyId));
  if (company.status !== 'active') throw forbidden('company_suspended', 'This company is suspended; ask our support');
  return company;
}

/** Ends the session that asks. */
export async function signOut(ctx: OutsideTx): Promise<void> {
  if (ctx.actor.sessionId !== undefined) await endOne({ sid: ctx.actor.sessionId, userId: ctx.actor.id }, 'logout');
}

/** Ends all sessions of the one who asks. */
export async function signOutEverywhere(ctx: OutsideTx): Promise<void> {
  await endSessions(ctx.actor.id, 'logout_all');
}

/** The live sessions of the one who asks, the latest used first. */
export async function ownSessions(ctx: Ctx): Promise<(SessionSlot & { current: boolean })[]> {
  const at = now();
  const live = { userId: ctx.actor.id, live: true, idleExpiresAt: { $gt: at }, absoluteExpiresAt: { $gt: at } };
  const rows = await sessions.find(live, { sort: { lastUsedAt: -1 } });
  return rows.map((row) => ({ ...row, current: row.sid === ctx.actor.sessionId }));
}

/** Ends one session by its id; false when it is not live. */
export async function endSession(sessionId: string, because: string): Promise<boolean> {
  return (await endOne({ sessionId }, because)) !== undefined;
}

/** Ends one of the asker's own sessions; 404 for any other. */
export async function endOwnSession(ctx: OutsideTx, sessionId: string): Promise<void> {
  if (!(await endOne({ userId: ctx.actor.id, sessionId }, 'revoked'))) throw notFound('session');
}
