import mongoose from 'mongoose';
import { closedLoop } from '../lib/measure.ts';
import { rawBookings } from './book.ts';
import { rawImport, rawScans } from './bulk.ts';
import { rawRequest, seedRaw, verifyRaw } from './model.ts';
import { grouped, oneByOne } from './place.ts';

/** The reference loops run in a process of their own, as the service does. */
interface Order {
  run: 'seed' | 'R1' | 'R2' | 'import' | 'scans' | 'bookings' | 'verify';
  total?: number;
  callers?: number;
  durationMs?: number;
}

const client = new mongoose.mongo.MongoClient(process.argv[2] ?? '', { maxPoolSize: 100, w: 'majority' });
await client.connect();
const db = client.db('raw');
const r1 = oneByOne(client, db);
const r2 = grouped(client, db);

async function perform(order: Order): Promise<unknown> {
  const loop = { callers: order.callers ?? 64, durationMs: order.durationMs ?? 1500 };
  if (order.run === 'seed') return seedRaw(db);
  if (order.run === 'R1') return closedLoop(loop, () => r1(rawRequest()));
  if (order.run === 'R2') return closedLoop(loop, () => r2(rawRequest()));
  if (order.run === 'import') return rawImport(client, db);
  if (order.run === 'scans') return rawScans(db);
  if (order.run === 'bookings') return rawBookings(client, db, order.total ?? 2_000);
  return verifyRaw(db);
}

process.on('message', (order: Order) => {
  perform(order).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: String(error instanceof Error ? error.stack : error) }),
  );
});
process.on('disconnect', () => void client.close().then(() => process.exit(0)));
process.send?.({ result: 'ready' });
