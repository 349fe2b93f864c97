import { Redis } from 'ioredis';
import { nowMs } from './clock.ts';
import type { Log } from './logger.ts';
import type { LimitStore, WindowState } from './rate-limit.ts';

/** A slow Redis must cost a request little: after this long the call is counted in memory. */
const TIMEOUT_MS = 50;
/** After this many failed commands in a row Redis is left alone for `REST_MS`, so that nobody waits for it. */
const FAILURES = 3;
const REST_MS = 1_000;

/** Adds to the window (0 only looks) and answers its count and how long it lasts; one atomic step for all processes. */
const HIT = `
local used
if tonumber(ARGV[2]) == 0 then used = tonumber(redis.call('GET', KEYS[1]) or '0') else used = redis.call('INCRBY', KEYS[1], ARGV[2]) end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = tonumber(ARGV[1])
  if used > 0 then redis.call('PEXPIRE', KEYS[1], left) end
end
return {used, left}`;

/**
 * Counts windows in Redis, so that all processes share them. While Redis is away or slow each process counts in
 * `fallback` and nobody waits; when it is back it is used again.
 */
export function redisLimitStore(options: { url: string; fallback: LimitStore; log: Log }): LimitStore & { close(): Promise<void> } {
  const { url, fallback, log } = options;
  const redis = new Redis(url, {
    commandTimeout: TIMEOUT_MS,
    connectTimeout: 2_000,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (tries) => Math.min(1_000, 50 * tries),
  });
  let away = false;
  const tell = (now: boolean): void => {
    if (away === now) return;
    away = now;
    log.warn(now ? 'limits.redis_away' : 'limits.redis_back', {});
  };
  redis.on('error', () => tell(true));
  redis.on('ready', () => tell(false));
  let failures = 0;
  let restUntil = 0;
  const inRedis = async (key: string, windowMs: number, cost: number): Promise<WindowState> => {
    try {
      const [used, left] = (await redis.eval(HIT, 1, `dakiya:limit:${key}`, windowMs, cost)) as [number, number];
      failures = 0;
      return { used, resetAtMs: nowMs() + left };
    } catch {
      failures += 1;
      if (failures >= FAILURES) restUntil = performance.now() + REST_MS;
      return fallback.hit(key, windowMs, cost);
    }
  };
  return {
    hit(key, windowMs, cost) {
      if (redis.status !== 'ready' || performance.now() < restUntil) return fallback.hit(key, windowMs, cost);
      return inRedis(key, windowMs, cost);
    },
    close() {
      redis.disconnect();
      return Promise.resolve();
    },
  };
}
