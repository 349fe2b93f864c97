import { auditMac, unpackRows, type Pending } from './db/audit-seal.ts';
import { machineRows } from './db/machine-rows.ts';

/**
 * One link of the chain over all audit rows. `rows`: rows that transactions left; `adopted`: rows that were there before
 * the chain began; `retention`: rows up to link `upTo` were removed because they were old enough.
 */
export interface AuditLink {
  /** `seq` with leading zeros. */
  _id: string;
  seq: number;
  kind: 'rows' | 'adopted' | 'retention';
  at: Date;
  count: number;
  /** Ids and digests, packed. */
  rows: string;
  minId: string;
  maxId: string;
  upTo?: number;
  upToHash?: string;
  prev: string;
  keyId: string;
  hash: string;
}

/** Where the chain ends, kept apart from it so that a cut tail is noticed. */
export interface ChainHead {
  _id: 'head';
  seq: number;
  hash: string;
  mac: string;
  /** While rows of the time before the chain are being adopted: the last adopted id. */
  adopting?: string;
  /** The head was missing or forged and was made anew from the last link: what stood behind it cannot be told. */
  rebuiltAt?: Date;
}

export const chainLinks = machineRows<AuditLink>('audit_chain', [
  { keys: { maxId: 1 } },
  { keys: { kind: 1, _id: -1 }, partial: { upTo: { $exists: true } } },
]);
export const chainHeads = machineRows<ChainHead>('audit_heads', []);
/** Which audit rows wait for their link. */
export const WAITING = { pendingSince: { $exists: true } };
/** The first audit rows of transactions that wait for their link. */
export const waitingRows = machineRows<Pending & { _id: string }>('audit', [{ keys: { pendingSince: 1, _id: 1 }, partial: WAITING }]);

/** What one transaction left for the chain; `_id` is the id of its first audit row. Stored so before decision 071. */
export interface Left {
  _id: string;
  at: Date;
  rows: string;
}

/** What releases before decision 071 left. */
export const leftovers = machineRows<Left>('audit_pending', []);

/** The `_id` of the link with this number: it sorts as numbers do. */
export function linkId(seq: number): string {
  return String(seq).padStart(12, '0');
}

/** The hash that a link must carry. */
export function linkHash(link: Omit<AuditLink, 'hash'>): string {
  const { seq, kind, at, count, rows, minId, maxId, upTo = 0, upToHash = '', prev } = link;
  return auditMac(['link', seq, kind, at, count, rows, minId, maxId, upTo, upToHash, prev]);
}

/** The proof that a head was written by us. */
export function headMac({ seq, hash, rebuiltAt, adopting }: Omit<ChainHead, '_id' | 'mac'>): string {
  return auditMac(['head', seq, hash, rebuiltAt ?? '', adopting ?? null]);
}

/** The hash before the first link. */
export function chainStart(): string {
  return auditMac(['start']);
}

/** False for fields that none of our transactions writes. */
export function isSound({ pending, pendingSince }: Partial<Pending>): boolean {
  return typeof pending === 'string' && pendingSince instanceof Date;
}

/** Which of these audit rows some link holds. */
export async function linkedAmong(ids: readonly string[]): Promise<Set<string>> {
  const asked = new Set(ids);
  const linked = new Set<string>();
  const { minId, maxId } = rangeOf(ids);
  for await (const { rows } of chainLinks.each({ maxId: { $gte: minId }, minId: { $lte: maxId } })) {
    for (const { id } of unpackRows(rows)) if (asked.has(id)) linked.add(id);
  }
  return linked;
}

/** The audit rows that wait for their link. */
export async function waitingIds(): Promise<Set<string>> {
  const ids = new Set<string>();
  const add = (rows: string): void => unpackRows(rows).forEach(({ id }) => ids.add(id));
  for await (const { rows } of leftovers.each({})) add(rows);
  for await (const row of waitingRows.each(WAITING, { fields: ['pending', 'pendingSince'] })) if (isSound(row)) add(row.pending);
  return ids;
}

/** The smallest and the largest of ids; empty texts of none. */
export function rangeOf(ids: readonly string[]): { minId: string; maxId: string } {
  const range = { minId: ids[0] ?? '', maxId: ids[0] ?? '' };
  for (const id of ids) {
    if (id < range.minId) range.minId = id;
    if (id > range.maxId) range.maxId = id;
  }
  return range;
}
