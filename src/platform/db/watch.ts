import { followChanges, hearsAll } from './change-feed.ts';
import type { Change } from './tx.ts';
import type { RowNews } from '../versioned-cache.ts';

/** One committed change of one stored row of a watched collection; with the row's version when the row is known. */
export interface CommittedChange extends RowNews {
  collection: string;
  /** Unknown when another process removed the row. */
  companyId?: string;
  removed: boolean;
  /** The row as it is now; absent for a removed row and for a change of this process, which is told at once. */
  row?: Readonly<Record<string, unknown>>;
}

export interface WatchOptions {
  /** Audited collections: a change of this process is known by its audit row. */
  collections: readonly string[];
  /** Must not throw. Hears a change of this process before its command answers, and again from the database. */
  onChange(change: CommittedChange): void;
  /** Changes may have been missed: forget everything that was derived from the rows. */
  onGap(): void;
}

export interface Watch {
  /** False while changes of other processes go unheard: before the start, after the stop, and while the stream is broken or far behind. */
  live(): boolean;
  /** Listens until the answered function is called, and forgets everything then. */
  start(): Promise<() => Promise<void>>;
}

const listeners = new Set<(changes: readonly Change[]) => void>();

/** Tells the watches of this process what has just been committed; called by `withTransaction` only. */
export function tellCommitted(changes: readonly Change[]): void {
  if (changes.length > 0) for (const listener of listeners) listener(changes);
}

/**
 * Makes a watch that tells of committed changes: this process's own before its command answers, everybody's by a change
 * stream, so that caches are exact here and milliseconds late elsewhere.
 */
export function makeWatch({ collections, onChange, onGap }: WatchOptions): Watch {
  let live = false;
  const local = (changes: readonly Change[]): void => {
    for (const { collection, rowId, companyId, action } of changes) {
      if (collections.includes(collection)) onChange({ collection, rowId, companyId, removed: action === 'delete' });
    }
  };
  const turn = (on: boolean): void => {
    live = on;
    onGap();
  };
  return {
    live: () => live && hearsAll(),
    async start() {
      const unfollow = await followChanges<Record<string, unknown>>({
        collection: collections,
        match: {},
        async onOpen() {
          turn(true);
        },
        onBreak: () => turn(false),
        onChange({ collection, id, row }) {
          const { companyId, version } = row ?? {};
          onChange({
            ...{ collection, rowId: id, removed: row === undefined },
            ...(typeof companyId === 'string' ? { companyId } : {}),
            ...(typeof version === 'number' ? { version } : {}),
            ...(row && { row }),
          });
        },
      });
      listeners.add(local);
      return async () => {
        listeners.delete(local);
        live = false;
        await unfollow();
        turn(false);
      };
    },
  };
}
