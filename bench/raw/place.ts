import { auditRow, idemRow, inTransaction, numberBlocks, outboxRow, rawOrder, type Client, type Db, type Keyed, type RawOrder, type RawRequest, type Session } from './model.ts';

class Refused extends Error {}

const bySku = (a: { sku: string }, b: { sku: string }): number => (a.sku < b.sku ? -1 : 1);

/** R1: one order a transaction, written well: blocks of numbers, merged commands, hot rows last and sorted. */
export function oneByOne(client: Client, db: Db): (r: RawRequest) => Promise<string> {
  const number = numberBlocks(db);
  const takeStock = async (r: RawRequest, session: Session): Promise<void> => {
    const result = await db.collection<Keyed>('skus').bulkWrite(
      [...r.items].sort(bySku).map((i) => ({ updateOne: { filter: { _id: i.sku, avail: { $gte: i.qty } }, update: { $inc: { avail: -i.qty, v: 1 } } } })),
      { session, ordered: true },
    );
    if (result.modifiedCount !== r.items.length) throw new Refused('stock');
  };
  const takeCoupon = async (r: RawRequest, session: Session): Promise<void> => {
    const result = await db.collection<Keyed>('cstate').bulkWrite(
      [
        { updateOne: { filter: { _id: `${r.coupon}:${r.user}`, n: { $lt: 1e9 } }, update: { $inc: { n: 1 } }, upsert: true } },
        { updateOne: { filter: { _id: r.coupon, $expr: { $lt: ['$n', '$cap'] } }, update: { $inc: { n: 1 } } } },
      ],
      { session, ordered: true },
    );
    if (result.modifiedCount + result.upsertedCount !== 2) throw new Refused('coupon');
  };
  return async (r) => {
    const no = await number(r.m);
    await inTransaction(client, async (session) => {
      const order = rawOrder(r, no);
      await db.collection<{ _id: string }>('idem').insertOne(idemRow(r, order), { session });
      await db.collection('orders').insertOne(order, { session });
      await db.collection('events').insertMany([outboxRow(order), auditRow(order)], { session });
      await takeStock(r, session);
      await takeCoupon(r, session);
    });
    return 'ok';
  };
}

interface Waiting<R> {
  r: R;
  resolve: (outcome: string) => void;
  reject: (error: unknown) => void;
}

/** R2: group commit in two lanes, batches of at most 64. */
export function grouped(client: Client, db: Db, lanes = 2, max = 64): (r: RawRequest) => Promise<string> {
  const number = numberBlocks(db);
  const groups = Array.from({ length: lanes }, () => lane(max, (batch: RawRequest[]) => commitBatch(client, db, number, batch)));
  return (r) => groups[Number(r.m.slice(1)) % lanes]?.(r) ?? Promise.reject(new Error('no lane'));
}

/** Takes what queued while the last batch was on its way. */
export function lane<R>(max: number, run: (batch: R[]) => Promise<string[]>): (r: R) => Promise<string> {
  const queue: Waiting<R>[] = [];
  let busy = false;
  const pump = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.splice(0, max);
      try {
        const outcomes = await run(batch.map((w) => w.r));
        batch.forEach((w, i) => w.resolve(outcomes[i] ?? 'lost'));
      } catch (error) {
        for (const w of batch) w.reject(error);
      }
    }
    busy = false;
  };
  return (r) =>
    new Promise((resolve, reject) => {
      queue.push({ r, resolve, reject });
      if (busy) return;
      busy = true;
      setImmediate(() => void pump());
    });
}

function bump(map: Map<string, number>, key: string, by: number): void {
  map.set(key, (map.get(key) ?? 0) + by);
}

async function commitBatch(client: Client, db: Db, number: (m: string) => Promise<string>, batch: RawRequest[]): Promise<string[]> {
  for (let attempt = 0; ; attempt += 1) {
    const numbers = await Promise.all(batch.map((r) => number(r.m)));
    const skuIds = [...new Set(batch.flatMap((r) => r.items.map((i) => i.sku)))];
    const couponIds = [...new Set(batch.flatMap((r) => [r.coupon, `${r.coupon}:${r.user}`]))];
    const [skus, coupons, known] = await Promise.all([
      db.collection<Keyed>('skus').find({ _id: { $in: skuIds } }, { projection: { avail: 1 }, batchSize: 2000 }).toArray(),
      db.collection<Keyed>('cstate').find({ _id: { $in: couponIds } }, { batchSize: 2000 }).toArray(),
      db.collection<Keyed>('idem').find({ _id: { $in: batch.map((r) => `${r.m}:${r.idem}`) } }, { batchSize: 2000 }).toArray(),
    ]);
    const shelf = new Map(skus.map((d) => [d._id, d.avail ?? 0]));
    const uses = new Map(coupons.map((d) => [d._id, d]));
    const seen = new Set(known.map((d) => d._id));
    const skuUse = new Map<string, number>();
    const couponUse = new Map<string, number>();
    const kept: { r: RawRequest; order: RawOrder }[] = [];
    const outcomes = batch.map((r, k) => {
      if (seen.has(`${r.m}:${r.idem}`)) return 'duplicate';
      const coupon = uses.get(r.coupon);
      if (!coupon || (coupon.n ?? 0) + (couponUse.get(r.coupon) ?? 0) >= (coupon.cap ?? 0)) return 'coupon';
      if (!r.items.every((i) => (shelf.get(i.sku) ?? 0) - (skuUse.get(i.sku) ?? 0) >= i.qty)) return 'stock';
      for (const i of r.items) bump(skuUse, i.sku, i.qty);
      bump(couponUse, `${r.coupon}:${r.user}`, 1);
      bump(couponUse, r.coupon, 1);
      kept.push({ r, order: rawOrder(r, numbers[k] ?? '') });
      return 'ok';
    });
    if (kept.length === 0) return outcomes;
    try {
      await inTransaction(client, (session) => writeBatch(db, session, kept, skuUse, couponUse));
      return outcomes;
    } catch (error) {
      const again = error instanceof Refused || (error as { code?: number }).code === 11000;
      if (!again || attempt >= 5) throw error;
    }
  }
}

async function writeBatch(db: Db, session: Session, kept: { r: RawRequest; order: RawOrder }[], skuUse: Map<string, number>, couponUse: Map<string, number>): Promise<void> {
  const sorted = (map: Map<string, number>) => [...map].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  await db.collection('orders').insertMany(kept.map((k) => k.order), { session });
  await db.collection<{ _id: string }>('idem').insertMany(kept.map((k) => idemRow(k.r, k.order)), { session });
  await db.collection('events').insertMany(kept.flatMap((k) => [outboxRow(k.order), auditRow(k.order)]), { session });
  const stock = await db
    .collection<Keyed>('skus')
    .bulkWrite(sorted(skuUse).map(([id, n]) => ({ updateOne: { filter: { _id: id, avail: { $gte: n } }, update: { $inc: { avail: -n, v: 1 } } } })), { session });
  if (stock.modifiedCount !== skuUse.size) throw new Refused('stock');
  const coupons = await db.collection<Keyed>('cstate').bulkWrite(
    sorted(couponUse).map(([id, n]) => {
      const global = id.split(':').length === 2;
      const filter = global ? { _id: id, $expr: { $lte: [{ $add: ['$n', n] }, '$cap'] } } : { _id: id, n: { $lte: 1e9 - n } };
      return { updateOne: { filter, update: { $inc: { n } }, upsert: !global } };
    }),
    { session },
  );
  if (coupons.modifiedCount + coupons.upsertedCount !== couponUse.size) throw new Refused('coupon');
}
