import { randomBytes } from 'node:crypto';
import mongoose from 'mongoose';

/** The reference: the same business effect written by hand on the driver, without a framework, sealing or HTTP. */
export const MERCHANTS = 20;
export const SKUS = 100;
export const COUPONS = 10;
export const CUSTOMERS = 500;

const { ObjectId } = mongoose.mongo;
export type Db = mongoose.mongo.Db;
export type Client = mongoose.mongo.MongoClient;
export type Session = mongoose.mongo.ClientSession;
export interface Keyed {
  _id: string;
  avail?: number;
  v?: number;
  n?: number;
  cap?: number;
  seq?: number;
}

export const TX = { readConcern: { level: 'local' }, writeConcern: { w: 'majority' }, readPreference: 'primary' } as const;
const any = (n: number): number => Math.floor(Math.random() * n);

export interface RawRequest {
  m: string;
  items: { sku: string; qty: number; price: number; name: string }[];
  coupon: string;
  user: string;
  idem: string;
}

/** One order of three lines, with a coupon and an idempotency key. */
export function rawRequest(): RawRequest {
  const m = `m${any(MERCHANTS)}`;
  const skus = new Set<string>();
  while (skus.size < 3) skus.add(`${m}:s${any(SKUS)}`);
  return {
    m,
    items: [...skus].map((sku) => ({ sku, qty: 1 + any(3), price: 100 + any(900), name: `Item ${sku}` })),
    coupon: `${m}:c${any(COUPONS)}`,
    user: `${m}:u${any(CUSTOMERS)}`,
    idem: randomBytes(12).toString('hex'),
  };
}

const SHIP = { name: `Enc:${'x'.repeat(60)}`, phone: `Enc:${'y'.repeat(44)}`, line1: `Enc:${'z'.repeat(90)}`, city: 'Bengaluru', pin: '560001', state: 'KA' };

/** The stored order: about the size of a real one. */
export function rawOrder(r: RawRequest, no: string) {
  const at = new Date();
  const total = r.items.reduce((sum, i) => sum + i.qty * i.price, 0);
  return { _id: new ObjectId(), m: r.m, no, status: 'new', v: 0, createdAt: at, updatedAt: at, items: r.items, coupon: r.coupon, user: r.user, ship: SHIP, ph: randomBytes(16).toString('base64'), total, currency: 'INR', pay: 'prepaid' };
}

export type RawOrder = ReturnType<typeof rawOrder>;
export const outboxRow = (o: RawOrder) => ({ _id: new ObjectId(), t: 'order.placed', agg: o._id, m: o.m, st: 0, at: o.createdAt, p: { no: o.no, total: o.total } });
export const auditRow = (o: RawOrder) => ({ _id: new ObjectId(), m: o.m, at: o.createdAt, actor: o.user, act: 'order.place', ref: o._id, st: 1 });
export const idemRow = (r: RawRequest, o: RawOrder) => ({ _id: `${r.m}:${r.idem}`, order: o._id, no: o.no, h: 'sha256', exp: new Date(Date.now() + 864e5) });

/** What a shop's orders are looked up by. */
export const ORDER_INDEXES: mongoose.mongo.IndexDescription[] = [
  { key: { m: 1, no: 1 }, unique: true },
  { key: { m: 1, status: 1, createdAt: -1, _id: -1 } },
  { key: { m: 1, createdAt: -1, _id: -1 } },
  { key: { m: 1, ph: 1, createdAt: -1 } },
];

/** Empties the reference's database and fills its shelves. */
export async function seedRaw(db: Db, stock = 1e9): Promise<void> {
  await db.dropDatabase();
  const skus: Keyed[] = [];
  const coupons: Keyed[] = [];
  const counters: Keyed[] = [];
  for (let m = 0; m < MERCHANTS; m += 1) {
    for (let s = 0; s < SKUS; s += 1) skus.push({ _id: `m${m}:s${s}`, avail: stock, v: 0 });
    for (let c = 0; c < COUPONS; c += 1) coupons.push({ _id: `m${m}:c${c}`, n: 0, cap: 1e9 });
    counters.push({ _id: `m${m}`, seq: 0 });
  }
  await db.collection<Keyed>('skus').insertMany(skus);
  await db.collection<Keyed>('cstate').insertMany(coupons);
  await db.collection<Keyed>('counters').insertMany(counters);
  await db.collection('orders').createIndexes(ORDER_INDEXES);
  await db.createCollection('idem');
  await db.collection('idem').createIndex({ exp: 1 }, { expireAfterSeconds: 0 });
  await db.createCollection('events');
  await db.collection('events').createIndex({ st: 1, at: 1 }, { partialFilterExpression: { st: 0 } });
}

/** Order numbers in blocks, reserved outside the transaction. */
export function numberBlocks(db: Db, size = 200): (m: string) => Promise<string> {
  const blocks = new Map<string, { next: number; end: number }>();
  const running = new Map<string, Promise<void>>();
  return async (m) => {
    for (;;) {
      const block = blocks.get(m);
      if (block && block.next < block.end) {
        block.next += 1;
        return `${m.toUpperCase()}-${block.next}`;
      }
      const lease =
        running.get(m) ??
        db
          .collection<Keyed>('counters')
          .findOneAndUpdate({ _id: m }, { $inc: { seq: size } }, { upsert: true, returnDocument: 'after' })
          .then((row) => {
            const end = row?.seq ?? size;
            blocks.set(m, { next: end - size, end });
            running.delete(m);
          });
      running.set(m, lease);
      await lease;
    }
  };
}

/** One transaction of the driver. */
export async function inTransaction<T>(client: Client, work: (session: Session) => Promise<T>): Promise<T> {
  const session = client.startSession();
  try {
    return await session.withTransaction(() => work(session), TX);
  } finally {
    await session.endSession();
  }
}

/** Sold = taken from the shelves, coupon uses = orders, numbers unique; answers what is wrong. */
export async function verifyRaw(db: Db, stock = 1e9): Promise<string[]> {
  const faults: string[] = [];
  const one = async (collection: string, pipeline: object[]) => (await db.collection(collection).aggregate(pipeline as mongoose.mongo.BSON.Document[]).toArray())[0];
  const sold = Number((await one('orders', [{ $unwind: '$items' }, { $group: { _id: null, q: { $sum: '$items.qty' } } }]))?.['q'] ?? 0);
  const taken = Number((await one('skus', [{ $group: { _id: null, q: { $sum: { $subtract: [stock, '$avail'] } } } }]))?.['q'] ?? 0);
  if (sold !== taken) faults.push(`raw: ${sold} sold, ${taken} taken from the shelves`);
  const twice = Number((await one('orders', [{ $group: { _id: { m: '$m', no: '$no' }, n: { $sum: 1 } } }, { $match: { n: { $gt: 1 } } }, { $count: 'n' }]))?.['n'] ?? 0);
  if (twice > 0) faults.push(`raw: ${twice} numbers given twice`);
  return faults;
}
