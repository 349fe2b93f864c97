import { openMany } from './lib/client.ts';
import { closedLoop, cpuMs, report } from './lib/measure.ts';
import type { Subject } from './lib/service.ts';
import { newKey, type Shop } from './lib/shop.ts';

/** CPU of the service (and of mongod, when given) for one call, over many. */
async function cpuPerCall(pids: readonly number[], calls: number, callers: number, call: () => Promise<string>): Promise<{ cpu: number; ok: number; outcomes: Record<string, number> }> {
  await closedLoop({ callers, durationMs: 60_000, total: Math.ceil(calls / 4) }, call);
  const before = pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  const result = await closedLoop({ callers, durationMs: 60_000, total: calls }, call);
  return { cpu: (pids.reduce((sum, pid) => sum + cpuMs(pid), 0) - before) / calls, ok: result.ok, outcomes: result.outcomes };
}

/** What every request costs: sign-in check, limits, validation, log. */
export async function benchNoop(subject: Subject, shop: Shop): Promise<void> {
  const pool = await openMany(subject.port, 16);
  const body = JSON.stringify({ text: 'nothing', count: 1 });
  const { cpu, outcomes } = await cpuPerCall([subject.pid], 20_000, 16, async () => {
    const reply = await pool.use((c) => c.send('POST', '/dev/noop', { token: shop.token, body }));
    return reply.status === 200 ? 'ok' : String(reply.status);
  });
  pool.close();
  report({ name: 'noop.cpu', value: cpu, unit: 'ms/request', goal: '≤ 0.15', reached: cpu <= 0.15, note: JSON.stringify(outcomes) });
}

/** A quote over 20 cards, cards cached. */
export async function benchQuote(subject: Subject, shop: Shop, mongodPid: number, cards: number): Promise<void> {
  const pool = await openMany(subject.port, 8);
  const body = JSON.stringify({ originPincode: '110001', destinationPincode: '560001', weightGrams: 1500, lengthMm: 200, breadthMm: 200, heightMm: 100, paymentMethod: 'cod', codPaise: 499_900 });
  let options = 0;
  const { cpu, outcomes } = await cpuPerCall([subject.pid, mongodPid], 2_000, 8, async () => {
    const reply = await pool.use((c) => c.send('POST', '/v1/rates', { token: shop.token, body }));
    if (reply.status !== 200) return String(reply.status);
    if (options === 0) options = (JSON.parse(reply.body) as { options: unknown[] }).options.length;
    return 'ok';
  });
  pool.close();
  report({ name: 'quote.cpu', value: cpu, unit: 'ms/quote', goal: '≤ 2', reached: cpu <= 2 && options >= cards, note: `${options} options; ${JSON.stringify(outcomes)}` });
}

/** 500 buyers at once for 50 units: all answered, 50 sold, the rest a clean 409. */
export async function benchHotSku(subject: Subject, shop: Shop, sku: string): Promise<void> {
  const pool = await openMany(subject.port, 500);
  const body = JSON.stringify({
    customer: { name: 'Buyer', phone: '9812345678' },
    shippingAddress: { line1: 'Flat 1', city: 'Bengaluru', state: 'Karnataka', pincode: '560001', country: 'IN' },
    lines: [{ sku, quantity: 1 }],
    paymentMethod: 'cod',
  });
  const noopBody = JSON.stringify({ text: 'nothing', count: 1 });
  const noop = await closedLoop({ callers: 500, durationMs: 60_000, total: 500 }, async () => ((await pool.use((c) => c.send('POST', '/dev/noop', { token: shop.token, body: noopBody }))).status === 200 ? 'ok' : 'bad'));
  const result = await closedLoop({ callers: 500, durationMs: 60_000, total: 500 }, async () => {
    const reply = await pool.use((c) => c.send('POST', '/v1/orders', { token: shop.token, key: newKey(), body }));
    if (reply.status === 201) return 'ok';
    return `${reply.status} ${/"code":"(\w+)"/.exec(reply.body)?.[1] ?? ''}`;
  });
  pool.close();
  const clean = result.ok === 50 && result.outcomes['409 out_of_stock'] === 450;
  report({ name: 'hot_sku.sold', value: result.ok, unit: 'of 50', goal: '50 sold, 450 × 409', reached: clean, note: JSON.stringify(result.outcomes) });
  const limitMs = 10 * 16 + noop.seconds * 1000;
  report({ name: 'hot_sku.milliseconds', value: result.seconds * 1000, unit: 'ms', goal: `≤ ${limitMs.toFixed(0)}`, reached: result.seconds * 1000 <= limitMs, note: `500 requests that do nothing: ${(noop.seconds * 1000).toFixed(0)} ms` });
}
