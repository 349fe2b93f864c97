import { Redis } from 'ioredis';
import { nowMs } from './clock.ts';
import type { Log } from './logger.ts';
import type { LimitStore, LimitWindow, WindowState } from './rate-limit.ts';

/** A slow Redis must cost a request little: after this long the call is counted in memory. */
const TIMEOUT_MS = 50;
/** After this many failed commands in a row Redis is left alone for `REST_MS`, so that nobody waits for it. */
const FAILURES = 3;
const REST_MS = 1_000;

/** Counts in one window after the other up to the first full one, and answers counts and how long they last; one atomic step for all processes. */
const HIT = `
local answer = {}
for i, key in ipairs(KEYS) do
  local used = redis.call('INCR', key)
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = tonumber(ARGV[2 * i - 1])
    redis.call('PEXPIRE', key, left)
  end
  answer[2 * i - 1] = used
  answer[2 * i] = left
  if used > tonumber(ARGV[2 * i]) then break end
end
return answer`;

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
  const inRedis = async (windows: readonly LimitWindow[]): Promise<WindowState[]> => {
    try {
      const keys = windows.map(({ key }) => `dakiya:limit:${key}`);
      const answer = (await redis.eval(HIT, keys.length, ...keys, ...windows.flatMap(({ windowMs, max }) => [windowMs, max]))) as number[];
      failures = 0;
      const at = nowMs();
      return Array.from({ length: answer.length / 2 }, (_, i) => ({ used: answer[2 * i] ?? 0, resetAtMs: at + (answer[2 * i + 1] ?? 0) }));
    } catch {
      failures += 1;
      if (failures >= FAILURES) restUntil = performance.now() + REST_MS;
      return fallback.hit(windows);
    }
  };
  return {
    hit(windows) {
      if (redis.status !== 'ready' || performance.now() < restUntil) return fallback.hit(windows);
      return inRedis(windows);
    },
    close() {
      redis.disconnect();
      return Promise.resolve();
    },
  };
}
