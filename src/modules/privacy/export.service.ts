import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { Ctx, OutsideTx } from '../../platform/context.ts';
import { declaredCollections, doorOf } from '../../platform/db/collection.ts';
import { Sealed } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { noteRead } from '../../platform/db/tx.ts';
import { customerData, type CustomerKeys } from '../../platform/privacy.ts';
import { runtime } from '../../platform/runtime.ts';
import { eachAuditRow, noteSecurityEvent } from '../audit/index.ts';

/** Names of fields that are secrets of the service or keys to other systems: nobody's data, never exported. */
const SECRET = /(?:hash|secret|token|password|credential|recovery|totp|pepper|fileKey)/i;
const MAX_DEPTH = 12;

/** The whole of a company as gzipped JSON lines `{ collection, row }`, sealed values in clear, one row after the other. */
export async function exportCompany(ctx: OutsideTx, address: string): Promise<Readable> {
  await noteExport(ctx, 'company', address);
  return compressed(companyRows(ctx));
}

/** What the company holds of one customer, in the same form. */
export async function exportCustomer(ctx: OutsideTx, customer: CustomerKeys, address: string): Promise<Readable> {
  await noteExport(ctx, 'customer', address);
  return compressed(customerRows(ctx, customer));
}

async function noteExport(ctx: OutsideTx, what: 'company' | 'customer', address: string): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    noteRead(ctx, { collection: what === 'company' ? 'companies' : 'orders', rowId: what === 'company' ? ctx.companyId : 'customer', fields: ['*'] });
    await noteSecurityEvent(ctx, { type: 'security.bulk_export', userId: ctx.actor.id, address, details: { what } });
  });
}

async function* companyRows(ctx: Ctx): AsyncGenerator<string> {
  for (const spec of declaredCollections()) {
    if (spec.privacy === 'none') continue;
    for await (const row of doorOf(spec.name).each(ctx, {})) {
      // Shared collections also show the platform's rows, which are not the company's.
      if (row.companyId === ctx.companyId) yield line(spec.name, row);
    }
  }
  for await (const row of eachAuditRow(ctx)) yield line('audit', row);
}

async function* customerRows(ctx: Ctx, customer: CustomerKeys): AsyncGenerator<string> {
  for (const { name, rows } of customerData()) if (rows) for await (const row of rows(ctx, customer)) yield line(name, row);
}

function line(collection: string, row: object): string {
  return `${JSON.stringify({ collection, row: clear(row, 0) })}\n`;
}

/** A row as its owner may have it: sealed values in clear, secrets left out. */
export function clear(value: unknown, depth: number): unknown {
  if (value instanceof Sealed) return clear(value.shown(), depth + 1);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (depth > MAX_DEPTH) return undefined;
  if (Array.isArray(value)) return value.map((item) => clear(item, depth + 1));
  return Object.fromEntries(Object.entries(value).flatMap(([key, item]) => (SECRET.test(key) ? [] : [[key, clear(item, depth + 1)]])));
}

function compressed(lines: AsyncGenerator<string>): Readable {
  const gzip = createGzip();
  pipeline(Readable.from(lines), gzip, (error) => {
    if (error) runtime().log.warn('privacy.export_cut_off', { error });
  });
  return gzip;
}
