import { now, nowMs } from './clock.ts';
import { makeConsumer, type Consumer } from './consumer.ts';
import { auditKey, auditMac, joinPacked, packedCount, packRows, unpackRows, type AuditRow, type Pending } from './db/audit-seal.ts';
import { machineRows } from './db/machine-rows.ts';
import { makeLease } from './lease.ts';
import { metrics } from './metrics.ts';
import { runtime } from './runtime.ts';

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
const auditRows = machineRows<AuditRow>('audit', []);
const WAITING = { pendingSince: { $exists: true } };
const waitingRows = machineRows<Pending & { _id: string }>('audit', [{ keys: { pendingSince: 1, _id: 1 }, partial: WAITING }]);

/** What one transaction left for the chain; `_id` is the id of its first audit row. Stored so before decision 071. */
interface Left {
  _id: string;
  at: Date;
  rows: string;
}

const leftovers = machineRows<Left>('audit_pending', []);

const GATHER_MS = 250;
const MAX_PENDING = 500;
const MAX_ROWS = 5_000;
const ADOPT_ROWS = 2_000;
const TELL_HEAD_MS = 3_600_000;
const LOOK_BACK_MS = 3_600_000;
/** A process whose rows others link forgets the oldest. */
const MAX_LEFT = 10_000;
const DAY_S = 86_400;
const START = 'start';

type LinkBody = Pick<AuditLink, 'kind' | 'rows' | 'minId' | 'maxId' | 'count'> & Partial<Pick<AuditLink, 'upTo' | 'upToHash'>>;

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
  return auditMac([START]);
}

const anchors = new WeakMap<object, { seq: number; hash: string }>();
const leftHere = new WeakMap<object, Set<string>>();

/** The furthest end of the chain that this process has seen: an older head put back does not fool it. */
export function chainAnchor(): { seq: number; hash: string } | undefined {
  return anchors.get(runtime().config);
}

/** Moves the anchor forward; `undefined` forgets it and what this process left (tests that empty their database). */
export function anchorChain(end: { seq: number; hash: string } | undefined): void {
  const { config } = runtime();
  if (!end) {
    anchors.delete(config);
    leftHere.delete(config);
  } else if ((anchors.get(config)?.seq ?? -1) < end.seq) anchors.set(config, { seq: end.seq, hash: end.hash });
}

/**
 * Remembers the first audit row of a transaction of this process until it is linked. It carries the digests: who removes it
 * before takes all that the database knows of a transaction of one row.
 */
export function noteLeft(id: string): void {
  const { config } = runtime();
  const left = leftHere.get(config) ?? new Set();
  leftHere.set(config, left.add(id));
  const [oldest] = left;
  if (left.size > MAX_LEFT && oldest !== undefined) left.delete(oldest);
}

/** What this process left and what neither waits nor stands in a link: removed before it was linked. */
export async function lostRows(): Promise<string[]> {
  const { config } = runtime();
  const left = leftHere.get(config);
  if (!left || left.size === 0) return [];
  // Older ones may be gone with their links.
  const kept = config.retentionAuditDays === 0 ? 0 : nowMs() / 1000 - config.retentionAuditDays * DAY_S;
  for (const id of left) if (Number.parseInt(id.slice(0, 8), 16) <= kept) left.delete(id);
  const asked = [...left];
  // As ever: what waits first, links after it.
  const waiting = await waitingIds();
  for (const id of await linkedAmong(asked)) left.delete(id);
  return asked.filter((id) => left.has(id) && !waiting.has(id));
}

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
    const left = leftHere.get(runtime().config);
    for (const id of pendingIds) left?.delete(id);
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

function rangeOf(ids: readonly string[]): { minId: string; maxId: string } {
  const range = { minId: ids[0] ?? '', maxId: ids[0] ?? '' };
  for (const id of ids) {
    if (id < range.minId) range.minId = id;
    if (id > range.maxId) range.maxId = id;
  }
  return range;
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

/** False for fields that none of our transactions writes. */
function isSound({ pending, pendingSince }: Partial<Pending>): boolean {
  return typeof pending === 'string' && pendingSince instanceof Date;
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
