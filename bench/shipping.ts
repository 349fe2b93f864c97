import { connect, disconnect } from '../src/platform/db/connect.ts';
import { loadConfig } from '../src/config.ts';
import { courierArrival, recordScans } from '../src/modules/tracking/index.ts';
import { PLATFORM_COMPANY_ID, acrossCompanies, systemCtx } from '../src/platform/context.ts';
import { makeLogger } from '../src/platform/logger.ts';
import { useRuntime } from '../src/platform/runtime.ts';
import { openMany } from './lib/client.ts';
import { closedLoop, cpuMs, median, report, type LoopResult } from './lib/measure.ts';
import type { Reference, Subject } from './lib/service.ts';
import { newKey, type Shop } from './lib/shop.ts';

type Pool = Awaited<ReturnType<typeof openMany>>;

async function send(pool: Pool, method: string, path: string, shop: Shop, body?: unknown): Promise<Record<string, unknown>> {
  const reply = await pool.use((c) => c.send(method, path, { token: shop.token, key: newKey(), ...(body === undefined ? {} : { body: JSON.stringify(body) }) }));
  if (reply.status >= 300) throw new Error(`${path}: ${reply.status} ${reply.body.slice(0, 400)}`);
  return JSON.parse(reply.body || '{}') as Record<string, unknown>;
}

const order = (n: number) => ({
  customer: { name: `Buyer ${n}`, phone: '9812345678' },
  shippingAddress: { line1: `Flat ${n}, Tower B`, line2: 'Opposite the bank', city: 'Bengaluru', state: 'Karnataka', pincode: '560001', country: 'IN' },
  lines: [{ sku: `SKU-${n % 100}`, quantity: 1 }],
  paymentMethod: n % 2 === 0 ? 'cod' : 'prepaid',
});

/** Verifies the shop's e-mail and tops its wallet up, over the API. */
async function prepare(pool: Pool, subject: Subject, shop: Shop): Promise<void> {
  const mails = (await send(pool, 'GET', `/dev/mailbox?to=${encodeURIComponent(shop.email)}`, shop)) as { data: { links: string[] }[] };
  const token = mails.data.flatMap((m) => m.links).map((l) => new URL(l).searchParams.get('token')).find(Boolean);
  if (token) await fetch(`http://127.0.0.1:${subject.port}/v1/auth/email/verify`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ token }) });
  const topup = (await send(pool, 'POST', '/v1/wallet/topups', shop, { amountPaise: 1_000_000_000 })) as { paymentId: string; providerOrderId: string };
  const paid = await send(pool, 'POST', `/dev/sandbox/payments/${topup.providerOrderId}/pay`, shop, {});
  await send(pool, 'POST', `/v1/payments/${topup.paymentId}/verify`, shop, paid);
}

/** Places and books `count` orders; answers the AWBs. */
async function bookParcels(pool: Pool, shop: Shop, count: number): Promise<{ awbs: string[]; ids: string[] }> {
  const orderIds: string[] = [];
  await closedLoop({ callers: 32, durationMs: 120_000, total: count }, async (n) => {
    orderIds.push(String((await send(pool, 'POST', '/v1/orders', shop, order(n)))['id']));
    return 'ok';
  });
  const ids: string[] = [];
  for (let at = 0; at < orderIds.length; at += 500) {
    const { results } = (await send(pool, 'POST', '/v1/shipments/bulk', shop, { orderIds: orderIds.slice(at, at + 500) })) as { results: { shipmentId?: string; error?: unknown }[] };
    for (const { shipmentId, error } of results) {
      if (shipmentId === undefined) throw new Error(`booking: ${JSON.stringify(error)}`);
      ids.push(shipmentId);
    }
  }
  const awbs = await Promise.all(ids.map(async (id) => String((await send(pool, 'GET', `/v1/shipments/${id}`, shop))['awb'])));
  return { awbs, ids };
}

/** A 4×6 label in Latin script, over HTTP. */
export async function benchLabels(subject: Subject, shop: Shop): Promise<void> {
  const pool = await openMany(subject.port, 32);
  await prepare(pool, subject, shop);
  const { ids } = await bookParcels(pool, shop, 64);
  const label = async (n: number): Promise<string> => {
    const reply = await pool.use((c) => c.send('GET', `/v1/shipments/${ids[n % ids.length]}/label.pdf`, { token: shop.token }));
    return reply.status === 200 && reply.body.startsWith('%PDF') ? 'ok' : String(reply.status);
  };
  await closedLoop({ callers: 4, durationMs: 60_000, total: 100 }, label);
  const before = cpuMs(subject.pid);
  const { outcomes } = await closedLoop({ callers: 4, durationMs: 60_000, total: 300 }, label);
  const cpu = (cpuMs(subject.pid) - before) / 300;
  report({ name: 'label.cpu', value: cpu, unit: 'ms/label', goal: '≤ 8', reached: cpu <= 8, note: JSON.stringify(outcomes) });
  pool.close();
}

const BOOKINGS = 500;

