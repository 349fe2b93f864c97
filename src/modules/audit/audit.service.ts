import { inCompany, PLATFORM_COMPANY_ID, type Ctx, type OutsideTx } from '../../platform/context.ts';
import { AUDIT_FIELDS } from '../../platform/db/audit-seal.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { noteRead } from '../../platform/db/tx.ts';
import { assertRange, pageLimit, readCursor, writeCursor, type Page, type PageRequest } from '../../platform/pagination.ts';
import { auditRows, type AuditRow } from './audit.model.ts';

export interface AuditQuery extends PageRequest {
  collection?: string | undefined;
  rowId?: string | undefined;
  actorId?: string | undefined;
  action?: AuditRow['action'] | undefined;
  requestId?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** One page of what was changed in the ctx's company, newest first; 400 when `from` is after `to`. */
export async function companyAudit(ctx: Ctx, query: AuditQuery): Promise<Page<AuditRow>> {
  return auditPage({ companyId: ctx.companyId }, query);
}

/**
 * One page of what was changed anywhere, or in one company, for our staff. The look itself stands in the log: of the
 * company that was looked at, or else of the platform.
 */
export async function staffAudit(ctx: OutsideTx, query: AuditQuery & { companyId?: string | undefined }): Promise<Page<AuditRow>> {
  const { companyId, ...wish } = query;
  assertRange(wish);
  const asked = Object.keys(query).filter((key) => key !== 'limit' && key !== 'cursor');
  await withTransaction(inCompany(ctx, companyId ?? PLATFORM_COMPANY_ID), async (ctx) => noteRead(ctx, { collection: 'audit', rowId: companyId ?? 'all', fields: asked }));
  if (companyId !== undefined) return auditPage({ companyId }, wish);
  // Ids sort by birth, so a walk over all companies needs no index of its own.
  const { from, to, cursor } = wish;
  const ids = [
    ...(from ? [{ _id: { $gte: idAt(from) }, at: { $gte: from } }] : []),
    ...(to ? [{ _id: { $lt: idAt(new Date(to.getTime() + 2_000)) }, at: { $lte: to } }] : []),
    ...(cursor === undefined ? [] : [{ _id: { $lt: readCursor(cursor).id } }]),
  ];
  return page([wishes(wish), ...ids], { _id: -1 }, wish);
}

/** The first id of a second; rows of one transaction carry the second of its end. */
function idAt(time: Date): string {
  return `${Math.max(0, Math.floor(time.getTime() / 1000)).toString(16).padStart(8, '0')}${'0'.repeat(16)}`;
}

async function auditPage(scope: { companyId: string }, query: AuditQuery): Promise<Page<AuditRow>> {
  assertRange(query);
  const { from, to, cursor } = query;
  const times = [...(from ? [{ at: { $gte: from } }] : []), ...(to ? [{ at: { $lte: to } }] : [])];
  return page([{ ...scope, ...wishes(query) }, ...times, ...(cursor === undefined ? [] : [after(cursor)])], { at: -1, _id: -1 }, query);
}

function wishes({ collection, rowId, actorId, action, requestId }: AuditQuery): object {
  return Object.fromEntries(Object.entries({ collection, rowId, actorId, action, requestId }).filter(([, value]) => value !== undefined));
}

async function page(parts: object[], sort: Record<string, -1>, query: AuditQuery): Promise<Page<AuditRow>> {
  const limit = pageLimit(query);
  const found = await auditRows.find({ $and: parts }, { sort, limit: limit + 1, fields: AUDIT_FIELDS });
  const data = found.slice(0, limit);
  const last = data.at(-1);
  return { data, nextCursor: found.length > limit && last ? writeCursor({ at: last.at.getTime(), id: last._id }) : null };
}

function after(cursor: string): { $or: object[] } {
  const place = readCursor(cursor);
  const at = new Date(place.at);
  return { $or: [{ at: { $lt: at } }, { at, _id: { $lt: place.id } }] };
}

/** All audit rows of the company, oldest first; for its export. */
export function eachAuditRow(ctx: Ctx): AsyncIterable<AuditRow> {
  return auditRows.each({ companyId: ctx.companyId }, { sort: { at: 1, _id: 1 }, fields: AUDIT_FIELDS });
}
