import { loadConfig } from '../src/config.ts';
import { makeAuthenticator, startSessionFeed } from '../src/modules/identity/index.ts';
import { connect, disconnect } from '../src/platform/db/connect.ts';
import { makeLogger } from '../src/platform/logger.ts';
import { useRuntime } from '../src/platform/runtime.ts';
import { openMany } from './lib/client.ts';
import { closedLoop, cpuMs, quantile, report } from './lib/measure.ts';
import type { Subject } from './lib/service.ts';
import type { Shop } from './lib/shop.ts';

const PASSWORD = 'Correct-Horse-7-Battery';
/** What a busy caller asks during the ten minutes of one access token: 100 calls a minute. */
const CALLS_OF_A_TOKEN = 1_000;
const FLOOD = 200;

/** What a sign-in costs, and what 200 at once do to everybody else. */
export async function benchSignIn(subject: Subject, shops: readonly Shop[], mongodPid: number): Promise<void> {
  // Sessions are capped: whoever signs in here ends the session of the token that its shop came with.
  const [bystander, ...others] = shops;
  const pool = await openMany(subject.port, 32);
  const flood = await openMany(subject.port, FLOOD);
  const signIn = async (connections: typeof pool, n: number): Promise<string> => {
    const body = JSON.stringify({ email: others[n % others.length]?.email, password: PASSWORD });
    const reply = await connections.use((c) => c.send('POST', '/v1/auth/login', { body }));
    return reply.status === 200 ? 'ok' : String(reply.status);
  };
  // Compiling costs CPU too, once: what is meant is a service that has been running for a while.
  await closedLoop({ callers: 1, durationMs: 60_000, total: 60 }, (n) => signIn(pool, n));
  const before = cpuMs(subject.pid) + cpuMs(mongodPid);
  const alone = await closedLoop({ callers: 1, durationMs: 60_000, total: 60 }, (n) => signIn(pool, n));
  const cpu = (cpuMs(subject.pid) + cpuMs(mongodPid) - before) / Math.max(1, alone.ok);
  report({ name: 'login.cpu', value: cpu, unit: 'ms/login', goal: '≤ 40', reached: cpu <= 40, note: JSON.stringify(alone.outcomes) });

  const other = async (): Promise<string> => {
    const reply = await pool.use((c) => c.send('GET', '/v1/me', { token: bystander?.token ?? '' }));
    return reply.status === 200 ? 'ok' : String(reply.status);
  };
  const idle = await closedLoop({ callers: 4, durationMs: 3_000 }, other);
  const [busy, outcomes] = await Promise.all([
    closedLoop({ callers: 4, durationMs: 3_000 }, other),
    closedLoop({ callers: FLOOD, durationMs: 60_000, total: FLOOD }, (n) => signIn(flood, n)),
  ]);
  const ratio = quantile(busy.latenciesMs, 0.95) / quantile(idle.latenciesMs, 0.95);
  report({ name: 'login.flood_p95_of_others', value: ratio, unit: '× idle', goal: '≤ 2', reached: ratio <= 2, note: `200 logins at once: ${JSON.stringify(outcomes.outcomes)}; others ${JSON.stringify(busy.outcomes)}` });
  pool.close();
  flood.close();
}

/** What checking one access token costs on average over its life, revocation included. */
export async function benchTokenCheck(token: string, database: { uri: string; dataDir: string }): Promise<void> {
  const config = await loadConfig({ NODE_ENV: 'development', MONGODB_URI: database.uri, DATA_DIR: database.dataDir });
  useRuntime({ config, log: makeLogger({ level: 'error', stream: process.stderr }) });
  await connect({ uri: database.uri, poolSize: 5, slowMs: 1e9, onSlow: () => undefined });
  const stop = await startSessionFeed();
  const authenticator = makeAuthenticator();
  const before = process.cpuUsage();
  let known = 0;
  for (let n = 0; n < CALLS_OF_A_TOKEN; n += 1) if (authenticator.accessToken(token)) known += 1;
  const { user, system } = process.cpuUsage(before);
  await stop();
  await disconnect();
  const each = (user + system) / CALLS_OF_A_TOKEN;
  report({ name: 'token_check.cpu', value: each, unit: 'µs/check', goal: '≤ 20', reached: each <= 20 && known === CALLS_OF_A_TOKEN, note: `${known} of ${CALLS_OF_A_TOKEN} known` });
}
