import { median, report } from './lib/measure.ts';
import type { Reference, Subject } from './lib/service.ts';
import { SKUS, type Shop } from './lib/shop.ts';

const ORDERS = 10_000;
const any = (n: number): number => Math.floor(Math.random() * n);

/** A file of 10,000 orders of `lines` lines each in our own columns. */
function orderFile(tag: string, lines: number): string {
  const rows = ['externalId,customerName,customerPhone,customerEmail,line1,line2,city,state,pincode,country,paymentMethod,sku,itemName,quantity,unitPrice,tags,notes'];
  for (let n = 0; n < ORDERS; n += 1) {
    const phone = `98${String(10_000_000 + any(500)).padStart(8, '0')}`;
    const skus = new Set<string>();
    while (skus.size < lines) skus.add(`SKU-${any(SKUS)}`);
    for (const sku of skus) {
      rows.push(
        `${tag}-${n},Buyer ${n},${phone},buyer${n}@example.in,"Flat ${n}, Tower B",Opposite the bank,Bengaluru,Karnataka,560001,IN,prepaid,${sku},Product ${sku},${1 + any(3)},499.00,gift,`,
      );
    }
  }
  return rows.join('\n');
}

/** Uploads the file and waits until it is worked off; milliseconds from the first byte to the last commit. */
async function importOnce(subject: Subject, shop: Shop, text: string): Promise<number> {
  const form = new FormData();
  form.set('kind', 'orders');
  form.set('mode', 'skip_invalid');
  form.set('file', new Blob([text], { type: 'text/csv' }), 'orders.csv');
  const base = `http://127.0.0.1:${subject.port}/v1/imports`;
  const headers = { authorization: `Bearer ${shop.token}` };
  const started = performance.now();
  const made = await fetch(base, { method: 'POST', headers, body: form });
  if (made.status !== 202) throw new Error(`import: ${made.status} ${await made.text()}`);
  const { id } = (await made.json()) as { id: string };
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const row = (await (await fetch(`${base}/${id}`, { headers })).json()) as { status: string; counts: { imported: number } };
    if (row.status === 'queued' || row.status === 'running') continue;
    if (row.status !== 'completed' || row.counts.imported !== ORDERS) throw new Error(`import ended ${JSON.stringify(row)}`);
    return performance.now() - started;
  }
}

/** 10,000 orders from CSV over HTTP beside the reference's E (500 a transaction), in turn. */
export async function benchImport(subject: Subject, reference: Reference, shops: readonly Shop[], rounds: number): Promise<void> {
  const [one, three, raw]: number[][] = [[], [], []];
  for (let round = 0; round < rounds; round += 1) {
    const shop = shops[round % shops.length];
    if (!shop || !one || !three || !raw) throw new Error('no shop');
    raw.push(((await reference.run({ run: 'import' })) as { ms: number }).ms);
    one.push(await importOnce(subject, shop, orderFile(`A${round}-${any(1e9)}`, 1)));
    raw.push(((await reference.run({ run: 'import' })) as { ms: number }).ms);
    three.push(await importOnce(subject, shop, orderFile(`B${round}-${any(1e9)}`, 3)));
  }
  const rawMs = median(raw ?? []);
  report({ name: 'import.raw_E', value: rawMs, unit: 'ms', note: '10,000 orders of three lines, no parsing' });
  for (const [rows, seen] of [
    [10_000, one],
    [30_000, three],
  ] as const) {
    const ms = median(seen ?? []);
    report({ name: `import.${rows}_rows`, value: ms, unit: 'ms', note: `10,000 orders from CSV of ${rows} rows: upload, parse, check, place` });
    report({ name: `import.${rows}_rows_to_raw`, value: rawMs / ms, unit: '×', goal: '≥ 0.5', reached: rawMs / ms >= 0.5 });
  }
}