/** 500 bookings by 64 callers with the sandbox courier over HTTP, beside the reference's C, grouped. */
export async function benchBookings(subject: Subject, reference: Reference, shop: Shop): Promise<void> {
  const pool = await openMany(subject.port, 64);
  await prepare(pool, subject, shop);
  const raw: number[] = [];
  const ours: number[] = [];
  const rawRate = async (): Promise<void> => {
    const { ok, seconds } = (await reference.run({ run: 'bookings' })) as LoopResult;
    raw.push(ok / seconds);
  };
  for (let round = 0; round < 3; round += 1) {
    await rawRate();
    const { seconds, outcomes } = await bookOnce(pool, shop);
    if (outcomes['ok'] !== BOOKINGS) throw new Error(`bookings: ${JSON.stringify(outcomes)}`);
    ours.push(BOOKINGS / seconds);
  }
  await rawRate();
  pool.close();
  report({ name: 'booking.raw_C', value: median(raw), unit: 'shipments/s', note: 'order, shipment, history, event and AWB, in groups of 64 at most' });
  report({ name: 'booking.ours', value: median(ours), unit: 'shipments/s', note: `${BOOKINGS} bookings by 64 callers, hold and label job with them` });
  report({ name: 'booking.ratio_to_raw', value: median(ours) / median(raw), unit: '×', goal: '≥ 0.35', reached: median(ours) / median(raw) >= 0.35 });
}

async function bookOnce(pool: Pool, shop: Shop): Promise<LoopResult> {
  const orderIds: string[] = [];
  await closedLoop({ callers: 32, durationMs: 60_000, total: BOOKINGS }, async (n) => {
    orderIds.push(String((await send(pool, 'POST', '/v1/orders', shop, order(n)))['id']));
    return 'ok';
  });
  return closedLoop({ callers: 64, durationMs: 60_000, total: BOOKINGS }, async (n) => {
    const reply = await pool.use((c) => c.send('POST', '/v1/shipments', { token: shop.token, key: newKey(), body: JSON.stringify({ orderId: orderIds[n] }) }));
    return reply.status === 201 ? 'ok' : String(reply.status);
  });
}

const SHIPMENTS = 2_000;
const STEPS = ['PKD', 'IT', 'IT', 'OFD', 'DLV'];

/** 10,500 shuffled scans (5 % repeats) of 2,000 parcels through `recordScans`, beside the reference's bulk loop. */
export async function benchScans(subject: Subject, reference: Reference, shop: Shop, { uri, dataDir }: { uri: string; dataDir: string }): Promise<void> {
  const pool = await openMany(subject.port, 32);
  await prepare(pool, subject, shop);
  const config = await loadConfig({ NODE_ENV: 'development', MONGODB_URI: uri, DATA_DIR: dataDir });
  useRuntime({ config, log: makeLogger({ level: 'error', stream: process.stderr }) });
  await connect({ uri, poolSize: 10, slowMs: 1e9, onSlow: () => undefined });
  const ctx = acrossCompanies(systemCtx('bench', PLATFORM_COMPANY_ID), 'scans of a benchmark');
  const ours: number[] = [];
  const raw: number[] = [];
  for (let round = 0; round < 2; round += 1) {
    const { awbs } = await bookParcels(pool, shop, SHIPMENTS);
    raw.push(((await reference.run({ run: 'scans' })) as { ms: number }).ms);
    const arrivals = shuffledScans(awbs);
    const started = performance.now();
    const report = await recordScans(ctx, arrivals);
    ours.push(performance.now() - started);
    if (report.accepted !== SHIPMENTS * STEPS.length) throw new Error(`scans: ${JSON.stringify(report)}`);
    raw.push(((await reference.run({ run: 'scans' })) as { ms: number }).ms);
  }
  await disconnect();
  pool.close();
  report({ name: 'scans.raw_D3', value: 10_500 / (median(raw) / 1000), unit: 'scans/s' });
  report({ name: 'scans.ours', value: 10_500 / (median(ours) / 1000), unit: 'scans/s', note: 'stored, folded; order, stock, wallet and events changed with them' });
  report({ name: 'scans.ratio_to_raw', value: median(raw) / median(ours), unit: '×', goal: '≥ 0.5', reached: median(raw) / median(ours) >= 0.5 });
}

function shuffledScans(awbs: readonly string[]): ReturnType<typeof courierArrival>[] {
  const start = Date.now() - 5 * 86_400_000;
  const scans = awbs.flatMap((awb, i) => STEPS.map((code, step) => ({ awb, rawCode: code, group: 'FW', occurredAt: new Date(start + step * 3_600_000 * 12 + i * 1000), location: 'Bengaluru' })));
  const all = [...scans, ...scans.filter((_, i) => i % 20 === 0)];
  for (let i = all.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    const held = all[i];
    const other = all[j];
    if (held && other) [all[i], all[j]] = [other, held];
  }
  return all.map((raw) => courierArrival('sandbox', raw, 'api'));
}
