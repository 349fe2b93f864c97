import { now, nowMs } from './clock.ts';
import { makeConsumer, type Consumer } from './consumer.ts';
import {
  chainHeads,
  chainLinks,
  chainStart,
  headMac,
  isSound,
  leftovers,
  linkedAmong,
  linkHash,
  linkId,
  rangeOf,
  waitingIds,
  WAITING,
  waitingRows,
  type AuditLink,
  type ChainHead,
  type Left,
} from './audit-links.ts';
import { anchorChain, chainAnchor, noteLinked } from './audit-memory.ts';
import { auditKey, joinPacked, packedCount, packRows, unpackRows, type AuditRow } from './db/audit-seal.ts';
import { machineRows } from './db/machine-rows.ts';
import { makeLease } from './lease.ts';
import { metrics } from './metrics.ts';
import { runtime } from './runtime.ts';

const auditRows = machineRows<AuditRow>('audit', []);

const GATHER_MS = 250;
const MAX_PENDING = 500;
const MAX_ROWS = 5_000;
const ADOPT_ROWS = 2_000;
const TELL_HEAD_MS = 3_600_000;
const LOOK_BACK_MS = 3_600_000;

type LinkBody = Pick<AuditLink, 'kind' | 'rows' | 'minId' | 'maxId' | 'count'> & Partial<Pick<AuditLink, 'upTo' | 'upToHash'>>;

async function headOf(): Promise<ChainHead> {
  const head = await chainHeads.findOne({ _id: 'head' });
  if (head && head.mac === headMac(head)) return head;
  const [last] = await chainLinks.find({}, { sort: { _id: -1 }, limit: 1 });
  if (!head && !last) {
    const made = { seq: 0, hash: chainStart(), adopting: '' };
    await chainHeads.insertNew([{ _id: 'head', ...made, mac: headMac(made) }]);
    return (await chainHeads.findOne({ _id: 'head' })) ?? { _id: 'head', ...made, mac: headMac(made) };
  }
  runtime().log.error('audit.head_rebuilt', { had: head?.seq, last: last?.seq });
  const rebuilt = { seq: last?.seq ?? 0, hash: last?.hash ?? chainStart(), rebuiltAt: now() };
  const row = { ...rebuilt, mac: headMac(rebuilt) };
  await chainHeads.change({ _id: 'head' }, { $set: row, $unset: { adopting: '' } }, { upsert: true });
  return { _id: 'head', ...row };
}

/** The state in which a new link may be made: the head, with nothing half done behind it. */
async function readyHead(): Promise<ChainHead> {
  for (;;) {
    const head = await headOf();
    const begun = await chainLinks.findOne({ _id: linkId(head.seq + 1) });
    if (!begun) return head;
    // A process ended between the link and its head; or another one is just there. Both may do the rest.
    await complete(head, begun, unpackRows(begun.rows).map((row) => row.id));
  }
}

async function complete(head: ChainHead, link: AuditLink, pendingIds: string[]): Promise<void> {
  if (link.kind === 'rows' && pendingIds.length > 0) {
    await waitingRows.changeAll({ _id: { $in: pendingIds } }, { $unset: { pending: '', pendingSince: '' } });
    noteLinked(pendingIds);
  }
  const adopting = link.kind === 'adopted' ? link.maxId : head.adopting;
  const next = { seq: link.seq, hash: link.hash, rebuiltAt: head.rebuiltAt, adopting };
  const { seq, hash } = link;
  await chainHeads.change(
    { _id: 'head', seq: head.seq },
    { $set: { seq, hash, mac: headMac(next), ...(adopting === undefined ? {} : { adopting }) } },
  );
  anchorChain(link);
}

/** Appends one link after `head`; false when one is there, made or begun by another process: then `readyHead`, and decide again. */
async function append(head: ChainHead, body: LinkBody, pendingIds: string[] = []): Promise<boolean> {
  const seq = head.seq + 1;
  const link = { _id: linkId(seq), seq, at: now(), ...body, prev: head.hash, keyId: auditKey().id };
  const whole: AuditLink = { ...link, hash: linkHash(link) };
  if ((await chainLinks.insertNew([whole])).size === 0) return false;
  await complete(head, whole, pendingIds);
  return true;
}

function bodyOf(kind: LinkBody['kind'], rows: string): LinkBody {
  const ids = unpackRows(rows).map((row) => row.id);
  return { kind, rows, count: ids.length, ...rangeOf(ids) };
}

/** What one turn of the consumer did, and whether another one should follow at once. */
interface Turn {
  rows: number;
  more: boolean;
}

/** The first of what waits, at most some thousand rows. */
function firstOf(waiting: readonly Left[]): Left[] {
  const taken: Left[] = [];
  let count = 0;
  for (const left of waiting) {
    count += packedCount(left.rows);
    if (taken.length > 0 && count > MAX_ROWS) break;
    taken.push(left);
  }
  return taken;
}

/** Somebody wrote to the database: the chain goes on without it, and the check names the row as one that was never linked. */
async function putAside(broken: readonly { _id: string }[]): Promise<void> {
  const ids = broken.map(({ _id }) => _id);
  runtime().log.error('audit.pending_broken', { ids });
  await waitingRows.changeAll({ _id: { $in: ids } }, { $unset: { pending: '', pendingSince: '' } });
}

