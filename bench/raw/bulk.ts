import { inTransaction, numberBlocks, rawOrder, rawRequest, type Client, type Db, type Keyed, type RawOrder } from './model.ts';

const ROWS = 10_000;
const BATCH = 500;

/** E of the reference: 10,000 orders, 500 a transaction, one lane: order, outbox event, stock added up. Milliseconds. */
export async function rawImport(client: Client, db: Db): Promise<{ ms: number; rows: number }> {
  const number = numberBlocks(db);
  const rows = Array.from({ length: ROWS }, () => {
    const r = rawRequest();
    return { ...r, m: 'm0', items: r.items.map((i) => ({ ...i, sku: i.sku.replace(/^m\d+/, 'm0') })) };
  });
  const started = performance.now();
  for (let at = 0; at < ROWS; at += BATCH) {
    const batch = rows.slice(at, at + BATCH);
    const orders: RawOrder[] = [];
    for (const r of batch) orders.push(rawOrder(r, await number(r.m)));
    const used = new Map<string, number>();
    for (const r of batch) for (const i of r.items) used.set(i.sku, (used.get(i.sku) ?? 0) + i.qty);
    await inTransaction(client, async (session) => {
      await db.collection('orders').insertMany(orders, { session });
      await db.collection('events').insertMany(orders.map((o) => ({ t: 'order.imported', agg: o._id, m: o.m, st: 0, at: o.createdAt })), { session });
      const writes = [...used].sort().map(([id, n]) => ({ updateOne: { filter: { _id: id, avail: { $gte: n } }, update: { $inc: { avail: -n, v: 1 } } } }));
      const result = await db.collection<Keyed>('skus').bulkWrite(writes, { session });
      if (result.modifiedCount !== writes.length) throw new Error('stock');
    });
  }
  return { ms: performance.now() - started, rows: ROWS };
}

const SHIPMENTS = 2_000;
const EVENTS = 10_000;

interface RawScan {
  _id: string;
  sh: number;
  code: number;
  at: Date;
}

/** D3 of the reference: 10,500 shuffled scans (5 % repeats), 1,000 at a time, repeats ignored, one guarded update a shipment. */
export async function rawScans(db: Db): Promise<{ ms: number; rows: number }> {
  for (const name of ['dship', 'devt']) await db.collection(name).drop().catch(() => undefined);
  await db.collection('dship').insertMany(Array.from({ length: SHIPMENTS }, (_, i) => ({ _id: i as never, awb: `A${i}`, st: 0, last: new Date(0) })));
  await db.collection('devt').createIndex({ sh: 1, at: 1 });
  const scans: RawScan[] = Array.from({ length: EVENTS }, (_, i) => ({ _id: `e${i}`, sh: i % SHIPMENTS, code: 1 + Math.floor(i / SHIPMENTS), at: new Date(1.7e12 + Math.floor(i / SHIPMENTS) * 6e4 + i) }));
  for (let i = 0; i < EVENTS / 20; i += 1) scans.push({ ...(scans[i * 7] as RawScan) });
  for (let i = scans.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [scans[i], scans[j]] = [scans[j] as RawScan, scans[i] as RawScan];
  }
  const started = performance.now();
  for (let at = 0; at < scans.length; at += 1000) {
    const batch = scans.slice(at, at + 1000);
    await db
      .collection<RawScan>('devt')
      .insertMany(batch, { ordered: false })
      .catch((error: { code?: number }) => {
        if (error.code !== 11000) throw error;
      });
    const latest = new Map<number, RawScan>();
    for (const scan of batch) if ((latest.get(scan.sh)?.at ?? 0) < scan.at) latest.set(scan.sh, scan);
    await db.collection('dship').bulkWrite(
      [...latest].map(([sh, scan]) => ({ updateOne: { filter: { _id: sh as never, last: { $lt: scan.at } }, update: { $set: { st: scan.code, last: scan.at } } } })),
      { ordered: false },
    );
  }
  return { ms: performance.now() - started, rows: scans.length };
}
