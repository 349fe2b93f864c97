import { nowMs } from './clock.ts';
import { limited } from './errors.ts';
import { metrics } from './metrics.ts';
import type { LimitName } from './route.ts';

/** How many calls a class of routes allows; whichever of the windows is full first refuses. */
export interface LimitPreset {
  readonly windowMs: number;
  /** Of one user or API key; of one address when nobody is signed in. */
  readonly max: number;
  /** Of all users and keys of one company together. */
  readonly companyMax?: number;
  /** Of all that are signed in at one address: an office, or one who collects accounts. */
  readonly addressMax?: number;
}

export type LimitPresets = Readonly<Record<Exclude<LimitName, 'none'>, LimitPreset>>;

/** One window to count in. */
export interface LimitWindow {
  readonly key: string;
  readonly windowMs: number;
  readonly max: number;
}

/** A window after a hit: how many calls were counted, and when it ends. */
export interface WindowState {
  readonly used: number;
  readonly resetAtMs: number;
}

/** Where windows are counted. One call is one atomic step, so parallel calls never pass together. */
export interface LimitStore {
  /**
   * Counts in one window after the other and answers their states; ends with the first one that is full, so that a call which its own window refuses does not use up what it shares with others.
   */
  hit(windows: readonly LimitWindow[]): WindowState[] | Promise<WindowState[]>;
}

/** Sets one header of the answer. */
export type SetHeader = (name: string, value: string) => void;

/** Who calls, as far as it is known. */
export interface LimitSubject {
  readonly address: string;
  /** The user or API key behind the call, and whose. */
  readonly actorId?: string;
  readonly companyId?: string;
  /** A maximum per minute of its own, for API keys that have one; replaces the preset's three. */
  readonly perMinute?: number;
}

export interface RateLimiter {
  /**
   * Counts one call of this subject and sets the X-RateLimit headers of the window with the least left; throws 429
   * `rate_limited` with Retry-After when one is full.
   */
  take(name: LimitName, subject: LimitSubject, setHeader: SetHeader): void | Promise<void>;
}

/** The presets of the contract from the settings. */
export function limitPresets(config: {
  rateLimitApiPerMinute: number;
  rateLimitWritePerMinute: number;
  rateLimitPublicPerMinute: number;
  rateLimitScansPerMinute: number;
  rateLimitSensitivePerHour: number;
  rateLimitRegisterPerHour: number;
  rateLimitCompanyFactor: number;
  rateLimitAddressFactor: number;
}): LimitPresets {
  const { rateLimitCompanyFactor: company, rateLimitAddressFactor: office } = config;
  const shared = (max: number, windowMs: number): LimitPreset => ({ max, windowMs, companyMax: max * company, addressMax: max * office });
  return {
    api: shared(config.rateLimitApiPerMinute, MINUTE_MS),
    write: shared(config.rateLimitWritePerMinute, MINUTE_MS),
    scans: shared(config.rateLimitScansPerMinute, MINUTE_MS),
    sensitive: shared(config.rateLimitSensitivePerHour, HOUR_MS),
    public: { max: config.rateLimitPublicPerMinute, windowMs: MINUTE_MS },
    register: { max: config.rateLimitRegisterPerHour, windowMs: HOUR_MS },
    // Against floods only, for an office may share its address: failed attempts count in MongoDB, where no process forgets them.
    auth: { max: config.rateLimitApiPerMinute * office, windowMs: MINUTE_MS },
  };
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/**
 * Limits by fixed windows that open with a key's first call: exact under concurrency, at worst twice the maximum
 * around the end of a window. With `enabled: false` it counts nothing and sets no header.
 */
export function makeRateLimiter(options: { enabled: boolean; presets: LimitPresets; store: LimitStore }): RateLimiter {
  const { presets, store } = options;
  if (!options.enabled) return { take: () => undefined };
  return {
    take(name, subject, setHeader) {
      if (name === 'none') return undefined;
      const windows = windowsOf(name, presets[name], subject);
      const decide = (states: readonly WindowState[]): void => answer(name, tightest(windows, states), setHeader);
      const states = store.hit(windows);
      return states instanceof Promise ? states.then(decide) : decide(states);
    },
  };
}

/** The own window first, then those that are shared with others. */
function windowsOf(name: LimitName, { windowMs, max, companyMax, addressMax }: LimitPreset, { address, actorId, companyId, perMinute }: LimitSubject): LimitWindow[] {
  if (actorId === undefined) return [{ key: `${name}|a|${addressKey(address)}`, windowMs, max }];
  const own = windowMs === MINUTE_MS ? perMinute : undefined;
  const windows = [{ key: `${name}|u|${actorId}`, windowMs, max: own ?? max }];
  if (own !== undefined) return windows;
  if (companyMax !== undefined && companyId !== undefined) windows.push({ key: `${name}|c|${companyId}`, windowMs, max: companyMax });
  const key = addressKey(address);
  if (addressMax !== undefined && !isLoopback(key)) windows.push({ key: `${name}|o|${key}`, windowMs, max: addressMax });
  return windows;
}

interface Counted extends WindowState {
  max: number;
}

/** The window that refuses, or the one with the least left; of equals the first. */
function tightest(windows: readonly LimitWindow[], states: readonly WindowState[]): Counted {
  let found: Counted | undefined;
  for (const [i, { used, resetAtMs }] of states.entries()) {
    const max = windows[i]?.max ?? 0;
    if (!found || max - used < found.max - found.used) found = { max, used, resetAtMs };
  }
  return found ?? { max: 0, used: 0, resetAtMs: nowMs() };
}

/** Sets the X-RateLimit headers of a window. */
export function tellWindow({ max, used, resetAtMs }: Counted, setHeader: SetHeader): void {
  setHeader('X-RateLimit-Limit', String(max));
  setHeader('X-RateLimit-Remaining', String(Math.max(0, max - used)));
  setHeader('X-RateLimit-Reset', String(Math.ceil(resetAtMs / 1_000)));
}

function answer(name: LimitName, window: Counted, setHeader: SetHeader): void {
  tellWindow(window, setHeader);
  if (window.used <= window.max) return;
  metrics.rateLimited(name);
  const seconds = Math.max(1, Math.ceil((window.resetAtMs - nowMs()) / 1_000));
  throw limited('rate_limited', `Too many requests; try again in ${seconds} s`, seconds);
}

interface Window {
  used: number;
  resetAtMs: number;
}

/**
 * Counts in this process's memory, never more than `maxKeys` windows per length: the one that ends first makes room.
 * A microsecond a window.
 */
export function memoryLimitStore(maxKeys = 50_000): LimitStore & { readonly size: () => number } {
  const byLength = new Map<number, Map<string, Window>>();
  const one = ({ key, windowMs }: LimitWindow, at: number): WindowState => {
    let windows = byLength.get(windowMs);
    if (!windows) byLength.set(windowMs, (windows = new Map()));
    const open = windows.get(key);
    if (open && open.resetAtMs > at) {
      open.used += 1;
      return open;
    }
    if (open) windows.delete(key);
    makeRoom(windows, at, maxKeys);
    const born = { used: 1, resetAtMs: at + windowMs };
    windows.set(key, born);
    return born;
  };
  return {
    hit(windows) {
      const at = nowMs();
      const states: WindowState[] = [];
      for (const window of windows) {
        const state = one(window, at);
        states.push(state);
        if (state.used > window.max) break;
      }
      return states;
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

/** True for this machine itself: who calls from there is a developer, or a proxy that speaks for everybody. */
export function isLoopback(key: string): boolean {
  return key.startsWith('127.') || key === '0:0:0:0::/64';
}