/**
 * Links what waits, at most some thousand rows. What waits is read after the head: whoever sees the head of a link can
 * no longer see what that link took, so nothing is linked twice.
 */
async function linkSome(): Promise<Turn> {
  const head = await headOf();
  if (head.adopting !== undefined) return { rows: await adoptSome(await readyHead()), more: true };
  const found = await waitingRows.find(WAITING, { sort: { pendingSince: 1, _id: 1 }, limit: MAX_PENDING, fields: ['pending', 'pendingSince'] });
  const sound = found.filter(isSound);
  if (sound.length < found.length) await putAside(found.filter((row) => !isSound(row)));
  const waiting = sound.map(({ _id, pending, pendingSince }) => ({ _id, at: pendingSince, rows: pending }));
  metrics.auditChainLag(waiting[0] ? Math.max(0, nowMs() - waiting[0].at.getTime()) / 1000 : 0);
  const taken = firstOf(waiting);
  if (taken.length === 0) return { rows: 0, more: (await readyHead()).seq !== head.seq };
  const body = bodyOf('rows', joinPacked(taken.map(({ rows }) => rows)));
  if (await append(head, body, taken.map(({ _id }) => _id))) {
    return { rows: body.count, more: taken.length < waiting.length || waiting.length === MAX_PENDING };
  }
  await readyHead();
  return { rows: 0, more: true };
}

/**
 * Links what releases before decision 071 left. A link never takes these rows away, so what it holds already, after a kill
 * or by another process, is looked for in the chain: the head, read before, lets no link come in between.
 */
async function linkLeftovers(): Promise<Turn> {
  const head = await readyHead();
  const taken = firstOf(await leftovers.find({}, { sort: { _id: 1 }, limit: MAX_PENDING }));
  if (taken.length === 0) return { rows: 0, more: false };
  const linked = await linkedAmong(taken.map(({ _id }) => _id));
  const body = bodyOf('rows', joinPacked(taken.filter(({ _id }) => !linked.has(_id)).map(({ rows }) => rows)));
  if (body.count > 0 && !(await append(head, body))) return { rows: 0, more: true };
  await leftovers.remove({ _id: { $in: taken.map(({ _id }) => _id) } });
  return { rows: body.count, more: true };
}

/** Takes up rows that were written before the chain began. Waiting ones, read after them, are the chain's own already. */
async function adoptSome(head: ChainHead): Promise<number> {
  const after = head.adopting;
  if (after === undefined) return 0;
  const rows = await auditRows.find({ _id: { $gt: after } }, { sort: { _id: 1 }, limit: ADOPT_ROWS });
  const own = await waitingIds();
  const old = rows.filter((row) => !own.has(row._id));
  if (old.length > 0) return (await append(head, bodyOf('adopted', packRows(old)))) ? old.length : 0;
  const next = { seq: head.seq, hash: head.hash, rebuiltAt: head.rebuiltAt };
  await chainHeads.change({ _id: 'head', seq: head.seq }, { $set: { mac: headMac(next) }, $unset: { adopting: '' } });
  return 0;
}

/** Notes in the chain that rows up to link `upTo` are removed; done before they are. */
export async function linkRetention(upTo: AuditLink): Promise<void> {
  for (;;) {
    const body = { ...bodyOf('retention', ''), upTo: upTo.seq, upToHash: upTo.hash };
    if (await append(await readyHead(), body)) return;
  }
}

export interface AuditChain extends Consumer {
  /** Links everything that waits; answers how many rows. For tests, checks and the command line. */
  linkDue(): Promise<number>;
}

/**
 * Makes the consumer that links audit rows after their commit: one process at a time, a few commands for all that
 * gathered, never a command in the way of the change itself.
 */
export function makeAuditChain(): AuditChain {
  const lease = makeLease('audit-chain');
  let toldMs = 0;
  let lookedBackMs = 0;

  const tellHead = (): void => {
    const end = chainAnchor();
    if (!end || nowMs() - toldMs < TELL_HEAD_MS) return;
    toldMs = nowMs();
    // Outside of the database: an older state put back can be told from this line.
    runtime().log.info('audit.chain_head', { seq: end.seq, hash: end.hash });
  };
  const turns = async (link: () => Promise<Turn>): Promise<{ total: number; ended: boolean }> => {
    let total = 0;
    let more = true;
    while (more && (await lease.hold())) {
      const turn = await link();
      total += turn.rows;
      more = turn.more;
    }
    return { total, ended: !more };
  };
  const linkDue = async (): Promise<number> => {
    let { total } = await turns(linkSome);
    // Not once only: processes of the release before may go on for a while beside this one.
    if (nowMs() - lookedBackMs >= LOOK_BACK_MS) {
      const left = await turns(linkLeftovers);
      total += left.total;
      if (left.ended) lookedBackMs = nowMs();
    }
    tellHead();
    return total;
  };
  const consumer = makeConsumer({ lease, gatherMs: GATHER_MS, pollMs: () => runtime().config.auditChainPollMs, failure: 'audit.chain_failed', run: linkDue });
  return { ...consumer, linkDue };
}
