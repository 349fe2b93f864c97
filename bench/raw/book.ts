import { randomUUID } from 'node:crypto';
import mongoose from 'mongoose';
import { closedLoop, type LoopResult } from '../lib/measure.ts';
import { inTransaction, ORDER_INDEXES, rawOrder, rawRequest, type Client, type Db } from './model.ts';
import { lane } from './place.ts';

const { ObjectId } = mongoose.mongo;
const COURIERS = 2;
const LEASE = 300;

interface Awb {
  _id: string;
  courier: string;
  st: 0 | 1 | 2;
  own?: string;
  until?: Date;
}

interface Booking {
  order: { _id: mongoose.mongo.ObjectId; m: string };
  courier: string;
}

/** C of the reference, grouped: `count` orders shipped by 64 callers in two lanes; order, shipment, history, event, AWB. */
export async function rawBookings(client: Client, db: Db, count: number): Promise<LoopResult> {
  const orders = await prepare(db, count);
  const take = awbLeases(db);
  const lanes = [0, 1].map(() => lane(64, (batch: Booking[]) => bookBatch(client, db, take, batch)));
  const result = await closedLoop({ callers: 64, durationMs: 60_000, total: count }, (n) => {
    const [order, own] = [orders[n], lanes[n % lanes.length]];
    if (!order || !own) throw new Error('no order');
    return own({ order, courier: `k${n % COURIERS}` });
  });
  const [shipped, used] = await Promise.all([db.collection('c_orders').countDocuments({ status: 'shipped' }), db.collection('c_awbs').countDocuments({ st: 1 })]);
  if (shipped !== count || used !== count) throw new Error(`raw booking: ${shipped} orders shipped, ${used} numbers used, of ${count}`);
  return result;
}

async function prepare(db: Db, count: number): Promise<Booking['order'][]> {
  for (const name of ['c_orders', 'c_ships', 'c_awbs', 'c_history', 'c_events']) await db.collection(name).drop().catch(() => undefined);
  await db.collection('c_orders').createIndexes(ORDER_INDEXES);
  await db.collection('c_ships').createIndexes([{ key: { awb: 1 }, unique: true }, { key: { order: 1 }, unique: true }, { key: { pollAt: 1 }, partialFilterExpression: { open: true } }]);
  await db.collection('c_awbs').createIndex({ courier: 1, st: 1, _id: 1 });
  await db.collection('c_history').createIndex({ ref: 1, at: 1 });
  await db.createCollection('c_events');
  const orders = Array.from({ length: count }, (_, n) => rawOrder(rawRequest(), `C-${n}`));
  await db.collection('c_orders').insertMany(orders);
  const numbers = Array.from({ length: count + COURIERS * LEASE }, (_, n): Awb => ({ _id: `K${n % COURIERS}${String(n).padStart(8, '0')}`, courier: `k${n % COURIERS}`, st: 0 }));
  await db.collection<Awb>('c_awbs').insertMany(numbers);
  return orders.map(({ _id, m }) => ({ _id, m }));
}

/** AWBs in leased blocks, taken outside the transaction. */
function awbLeases(db: Db): (courier: string) => Promise<string> {
  const awbs = db.collection<Awb>('c_awbs');
  const held = new Map<string, string[]>();
  const running = new Map<string, Promise<void>>();
  const lease = async (courier: string): Promise<void> => {
    const own = randomUUID();
    const free = await awbs.find({ courier, st: 0 }, { projection: { _id: 1 }, sort: { _id: 1 }, limit: LEASE }).toArray();
    const ids = free.map((row) => row._id);
    await awbs.updateMany({ _id: { $in: ids }, st: 0 }, { $set: { st: 2, own, until: new Date(Date.now() + 300_000) } });
    const mine = await awbs.find({ _id: { $in: ids }, own }, { projection: { _id: 1 } }).toArray();
    held.set(courier, mine.map((row) => row._id));
    running.delete(courier);
  };
  return async (courier) => {
    for (;;) {
      const next = held.get(courier)?.shift();
      if (next !== undefined) return next;
      const own = running.get(courier) ?? lease(courier);
      running.set(courier, own);
      await own;
    }
  };
}

async function bookBatch(client: Client, db: Db, take: (courier: string) => Promise<string>, batch: readonly Booking[]): Promise<string[]> {
  const awbs: string[] = [];
  for (const { courier } of batch) awbs.push(await take(courier));
  const at = new Date();
  const ships = batch.map(({ order, courier }, i) => ({ _id: new ObjectId(), order: order._id, m: order.m, awb: awbs[i], courier, st: 'created', open: true, pollAt: new Date(at.getTime() + 600_000), last: 0, createdAt: at }));
  await inTransaction(client, async (session) => {
    const shipped = await db.collection('c_orders').bulkWrite(
      batch.map(({ order }) => ({ updateOne: { filter: { _id: order._id, v: 0, status: 'new' }, update: { $set: { status: 'shipped', updatedAt: at }, $inc: { v: 1 } } } })),
      { session },
    );
    if (shipped.modifiedCount !== batch.length) throw new Error('version');
    await db.collection('c_ships').insertMany(ships, { session });
    await db.collection('c_history').insertMany(batch.map(({ order }) => ({ ref: order._id, at, to: 'shipped' })), { session });
    await db.collection('c_events').insertMany(ships.map((s) => ({ t: 'shipment.created', agg: s._id, st: 0, at })), { session });
    const used = await db.collection<Awb>('c_awbs').updateMany({ _id: { $in: awbs }, st: 2 }, { $set: { st: 1 } }, { session });
    if (used.modifiedCount !== batch.length) throw new Error('lease');
  });
  return batch.map(() => 'ok');
}
