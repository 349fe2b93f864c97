import { strict as assert } from 'node:assert';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { makeLogger } from '../../src/platform/logger.ts';
import { memoryLimitStore, type LimitWindow } from '../../src/platform/rate-limit.ts';
import { redisLimitStore } from '../../src/platform/rate-limit.redis.ts';
import { until } from '../support/process.ts';

const WINDOW_MS = 60_000;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('B9 limits shared through Redis', function () {
  let port: number;
  let server: ChildProcess | undefined;
  let stores: ReturnType<typeof redisLimitStore>[] = [];

  const startRedis = (): ChildProcess => spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
  const stopRedis = async (): Promise<void> => {
    const gone = new Promise((resolve) => server?.once('exit', resolve));
    server?.kill('SIGKILL');
    await gone;
    server = undefined;
  };
  const store = () => {
    const made = redisLimitStore({ url: `redis://127.0.0.1:${port}`, fallback: memoryLimitStore(), log: makeLogger({ level: 'error', stream: process.stderr }) });
    stores.push(made);
    return made;
  };
  const at = (key: string, max = 1_000_000): LimitWindow => ({ key, windowMs: WINDOW_MS, max });
  const used = async (of: ReturnType<typeof store>, key: string): Promise<number> => (await of.hit([at(key)]))[0]?.used ?? 0;
  /** Answers of Redis are promises, answers of memory are not. */
  const counts = (of: ReturnType<typeof store>, where: 'redis' | 'memory') =>
    until(`counted in ${where}`, async () => {
      const answer = of.hit([at(`probe ${Math.random()}`)]);
      await answer;
      return answer instanceof Promise === (where === 'redis');
    });

  before(async function () {
    if (spawnSync('sh', ['-c', 'command -v redis-server']).status !== 0) {
      console.log('      skipped: redis-server not installed');
      this.skip();
    }
    port = await freePort();
    server = startRedis();
  });
  afterEach(async () => {
    for (const one of stores) await one.close();
    stores = [];
  });
  after(async () => {
    if (server) await stopRedis();
  });

  it('two processes count in one window, exactly, and count nothing beyond the first window that is full', async () => {
    const [a, b] = [store(), store()];
    await counts(a, 'redis');
    await counts(b, 'redis');
    const seen = await Promise.all(Array.from({ length: 100 }, (_, n) => used(n % 2 === 0 ? a : b, 'one')));
    assert.deepEqual([...seen].sort((x, y) => x - y), Array.from({ length: 100 }, (_, n) => n + 1));
    const [state] = await a.hit([at('one')]);
    assert.ok(Math.abs((state?.resetAtMs ?? 0) - Date.now() - WINDOW_MS) < 10_000);
    const answers = [];
    for (const of of [a, b, a, b]) answers.push((await of.hit([at('own', 1), at('shared', 5)])).map((one) => one.used));
    assert.deepEqual(answers, [[1, 1], [2], [3], [4]]);
  });

  it('go on in memory while Redis is away, at once and without an error, and return to it', async () => {
    const one = store();
    await counts(one, 'redis');
    await used(one, 'kept');
    await stopRedis();
    await counts(one, 'memory');
    assert.deepEqual([await used(one, 'kept'), await used(one, 'kept')], [1, 2]);
    server = startRedis();
    await counts(one, 'redis');
    assert.equal(await used(one, 'kept'), 1);
  });
});
