import { openMany } from './lib/client.ts';
import { closedLoop, cpuMs, median, quantile, report, type LoopResult } from './lib/measure.ts';
import type { Reference, Subject } from './lib/service.ts';
import { newKey, orderBody, type Shop } from './lib/shop.ts';

export const CALLERS = 64;

interface Round {
  rate: number;
  p99: number;
  cpu: number;
}

/** Places orders over HTTP beside R1 and R2, the three in turn, several rounds in one run. */
export async function benchPlaceOrder(subject: Subject, reference: Reference, mongodPid: number, shops: readonly Shop[], rounds: number, durationMs: number): Promise<void> {
  const pool = await openMany(subject.port, CALLERS);
  const place = async (): Promise<string> => {
    const shop = shops[Math.floor(Math.random() * shops.length)];
    if (!shop) throw new Error('no shop');
    const reply = await pool.use((c) => c.send('POST', '/v1/orders', { token: shop.token, key: newKey(), body: orderBody() }));
    return reply.status === 201 ? 'ok' : `${reply.status} ${/"code":"(\w+)"/.exec(reply.body)?.[1] ?? ''}`;
  };
  const nodeShare: number[] = [];
  const attemptsBefore = await transactionAttempts(pool);
  const loops: Record<string, () => Promise<{ result: LoopResult; cpu: number }>> = {
    ours: async () => {
      const [node, mongod] = [cpuMs(subject.pid), cpuMs(mongodPid)];
      const result = await closedLoop({ callers: CALLERS, durationMs }, place);
      // What the consumers of outbox and audit still do afterwards belongs to these orders too.
      await new Promise((resolve) => setTimeout(resolve, 400));
      const spent = [cpuMs(subject.pid) - node, cpuMs(mongodPid) - mongod] as const;
      nodeShare.push(spent[0] / Math.max(1, result.ok));
      return { result, cpu: spent[0] + spent[1] };
    },
    R1: () => rawLoop(reference, 'R1', durationMs, mongodPid),
    R2: () => rawLoop(reference, 'R2', durationMs, mongodPid),
  };
  const seen: Record<string, Round[]> = { ours: [], R1: [], R2: [] };
  for (const name of Object.keys(loops)) await loops[name]?.();
  for (let round = 0; round < rounds; round += 1) {
    const names = round % 2 === 0 ? Object.keys(loops) : Object.keys(loops).reverse();
    for (const name of names) {
      const done = await loops[name]?.();
      if (!done) continue;
      const { result, cpu } = done;
      const strange = Object.keys(result.outcomes).filter((o) => o !== 'ok');
      if (strange.length > 0) process.stderr.write(`${name}: ${JSON.stringify(result.outcomes)}\n`);
      seen[name]?.push({ rate: result.ok / result.seconds, p99: quantile(result.latenciesMs, 0.99), cpu: cpu / Math.max(1, result.ok) });
    }
  }
  const of = (name: string, key: keyof Round): number => median((seen[name] ?? []).map((r) => r[key]));
  const attempts = await transactionAttempts(pool);
  const sizes = await histogram(pool, 'dakiya_lane_batch_size');
  pool.close();
  const rate = of('ours', 'rate');
  for (const name of ['ours', 'R1', 'R2']) report({ name: `place_order.${name}.per_second`, value: of(name, 'rate'), unit: 'orders/s', note: `p99 ${of(name, 'p99').toFixed(0)} ms, ${of(name, 'cpu').toFixed(2)} ms CPU an order` });
  report({ name: 'place_order.ratio_to_R1', value: rate / of('R1', 'rate'), unit: '×', goal: '≥ 2.0', reached: rate / of('R1', 'rate') >= 2 });
  report({ name: 'place_order.ratio_to_R2', value: rate / of('R2', 'rate'), unit: '×', goal: '≥ 0.40', reached: rate / of('R2', 'rate') >= 0.4 });
  report({ name: 'place_order.p99_to_R1', value: of('ours', 'p99') / of('R1', 'p99'), unit: '×', goal: '≤ 0.5', reached: of('ours', 'p99') / of('R1', 'p99') <= 0.5 });
  report({ name: 'place_order.cpu', value: of('ours', 'cpu'), unit: 'ms/order', goal: '≤ 1.5', reached: of('ours', 'cpu') <= 1.5, note: `node + mongod; node alone ${median(nodeShare).toFixed(2)}` });
  report({ name: 'place_order.batch_size', value: sizes.sum / Math.max(1, sizes.count), unit: 'orders' });
  const tries = (attempts.sum - attemptsBefore.sum) / Math.max(1, attempts.count - attemptsBefore.count);
  report({ name: 'place_order.tries_per_transaction', value: tries, unit: 'tries', goal: '≤ 1.05', reached: tries <= 1.05 });
}

async function rawLoop(reference: Reference, run: string, durationMs: number, mongodPid: number): Promise<{ result: LoopResult; cpu: number }> {
  const before = cpuMs(reference.pid) + cpuMs(mongodPid);
  const result = (await reference.run({ run, callers: CALLERS, durationMs })) as LoopResult;
  return { result, cpu: cpuMs(reference.pid) + cpuMs(mongodPid) - before };
}

type Pool = Awaited<ReturnType<typeof openMany>>;

const transactionAttempts = (pool: Pool): Promise<{ sum: number; count: number }> => histogram(pool, 'dakiya_transaction_attempts');

async function histogram(pool: Pool, name: string): Promise<{ sum: number; count: number }> {
  const { body } = await pool.use((c) => c.send('GET', '/metrics'));
  const read = (suffix: string): number => [...body.matchAll(new RegExp(`^${name}_${suffix}(?:\\{[^}]*\\})? (\\S+)`, 'gm'))].reduce((sum, m) => sum + Number(m[1]), 0);
  return { sum: read('sum'), count: read('count') };
}
