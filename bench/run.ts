import { connect, disconnect } from '../src/platform/db/connect.ts';
import { allChecks } from '../src/modules.ts';
import { loadConfig } from '../src/config.ts';
import { makeLogger } from '../src/platform/logger.ts';
import { useRuntime } from '../src/platform/runtime.ts';
import { open } from './lib/client.ts';
import { printTable, report, rssMb } from './lib/measure.ts';
import { databaseUri, startDatabase, startReference, startSubject, temporaryFolder } from './lib/service.ts';
import { COUPONS, MERCHANTS, openShop, SKUS, type Shop } from './lib/shop.ts';
import { benchPlaceOrder } from './place-order.ts';
import { benchHotSku, benchNoop, benchQuote } from './requests.ts';

const args = new Set(process.argv.slice(2));
const wanted = (name: string): boolean => args.size === 0 || [...args].every((a) => a.startsWith('--')) || args.has(name);
const quick = args.has('--quick');

const database = await startDatabase();
const serviceUri = databaseUri(database.uri, 'dakiya_bench');
const reference = await startReference(databaseUri(database.uri, 'raw'));
await reference.run({ run: 'seed' });
const folder = await temporaryFolder();
let subject = await startSubject(serviceUri, folder.path);

try {
  process.stderr.write(`opening ${MERCHANTS} shops with ${SKUS} products and ${COUPONS} coupons each …\n`);
  const c = await open(subject.port);
  const shops: Shop[] = [];
  for (let n = 0; n < MERCHANTS; n += 1) shops.push(await openShop(c, n));
  const [shop] = shops;
  if (!shop) throw new Error('no shop');

  if (wanted('start')) {
    c.close();
    await subject.stop();
    subject = await startSubject(serviceUri, folder.path);
    report({ name: 'start.ready', value: subject.readyMs / 1000, unit: 's', goal: '≤ 2', reached: subject.readyMs <= 2000, note: 'existing database' });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    report({ name: 'start.idle_memory', value: rssMb(subject.pid), unit: 'MB', goal: '≤ 200', reached: rssMb(subject.pid) <= 200 });
  }
  if (wanted('noop')) await benchNoop(subject, shop);
  if (wanted('place-order')) await benchPlaceOrder(subject, reference, database.pid, shops, quick ? 1 : 5, Number(process.env['BENCH_MS'] ?? (quick ? 1500 : 3000)));
  if (wanted('hot-sku')) {
    const connection = await open(subject.port);
    for (const n of [1, 2, 3]) {
      const hot = await openShop(connection, 1000 + n, 1, 50);
      await benchHotSku(subject, hot, 'SKU-0');
    }
    connection.close();
  }
  if (wanted('quote')) await benchQuote(subject, shop, database.pid, await addCards(shop, 16));
  if (wanted('import')) await (await import('./import.ts')).benchImport(subject, reference, shops, quick ? 1 : 3);
  if (wanted('labels')) await (await import('./shipping.ts')).benchLabels(subject, shop);
  if (wanted('bookings')) await (await import('./shipping.ts')).benchBookings(subject, reference, shop);
  if (wanted('scans')) await (await import('./shipping.ts')).benchScans(subject, reference, shop, { uri: serviceUri, dataDir: folder.path });
  if (wanted('sign-in')) {
    const { benchSignIn, benchTokenCheck } = await import('./sign-in.ts');
    await benchSignIn(subject, shops, database.pid);
    await benchTokenCheck(shop.token, { uri: serviceUri, dataDir: folder.path });
  }
  if (wanted('sealed')) await (await import('./sealed.ts')).benchSealed(databaseUri(database.uri, 'dakiya_bench_sealed'), folder.path);
  await verify();
} finally {
  await subject.stop();
  reference.stop();
  await database.stop();
  await folder.remove();
}
const missed = printTable();
process.stdout.write(missed === 0 ? '\nevery goal reached\n' : `\n${missed} goals missed\n`);

/** Own rate cards beside the four defaults, so that a quote compares twenty. */
async function addCards(shop: Shop, count: number): Promise<number> {
  const connection = await open(subject.port);
  const { data } = JSON.parse((await connection.send('GET', '/v1/rate-cards', { token: shop.token })).body) as { data: Record<string, unknown>[] };
  const terms = ['courier', 'mode', 'divisor', 'minGrams', 'maxGrams', 'maxCodPaise', 'tiers', 'rto', 'fuelBp', 'cod', 'codRefundOnRto', 'oda', 'gstBp', 'days'];
  const [model] = data;
  const copy = Object.fromEntries(terms.filter((t) => model?.[t] !== undefined).map((t) => [t, model?.[t]]));
  for (let n = 0; n < count; n += 1) {
    const made = await connection.send('POST', '/v1/rate-cards', { token: shop.token, body: JSON.stringify({ ...copy, name: `Card ${n}`, service: `service-${n}` }) });
    if (made.status !== 201) throw new Error(`rate card: ${made.status} ${made.body.slice(0, 500)}`);
    const card = JSON.parse(made.body) as { id: string; version: number; status?: string };
    if (card.status !== 'active') await activate(card);
  }
  connection.close();
  return count + 4;

  async function activate(card: { id: string; version: number }): Promise<void> {
    const reply = await fetch(`http://127.0.0.1:${subject.port}/v1/rate-cards/${card.id}/activate`, { method: 'PUT', headers: { authorization: `Bearer ${shop.token}`, 'if-match': `"${card.version}"` } });
    if (!reply.ok) throw new Error(`activate: ${reply.status} ${await reply.text()}`);
  }
}

/** Every invariant of the product and of the reference, after all the load. */
async function verify(): Promise<void> {
  // With the service's own secrets: under others nothing that it sealed or chained can be checked.
  const config = await loadConfig({ NODE_ENV: 'development', MONGODB_URI: serviceUri, DATA_DIR: folder.path });
  useRuntime({ config, log: makeLogger({ level: 'error', stream: process.stderr }) });
  await connect({ uri: serviceUri, poolSize: 5, slowMs: 1e9, onSlow: () => undefined });
  const faults: string[] = [...((await reference.run({ run: 'verify' })) as string[])];
  for (const check of allChecks()) faults.push(...(await check.run()).map((f) => `${check.name}: ${f}`));
  await disconnect();
  for (const fault of faults.slice(0, 20)) process.stderr.write(`${fault}\n`);
  report({ name: 'invariants.violations', value: faults.length, unit: 'faults', goal: '0', reached: faults.length === 0 });
}

