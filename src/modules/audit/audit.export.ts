import type { Readable } from 'node:stream';
import type { Ctx } from '../../platform/context.ts';
import { csvRow, csvStream } from '../../platform/csv.ts';
import { fieldNames } from './audit.model.ts';
import { companyAudit, type AuditQuery } from './audit.service.ts';

const HEADER = ['id', 'at', 'collection', 'rowId', 'action', 'fields', 'actorKind', 'actorId', 'requestId'];
const MAX_ROWS = 100_000;

/** The company's audit log of a search as CSV, a page at a time, at most 100,000 rows. */
export function exportAuditCsv(ctx: Ctx, query: Omit<AuditQuery, 'limit' | 'cursor'>): Promise<Readable> {
  return csvStream(rows(ctx, query));
}

async function* rows(ctx: Ctx, query: Omit<AuditQuery, 'limit' | 'cursor'>): AsyncGenerator<string> {
  yield csvRow(HEADER);
  let cursor: string | undefined;
  for (let count = 0; count < MAX_ROWS; ) {
    const page = await companyAudit(ctx, { ...query, limit: 1000, cursor });
    yield page.data
      .map((r) => csvRow([r._id, r.at.toISOString(), r.collection, r.rowId, r.action, fieldNames(r).join(' '), r.actorKind, r.actorId, r.requestId]))
      .join('');
    count += page.data.length;
    cursor = page.nextCursor ?? undefined;
    if (cursor === undefined) return;
  }
}
