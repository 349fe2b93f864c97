import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { stockProduct } from '../support/shop.ts';
import { importSchedules } from '../../src/modules/imports/import.jobs.ts';
import { storeImportFile } from '../../src/modules/imports/index.ts';
import { createOperator } from '../../src/modules/identity/index.ts';
import { beforeSignIn, systemCtx } from '../../src/platform/context.ts';
import { newId } from '../../src/platform/ids.ts';
import { PASSWORD, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

const HEADER = 'externalId,customerName,customerPhone,line1,city,state,pincode,paymentMethod,sku,itemName,quantity,unitPricePaise';

/** One good row of our own layout; `over` replaces cells by column name. */
function row(externalId: string, over: Record<string, string> = {}): string {
  const cells: Record<string, string> = {
    externalId,
    customerName: 'Asha Menon',
    customerPhone: '9845012345',
    line1: '12 Lake View',
    city: 'Bengaluru',
    state: 'Karnataka',
    pincode: '560001',
    paymentMethod: 'prepaid',
    sku: 'MUG-BLUE',
    itemName: 'Blue mug',
    quantity: '1',
    unitPricePaise: '39900',
    ...over,
  };
  return HEADER.split(',').map((column) => cells[column] ?? '').join(',');
}

function file(...rows: string[]): string {
  return `${[HEADER, ...rows].join('\n')}\n`;
}

describe('imports', function () {
  this.timeout(60_000);
  let world: World;
  let shop: Merchant;

  before(async () => {
    world = await startWorld({ IMPORT_MAX_BYTES: '4000000' });
  });
  after(async () => {
    await world.close();
  });
  beforeEach(async () => {
    shop = await world.merchant();
  });

  interface Upload {
    content: string | Buffer;
    kind?: string;
    mode?: string;
    name?: string;
    token?: string;
    force?: string;
    query?: string;
    key?: string;
  }

  async function upload({ content, kind = 'orders', mode = 'skip_invalid', name = 'orders.csv', token, force, query = '', key }: Upload): Promise<Answer> {
    const form = new FormData();
    form.set('kind', kind);
    form.set('mode', mode);
    if (force !== undefined) form.set('force', force);
    form.set('file', new Blob([content as string]), name);
    return world.api('POST', `/v1/imports${query}`, { token: token ?? shop.token, raw: form, ...(key === undefined ? {} : { key }) });
  }

  async function run(options: Upload): Promise<Answer['body']> {
    const accepted = await upload(options);
    assert.equal(accepted.status, 202, JSON.stringify(accepted.body));
    assert.deepEqual(accepted.body, { id: accepted.body.id, status: 'queued' });
    await world.settle();
    return read(accepted.body.id);
  }

  async function read(id: string): Promise<Answer['body']> {
    const found = await world.api('GET', `/v1/imports/${id}`, { token: shop.token });
    assert.equal(found.status, 200, JSON.stringify(found.body));
    return found.body;
  }

  async function errors(id: string): Promise<string[]> {
    const csv = await world.api('GET', `/v1/imports/${id}/errors.csv`, { token: shop.token });
    assert.equal(csv.status, 200);
    assert.match(csv.headers.get('content-type') ?? '', /^text\/csv/);
    const [header, ...lines] = String(csv.body).trimEnd().split('\r\n');
    assert.equal(header, 'line,record,field,message');
    return lines;
  }

  const stored = (): Promise<number> => world.db.collection('orders').countDocuments({ companyId: shop.companyId });

  it('imports the Shopify sample: every order, its totals, and COD due is its Total', async () => {
    const content = await readFile(new URL('../../data/samples/shopify-orders.csv', import.meta.url));
    const done = await run({ content, name: 'shopify-orders.csv' });
    assert.equal(done.status, 'completed');
    assert.equal(done.progress, 1);
    assert.deepEqual({ ...done.counts, rows: 0 }, { rows: 0, records: 300, imported: 300, invalid: 0, duplicates: 0 });
    assert.ok(done.counts.rows > 300 && done.startedAt <= done.finishedAt);
    const cod = await world.db.collection('orders').findOne({ companyId: shop.companyId, externalId: '#1002' });
    assert.equal(cod?.['paymentMethod'], 'cod');
    assert.equal(cod?.['importId'], done.id);
    assert.equal(cod?.['discountCodeText'], 'WELCOME100');
    const { subtotalPaise, discountPaise, shippingPaise, totalPaise } = cod?.['totals'] as Record<string, number>;
    assert.deepEqual([subtotalPaise, discountPaise, shippingPaise, totalPaise], [89_700, 10_000, 6_000, 85_700]);
    assert.equal((cod?.['placedAt'] as Date).toISOString(), '2026-11-07T03:48:37.000Z');
    await world.checks();
  });

  it('imports our own sample', async () => {
    const done = await run({ content: await readFile(new URL('../../data/samples/dakiya-orders.csv', import.meta.url)) });
    assert.equal(done.status, 'completed');
    assert.equal(done.counts.imported + done.counts.invalid + done.counts.duplicates, done.counts.records);
    assert.ok(done.counts.imported >= 5);
  });

  it('a SKU that nobody knows is refused under the names and at the row of the file', async () => {
    const done = await run({ content: file(row('U-1'), row('U-1', { sku: 'GHOST', itemName: '', unitPricePaise: '' })) });
    assert.deepEqual(done.counts, { rows: 2, records: 1, imported: 0, invalid: 1, duplicates: 0 });
    assert.deepEqual((await errors(done.id)).map((l) => l.split(',').slice(0, 3).join(',')), ['2,2,unitPricePaise', '2,2,itemName']);
  });

  it('imports JSON lines', async () => {
    const line = { externalId: 'J-1', customerName: 'Asha', customerPhone: '9845012345', line1: '12 Lake View', city: 'Bengaluru', state: 'KA', pincode: '560001', paymentMethod: 'cod', lines: [{ sku: 'A', itemName: 'A', quantity: 1, unitPricePaise: 100 }] };
    const done = await run({ content: `${JSON.stringify(line)}\n`, name: 'orders.jsonl' });
    assert.equal(done.counts.imported, 1);
  });

  const rows = (n: number): string[] => Array.from({ length: n }, (_, i) => row(`B-${i}`));

  it('skip_invalid: a bad row in the middle of 10,000 is listed with its line and stops nobody', async () => {
    const all = rows(10_000);
    all[4_999] = row('B-4999', { customerPhone: '12', pincode: '000000' });
    const done = await run({ content: file(...all) });
    assert.equal(done.status, 'completed');
    assert.deepEqual(done.counts, { rows: 10_000, records: 10_000, imported: 9_999, invalid: 1, duplicates: 0 });
    assert.equal(await stored(), 9_999);
    const lines = await errors(done.id);
    assert.deepEqual(lines.map((l) => l.split(',').slice(0, 3).join(',')).sort(), ['5001,5000,customerPhone', '5001,5000,pincode']);
    await world.checks();
  });

  it('all_or_nothing: one bad row in the middle and nothing is stored; all faults are listed', async () => {
    const all = rows(1_000);
    all[499] = row('B-499', { customerPhone: '12' });
    all[700] = row('B-700', { quantity: '0' });
    const done = await run({ content: file(...all), mode: 'all_or_nothing' });
    assert.equal(done.status, 'rejected');
    assert.match(done.reason, /2 of 1000/);
    assert.deepEqual(done.counts, { rows: 1_000, records: 1_000, imported: 0, invalid: 2, duplicates: 0 });
    assert.equal(await stored(), 0);
    assert.deepEqual((await errors(done.id)).map((l) => l.split(',').slice(0, 3).join(',')), ['501,500,customerPhone', '702,701,quantity']);
    await world.checks();
  });

  it('all_or_nothing: a good file is stored in one transaction', async () => {
    const done = await run({ content: file(...rows(1_500)), mode: 'all_or_nothing' });
    assert.equal(done.status, 'completed');
    assert.deepEqual(done.counts, { rows: 1_500, records: 1_500, imported: 1_500, invalid: 0, duplicates: 0 });
    assert.equal(await stored(), 1_500);
    await world.checks();
  });

  it('a row that the stock cannot serve is refused for itself, in skip_invalid', async () => {
    await stockProduct(world, shop, 'MUG-BLUE', 3);
    const done = await run({ content: file(row('S-1', { quantity: '2' }), row('S-2', { quantity: '2' }), row('S-3')) });
    assert.deepEqual(done.counts, { rows: 3, records: 3, imported: 2, invalid: 1, duplicates: 0 });
    assert.match((await errors(done.id)).join(), /^3,2,.*out_of_stock/);
    await world.checks();
  });

  it('a row that the stock cannot serve rejects the whole file in all_or_nothing, and reserves nothing', async () => {
    await stockProduct(world, shop, 'MUG-BLUE', 3);
    const done = await run({ content: file(row('S-1', { quantity: '2' }), row('S-2', { quantity: '2' })), mode: 'all_or_nothing' });
    assert.equal(done.status, 'rejected');
    assert.equal(await stored(), 0);
    assert.match((await errors(done.id)).join(), /^3,2,.*out_of_stock/);
    await world.checks();
  });

  it('the same bytes again are refused with the id; with force every row is a duplicate', async () => {
    const content = file(...rows(5));
    const first = await run({ content });
    const again = await upload({ content, mode: 'all_or_nothing', name: 'other.csv' });
    assert.equal(again.status, 409);
    assert.equal(again.body.error.code, 'import_exists');
    assert.equal(again.body.error.details.id, first.id);
    for (const force of [{ force: 'true' }, { query: '?force=true' }]) {
      const forced = await run({ content, ...force });
      assert.deepEqual(forced.counts, { rows: 5, records: 5, imported: 0, invalid: 0, duplicates: 5 });
      assert.equal((await errors(forced.id)).length, 5);
    }
    assert.equal(await stored(), 5);
    assert.equal(await world.db.collection('uploads.files').countDocuments({}), 0, 'ended imports keep no file');
    assert.equal(await world.db.collection('uploads.chunks').countDocuments({}), 0);
    await world.checks();
  });

  it('two uploads of the same bytes at once make one import', async () => {
    const content = file(...rows(3));
    const answers = await Promise.all([1, 2, 3, 4].map(() => upload({ content })));
    assert.deepEqual(answers.map((a) => a.status).sort(), [202, 409, 409, 409]);
    await world.settle();
    assert.equal(await stored(), 3);
  });

  it('the same Idempotency-Key replays the answer, and refuses another file', async () => {
    const content = file(...rows(2));
    const first = await upload({ content, key: 'imp-1' });
    assert.equal(first.status, 202);
    const again = await upload({ content, key: 'imp-1' });
    assert.equal(again.status, 202);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    assert.deepEqual(again.body, first.body);
    const other = await upload({ content: file(...rows(3)), key: 'imp-1' });
    assert.equal(other.status, 409);
    assert.equal(other.body.error.code, 'idempotency_key_reused');
    await world.settle();
    assert.equal(await stored(), 2);
  });

  it('rows of one order that do not stand together are a duplicate of the later place', async () => {
    const done = await run({ content: file(row('A'), row('B'), row('A')) });
    assert.deepEqual(done.counts, { rows: 3, records: 3, imported: 2, invalid: 0, duplicates: 1 });
    await world.checks();
  });

  it('a file whose columns are not known is rejected with the reason', async () => {
    const done = await run({ content: 'a,b\n1,2\n' });
    assert.equal(done.status, 'rejected');
    assert.match(done.reason, /missing: externalId/);
    assert.equal((await errors(done.id)).length, 1);
    await world.checks();
  });

  it('imports products; those that exist are duplicates, incomplete ones invalid', async () => {
    const header = 'sku,name,price,hsnCode,taxBp,weightGrams,lengthMm,breadthMm,heightMm';
    const content = `${header}\nP1,Mug,399.00,6912,1200,400,100,100,100\nP2,Tray,1299,4419,1200,900,300,200,50\nP3,Bowl,10,6912,1200,,,,\nP1,Mug,399.00,6912,1200,400,100,100,100\n`;
    const done = await run({ content, kind: 'products' });
    assert.deepEqual(done.counts, { rows: 4, records: 4, imported: 2, invalid: 1, duplicates: 1 });
    const again = await run({ content: `${content}P4,Cup,5,6912,1200,100,50,50,50\n`, kind: 'products' });
    assert.deepEqual(again.counts, { rows: 5, records: 5, imported: 1, invalid: 1, duplicates: 3 });
    await world.checks();
  });

  it('serviceability is staff’s to import: new rows and replaced ones, for one courier', async () => {
    const email = `staff.${shop.companyId}@dakiya.example.in`;
    await createOperator(beforeSignIn('test'), { name: 'Staff', email, role: 'platform_admin', password: PASSWORD });
    const token = (await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } })).body.accessToken;
    const send = async (content: string, fields: Record<string, string>): Promise<Answer> => {
      const form = new FormData();
      for (const [name, value] of Object.entries({ kind: 'serviceability', mode: 'skip_invalid', ...fields })) form.set(name, value);
      form.set('file', new Blob([content]), 's.csv');
      return world.api('POST', '/v1/imports', { token, raw: form });
    };
    const unnamed = await send('pincode,prepaid,cod,pickup\n400001,yes,no,yes\n', {});
    assert.equal(unnamed.status, 202, JSON.stringify(unnamed.body));
    await world.settle();
    assert.equal((await world.db.collection('serviceability').findOne({ courier: 'sandbox', pincode: '400001' }))?.['cod'], false, 'the sandbox’s');
    for (const [content, imported] of [['pincode,prepaid,cod\n560001,yes,no\n110001,yes,yes\nabc,yes,yes\n', 2], ['pincode,prepaid,cod\n560001,yes,yes\n', 1]] as const) {
      const accepted = await send(content, { courier: 'swift' });
      assert.equal(accepted.status, 202, JSON.stringify(accepted.body));
      await world.settle();
      const done = await world.api('GET', `/v1/imports/${accepted.body.id}`, { token });
      assert.equal(done.body.counts.imported, imported, JSON.stringify(done.body));
    }
    const stored = await world.db.collection('serviceability').find({ courier: 'swift' }).sort({ pincode: 1 }).toArray();
    assert.deepEqual(stored.map((r) => [r['pincode'], r['cod']]), [['110001', true], ['560001', true]]);
    const orders = await upload({ content: file(row('A')), token });
    assert.equal(orders.status, 403);
    await world.checks();
  });

  it('files that no unfinished import refers to are swept after a day, with pieces of uploads that never ended', async () => {
    const waiting = await upload({ content: file(row('W-1')) });
    const orphan = await storeImportFile(systemCtx('test', shop.companyId), Readable.from([Buffer.from(file(row('O-1')))]));
    const piece = { _id: newId(), files_id: newId(), n: 0, data: Buffer.from('cut off') };
    await world.db.collection<typeof piece>('uploads.chunks').insertOne(piece);
    const sweep = importSchedules[0];
    assert.ok(sweep);
    await sweep.run(systemCtx('test', shop.companyId));
    assert.equal(await world.db.collection('uploads.chunks').countDocuments({}), 3, 'what is young stays');
    world.advance(25 * 3_600_000);
    await sweep.run(systemCtx('test', shop.companyId));
    const left = await world.db.collection('uploads.chunks').distinct('files_id');
    assert.equal(left.length, 1);
    assert.notEqual(left[0], orphan.id);
    await world.settle();
    const done = await world.db.collection<{ _id: string; status: string }>('imports').findOne({ _id: waiting.body.id });
    assert.equal(done?.status, 'completed');
  });

  describe('refusals', () => {
    const refused = async (answer: Answer, status: number, code: string): Promise<void> => {
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.equal(answer.body.error.code, code);
      assert.equal(await world.db.collection('uploads.files').countDocuments({}), 0);
      assert.equal(await world.db.collection('uploads.chunks').countDocuments({}), 0, 'nothing of a refused file stays');
    };

    it('413 for a file over the limit, told while it still comes', async () => {
      await refused(await upload({ content: Buffer.alloc(4_020_000, 'a') }), 413, 'file_too_large');
      await refused(await upload({ content: Buffer.alloc(9_000_000, 'a') }), 413, 'file_too_large');
    });

    for (const [name, head] of [['a PDF', '%PDF-1.7'], ['an Excel workbook', 'PK\u0003\u0004'], ['a picture', '\u0089PNG'], ['other bytes', 'abc\u0000']] as const) {
      it(`415 for ${name}, whatever its name says`, async () => {
        await refused(await upload({ content: Buffer.concat([Buffer.from(head, 'latin1'), Buffer.alloc(2_000, 7)]) }), 415, 'unsupported_file');
      });
    }

    it('400 for an empty file', async () => {
      await refused(await upload({ content: '' }), 400, 'import_file_empty');
    });

    it('400 naming every faulty field of the form', async () => {
      const answer = await upload({ content: file(row('A')), kind: 'spoons', mode: 'maybe', force: 'perhaps' });
      await refused(answer, 400, 'validation_failed');
      assert.deepEqual(answer.body.error.details.fields.map((f: { path: string }) => f.path).sort(), ['force', 'kind', 'mode']);
    });

    it('400 without a file, 415 without a form, 400 for a form that is cut off', async () => {
      const form = new FormData();
      form.set('kind', 'orders');
      form.set('mode', 'skip_invalid');
      await refused(await world.api('POST', '/v1/imports', { token: shop.token, raw: form }), 400, 'validation_failed');
      await refused(await world.api('POST', '/v1/imports', { token: shop.token, body: { kind: 'orders' } }), 415, 'unsupported_media_type');
      const headers = { 'content-type': 'multipart/form-data; boundary=xx' };
      const cut = '--xx\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nexternalId';
      await refused(await world.api('POST', '/v1/imports', { token: shop.token, raw: cut, headers }), 400, 'malformed_multipart');
    });

    it('400 for a part without a name, a file too, and the service lives on', async () => {
      const headers = { 'content-type': 'multipart/form-data; boundary=xx' };
      for (const disposition of ['form-data; name=""', 'form-data; name=""; filename="a.csv"', 'form-data; filename="a.csv"']) {
        const raw = `--xx\r\nContent-Disposition: ${disposition}\r\n\r\nabc\r\n--xx--\r\n`;
        await refused(await world.api('POST', '/v1/imports', { token: shop.token, raw, headers }), 400, 'validation_failed');
      }
      await refused(await world.api('GET', `/v1/imports/${newId()}`, { token: shop.token }), 404, 'import_not_found');
    });

    it('409 for a kind that cannot be imported yet, 403 for reference data, 403 for a viewer', async () => {
      await refused(await upload({ content: file(row('A')), kind: 'remittance' }), 409, 'kind_not_supported');
      await refused(await upload({ content: 'pincode,state,districts\n', kind: 'pincodes' }), 403, 'forbidden');
      const viewer = await world.member(shop, 'viewer');
      await refused(await upload({ content: file(row('A')), token: viewer }), 403, 'forbidden');
    });

    it('another company sees nothing of an import', async () => {
      const done = await run({ content: file(row('A', { quantity: '0' })) });
      const other = await world.merchant();
      for (const path of [`/v1/imports/${done.id}`, `/v1/imports/${done.id}/errors.csv`]) {
        const answer = await world.api('GET', path, { token: other.token });
        assert.equal(answer.status, 404);
        assert.equal(answer.body.error.code, 'import_not_found');
      }
      const list = await world.api('GET', '/v1/imports', { token: other.token });
      assert.deepEqual(list.body, { data: [], nextCursor: null });
      const own = await world.api('GET', '/v1/imports?kind=orders&status=completed', { token: shop.token });
      assert.deepEqual(own.body.data.map((i: { id: string }) => i.id), [done.id]);
    });
  });
});
