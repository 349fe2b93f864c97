import { nowMs } from './clock.ts';
import { limited } from './errors.ts';
import { metrics } from './metrics.ts';
import type { LimitName } from './route.ts';

/** How many calls a window allows. `counts: 'failures'` counts nothing by itself: the caller reports each failure. */
export interface LimitPreset {
  readonly max: number;
  readonly windowMs: number;
  readonly counts: 'calls' | 'failures';
}

export type LimitPresets = Readonly<Record<Exclude<LimitName, 'none'>, LimitPreset>>;

/** A key's window after a hit or look: how many calls were counted, and when the window ends. */
export interface WindowState {
  readonly used: number;
  readonly resetAtMs: number;
}

/** Where windows are counted. One call is one atomic step, so parallel calls never pass together. */
export interface LimitStore {
  /** Adds `cost` (0 only looks) to the key's window, opening one of `windowMs` when none is open. */
  hit(key: string, windowMs: number, cost: number): WindowState | Promise<WindowState>;
}

/** Sets one header of the answer. */
export type SetHeader = (name: string, value: string) => void;

/** Who calls, as far as it is known; the narrowest one is counted. */
export interface LimitSubject {
  readonly address: string;
  /** The user or API key behind the call. */
  readonly actorId?: string;
  /** A maximum per minute of its own, for API keys that have one; replaces the preset's. */
  readonly perMinute?: number;
}

export interface RateLimiter {
  /**
   * Counts one call of this subject and sets the X-RateLimit headers; throws 429 `rate_limited` with Retry-After when
   * the window is full. Of presets that count failures it only looks.
   */
  take(name: LimitName, subject: LimitSubject, setHeader: SetHeader): void | Promise<void>;
  /** Counts one failure of this subject for a preset with `counts: 'failures'`. */
  failed(name: LimitName, subject: LimitSubject): void | Promise<void>;
}

/** The presets of the contract from the settings: AUTH counts failures, all others count calls. */
export function limitPresets(config: {
  rateLimitApiPerMinute: number;
  rateLimitWritePerMinute: number;
  rateLimitPublicPerMinute: number;
  rateLimitScansPerMinute: number;
  rateLimitSensitivePerHour: number;
  rateLimitAuthFailures: number;
  rateLimitAuthWindowSeconds: number;
}): LimitPresets {
  const perMinute = (max: number): LimitPreset => ({ max, windowMs: 60_000, counts: 'calls' });
  return {
    api: perMinute(config.rateLimitApiPerMinute),
    write: perMinute(config.rateLimitWritePerMinute),
    public: perMinute(config.rateLimitPublicPerMinute),
    scans: perMinute(config.rateLimitScansPerMinute),
    sensitive: { max: config.rateLimitSensitivePerHour, windowMs: 3_600_000, counts: 'calls' },
    auth: { max: config.rateLimitAuthFailures, windowMs: config.rateLimitAuthWindowSeconds * 1_000, counts: 'failures' },
  };
}

/**
 * Limits by fixed windows that open with a key's first call: exact under concurrency, at worst twice the maximum
 * around the end of a window. With `enabled: false` it counts nothing and sets no header.
 */
export function makeRateLimiter(options: { enabled: boolean; presets: LimitPresets; store: LimitStore }): RateLimiter {
  const { presets, store } = options;
  if (!options.enabled) return { take: () => undefined, failed: () => undefined };
  const keyOf = (name: LimitName, subject: LimitSubject): string =>
    subject.actorId === undefined ? `${name}|a|${addressKey(subject.address)}` : `${name}|u|${subject.actorId}`;
  return {
    take(name, subject, setHeader) {
      if (name === 'none') return undefined;
      const { windowMs, counts, max: usual } = presets[name];
      const max = (windowMs === 60_000 ? subject.perMinute : undefined) ?? usual;
      const state = store.hit(keyOf(name, subject), windowMs, counts === 'calls' ? 1 : 0);
      const used = (found: WindowState): number => (counts === 'calls' ? found.used : found.used + 1);
      const decide = (found: WindowState): void => answer(name, { max, used: used(found), resetAtMs: found.resetAtMs }, setHeader);
      return state instanceof Promise ? state.then(decide) : decide(state);
    },
    failed(name, subject) {
      if (name === 'none' || presets[name].counts !== 'failures') return undefined;
      const state = store.hit(keyOf(name, subject), presets[name].windowMs, 1);
      return state instanceof Promise ? state.then(() => undefined) : undefined;
    },
  };
}

function answer(name: LimitName, window: WindowState & { max: number }, setHeader: SetHeader): void {
  const { max, used, resetAtMs } = window;
  setHeader('X-RateLimit-Limit', String(max));
  setHeader('X-RateLimit-Remaining', String(Math.max(0, max - used)));
  setHeader('X-RateLimit-Reset', String(Math.ceil(resetAtMs / 1_000)));
  if (used <= max) return;
  metrics.rateLimited(name);
  const seconds = Math.max(1, Math.ceil((resetAtMs - nowMs()) / 1_000));
  throw limited('rate_limited', `Too many requests; try again in ${seconds} s`, seconds);
}

interface Window {
  used: number;
  resetAtMs: number;
}

/**
 * Counts in this process's memory, never more than `maxKeys` windows per length: the one that ends first makes room.
 * 0.7 µs a hit; koa-ratelimit's memory driver (1.7 µs) never evicts, reads its own clock and cannot count failures only.
 */
export function memoryLimitStore(maxKeys = 50_000): LimitStore & { readonly size: () => number } {
  const byLength = new Map<number, Map<string, Window>>();
  return {
    hit(key, windowMs, cost) {
      const at = nowMs();
      let windows = byLength.get(windowMs);
      if (!windows) byLength.set(windowMs, (windows = new Map()));
      const open = windows.get(key);
      if (open && open.resetAtMs > at) {
        open.used += cost;
        return open;
      }
      if (cost === 0) return { used: 0, resetAtMs: at + windowMs };
      if (open) windows.delete(key);
      makeRoom(windows, at, maxKeys);
      const born = { used: cost, resetAtMs: at + windowMs };
      windows.set(key, born);
      return born;
    },
    size: () => [...byLength.values()].reduce((sum, windows) => sum + windows.size, 0),
  };
}

/**
 * Windows of one length stand in the order in which they end, so the first ones are the ones to drop. In blocks, for
 * taking the first entry of a Map again and again is slow (19 µs a hit, seen with 50,000 keys, against 1).
 */
function makeRoom(windows: Map<string, Window>, at: number, maxKeys: number): void {
  const surplus = windows.size >= maxKeys ? Math.ceil(maxKeys / 16) : 0;
  if (surplus === 0 && windows.size % 1_024 !== 1_023) return;
  let dropped = 0;
  for (const [key, window] of windows) {
    if (window.resetAtMs > at && dropped >= surplus) return;
    windows.delete(key);
    dropped += 1;
  }
}

/** The part of an address that one customer of a provider holds: IPv4 whole, IPv6 its first 64 bits, ::ffff:… as IPv4. */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = (address.split('%')[0] ?? '').toLowerCase().split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = tail === undefined ? [] : new Array<string>(Math.max(0, 8 - front.length - back.length)).fill('0');
  const groups = [...front, ...middle, ...back].slice(0, 4);
  return `${groups.map((group) => group.replace(/^0+(?=.)/, '')).join(':')}::/64`;
}
