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
  /** How long an entry may be used; asked at each use. */
  usableForMs(): number;
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
export function makeVersionedCache<K, V>({ max, load, now, usableForMs }: CacheOptions<K, V>): VersionedCache<K, V> {
  const entries = new Map<K, Entry<V>>();
  const fresh = (key: K): Entry<V> | undefined => {
    const entry = entries.get(key);
    return entry && now() - entry.startedAt <= usableForMs() ? entry : undefined;
  };

  const start = (key: K): Entry<V> => {
    entries.delete(key);
    const [oldest] = entries.keys();
    if (entries.size >= max && oldest !== undefined) entries.delete(oldest);
    const entry: Entry<V> = { startedAt: now(), promise: Promise.resolve(undefined as V) };
    entry.promise = load(key).then(
      (loaded) => {
        entry.loaded = loaded;
        return loaded.value;
      },
      (cause: unknown) => {
        if (entries.get(key) === entry) entries.delete(key);
        throw cause;
      },
    );
    entries.set(key, entry);
    return entry;
  };

  const isStale = ({ loaded }: Entry<V>, { rowId, version }: RowNews, ifUnknown: boolean): boolean => {
    // What is still loading may or may not have seen the change.
    if (!loaded) return true;
    const known = loaded.versions.get(rowId);
    if (known === undefined) return ifUnknown;
    return version === undefined || version > known;
  };

  return {
    get: (key) => (fresh(key) ?? start(key)).promise,
    peek: (key) => fresh(key)?.loaded?.value,
    heard(news, { key, ifUnknown = false }) {
      for (const each of key === undefined ? [...entries.keys()] : [key]) {
        const entry = entries.get(each);
        if (entry && isStale(entry, news, ifUnknown)) entries.delete(each);
      }
    },
    clear: () => entries.clear(),
  };
}
