import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { addLocation, getAnyCompany } from '../src/modules/companies/index.ts';
import { datedBack, disorder, pickScenario, planScenario, SANDBOX_COURIER, type RawScan, type Scenario, type WeightReport } from '../src/modules/couriers/index.ts';
import { registerCompany } from '../src/modules/identity/index.ts';
import { eachOrder, type Order } from '../src/modules/orders/index.ts';
import { bookMany, getShipments, labelsOf, makeManifest, manifestPdf, schedulePickup, setEwayBill, type Shipment } from '../src/modules/shipments/index.ts';
import { courierArrival, recordScans, reportWeights } from '../src/modules/tracking/index.ts';
import { creditWallet, entrySums, ownWallet } from '../src/modules/wallet/index.ts';
import { now } from '../src/platform/clock.ts';
import { beforeSignIn, systemCtx, type OutsideTx } from '../src/platform/context.ts';
import type { Row } from '../src/platform/db/collection.ts';
import { withTransaction } from '../src/platform/db/transaction.ts';
import { AppError } from '../src/platform/errors.ts';
import { makeFolder } from '../src/platform/folders.ts';
import { randomToken } from '../src/platform/ids.ts';
import { formatRupees } from '../src/platform/money.ts';
import type { FileAnswer } from '../src/platform/route.ts';
import { showChecks } from './checks.ts';
import { importFile, showResult, wrongUse } from './import.ts';
import { makeProgress, say, table } from './lib/output.ts';
import { settle, withSession, type Session } from './lib/session.ts';

interface Parcel {
  shipment: Row<Shipment>;
  scenario: Scenario;
  scans: RawScan[];
  weight?: WeightReport;
}

const BATCH = 500;
const DAY_MS = 86_400_000;
const REPEAT_SHARE = 20;

/**
 * Plays a file of orders to the end in a company of its own: import, booking, labels, manifests, scans with repeats and
 * out of order, NDR and RTO, then says where each parcel and each paisa went and proves the books. Exit code 1 when a
 * parcel has not come to its end or a check found something.
 */
export async function simulateCommand(options: { file: string; days: string; seed: string; company?: string }): Promise<number> {
  const days = Number(options.days);
  if (!Number.isInteger(days) || days < 1 || days > 365) {
    process.stderr.write('--days takes a whole number from 1 to 365\n');
    return 2;
  }
  const wrong = await wrongUse(options.file);
  if (wrong !== undefined) {
    process.stderr.write(`${wrong}\n`);
    return 2;
  }
  return withSession(async (session) => {
    const companyId = options.company === undefined ? await openCompany() : (await getAnyCompany(beforeSignIn('simulate'), options.company))._id;
    const ctx = systemCtx('simulate', companyId);
    const imported = await importFile({ file: options.file, companyId, kind: 'orders', mode: 'skip_invalid', force: true }, { say, progress: makeProgress('import') });
    await showResult(ctx, imported, say);
    const parcels = await book(ctx, session, options.seed, days);
    const folder = await printPapers(ctx, session, parcels);
    await play(ctx, session, parcels, days, options.seed);
    const open = await tell(ctx, parcels, folder);
    const broken = await showChecks();
    return open === 0 && broken === 0 ? 0 : 1;
  });
}

/** A company for this run: verified, with a location and money in the wallet. */
async function openCompany(): Promise<string> {
  const tag = randomToken(4).toLowerCase().replace(/[^a-z0-9]/g, '0');
  const person = { companyName: `Simulation ${tag}`, name: 'Asha Rao', email: `simulation.${tag}@dakiya.test`, phone: '+919800012345', password: randomToken(24) };
  const { company } = await registerCompany(beforeSignIn('simulate'), person, { emailVerified: true, anyPassword: true });
  const ctx = systemCtx('simulate', company._id);
  const place = { name: 'Warehouse', contactName: 'Asha Rao', phone: '+919800012345', line1: 'Shop 4, Asaf Ali Road', city: 'New Delhi', state: 'Delhi', pincode: '110002' };
  await addLocation(ctx, place);
  await withTransaction(ctx, (ctx) => creditWallet(ctx, { amountPaise: 100_000_000, cause: 'money to play with', key: 'simulate' }));
  return company._id;
}

