/** What was loaded, and the versions of the rows that it was made from. */
export interface Loaded<V> {
  value: V;
  versions: ReadonlyMap<string, number>;
}

export interface CacheOptions<K, V> {
  /** Most entries; the one that was loaded first goes first. */
  max: number;
  load(key: K): Promise<Loaded<V>>;
  /** A clock that never goes back. */
  now(): number;
  /** How long an entry may be used; asked at each use. Below 0: not at all. */
  usableForMs(): number;
  /** False for values that are not kept, such as that there is none; everything is, without it. */
  keep?(value: V): boolean;
}

/** A row that changed; without a version it is certainly newer than what was loaded before. */
export interface RowNews {
  rowId: string;
  version?: number;
}

export interface VersionedCache<K, V> {
  /** The value; callers of one moment share one load, and a failed load is not kept. */
  get(key: K): Promise<V>;
  /** The value if it is there now. */
  peek(key: K): V | undefined;
  /**
   * Forgets what the row has made stale: the entry under `key` (all entries without it) unless it holds the row in
   * this version or a later one; one that does not hold the row only when `ifUnknown`.
   */
  heard(news: RowNews, where: { key?: K; ifUnknown?: boolean }): void;
  clear(): void;
}

interface Entry<V> {
  promise: Promise<V>;
  startedAt: number;
  loaded?: Loaded<V>;
}

/** Makes a cache whose entries know the row versions they come from, so that old news does not empty it. */
export function makeVersionedCache<K, V>({ max, load, now, usableForMs, keep }: CacheOptions<K, V>): VersionedCache<K, V> {
  const entries = new Map<K, Entry<V>>();
  /** Which entries were made from a row, so that news of one row do not walk along all entries. */
  const keysOfRow = new Map<string, Set<K>>();
  const loading = new Set<K>();
  const fresh = (key: K): Entry<V> | undefined => {
    const entry = entries.get(key);
    return entry && now() - entry.startedAt <= usableForMs() ? entry : undefined;
  };

  const drop = (key: K): void => {
    for (const rowId of entries.get(key)?.loaded?.versions.keys() ?? []) {
      const keys = keysOfRow.get(rowId);
      keys?.delete(key);
      if (keys?.size === 0) keysOfRow.delete(rowId);
    }
    loading.delete(key);
    entries.delete(key);
  };

  const take = (key: K, entry: Entry<V>, loaded: Loaded<V>): void => {
    if (entries.get(key) !== entry) return;
    loading.delete(key);
    if (keep?.(loaded.value) === false) {
      entries.delete(key);
      return;
    }
    entry.loaded = loaded;
    for (const rowId of loaded.versions.keys()) {
      const keys = keysOfRow.get(rowId);
      if (keys) keys.add(key);
      else keysOfRow.set(rowId, new Set([key]));
    }
  };

  const start = (key: K): Entry<V> => {
    drop(key);
    const [oldest] = entries.keys();
    if (entries.size >= max && oldest !== undefined) drop(oldest);
    const entry: Entry<V> = { startedAt: now(), promise: Promise.resolve(undefined as V) };
    entry.promise = load(key).then(
      (loaded) => {
        take(key, entry, loaded);
        return loaded.value;
      },
      (cause: unknown) => {
        if (entries.get(key) === entry) drop(key);
        throw cause;
      },
    );
    entries.set(key, entry);
    loading.add(key);
    return entry;
  };

  const isStale = ({ loaded }: Entry<V>, { rowId, version }: RowNews, ifUnknown: boolean): boolean => {
    // What is still loading may or may not have seen the change.
    if (!loaded) return true;
    const known = loaded.versions.get(rowId);
    if (known === undefined) return ifUnknown;
    return version === undefined || version > known;
  };

  const touchedBy = (rowId: string, ifUnknown: boolean): K[] => (ifUnknown ? [...entries.keys()] : [...loading, ...(keysOfRow.get(rowId) ?? [])]);

  return {
    get: (key) => (fresh(key) ?? start(key)).promise,
    peek: (key) => fresh(key)?.loaded?.value,
    heard(news, { key, ifUnknown = false }) {
      for (const each of key === undefined ? touchedBy(news.rowId, ifUnknown) : [key]) {
        const entry = entries.get(each);
        if (entry && isStale(entry, news, ifUnknown)) drop(each);
      }
    },
    clear() {
      entries.clear();
      keysOfRow.clear();
      loading.clear();
    },
  };
}
