import { strict as assert } from 'node:assert';
import { useClock } from '../../src/platform/clock.ts';
import { AppError } from '../../src/platform/errors.ts';
import {
  addressKey,
  limitPresets,
  makeRateLimiter,
  memoryLimitStore,
  type LimitStore,
  type LimitSubject,
  type LimitWindow,
  type RateLimiter,
} from '../../src/platform/rate-limit.ts';
import type { LimitName } from '../../src/platform/route.ts';

const presets = limitPresets({
  rateLimitApiPerMinute: 100,
  rateLimitWritePerMinute: 30,
  rateLimitPublicPerMinute: 60,
  rateLimitScansPerMinute: 6_000,
  rateLimitSensitivePerHour: 10,
  rateLimitRegisterPerHour: 20,
  rateLimitCompanyFactor: 10,
  rateLimitAddressFactor: 20,
});

const START = 1_800_000_000_000;
const anna: LimitSubject = { address: '10.0.0.1', actorId: 'anna' };
const someone: LimitSubject = { address: '10.0.0.1' };

interface Reply {
  allowed: boolean;
  headers: Record<string, string>;
  retryAfterSeconds?: number;
}

async function call(limiter: RateLimiter, name: LimitName, subject: LimitSubject): Promise<Reply> {
  const headers: Record<string, string> = {};
  try {
    await limiter.take(name, subject, (key, value) => {
      headers[key] = value;
    });
    return { allowed: true, headers };
  } catch (error) {
    assert(error instanceof AppError);
    assert.deepEqual([error.kind, error.code], ['limited', 'rate_limited']);
    return { allowed: false, headers, retryAfterSeconds: Number(error.details?.['retryAfterSeconds']) };
  }
}

async function allowedOf(limiter: RateLimiter, calls: number, name: LimitName, subject: LimitSubject): Promise<number> {
  let allowed = 0;
  for (let n = 0; n < calls; n += 1) allowed += (await call(limiter, name, subject)).allowed ? 1 : 0;
  return allowed;
}