async function book(ctx: OutsideTx, { service }: Session, seed: string, days: number): Promise<Parcel[]> {
  const orders: Row<Order>[] = [];
  for await (const order of eachOrder(ctx, { status: { $in: ['placed', 'confirmed'] } })) orders.push(order);
  const progress = makeProgress('book');
  const ids: string[] = [];
  const refused = new Map<string, number>();
  for (let at = 0; at < orders.length; at += BATCH) {
    const results = await bookMany(ctx, orders.slice(at, at + BATCH).map((o) => o._id), {}, `simulate-${randomToken(8)}`);
    for (const { shipmentId, error } of results) {
      if (shipmentId !== undefined) ids.push(shipmentId);
      else refused.set(error?.code ?? 'unknown', (refused.get(error?.code ?? 'unknown') ?? 0) + 1);
    }
    progress.set(Math.min(at + BATCH, orders.length), orders.length, `${ids.length} parcels booked`);
  }
  progress.stop();
  await settle(service);
  for (const [code, count] of refused) say(`not booked: ${count} × ${code}`);
  const shipments = await inBatches(ids, (part) => getShipments(ctx, part));
  return shipments.map((shipment) => plan(shipment, seed, days));
}

/** A parcel's whole life as the sandbox courier will tell it, laid into the simulated days that end now. */
function plan(shipment: Row<Shipment>, seed: string, days: number): Parcel {
  const awb = shipment.awb ?? '';
  const scenario = pickScenario(seed, awb);
  const life = datedBack(
    planScenario({
      awb,
      seed,
      scenario,
      startAt: now(),
      originCity: shipment.pickup.mask.city,
      destinationCity: shipment.destination.mask.city,
      paymentMethod: shipment.paymentMethod,
      declaredGrams: shipment.parcel.weightGrams,
    }),
    now(),
  );
  const lasts = now().getTime() - (life.scans[0]?.occurredAt.getTime() ?? 0);
  const spare = Math.max(0, days * DAY_MS - lasts);
  const back = Math.floor((spare * (parseInt(awb.slice(-3), 10) % 100)) / 100);
  const scans = life.scans.map((scan) => ({ ...scan, occurredAt: new Date(scan.occurredAt.getTime() - back) }));
  return { shipment, scenario, scans, ...(life.weight ? { weight: life.weight } : {}) };
}

async function inBatches<A, B>(items: readonly A[], work: (part: A[]) => Promise<B[]>): Promise<B[]> {
  const done: B[] = [];
  for (let at = 0; at < items.length; at += BATCH) done.push(...(await work(items.slice(at, at + BATCH))));
  return done;
}

/** Labels, manifests (with e-way bills where the law asks for one) and pickups; the papers go to DATA_DIR/simulations. */
async function printPapers(ctx: OutsideTx, { config, service }: Session, parcels: readonly Parcel[]): Promise<string> {
  const folder = join(config.dataDir, 'simulations', ctx.companyId);
  await makeFolder(folder);
  const progress = makeProgress('papers');
  let done = 0;
  for (let at = 0; at < parcels.length; at += BATCH) {
    const part = parcels.slice(at, at + BATCH).map((p) => p.shipment._id);
    const number = at / BATCH + 1;
    await save(join(folder, `labels-${number}.pdf`), await labelsOf(ctx, part, 'thermal'));
    const manifest = await manifestOf(ctx, part);
    await save(join(folder, `manifest-${number}.pdf`), await manifestPdf(ctx, manifest._id));
    await schedulePickup(ctx, { locationId: manifest.pickupLocationId, courier: manifest.courier, date: indianDay(now()), shipmentIds: part }, now());
    done += part.length;
    progress.set(done, parcels.length, 'labels, manifests, pickups');
  }
  progress.stop();
  await settle(service);
  return folder;
}

async function manifestOf(ctx: OutsideTx, shipmentIds: string[]): ReturnType<typeof makeManifest> {
  try {
    return await makeManifest(ctx, { shipmentIds });
  } catch (error) {
    const listed = error instanceof AppError && error.code === 'eway_bill_required' ? error.details?.['shipments'] : undefined;
    if (!Array.isArray(listed)) throw error;
    for (const [i, entry] of (listed as { id?: string; shipmentId?: string }[]).entries()) {
      await setEwayBill(ctx, entry.shipmentId ?? entry.id ?? '', String(331_000_000_000 + i));
    }
    return makeManifest(ctx, { shipmentIds });
  }
}

