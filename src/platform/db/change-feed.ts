import { database } from './connect.ts';
import { pause } from '../pause.ts';
import { runtime } from '../runtime.ts';

/** One change as followers hear it: the row as it is now, or only its id when it was removed. */
export interface FeedChange<R> {
  collection: string;
  id: string;
  row: R | undefined;
}

export interface FeedOptions<R> {
  /** One, or several over one stream. */
  collection: string | readonly string[];
  /** Which changes matter, as a $match on change events; the fewer the better. */
  match: Record<string, unknown>;
  /** Called at the start and after every gap, once the stream is open: load what may have been missed. */
  onOpen(): Promise<void>;
  onChange(change: FeedChange<R>): void;
  /** Called when the stream breaks: until the next `onOpen` changes go unheard. */
  onBreak?(): void;
}

const RETRY_MS = 500;

/**
 * Follows committed changes of a collection, by all processes, for caches in memory. Resolves when the first load is
 * done; a broken stream is opened again and loaded again, so nothing is missed. The answer stops it.
 */
export async function followChanges<R>(options: FeedOptions<R>): Promise<() => Promise<void>> {
  const stop = new AbortController();
  let stream = await open(options);
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        for await (const event of stream) {
          if (!('documentKey' in event)) continue;
          const row = 'fullDocument' in event ? (event.fullDocument as R | null | undefined) : undefined;
          options.onChange({ collection: event.ns.coll, id: String(event.documentKey._id), row: row ?? undefined });
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        runtime().log.warn('feed.broken', { collection: options.collection, error });
      }
      options.onBreak?.();
      await pause(RETRY_MS, stop.signal);
      if (stop.signal.aborted) return;
      stream = await open(options).catch(() => stream);
      // The stop may have come while the stream was being opened again.
      if (stop.signal.aborted) await stream.close().catch(() => undefined);
    }
  };
  void run();
  return async () => {
    stop.abort();
    // Not awaited to its end: the driver's request for news may hang for a second more, and hears of the stop then.
    await stream.close().catch(() => undefined);
  };
}

/** The stream starts at a moment before the load, so a change between the two is heard, perhaps twice. */
async function open<R>({ collection, match, onOpen }: FeedOptions<R>) {
  const db = database();
  const { operationTime } = await db.command({ ping: 1 });
  const names = [collection].flat();
  const [only] = names;
  const source = names.length === 1 && only !== undefined ? db.collection(only) : db;
  const pipeline = [{ $match: { $and: [{ 'ns.coll': { $in: names } }, match] } }];
  const stream = source.watch(pipeline, { fullDocument: 'updateLookup', startAtOperationTime: operationTime });
  await onOpen();
  return stream;
}