describe('rate limits', () => {
  let atMs = START;
  let restore: () => void;
  const make = (store: LimitStore = memoryLimitStore(), enabled = true) => makeRateLimiter({ enabled, presets, store });
  beforeEach(() => {
    atMs = START;
    restore = useClock({ ms: () => atMs });
  });
  afterEach(() => restore());

  const maxima: [Exclude<LimitName, 'none' | 'auth'>, number, number][] = [
    ['api', 100, 60],
    ['write', 30, 60],
    ['public', 60, 60],
    ['scans', 6_000, 60],
    ['sensitive', 10, 3_600],
    ['register', 20, 3_600],
  ];
  for (const [name, max, seconds] of maxima) {
    for (const [who, subject] of [['a user', anna], ['an address', someone]] as const) {
      it(`${name}: ${who} gets exactly ${max} calls, then 429 until ${seconds} s are over`, async () => {
        const limiter = make();
        assert.equal(await allowedOf(limiter, max + 5, name, subject), max);
        const refused = await call(limiter, name, subject);
        assert.equal(refused.retryAfterSeconds, seconds);
        atMs += seconds * 1_000 - 1;
        assert.equal((await call(limiter, name, subject)).retryAfterSeconds, 1);
        atMs += 1;
        assert.equal(await allowedOf(limiter, max + 5, name, subject), max);
      });
    }
    it(`${name}: the headers count down and name the end of the window`, async () => {
      const limiter = make();
      const first = await call(limiter, name, anna);
      const end = String(START / 1_000 + seconds);
      assert.deepEqual(first.headers, { 'X-RateLimit-Limit': String(max), 'X-RateLimit-Remaining': String(max - 1), 'X-RateLimit-Reset': end });
      atMs += 500;
      const second = await call(limiter, name, anna);
      assert.deepEqual([second.headers['X-RateLimit-Remaining'], second.headers['X-RateLimit-Reset']], [String(max - 2), end]);
      await allowedOf(limiter, max, name, anna);
      const refused = await call(limiter, name, anna);
      assert.deepEqual([refused.allowed, refused.headers['X-RateLimit-Remaining'], refused.headers['X-RateLimit-Reset']], [false, '0', end]);
    });
  }

  const apart: [string, LimitSubject, LimitSubject, boolean][] = [
    ['two users of one office', anna, { ...anna, actorId: 'bert' }, true],
    ['a user and a stranger of one address', anna, someone, true],
    ['one user at two addresses', anna, { ...anna, address: '10.0.0.2' }, false],
    ['two strangers', someone, { address: '10.0.0.2' }, true],
    ['a stranger in IPv4 and IPv4-in-IPv6', someone, { address: '::ffff:10.0.0.1' }, false],
    ['two addresses of one IPv6 customer', { address: '2001:db8:1:2::1' }, { address: '2001:db8:1:2:ffff::9' }, false],
    ['two IPv6 customers', { address: '2001:db8:1:2::1' }, { address: '2001:db8:1:3::1' }, true],
  ];
  for (const [name, first, second, separate] of apart) {
    it(`${name} have ${separate ? 'windows of their own' : 'one window'}`, async () => {
      const limiter = make();
      assert.equal(await allowedOf(limiter, 100, 'api', first), 100);
      assert.equal((await call(limiter, 'api', second)).allowed, separate);
    });
  }

  it('counts each preset alone', async () => {
    const limiter = make();
    assert.equal(await allowedOf(limiter, 40, 'write', anna), 30);
    assert.equal((await call(limiter, 'api', anna)).allowed, true);
  });

  it('gives an API key its own maximum a minute, not an hour', async () => {
    const limiter = make();
    assert.equal(await allowedOf(limiter, 200, 'api', { ...anna, perMinute: 150 }), 150);
    assert.equal(await allowedOf(limiter, 20, 'sensitive', { ...anna, perMinute: 150 }), 10);
  });

  it('does not limit routes that say none, and sets no header there', async () => {
    const limiter = make();
    assert.equal(await allowedOf(limiter, 500, 'none', anna), 500);
    assert.deepEqual((await call(limiter, 'none', anna)).headers, {});
  });

  it('lets exactly the maximum of 500 parallel calls pass', async () => {
    const limiter = make();
    const replies = await Promise.all(Array.from({ length: 500 }, () => call(limiter, 'api', anna)));
    assert.equal(replies.filter(({ allowed }) => allowed).length, 100);
  });

  it('RATE_LIMITS=off counts nothing and sets no header', async () => {
    const limiter = make(memoryLimitStore(), false);
    assert.equal(await allowedOf(limiter, 500, 'write', anna), 500);
    assert.deepEqual((await call(limiter, 'write', anna)).headers, {});
  });

  it('sign-ins of one address are limited against floods only: their failures count elsewhere', async () => {
    const limiter = make();
    assert.equal(await allowedOf(limiter, 2_005, 'auth', someone), 2_000);
  });

  describe('composite: a user, his company, and his address', () => {
    const user = (n: number, companyId = 'shop', address = `10.1.0.${n}`): LimitSubject => ({ address, actorId: `u${companyId}${n}`, companyId });

    for (const [name, max] of [['api', 100], ['write', 30], ['sensitive', 10], ['scans', 6_000]] as const) {
      it(`${name}: all users of a company together get ten times as many calls as one`, async () => {
        const limiter = make();
        let allowed = 0;
        for (let n = 0; n < 11; n += 1) allowed += await allowedOf(limiter, max, name, user(n));
        assert.equal(allowed, 10 * max);
        assert.equal((await call(limiter, name, user(99, 'other'))).allowed, true, 'another company has its own');
      });
    }

    it('all that are signed in at one address get twenty times as many, whatever their companies', async () => {
      const limiter = make();
      let allowed = 0;
      for (let n = 0; n < 25; n += 1) allowed += await allowedOf(limiter, 30, 'write', user(n, `shop${n}`, '10.2.0.1'));
      assert.equal(allowed, 600);
      assert.equal((await call(limiter, 'write', user(99, 'far', '10.2.0.2'))).allowed, true);
    });

    it('this machine itself is nobody’s office', async () => {
      const limiter = make();
      let allowed = 0;
      for (let n = 0; n < 25; n += 1) allowed += await allowedOf(limiter, 30, 'write', user(n, `shop${n}`, '127.0.0.1'));
      assert.equal(allowed, 750);
    });

    it('one who floods uses up his own calls, and nobody else’s', async () => {
      const limiter = make();
      await allowedOf(limiter, 5_000, 'write', user(1));
      assert.equal(await allowedOf(limiter, 30, 'write', user(2)), 30);
      assert.equal((await call(limiter, 'write', user(3))).headers['X-RateLimit-Remaining'], '29');
    });

    it('the headers tell of the window with the least left', async () => {
      const limiter = make();
      for (let n = 0; n < 9; n += 1) await allowedOf(limiter, 30, 'write', user(n));
      await allowedOf(limiter, 10, 'write', user(9));
      const next = await call(limiter, 'write', user(10));
      assert.deepEqual([next.headers['X-RateLimit-Limit'], next.headers['X-RateLimit-Remaining']], ['300', '19']);
    });

    it('a key with a maximum of its own counts alone', async () => {
      const limiter = make();
      assert.equal(await allowedOf(limiter, 900, 'write', { ...user(1), perMinute: 800 }), 800);
      assert.equal((await call(limiter, 'write', user(2))).allowed, true);
    });
  });

  it('works the same over a store that answers later', async () => {
    const memory = memoryLimitStore();
    const limiter = make({ hit: async (windows) => (await memory.hit(windows)).map((state) => ({ ...state })) });
    assert.equal(await allowedOf(limiter, 40, 'write', anna), 30);
    assert.equal((await call(limiter, 'write', anna)).retryAfterSeconds, 60);
  });

  describe('memory', () => {
    const at = (key: string, max = 1_000_000): LimitWindow => ({ key, windowMs: 60_000, max });

    it('never holds more windows than it may, and drops the one that ends first', () => {
      const store = memoryLimitStore(160);
      for (let n = 0; n < 10_000; n += 1) {
        atMs += 1;
        void store.hit([at(`k${n}`)]);
        assert(store.size() <= 160);
      }
      assert.deepEqual(store.hit([at('k9999')]), [{ used: 2, resetAtMs: atMs + 60_000 }]);
    });

    it('forgets windows that ended', () => {
      const store = memoryLimitStore(50_000);
      for (let n = 0; n < 5_000; n += 1) void store.hit([at(`old${n}`)]);
      atMs += 60_000;
      for (let n = 0; n < 2_000; n += 1) void store.hit([at(`new${n}`)]);
      assert(store.size() <= 3_024, String(store.size()));
    });

    it('counts nothing beyond the first window that is full', () => {
      const store = memoryLimitStore();
      const windows = [at('own', 1), at('shared', 5)];
      assert.equal([...Array(4).keys()].map(() => store.hit(windows)).at(-1) instanceof Promise, false);
      assert.deepEqual(store.hit([at('shared', 5)]), [{ used: 2, resetAtMs: atMs + 60_000 }]);
    });
  });

  const addresses: [string, string][] = [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '0:0:0:0::/64'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:0DB8:0000:0012::1', '2001:db8:0:12::/64'],
    ['2001:db8::12:0:0:0:1', '2001:db8:0:12::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ];
  for (const [address, key] of addresses) {
    it(`${address} counts as ${key}`, () => assert.equal(addressKey(address), key));
  }
});
