import { linkedAmong, waitingIds } from './audit-links.ts';
import { nowMs } from './clock.ts';
import { runtime } from './runtime.ts';

/** A process whose rows others link forgets the oldest. */
const MAX_LEFT = 10_000;
const DAY_S = 86_400;

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

/** The rows stand in a link now. */
export function noteLinked(ids: readonly string[]): void {
  const left = leftHere.get(runtime().config);
  for (const id of ids) left?.delete(id);
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
