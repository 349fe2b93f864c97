import type mongoose from 'mongoose';
import { database } from './connect.ts';
import { monotonicMs } from '../clock.ts';
import { pause } from '../pause.ts';
import { runtime } from '../runtime.ts';

/** One change as followers hear it: the row as it is now, or only its id when it was removed. */
export interface FeedChange<R> {
  collection: string;
  id: string;
  row: R | undefined;
}

export interface FeedOptions<R> {
  /** One, or several. */
  collection: string | readonly string[];
  /** Which changes matter, as a $match on change events; the fewer the better. Others of the same collections may be heard too. */
  match: Record<string, unknown>;
  /** Called at the start and after every gap, once the stream is open: load what may have been missed. */
  onOpen(): Promise<void>;
  onChange(change: FeedChange<R>): void;
  /** Called when the stream breaks: until the next `onOpen` changes go unheard. */
  onBreak?(): void;
}

type Follower = Omit<FeedOptions<unknown>, 'onChange'> & { onChange(change: FeedChange<never>): void };
type Stream = mongoose.mongo.ChangeStream;

/** A moment of the server's time that was asked for at `at`: whoever hears of a later change has heard all that was before. */
interface Probe {
  at: number;
  serverTime?: mongoose.mongo.Timestamp;
}

const RETRY_MS = 500;

const followers = new Set<Follower>();
let gathering = false;
let current: { stop: AbortController; stream: Stream } | undefined;
let turn: Promise<void> = Promise.resolve();
let told = 0;
let caughtUpAt = -Infinity;
let probe: Probe | undefined;

/** An idle stream answers once a second. */
const MOST_LAG_MS = 5_000;
const PROBE_AFTER_MS = 2_000;

/**
 * Whether all that was committed a few seconds ago has been heard. False in a process that was stopped for a while or has
 * much to catch up with: what it remembers may be long changed, and a stream that stands still breaks late.
 */
export function hearsAll(): boolean {
  return monotonicMs() - caughtUpAt < MOST_LAG_MS;
}

/**
 * Follows committed changes of a collection, by all processes, for caches in memory. Resolves when the first load is
 * done; a broken stream is opened again and loaded again, so nothing is missed. The answer stops it.
 *
 * All followers of a process share one stream: the server looks at every write once for each stream that is open.
 */
export async function followChanges<R>(options: FeedOptions<R>): Promise<() => Promise<void>> {
  followers.add(options);
  if (!gathering) {
    await inTurn(reopen).catch((error: unknown) => {
      followers.delete(options);
      throw error;
    });
  }
  return async () => {
    followers.delete(options);
    if (followers.size === 0) await inTurn(close);
  };
}

/** Until the returned function is called, followers only sign up; it opens the stream for all of them and lets them load. */
export function gatherFollowers(): () => Promise<void> {
  gathering = true;
  return async () => {
    gathering = false;
    if (followers.size > 0) await inTurn(reopen);
  };
}

function inTurn(step: () => Promise<void>): Promise<void> {
  const done = turn.then(step);
  turn = done.catch(() => undefined);
  return done;
}

async function close(): Promise<void> {
  const ending = current;
  current = undefined;
  ending?.stop.abort();
  // Not awaited to its end: the driver's request for news may hang for a second more, and hears of the stop then.
  await ending?.stream.close().catch(() => undefined);
}

async function reopen(): Promise<void> {
  if (current) tellBreak();
  await close();
  const stop = new AbortController();
  const stream = await open();
  current = { stop, stream };
  void listen(stream, stop.signal);
}

/** An empty answer says that nothing had happened when it was asked for, which is right after the answer before. */
function noteAnswers(stream: Stream, openedAt: number): void {
  let askedAt = openedAt;
  caughtUpAt = openedAt;
  probe = undefined;
  stream.on('resumeTokenChanged', () => {
    const [before, asked] = [told, askedAt];
    askedAt = monotonicMs();
    // The token changes with every change that is heard, too: then it is told before the next turn.
    setImmediate(() => {
      if (told === before) caughtUpAt = Math.max(caughtUpAt, asked);
    });
  });
}

/** Where something happens all the time no answer is empty: then now and then a change is compared with the server's time. */
function noteHeard(clusterTime: mongoose.mongo.Timestamp | undefined): void {
  told += 1;
  if (probe?.serverTime && clusterTime && clusterTime.compare(probe.serverTime) >= 0) {
    caughtUpAt = Math.max(caughtUpAt, probe.at);
    probe = undefined;
  }
  if (probe || monotonicMs() - caughtUpAt < PROBE_AFTER_MS) return;
  const asked: Probe = { at: monotonicMs() };
  probe = asked;
  const take = ({ operationTime }: mongoose.mongo.Document): void => void (asked.serverTime = operationTime as mongoose.mongo.Timestamp);
  database().command({ ping: 1 }).then(take, () => {
    if (probe === asked) probe = undefined;
  });
}

async function listen(first: Stream, signal: AbortSignal): Promise<void> {
  let stream = first;
  while (!signal.aborted) {
    try {
      for await (const event of stream) {
        noteHeard(event.clusterTime);
        if (!('documentKey' in event)) continue;
        const row = 'fullDocument' in event ? (event.fullDocument as unknown) : undefined;
        tell({ collection: event.ns.coll, id: String(event.documentKey._id), row: row ?? undefined });
      }
    } catch (error) {
      if (signal.aborted) return;
      runtime().log.warn('feed.broken', { error });
    }
    if (signal.aborted) return;
    tellBreak();
    await pause(RETRY_MS, signal);
    if (signal.aborted) return;
    stream = await open().catch(() => stream);
    // The stop may have come while the stream was being opened again.
    if (signal.aborted) await stream.close().catch(() => undefined);
    else if (current) current.stream = stream;
  }
}

function tell(change: FeedChange<unknown>): void {
  for (const follower of followers) if ([follower.collection].flat().includes(change.collection)) follower.onChange(change as FeedChange<never>);
}

function tellBreak(): void {
  for (const follower of followers) follower.onBreak?.();
}

/** The stream starts at a moment before the loads, so a change between the two is heard, perhaps twice. */
async function open(): Promise<Stream> {
  const db = database();
  const ofAny = (collections: readonly string[]): object => ({ $in: collections.map((coll) => ({ db: db.databaseName, coll })) });
  const openedAt = monotonicMs();
  const { operationTime } = await db.command({ ping: 1 });
  const all = [...followers];
  const wanted = all.map(({ collection, match }) => ({ $and: [{ ns: ofAny([collection].flat()) }, match] }));
  // The whole of the names first and in one list: what else is written, and that is most of it, then ends at one comparison.
  const names = all.flatMap(({ collection }) => collection);
  const stream = db.watch([{ $match: { $and: [{ ns: ofAny(names) }, { $or: wanted }] } }], { fullDocument: 'updateLookup', startAtOperationTime: operationTime });
  try {
    await Promise.all(all.map((follower) => follower.onOpen()));
  } catch (error) {
    await stream.close().catch(() => undefined);
    throw error;
  }
  noteAnswers(stream, openedAt);
  return stream;
}