function indianDay(at: Date): string {
  return new Date(at.getTime() + 19_800_000).toISOString().slice(0, 10);
}

async function save(path: string, { content }: FileAnswer): Promise<void> {
  await writeFile(path, content instanceof Readable ? Buffer.concat((await content.toArray()) as Buffer[]) : content);
}

/** Every scan of every parcel, a simulated day at a time, some told twice and not in order. */
async function play(ctx: OutsideTx, { service }: Session, parcels: readonly Parcel[], days: number, seed: string): Promise<void> {
  const end = now().getTime();
  const all = parcels.flatMap((p) => p.scans);
  const progress = makeProgress('scans');
  let told = 0;
  let repeated = 0;
  for (let day = 1; day <= days; day += 1) {
    const until = end - (days - day) * DAY_MS;
    const since = day === 1 ? -Infinity : until - DAY_MS;
    const today = all.filter(({ occurredAt }) => occurredAt.getTime() > since && occurredAt.getTime() <= until);
    const line = [...disorder(today, 'shuffled', `${seed}-${day}`), ...today.filter((_, i) => i % REPEAT_SHARE === 0)];
    const report = await recordScans(ctx, line.map((raw) => courierArrival(SANDBOX_COURIER, raw, 'simulated')));
    await settle(service);
    told += report.accepted;
    repeated += report.duplicates;
    progress.set(told, all.length, `day ${day} of ${days}, ${repeated} repeats ignored`);
  }
  progress.stop();
  await reportWeights(ctx, SANDBOX_COURIER, parcels.flatMap((p) => (p.weight ? [p.weight] : [])));
  await settle(service);
}

const ENDS = new Set(['delivered', 'rto_delivered', 'lost', 'damaged', 'destroyed', 'cancelled']);

/** The table of where each parcel and each paisa went; answers how many parcels are still on the way. */
async function tell(ctx: OutsideTx, parcels: readonly Parcel[], folder: string): Promise<number> {
  const rows = await inBatches(parcels, (part) => getShipments(ctx, part.map((p) => p.shipment._id)));
  const byStatus = new Map<string, { parcels: number; freight: number; cod: number; attempts: number }>();
  for (const row of rows) {
    const sum = byStatus.get(row.status) ?? { parcels: 0, freight: 0, cod: 0, attempts: 0 };
    sum.parcels += 1;
    sum.freight += row.quote.totalPaise;
    sum.cod += row.status === 'delivered' ? row.codPaise : 0;
    sum.attempts += row.attempts;
    byStatus.set(row.status, sum);
  }
  const lines = [...byStatus].sort((a, b) => b[1].parcels - a[1].parcels);
  say(`\nWhere each parcel went (papers in ${folder})`);
  say(table(['status', 'parcels', 'freight Rs', 'COD collected Rs', 'failed attempts'], lines.map(([status, s]) => [status, s.parcels, formatRupees(s.freight), formatRupees(s.cod), s.attempts])));
  const sums = await entrySums(ctx);
  say('\nWhere each paisa went');
  say(table(['entry', 'times', 'balance Rs', 'held Rs', 'COD owed to the company Rs'], sums.map((s) => [s.kind, s.count, formatRupees(s.balancePaise), formatRupees(s.heldPaise), formatRupees(s.codPaise)])));
  const { balancePaise, heldPaise } = await ownWallet(ctx);
  const [sumBalance, sumHeld] = [sums.reduce((n, s) => n + s.balancePaise, 0), sums.reduce((n, s) => n + s.heldPaise, 0)];
  say(`wallet: balance Rs ${formatRupees(balancePaise)} (entries sum to ${formatRupees(sumBalance)}), held Rs ${formatRupees(heldPaise)} (entries ${formatRupees(sumHeld)})\n`);
  const open = rows.filter((r) => !ENDS.has(r.status)).length;
  say(open === 0 ? `all ${rows.length} parcels have come to their end` : `${open} of ${rows.length} parcels are still on the way`);
  return open;
}
