import type { Ctx } from '../../platform/context.ts';
import { makeFaults } from '../../platform/faults.ts';
import { pageLimit, readCursor, writeCursor, type Page, type PageRequest } from '../../platform/pagination.ts';
import { auditRows, type AuditRow } from './audit.model.ts';

export interface AuditQuery extends PageRequest {
  collection?: string | undefined;
  rowId?: string | undefined;
  actorId?: string | undefined;
  action?: AuditRow['action'] | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** One page of what was changed in the ctx's company, newest first; 400 when `from` is after `to`. */
export async function companyAudit(ctx: Ctx, query: AuditQuery): Promise<Page<AuditRow>> {
  return auditPage({ companyId: ctx.companyId }, query);
}

/** One page of what was changed anywhere, or in one company, for our staff. */
export async function staffAudit(query: AuditQuery & { companyId?: string | undefined }): Promise<Page<AuditRow>> {
  return auditPage(query.companyId === undefined ? {} : { companyId: query.companyId }, query);
}

async function auditPage(scope: { companyId?: string }, query: AuditQuery): Promise<Page<AuditRow>> {
  const { collection, rowId, actorId, action, from, to } = query;
  if (from && to && from > to) {
    const faults = makeFaults();
    faults.add('from', 'must not be after to');
    faults.throwIfAny();
  }
  const wishes = Object.entries({ ...scope, collection, rowId, actorId, action }).filter(([, value]) => value !== undefined);
  const times = [...(from ? [{ at: { $gte: from } }] : []), ...(to ? [{ at: { $lte: to } }] : [])];
  const filter = { $and: [Object.fromEntries(wishes), ...times, ...(query.cursor === undefined ? [] : [after(query.cursor)])] };
  const limit = pageLimit(query);
  const found = await auditRows.find(filter, { sort: { at: -1, _id: -1 }, limit: limit + 1 });
  const data = found.slice(0, limit);
  const last = data.at(-1);
  return { data, nextCursor: found.length > limit && last ? writeCursor({ at: last.at.getTime(), id: last._id }) : null };
}

function after(cursor: string): { $or: object[] } {
  const place = readCursor(cursor);
  const at = new Date(place.at);
  return { $or: [{ at: { $lt: at } }, { at, _id: { $lt: place.id } }] };
}
