import { now } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, inCompany, type Ctx, type OutsideTx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { forbidden, notFound } from '../../platform/errors.ts';
import { pageLimit, readCursor, writeCursor, type Page, type PageRequest } from '../../platform/pagination.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { endSession, endSessions } from './session.service.ts';
import { sessions, type SessionSlot } from './session.model.ts';

export interface SessionQuery extends PageRequest {
  userId?: string | undefined;
  companyId?: string | undefined;
}

/** One page of live sessions of anybody, the latest used first. */
export async function listSessions({ userId, companyId, ...request }: SessionQuery): Promise<Page<SessionSlot>> {
  const at = now();
  const whose = { ...(userId === undefined ? {} : { userId }), ...(companyId === undefined ? {} : { companyId }) };
  const live = { ...whose, live: true, idleExpiresAt: { $gt: at }, absoluteExpiresAt: { $gt: at } };
  const filter = request.cursor === undefined ? live : { $and: [live, after(request.cursor)] };
  const limit = pageLimit(request);
  const found = await sessions.find(filter, { sort: { lastUsedAt: -1, _id: -1 }, limit: limit + 1 });
  const data = found.slice(0, limit);
  const last = data.at(-1);
  return { data, nextCursor: found.length > limit && last ? writeCursor({ at: last.lastUsedAt.getTime(), id: last._id }) : null };
}

function after(cursor: string): { $or: object[] } {
  const place = readCursor(cursor);
  const lastUsedAt = new Date(place.at);
  return { $or: [{ lastUsedAt: { $lt: lastUsedAt } }, { lastUsedAt, _id: { $lt: place.id } }] };
}

/** Ends one session of anybody; of our own staff only for those who manage staff. 404 when there is none. */
export async function endAnySession(ctx: OutsideTx, sessionId: string): Promise<void> {
  const slot = await sessions.findOne({ sessionId, live: true });
  if (!slot) throw notFound('session');
  assertMayEnd(ctx, slot.companyId);
  if (!(await endSession(sessionId, 'staff'))) throw notFound('session');
  await note(ctx, slot);
}

/** Ends all sessions of a user, of any company; answers nothing whether he had some or none. */
export async function endSessionsOf(ctx: OutsideTx, userId: string): Promise<void> {
  const slot = await sessions.findOne({ userId });
  if (!slot) return;
  assertMayEnd(ctx, slot.companyId);
  await endSessions(userId, 'staff');
  await note(ctx, slot);
}

function assertMayEnd(ctx: Ctx, companyId: string): void {
  const isStaff = companyId === PLATFORM_COMPANY_ID;
  if (isStaff && !ctx.actor.permissions.has('admin:staff')) throw forbidden('forbidden', 'You may not end sessions of our staff');
}

async function note(ctx: OutsideTx, slot: SessionSlot): Promise<void> {
  await withTransaction(inCompany(ctx, slot.companyId), async (ctx) => noteSecurityEvent(ctx, { type: 'security.sessions_ended', userId: slot.userId, details: { by: 'staff' } }));
}
