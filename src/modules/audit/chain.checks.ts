import { chainHeads, chainLinks, chainStart, headMac, linkedAmong, linkHash, linkId, waitingIds, type AuditLink } from '../../platform/audit-links.ts';
import { anchorChain, chainAnchor, lostRows } from '../../platform/audit-memory.ts';
import { auditKey, rowDigest, unpackRows } from '../../platform/db/audit-seal.ts';
import type { Check } from '../../platform/module.ts';
import { AUDIT_FIELDS } from '../../platform/db/audit-seal.ts';
import { auditRows } from './audit.model.ts';

export const AUDIT_CHAIN_CHECK = 'audit.chain';

const ROWS_A_READ = 1_000;
const WINDOW = 10_000;
/** Enough to see what was done; a whole lost collection is not listed row by row. */
const MAX_FOUND = 1_000;

/**
 * Every audit row is linked once and unchanged, every link follows the one before, and the chain ends where its head
 * says: names each row and link that was changed, removed, added or moved.
 */
export const auditChainHolds: Check = {
  name: AUDIT_CHAIN_CHECK,
  async run() {
    const found: string[] = [];
    const anchor = chainAnchor();
    const head = await chainHeads.findOne({ _id: 'head' });
    if (!head) return noHead(anchor);
    if (head.mac !== headMac(head)) found.push('The head of the audit chain was changed');
    if (head.rebuiltAt) found.push(`The head of the audit chain was lost and made anew at ${head.rebuiltAt.toISOString()}: links after it may have been cut off`);
    const removed = await lastRetention();
    const end = await walkLinks(head.seq, removed, found);
    if (end.seq < head.seq) found.push(missing(end.seq + 1, head.seq));
    else if (end.hash !== head.hash) found.push(`Link ${head.seq} is not the one that the head of the audit chain names`);
    if (anchor && anchor.seq > head.seq) found.push(`The audit chain ends at link ${head.seq}, but link ${anchor.seq} was there before`);
    else if (anchor && (await chainLinks.findOne({ _id: linkId(anchor.seq) }))?.hash !== anchor.hash && anchor.seq > removed.upTo) {
      found.push(`Link ${anchor.seq} is another one than before`);
    }
    if (found.length === 0) anchorChain(head);
    await findUnlinked(found);
    for (const id of await lostRows()) found.push(`Audit row ${id} is missing: it was removed before it was linked`);
    return found;
  },
};

/** Before the first link nothing is wrong; later it is. */
async function noHead(anchor: { seq: number } | undefined): Promise<string[]> {
  const [last] = await chainLinks.find({}, { sort: { _id: -1 }, limit: 1 });
  if (anchor || last) return [`The head of the audit chain is missing; it named link ${anchor?.seq ?? last?.seq ?? 0} or a later one`];
  return [];
}

interface Removed {
  upTo: number;
  hash: string;
}

/** Up to which link rows were removed because they were old enough; only a link of the chain itself may say so. */
async function lastRetention(): Promise<Removed> {
  const [last] = await chainLinks.find({ kind: 'retention', upTo: { $exists: true } }, { sort: { _id: -1 }, limit: 1 });
  if (last?.hash !== (last && linkHash(last))) return { upTo: 0, hash: chainStart() };
  return last ? { upTo: last.upTo ?? 0, hash: last.upToHash ?? '' } : { upTo: 0, hash: chainStart() };
}

function missing(from: number, to: number): string {
  return from === to ? `Link ${from} of the audit chain is missing, with what it proved` : `Links ${from} to ${to} of the audit chain are missing, with what they proved`;
}

/** Walks the links up to the head that was seen; answers the last one that is there. */
async function walkLinks(headSeq: number, removed: Removed, found: string[]): Promise<{ seq: number; hash: string }> {
  let end = { seq: removed.upTo, hash: removed.hash };
  for await (const link of chainLinks.each({ _id: { $gt: linkId(removed.upTo), $lte: linkId(headSeq) } }, { sort: { _id: 1 } })) {
    if (found.length > MAX_FOUND) break;
    if (link.keyId !== auditKey().id) {
      found.push(`Link ${link.seq} was made with another TOKEN_PEPPER: it and its rows cannot be checked`);
    } else if (link.seq !== end.seq + 1 || link._id !== linkId(link.seq)) {
      found.push(Number(link._id) > end.seq + 1 ? missing(end.seq + 1, Number(link._id) - 1) : `Link ${link._id} of the audit chain stands in another's place`);
    }
    if (link.keyId === auditKey().id && link.hash !== linkHash(link)) found.push(`Link ${Number(link._id)} of the audit chain was changed`);
    else if (link.seq === end.seq + 1 && link.prev !== end.hash) found.push(`Link ${link.seq} does not follow from link ${end.seq}`);
    await compareRows(link, found);
    end = { seq: Number(link._id), hash: link.hash };
  }
  return end;
}

async function compareRows(link: AuditLink, found: string[]): Promise<void> {
  const linked = unpackRows(link.rows);
  for (let at = 0; at < linked.length && found.length <= MAX_FOUND; at += ROWS_A_READ) {
    const part = linked.slice(at, at + ROWS_A_READ);
    const rows = new Map((await auditRows.find({ _id: { $in: part.map((row) => row.id) } }, { fields: AUDIT_FIELDS })).map((row) => [row._id, row]));
    for (const { id, digest } of part) {
      const row = rows.get(id);
      if (!row) found.push(`Audit row ${id} of link ${link.seq} is missing`);
      else if (!rowDigest(row).equals(digest)) found.push(`Audit row ${id} of link ${link.seq} was changed`);
    }
  }
}

/** Rows that neither a link nor a waiting digest knows were put there by somebody else. Windows of ids keep it bounded. */
async function findUnlinked(found: string[]): Promise<void> {
  for (let after = ''; found.length <= MAX_FOUND; ) {
    const window = (await auditRows.find({ _id: { $gt: after } }, { sort: { _id: 1 }, limit: WINDOW, fields: ['_id'] })).map((row) => row._id);
    const last = window.at(-1);
    if (last === undefined) return;
    // What waits first, links after it: what moves from one to the other in between is seen in the second.
    const waiting = await waitingIds();
    const linked = await linkedAmong(window);
    for (const id of window) if (!waiting.has(id) && !linked.has(id)) found.push(`Audit row ${id} was never linked: no transaction of ours wrote it`);
    after = last;
  }
}
