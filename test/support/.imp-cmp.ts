import { readFileSync } from 'node:fs';
import mongoose from 'mongoose';
import { startWorld } from './world.ts';
import { sharedReplicaSet } from './database.ts';
import { rawImport } from '../../bench/raw/bulk.ts';
import { seedRaw } from '../../bench/raw/model.ts';
const n = 10000; const perOrder = Number(process.argv[2] ?? 1); const stocked = process.argv[3] === 'stock';
const world = await startWorld({ LOG_LEVEL: 'info' });
await world.db.admin().command({setParameter:1, wiredTigerEngineRuntimeConfig: 'cache_size=512M'});
const shop = await world.merchant();
await world.settle();
const { pid } = await sharedReplicaSet();
const mcpu = () => { const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' '); return (Number(f[11]) + Number(f[12])) * 10; };
if (stocked) {
  for (let i = 0; i < 100; i++) await world.api('POST', '/v1/products', { token: shop.token, body: { sku: `SKU-${i}`, name: `P ${i}`, pricePaise: 49900, hsnCode: '610910', taxBp: 1200, weightGrams: 300, lengthMm: 150, breadthMm: 100, heightMm: 40 } });
  const r = await world.api('POST', '/v1/stock/receipts', { token: shop.token, body: { reference: 'O', lines: Array.from({ length: 100 }, (_, i) => ({ sku: `SKU-${i}`, locationId: shop.locationId, quantity: 1000000 })) } });
  if (r.status >= 300) throw new Error(JSON.stringify(r.body));
}
const client = mongoose.connection.getClient(); const rdb = client.db('raw_cmp_test');
await seedRaw(rdb as never);
const H = 'externalId,customerName,customerPhone,customerEmail,line1,city,state,pincode,paymentMethod,sku,itemName,quantity,unitPricePaise';
for (let round = 0; round < 4; round++) {
  const m0 = mcpu(); const rc0 = process.cpuUsage();
  const raw = await rawImport(client as never, rdb as never);
  const rc = process.cpuUsage(rc0); const m1 = mcpu();
  const rows = Array.from({ length: n }, (_, i) => Array.from({ length: perOrder }, (_, l) => `R${round}-${i},Asha Menon ${i},98${String(10000000 + i * 7)},a${i}@example.in,"Flat ${i}, Lake View",Bengaluru,Karnataka,560001,${i % 2 ? 'cod' : 'prepaid'},SKU-${(i * 7 + l * 13) % 100},Blue mug,2,39900`).join('\n'));
  const form = new FormData(); form.set('kind', 'orders'); form.set('mode', 'skip_invalid'); form.set('file', new Blob([[H, ...rows].join('\n')]), 'o.csv');
  await world.api('POST', '/v1/imports', { token: shop.token, raw: form });
  const m2 = mcpu(); const t = performance.now(); const c0 = process.cpuUsage();
  await world.service.jobs.runDue();
  const ms = performance.now() - t; const c = process.cpuUsage(c0); const m3 = mcpu();
  console.log(JSON.stringify({ rawMs: Math.round(raw.ms), rawNode: Math.round((rc.user + rc.system) / 1000), rawMongod: m1 - m0, ourMs: Math.round(ms), ourNode: Math.round((c.user + c.system) / 1000), ourMongod: m3 - m2, ratio: +(raw.ms / ms).toFixed(2) }));
}
await rdb.dropDatabase(); await world.close(); process.exit(0);
