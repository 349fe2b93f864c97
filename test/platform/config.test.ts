import { strict as assert } from 'node:assert';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, configNotices, describeConfig, keyEncryptionKeys, loadConfig, variableName, type Config } from '../../src/config.ts';

const hex = (): string => randomBytes(32).toString('hex');
const long = (): string => randomBytes(32).toString('base64url');
const pem = (namedCurve: string): string =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

function production(changes: Record<string, string | undefined> = {}): Record<string, string | undefined> {
  return {
    NODE_ENV: 'production',
    MONGODB_URI: 'mongodb://app:hunter2@db.example.com/dakiya?replicaSet=rs0',
    ENCRYPTION_KEY: hex(),
    BLIND_INDEX_KEY: hex(),
    TOKEN_PEPPER: long(),
    COOKIE_SECRET: long(),
    JWT_SECRET: long(),
    RAZORPAY_WEBHOOK_SECRET: long(),
    ...changes,
  };
}

async function problemsOf(env: Record<string, string | undefined>): Promise<readonly string[]> {
  try {
    await loadConfig(env);
    return [];
  } catch (error) {
    assert(error instanceof ConfigError, String(error));
    return error.problems;
  }
}

describe('config', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'dakiya-config-'));
  });
  afterEach(async () => {
    await rm(dataDir, { recursive: true });
  });
  const development = (changes: Record<string, string | undefined> = {}) => ({ DATA_DIR: dataDir, ...changes });

  it('has the defaults of the contract', async () => {
    const config = await loadConfig(development());
    assert.deepEqual(
      [config.nodeEnv, config.port, config.host, config.role, config.trustProxy, config.seedDemo, config.rateLimits, config.lanes],
      ['development', 3000, '127.0.0.1', 'both', 0, true, true, true],
    );
    assert.deepEqual([config.rateLimitApiPerMinute, config.rateLimitWritePerMinute, config.rateLimitSensitivePerHour], [100, 30, 10]);
    assert.deepEqual([config.rateLimitAuthFailures, config.rateLimitAuthWindowSeconds, config.sessionMax], [5, 900, 3]);
    assert.equal(config.mongodbUri, undefined);
    assert.equal(config.platformGstState, '07');
  });

  it('converts, freezes, takes empty variables as absent and ignores unknown ones', async () => {
    const config = await loadConfig(development({ PORT: '8080', RATE_LIMITS: 'off', LANES: 'off', REDIS_URL: '', NO_SUCH_SETTING: 'x' }));
    assert.deepEqual([config.port, config.rateLimits, config.lanes, config.redisUrl], [8080, false, false, undefined]);
    assert.throws(() => Object.assign(config, { port: 1 }), TypeError);
  });

  const faults: [string, Record<string, string>, RegExp][] = [
    ['a port that is none', { PORT: 'http' }, /^PORT must be a number/],
    ['a port too high', { PORT: '65536' }, /^PORT must be less than or equal to 65535/],
    ['a fraction', { SESSION_MAX: '1.5' }, /^SESSION_MAX must be an integer/],
    ['zero where one is the least', { JOB_LEASE_MS: '0' }, /^JOB_LEASE_MS must be greater than or equal to 1/],
    ['an unknown word', { ROLE: 'cron' }, /^ROLE must be one of/],
    ['an unknown environment', { NODE_ENV: 'staging' }, /^NODE_ENV must be one of/],
    ['neither on nor off', { LANES: 'perhaps' }, /^LANES must be a boolean/],
    ['a state code of three digits', { PLATFORM_GST_STATE: '007' }, /^PLATFORM_GST_STATE/],
    ['a short pepper', { TOKEN_PEPPER: 'short' }, /^TOKEN_PEPPER is too short; it needs at least 32 characters$/],
    ['a key that is not hex', { ENCRYPTION_KEY: 'z'.repeat(64) }, /^ENCRYPTION_KEY must be 64 hex characters$/],
    ['a key of 63 hex characters', { BLIND_INDEX_KEY: 'a1'.repeat(31) + 'b' }, /^BLIND_INDEX_KEY must be 64 hex characters$/],
    ['a malformed key list', { ENCRYPTION_KEYS: 'k1=abc' }, /^ENCRYPTION_KEYS must be id:hex,id:hex$/],
    ['one key id twice', { ENCRYPTION_KEYS: `a:${hex()},a:${hex()}` }, /names one id twice/],
    ['two keys under k1', { ENCRYPTION_KEYS: `k1:${hex()}`, ENCRYPTION_KEY: hex() }, /another key under the id k1/],
    ['both kinds of JWT key', { JWT_SECRET: long(), JWT_PRIVATE_KEY: pem('P-256') }, /both set; keep one/],
    ['a PEM on another curve', { JWT_PRIVATE_KEY: pem('P-384') }, /P-256/],
    ['a PEM that is none', { JWT_PRIVATE_KEY: 'not a key' }, /^JWT_PRIVATE_KEY must be a PEM private key$/],
    ['Razorpay without its keys', { PAYMENT_PROVIDER: 'razorpay' }, /RAZORPAY_KEY_ID is required/],
    ['a secret file that is not there', { TOKEN_PEPPER_FILE: '/nonexistent/pepper' }, /^TOKEN_PEPPER_FILE cannot be read \(ENOENT\)$/],
    ['a secret and its file', { TOKEN_PEPPER: long(), TOKEN_PEPPER_FILE: '/nonexistent/pepper' }, /both set; keep one/],
  ];
  for (const [name, env, expected] of faults) {
    it(`refuses ${name}`, async () => {
      const problems = await problemsOf(development(env));
      assert(problems.some((problem) => expected.test(problem)), problems.join('\n'));
    });
  }

  it('lists all problems at once and shows no secret', async () => {
    const problems = await problemsOf(development({ PORT: 'x', ROLE: 'y', TOKEN_PEPPER: 'canary-pepper', ENCRYPTION_KEY: 'canary-key' }));
    assert.equal(problems.length, 4);
    assert(!problems.join().includes('canary'));
  });

  it('lets tests shorten every number: no least value above 1, none above 100 for milliseconds', async () => {
    const names = describeConfig(await loadConfig(development())).filter(({ value }) => /^\d+$/.test(value) && value !== '07');
    assert(names.length > 40);
    const env = Object.fromEntries(names.map(({ name }) => [name, name.endsWith('_MS') ? '100' : '1']));
    assert.deepEqual(await problemsOf(development(env)), []);
  });

  describe('secrets in development', () => {
    it('are generated once, kept with mode 0600, said so, and read back', async () => {
      const first = await loadConfig(development());
      const path = join(dataDir, 'secrets.json');
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      assert.match(configNotices(first).join(), /secrets\.json/);
      const second = await loadConfig(development());
      assert.deepEqual(second, first);
      assert.deepEqual(configNotices(second), []);
      assert.deepEqual(await readdir(dataDir), ['secrets.json']);
      assert.equal(keyEncryptionKeys(first)[0]?.key.length, 32);
    });

    it('are the same for twenty processes that start together', async () => {
      const configs = await Promise.all(Array.from({ length: 20 }, () => loadConfig(development())));
      assert.equal(new Set(configs.map((config) => config.encryptionKey)).size, 1);
      assert.deepEqual(await readdir(dataDir), ['secrets.json']);
    });

    it('are completed when the file lacks one, without changing the others', async () => {
      const first = await loadConfig(development());
      const path = join(dataDir, 'secrets.json');
      const kept = JSON.parse(await readFile(path, 'utf8')) as Record<string, string>;
      delete kept['COOKIE_SECRET'];
      await writeFile(path, JSON.stringify(kept));
      const second = await loadConfig(development());
      assert.equal(second.encryptionKey, first.encryptionKey);
      assert.equal((await loadConfig(development())).cookieSecret, second.cookieSecret);
    });

    it('are never replaced when the file is damaged', async () => {
      await writeFile(join(dataDir, 'secrets.json'), '{"ENCRYPTION_KEY": "ab');
      assert.match((await problemsOf(development())).join(), /secrets\.json is damaged/);
      assert.equal(await readFile(join(dataDir, 'secrets.json'), 'utf8'), '{"ENCRYPTION_KEY": "ab');
    });

    it('name the directory when it cannot be written', async () => {
      await writeFile(join(dataDir, 'file'), '');
      assert.match((await problemsOf({ DATA_DIR: join(dataDir, 'file') })).join(), /set DATA_DIR to a writable directory/);
    });

    it('give way to given ones', async () => {
      const config = await loadConfig(development({ JWT_SECRET: long(), ENCRYPTION_KEYS: `new:${hex()},old:${hex()}` }));
      assert.equal(config.jwtPrivateKey, undefined);
      assert.deepEqual(keyEncryptionKeys(config).map(({ id }) => id), ['new', 'old']);
    });

    it('may come from files', async () => {
      const pepper = long();
      await writeFile(join(dataDir, 'pepper'), `${pepper}\n`);
      await chmod(join(dataDir, 'pepper'), 0o400);
      const config = await loadConfig(development({ TOKEN_PEPPER_FILE: join(dataDir, 'pepper') }));
      assert.equal(config.tokenPepper, pepper);
      assert.equal(describeConfig(config).find(({ name }) => name === 'TOKEN_PEPPER')?.source, 'file');
    });
  });

  describe('production', () => {
    it('starts with its secrets, without demo and open documents, and writes no file', async () => {
      const config = await loadConfig(production({ DATA_DIR: dataDir }));
      assert.deepEqual([config.seedDemo, config.docsPublic, config.rateLimits], [false, false, true]);
      assert.deepEqual(await readdir(dataDir), []);
    });

    it('accepts a PEM on one line', async () => {
      const config = await loadConfig(production({ JWT_SECRET: undefined, JWT_PRIVATE_KEY: pem('P-256').replaceAll('\n', '\\n') }));
      assert.match(config.jwtPrivateKey ?? '', /^-----BEGIN PRIVATE KEY-----\n/);
    });

    const refusals: [Record<string, string | undefined>, RegExp][] = [
      [{ MONGODB_URI: undefined }, /^MONGODB_URI is required in production; the embedded database/],
      [{ ENCRYPTION_KEY: undefined }, /^ENCRYPTION_KEY is required/],
      [{ BLIND_INDEX_KEY: undefined }, /^BLIND_INDEX_KEY is required/],
      [{ TOKEN_PEPPER: undefined }, /^TOKEN_PEPPER is required/],
      [{ COOKIE_SECRET: undefined }, /^COOKIE_SECRET is required/],
      [{ JWT_SECRET: undefined }, /^JWT_PRIVATE_KEY or JWT_SECRET is required/],
      [{ RAZORPAY_WEBHOOK_SECRET: undefined }, /^RAZORPAY_WEBHOOK_SECRET is required/],
      [{ TOKEN_PEPPER: long().slice(0, 31) }, /^TOKEN_PEPPER is too short/],
      [{ JWT_SECRET: long().slice(0, 24) }, /^JWT_SECRET is too short/],
      [{ TOKEN_PEPPER: 'please-change-me-please-change-me-please' }, /^TOKEN_PEPPER looks like a sample/],
      [{ COOKIE_SECRET: 'my-super-secret-cookie-value-for-dev-1' }, /^COOKIE_SECRET looks like a sample/],
      [{ JWT_SECRET: 'a'.repeat(40) }, /^JWT_SECRET looks like a sample/],
      [{ JWT_SECRET: 'q7Zp'.repeat(10) }, /^JWT_SECRET looks like a sample/],
      [{ ENCRYPTION_KEY: '0123456789abcdef'.repeat(4) }, /^ENCRYPTION_KEY looks like a sample/],
      [{ ENCRYPTION_KEY: '0'.repeat(64) }, /^ENCRYPTION_KEY looks like a sample/],
      [{ ENCRYPTION_KEYS: `a:${hex()},b:${'0'.repeat(63)}1` }, /^ENCRYPTION_KEYS looks like a sample/],
      [{ BLIND_INDEX_KEY: 'deadbeef'.repeat(8) }, /^BLIND_INDEX_KEY looks like a sample/],
      [{ RATE_LIMITS: 'off' }, /^RATE_LIMITS=off is for benchmarks/],
      [{ WEBHOOK_ALLOW_PRIVATE: 'on' }, /^WEBHOOK_ALLOW_PRIVATE=on/],
      [{ SEED_DEMO: 'on' }, /^SEED_DEMO=on/],
      [{ DEMO_PASSWORD: 'Some-Long-Pass-9' }, /^DEMO_PASSWORD is for development/],
    ];
    for (const [changes, expected] of refusals) {
      it(`refuses what ${expected.source} says`, async () => {
        const problems = await problemsOf(production(changes));
        assert.equal(problems.length, 1, problems.join('\n'));
        assert.match(problems[0] ?? '', expected);
      });
    }

    it('accepts five hundred random secrets of each form', async () => {
      for (let round = 0; round < 500; round += 1) assert.deepEqual(await problemsOf(production()), []);
    });
  });

  it('describes every setting with its source, secrets masked', async () => {
    const env = production({ PORT: '8080', METRICS_TOKEN: long() });
    const rows = describeConfig(await loadConfig(env));
    const row = (name: string) => rows.find((found) => found.name === name);
    assert.deepEqual(row('PORT'), { name: 'PORT', value: '8080', source: 'env' });
    assert.deepEqual(row('LANES'), { name: 'LANES', value: 'on', source: 'default' });
    assert.deepEqual(row('ENCRYPTION_KEY'), { name: 'ENCRYPTION_KEY', value: '***', source: 'env' });
    assert.equal(row('MONGODB_URI')?.value, 'mongodb://***@db.example.com/dakiya?replicaSet=rs0');
    const text = JSON.stringify(rows);
    for (const name of ['TOKEN_PEPPER', 'COOKIE_SECRET', 'JWT_SECRET', 'METRICS_TOKEN']) assert(!text.includes(String(env[name])), name);
    const dev = describeConfig(await loadConfig(development()));
    assert.equal(dev.find(({ name }) => name === 'JWT_PRIVATE_KEY')?.source, 'generated');
  });

  it('agrees with .env.example: every setting once, its default, a remark above it', async () => {
    const lines = (await readFile(new URL('../../.env.example', import.meta.url), 'utf8')).split('\n');
    const shown = new Map<string, string>();
    for (const [index, line] of lines.entries()) {
      const match = /^#([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
      if (!match) {
        assert.match(line, /^(#{1,2} .+)?$/, `line ${index + 1} sets something`);
        continue;
      }
      assert(!shown.has(match[1] ?? ''), `${line} stands twice`);
      assert.match(lines[index - 1] ?? '', /^# .{10,}/, `${line} needs a remark`);
      shown.set(match[1] ?? '', match[2] ?? '');
    }
    const config = await loadConfig({ DATA_DIR: dataDir });
    const expected = describeConfig(config).map(({ name, value, source }) => {
      if (name === 'DATA_DIR') return [name, '.data'];
      return [name, source === 'generated' || value === '(not set)' ? '' : value];
    });
    assert.deepEqual(Object.fromEntries(shown), Object.fromEntries(expected));
    const keys = Object.keys(config) as (keyof Config)[];
    assert.deepEqual([...shown.keys()].sort(), keys.map(variableName).sort());
  });
});
