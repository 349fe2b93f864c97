import { pause } from '../pause.ts';
import { runtime } from '../runtime.ts';
import { connection } from './connect.ts';
import type { Change } from './tx.ts';

/** One committed change of one stored row of a watched collection. */
export interface CommittedChange {
  collection: string;
  rowId: string;
  /** Unknown when another process removed the row. */
  companyId?: string;
  removed: boolean;
  /** The asked fields of the row as it is now; absent for a change of this process, which is told at once. */
  fields?: Readonly<Record<string, unknown>>;
}

export interface WatchOptions {
  collections: readonly string[];
  /** Top-level fields of the row to be told with a change, besides `companyId` and `version`. */
  fields: readonly string[];
  /** Must not throw. Hears a change of this process before its command answers, and again from the database. */
  onChange(change: CommittedChange): void;
  /** Changes may have been missed: forget everything that was derived from the rows. */
  onGap(): void;
}

export interface Watch {
  /** False while changes of other processes may go unheard. */
  live(): boolean;
  /** Settles when the first attempt to listen has succeeded or failed. */
  ready: Promise<void>;
  stop(): Promise<void>;
}

const RETRY_MS = 1_000;
const listeners = new Set<(changes: readonly Change[]) => void>();

/** Tells the watches of this process what has just been committed; called by `withTransaction` only. */
export function tellCommitted(changes: readonly Change[]): void {
  if (changes.length > 0) for (const listener of listeners) listener(changes);
}

/**
 * Tells of committed changes of audited collections: this process's own at once, everybody's by a change stream, so
 * that caches are exact here and milliseconds late elsewhere. Listens again by itself when the stream breaks.
 */
export function watchRows(options: WatchOptions): Watch {
  const watched = new Set(options.collections);
  const local = (changes: readonly Change[]): void => {
    for (const { collection, rowId, companyId, action } of changes) {
      if (watched.has(collection)) options.onChange({ collection, rowId, companyId, removed: action === 'delete' });
    }
  };
  listeners.add(local);
  const ending = new AbortController();
  let live = false;
  let stream: ReturnType<typeof openStream> | undefined;
  let settleReady = (): void => undefined;
  const ready = new Promise<void>((resolve) => {
    settleReady = resolve;
  });
  const listening = (): void => {
    if (live) return;
    live = true;
    options.onGap();
    settleReady();
  };

  const listen = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const current = openStream(options);
      stream = current;
      await new Promise<void>((ended) => {
        current.on('resumeTokenChanged', listening);
        current.on('change', (event) => {
          listening();
          tell(event as unknown as StreamEvent, options);
        });
        current.on('error', (error) => {
          if (!ending.signal.aborted) runtime().log.warn('db.watch_broken', { error });
          ended();
        });
        current.on('close', () => ended());
      });
      live = false;
      options.onGap();
      settleReady();
      await current.close().catch(() => undefined);
      await pause(RETRY_MS, ending.signal);
    }
  };

  const running = listen();
  return {
    live: () => live,
    ready,
    async stop() {
      ending.abort();
      listeners.delete(local);
      await stream?.close().catch(() => undefined);
      await running;
    },
  };
}

interface StreamEvent {
  operationType: string;
  ns?: { coll?: string };
  documentKey?: { _id: unknown };
  row?: Record<string, unknown>;
}

function openStream({ collections, fields }: WatchOptions) {
  const { db } = connection();
  if (!db) throw new Error('Not connected');
  const row = Object.fromEntries(['companyId', 'version', ...fields].map((name) => [name, `$fullDocument.${name}`]));
  return db.watch(
    [
      { $match: { 'ns.coll': { $in: collections }, operationType: { $in: ['insert', 'update', 'replace', 'delete', 'drop', 'rename'] } } },
      { $project: { operationType: 1, ns: 1, documentKey: 1, row } },
    ],
    { fullDocument: 'updateLookup' },
  );
}

function tell(event: StreamEvent, { onChange, onGap }: WatchOptions): void {
  const collection = event.ns?.coll;
  if (collection === undefined || !event.documentKey) return onGap();
  const companyId = event.row?.['companyId'];
  onChange({
    collection,
    rowId: String(event.documentKey._id),
    ...(typeof companyId === 'string' ? { companyId } : {}),
    removed: typeof companyId !== 'string',
    fields: event.row ?? {},
  });
}
