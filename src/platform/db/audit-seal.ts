import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { Config } from '../../config.ts';
import { newId } from '../ids.ts';
import { runtime } from '../runtime.ts';
import type { Change } from './tx.ts';

/** One change of one stored row, written by the transaction that made it: names of fields, never their values. */
export interface AuditRow extends Omit<Change, 'fields'> {
  _id: string;
  at: Date;
  /** The names with a space between: one text is written and read for a third of what a list costs. A list in rows of before. */
  fields: string | readonly string[];
}

/** What a row says, in the order in which its digest names it; nothing of what it carries for the chain while it waits. */
export const AUDIT_FIELDS = ['_id', 'at', 'collection', 'rowId', 'action', 'fields', 'actorKind', 'actorId', 'companyId', 'requestId'] as const satisfies (keyof AuditRow)[];

/** The row of a change. */
export function auditRow(change: Change, at: Date): AuditRow {
  return { _id: newId(), at, ...change, fields: change.fields.join(' ') };
}

/** The names of the fields that a row tells of. */
export function fieldNames({ fields }: Pick<AuditRow, 'fields'>): string[] {
  if (typeof fields !== 'string') return [...fields];
  return fields === '' ? [] : fields.split(' ');
}

/** What the first audit row of a transaction carries until the chain has linked all of them; no part of what the row says. */
export interface Pending {
  /** The transaction's rows, itself included: see `packRows`. */
  pending: string;
  /** Its `at` once more: small, so that an index finds the rows that wait. */
  pendingSince: Date;
}

const ID_BYTES = 12;
const DIGEST_BYTES = 16;
const ROW_BYTES = ID_BYTES + DIGEST_BYTES;

const keys = new WeakMap<Config, { key: KeyObject; id: string }>();

/** The key of the audit chain, derived from TOKEN_PEPPER: who writes to the database only cannot make a digest. */
export function auditKey(): { key: KeyObject; id: string } {
  const { config } = runtime();
  const known = keys.get(config);
  if (known) return known;
  if (config.tokenPepper === undefined) throw new Error('TOKEN_PEPPER is not set');
  const key = createSecretKey(createHmac('sha256', config.tokenPepper).update('dakiya.audit-chain').digest());
  const made = { key, id: createHmac('sha256', key).update('id').digest('hex').slice(0, 8) };
  keys.set(config, made);
  return made;
}

/** HMAC-SHA-256 of parts, as base64url; a JSON array keeps their borders apart. */
export function auditMac(parts: readonly unknown[]): string {
  return createHmac('sha256', auditKey().key).update(JSON.stringify(parts)).digest('base64url');
}

/** The digest of what an audit row says: any changed field gives another, `Pending` is none of them. 16 bytes, about 5 µs. */
export function rowDigest(row: AuditRow): Buffer {
  const text = JSON.stringify(AUDIT_FIELDS.map((name) => row[name]));
  return createHmac('sha256', auditKey().key).update(text).digest().subarray(0, DIGEST_BYTES);
}

/** Ids and digests of rows in base64, 28 bytes a row. */
export function packRows(rows: readonly AuditRow[]): string {
  const packed = Buffer.allocUnsafe(rows.length * ROW_BYTES);
  rows.forEach((row, i) => {
    packed.write(row._id, i * ROW_BYTES, ID_BYTES, 'hex');
    rowDigest(row).copy(packed, i * ROW_BYTES + ID_BYTES);
  });
  return packed.toString('base64');
}

/** The rows of one transaction as they are stored: the first one tells the chain of all. */
export function pendingFirst(rows: readonly AuditRow[]): (AuditRow & Partial<Pending>)[] {
  return rows.map((row, i) => (i === 0 ? { ...row, pending: packRows(rows), pendingSince: row.at } : row));
}

/** Several packed lists as one. */
export function joinPacked(lists: readonly string[]): string {
  return lists.length === 1 ? (lists[0] ?? '') : Buffer.concat(lists.map((list) => Buffer.from(list, 'base64'))).toString('base64');
}

/** The ids of a packed list with their digests, in order. */
export function unpackRows(packed: string): { id: string; digest: Buffer }[] {
  const bytes = Buffer.from(packed, 'base64');
  return Array.from({ length: Math.floor(bytes.length / ROW_BYTES) }, (_, i) => ({
    id: bytes.toString('hex', i * ROW_BYTES, i * ROW_BYTES + ID_BYTES),
    digest: bytes.subarray(i * ROW_BYTES + ID_BYTES, (i + 1) * ROW_BYTES),
  }));
}

/** How many rows a packed list holds, without unpacking it. */
export function packedCount(packed: string): number {
  return Math.floor(Buffer.byteLength(packed, 'base64') / ROW_BYTES);
}
