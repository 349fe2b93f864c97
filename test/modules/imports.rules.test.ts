import { strict as assert } from 'node:assert';
import { createReadStream, readFileSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { ORDER_LAYOUT } from '../../src/modules/imports/columns.rules.ts';
import { csvSplitter, detectDelimiter } from '../../src/modules/imports/csv.rules.ts';
import type { RawRow } from '../../src/modules/imports/csv.rules.ts';
import { ERRORS_CSV_HEADER, errorsCsvRows } from '../../src/modules/imports/errors.rules.ts';
import { faultList, oneLine, parseIndianMobile, parsePincode, readPhone } from '../../src/modules/imports/fields.rules.ts';
import type { RowFault } from '../../src/modules/imports/grouping.rules.ts';
import type { ImportedOrder } from '../../src/modules/imports/order.rules.ts';
import { isRowFault, readOrders } from '../../src/modules/imports/orders.rules.ts';
import type { ParsedOrder } from '../../src/modules/imports/orders.rules.ts';
import type { ByteSource } from '../../src/modules/imports/reader.ts';
import { skuFromName } from '../../src/modules/imports/shopify.rules.ts';
import { stateName } from '../../src/modules/imports/states.rules.ts';
import { readPincodes, readProducts, readServiceabilityRows } from '../../src/modules/imports/tables.rules.ts';
import { parseRupees } from '../../src/platform/money.ts';
import { csvCell } from '../../src/platform/csv.ts';

const SAMPLE = new URL('../../data/samples/shopify-orders.csv', import.meta.url);
const fixture = (name: string) => new URL(`../fixtures/imports/${name}`, import.meta.url);

/** Every pincode from 1 to 8 is known; 744… has no state, 999… is unknown. */
function knownPincode(pincode: string): { state: string } | undefined {
  if (pincode.startsWith('9')) return undefined;
  return { state: pincode.startsWith('744') ? '' : 'MAHARASHTRA' };
}

async function* bytes(content: string | Uint8Array, size = 1 << 20): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(content);
  for (let at = 0; at < all.length; at += size) yield all.subarray(at, at + size);
}

interface Result {
  orders: ParsedOrder[];
  faults: RowFault[];
}

async function readAll(source: ByteSource, fileName?: string): Promise<Result> {
  const result: Result = { orders: [], faults: [] };
  for await (const one of readOrders(source, { knownPincode, fileName })) {
    if (isRowFault(one)) result.faults.push(one);
    else result.orders.push(one);
  }
  return result;
}

const cellText = (text: string) => (/[",;\r\n\t]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const csv = (rows: readonly (readonly string[])[], end = '\n') => rows.map((row) => row.map(cellText).join(',') + end).join('');

const BASE: Readonly<Record<string, string>> = {
  externalId: 'A-1',
  customerName: 'Asha Rao',
  customerPhone: '9800806360',
  line1: '12, MG Road',
  city: 'Pune',
  pincode: '411001',
  paymentMethod: 'cod',
  sku: 'TEA',
  quantity: '2',
  unitPrice: '695.00',
};

/** A file of our own layout: each row is BASE with changes. */
function ownFile(...changes: Record<string, string>[]): string {
  const columns = [...new Set([...Object.keys(BASE), ...changes.flatMap((change) => Object.keys(change))])];
  return csv([columns, ...changes.map((change) => columns.map((column) => change[column] ?? BASE[column] ?? ''))]);
}

const SHOPIFY: Readonly<Record<string, string>> = {
  Name: '#1',
  Email: 'a@example.in',
  'Financial Status': 'pending',
  Currency: 'INR',
  Subtotal: '1290.00',
  Shipping: '60.00',
  Taxes: '196.78',
  Total: '1350.00',
  'Discount Code': 'WELCOME100',
  'Discount Amount': '100.00',
  'Created at': '2026-09-19 03:57:20 +0530',
  'Lineitem quantity': '2',
  'Lineitem name': 'Tea',
  'Lineitem price': '695.00',
  'Lineitem sku': 'TEA',
  'Lineitem discount': '0.00',
  'Shipping Name': 'Asha Rao',
  'Shipping Address1': 'MG Road',
  'Shipping City': 'Pune',
  'Shipping Zip': "'411001",
  'Shipping Province': 'MH',
  'Shipping Country': 'IN',
  'Shipping Phone': '98008-06360',
  'Billing Phone': '',
  Phone: '',
  'Payment Method': 'Cash on Delivery (COD)',
  'Cancelled at': '',
  'Refunded Amount': '0.00',
};

function shopifyFile(...changes: Record<string, string>[]): string {
  const columns = [...new Set([...Object.keys(SHOPIFY), ...changes.flatMap((change) => Object.keys(change))])];
  return csv([columns, ...changes.map((change) => columns.map((column) => change[column] ?? SHOPIFY[column] ?? ''))]);
}

async function oneOrder(file: string): Promise<ImportedOrder> {
  const { orders, faults } = await readAll(bytes(file));
  assert.deepEqual(faults, []);
  assert.equal(orders.length, 1);
  return orders[0]?.order as ImportedOrder;
}

async function fieldsOf(file: string): Promise<string[]> {
  const { faults } = await readAll(bytes(file));
  assert.ok(faults.length > 0, 'a fault is expected');
  return faults.flatMap((fault) => fault.faults.map(({ field }) => field));
}

describe('imports: the sample Shopify export', () => {
  it('gives exactly its 300 orders, no fault, and totals that add up', async () => {
    const { orders, faults } = await readAll(createReadStream(SAMPLE));
    assert.deepEqual(faults, []);
    assert.equal(orders.length, 300);
    assert.equal(orders.reduce((sum, { rows }) => sum + rows, 0), 459);
    assert.equal(orders.filter(({ order }) => order.paymentMethod === 'cod').length, 178);
    for (const { order } of orders) {
      const gross = order.lines.reduce((sum, line) => sum + line.quantity * (line.unitPricePaise ?? 0), 0);
      assert.equal(gross - (order.discountPaise ?? 0) + (order.shippingPaise ?? 0), order.totalPaise);
      assert.match(order.customer.phone, /^\+91[6-9]\d{9}$/);
      assert.match(order.shippingAddress.pincode, /^\d{6}$/);
      assert.doesNotMatch(order.shippingAddress.line1 + (order.shippingAddress.line2 ?? ''), /[\r\n]/);
    }
    assert.equal(orders.reduce((sum, { order }) => sum + (order.totalPaise ?? 0), 0), 133_630_500);
  });

  it('reads the same cells as an independent parser, whatever the size of the pieces', async () => {
    const content = readFileSync(SAMPLE, 'utf8');
    const expected = parse(content) as string[][];
    for (const size of [1 << 20, 32_768, 4_099]) {
      const splitter = csvSplitter();
      const rows: RawRow[] = [];
      for (let at = 0; at < content.length; at += size) rows.push(...splitter.push(content.slice(at, at + size), false));
      rows.push(...splitter.push('', true));
      assert.deepEqual(rows.map(({ cells }) => cells), expected);
    }
    const whole = await readAll(bytes(content));
    assert.deepEqual(await readAll(bytes(content, 61)), whole);
    const lines = content.split('\n');
    for (const { line, externalId } of whole.orders) assert.ok(lines[line - 1]?.startsWith(`${externalId},`));
  });
});

describe('imports: phones, pincodes, states, amounts', () => {
  const phones: [string, string | undefined][] = [
    ['9800806360', '+919800806360'],
    ['98008-06360', '+919800806360'],
    ['98008 06360', '+919800806360'],
    ['980 080 6360', '+919800806360'],
    ['+919800806360', '+919800806360'],
    ["'+919800806360", '+919800806360'],
    ["'9800806360", '+919800806360'],
    ['+91-9800806360', '+919800806360'],
    ['+91 98008 06360', '+919800806360'],
    ['+91 (0) 98008 06360', '+919800806360'],
    ['(+91) 98008.06360', '+919800806360'],
    ['919800806360', '+919800806360'],
    ['09800806360', '+919800806360'],
    ['00919800806360', '+919800806360'],
    ['0091 98008 06360', '+919800806360'],
    ['9800806360.0', '+919800806360'],
    ['9198765432', '+919198765432'],
    ['\u202a+91 98008 06360\u202c', '+919800806360'],
    ['98008\u00a006360', '+919800806360'],
    ['98008–06360', '+919800806360'],
    ['९८००८०६३६०', '+919800806360'],
    ['৯৮০০৮০৬৩৬০', '+919800806360'],
    ['９８００８０６３６０', '+919800806360'],
    ['7900123456', '+917900123456'],
    ['6000000000', '+916000000000'],
    ['8041234567', undefined],
    ['080-4123 4567', undefined],
    ['022 6677 8899', undefined],
    ['1800 123 4567', undefined],
    ['980080636', undefined],
    ['98008063600', undefined],
    ['5800806360', undefined],
    ['+1 202 555 0143', undefined],
    ['+44 7911 123456', undefined],
    ['9800806360 / 9800806361', undefined],
    ['9800806360 ext 5', undefined],
    ['tel:+91-98008-06360', undefined],
    ['98008O6360', undefined],
    ['9.80081E+09', undefined],
    ['n/a', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of phones) {
    it(`phone ${JSON.stringify(text)} is ${expected ?? 'refused'}`, () => assert.equal(parseIndianMobile(text), expected));
  }

  it('says what a spreadsheet did to a phone, and never repeats the number', () => {
    for (const text of ['9.80081E+09', '080-41234567']) {
      const faults = faultList();
      assert.equal(readPhone(faults, 'customerPhone', text), undefined);
      assert.equal(faults.all.length, 1);
      assert.ok(!faults.all[0]?.message.includes(text));
    }
  });

  const amounts: [string, number | undefined][] = [
    ['1299', 129_900], ['1299.00', 129_900], ['1299.5', 129_950], ['1,299.00', 129_900], ['1,00,000.50', 10_000_050],
    ['1,000,000', 100_000_000], ['Rs. 50', 5_000], ['₹ 1,299/-', 129_900], ['INR 10.10', 1_010], ['10.10 INR', 1_010],
    ["'75.00", 7_500], ['0', 0], ['10.5000', 1_050], ['10.555', undefined], ['-5', undefined], ['1299,00', undefined],
    ['12,34', undefined], ['1.299,00', undefined], ['1e3', undefined], ['', undefined], ['free', undefined], ['1 299', undefined],
    ['99999999999999999', undefined],
  ];
  for (const [text, paise] of amounts) {
    it(`amount ${JSON.stringify(text)} is ${paise ?? 'refused'}`, () => assert.equal(parseRupees(text), paise));
  }

  it('pincodes lose the apostrophe and the space, and nothing else', () => {
    for (const text of ['411001', "'411001", '411 001', ' 411001 ', '411001.0']) assert.equal(parsePincode(text), '411001');
    for (const text of ['41100', '4110011', '011001', '41100A', '4.11E+05', '']) assert.equal(parsePincode(text), undefined);
  });

  it('states come by name, code and older spelling', () => {
    const table = {
      MH: 'Maharashtra', mh: 'Maharashtra', 'IN-MH': 'Maharashtra', 'TAMIL NADU': 'Tamil Nadu', OR: 'Odisha', Orissa: 'Odisha',
      TS: 'Telangana', TG: 'Telangana', UK: 'Uttarakhand', CG: 'Chhattisgarh', 'Jammu & Kashmir': 'Jammu and Kashmir',
      'THE DADRA AND NAGAR HAVELI AND DAMAN AND DIU': 'Dadra and Nagar Haveli and Daman and Diu', 'New Delhi': 'Delhi',
      Lakshadweep: 'Lakshadweep', INDIANA: undefined, XX: undefined, '': undefined,
    };
    for (const [text, name] of Object.entries(table)) assert.equal(stateName(text), name, text);
  });

  it('knows every state of the pincode file', () => {
    const lines = readFileSync(new URL('../../data/pincodes.csv', import.meta.url), 'utf8').split('\n').slice(1);
    const states = new Set(lines.map((line) => line.split(',')[1] ?? '').filter((state) => state !== ''));
    assert.ok(states.size >= 36);
    for (const state of states) assert.ok(stateName(state), state);
  });
});

describe('imports: reading files', () => {
  it('takes an Excel file with byte order mark, semicolons, CRLF and multi-line cells', async () => {
    const { orders, faults } = await readAll(createReadStream(fixture('excel-semicolons.csv')));
    assert.deepEqual(faults, []);
    assert.deepEqual(orders.map(({ externalId, line, record, rows }) => [externalId, line, record, rows]), [
      ['X-1', 2, 1, 2],
      ['X-2', 6, 3, 1],
    ]);
    assert.deepEqual(orders[0]?.order, {
      channel: 'file',
      externalId: 'X-1',
      customer: { name: 'Asha Rao', phone: '+919800806360' },
      shippingAddress: { line1: 'Flat 2; Tower B', city: 'Pune', state: 'Maharashtra', pincode: '411001', country: 'IN' },
      lines: [
        { sku: 'TAWA', name: '12" Tawa', quantity: 2, unitPricePaise: 154_900 },
        { sku: 'DIYA', name: 'Diya set', quantity: 1, unitPricePaise: 44_900 },
      ],
      paymentMethod: 'cod',
      tags: ['gift', 'fragile'],
      notes: 'Leave with security\nGate 2',
    });
    assert.deepEqual(orders[1]?.order.lines, [{ sku: 'DIYA', quantity: 1 }]);
    assert.equal(orders[1]?.order.shippingAddress.state, 'Maharashtra');
  });

  it('takes the same file as UTF-16, with tabs, with CR only, and with a sep= line', async () => {
    const file = ownFile({}, { externalId: 'A-2', customerName: 'रिता Rao' });
    const expected = await readAll(bytes(file));
    assert.equal(expected.orders.length, 2);
    const utf16 = Buffer.from(`\ufeff${file}`, 'utf16le');
    assert.deepEqual(await readAll(bytes(utf16, 1)), expected);
    assert.deepEqual(await readAll(bytes(Buffer.from(utf16).swap16(), 7)), expected);
    assert.deepEqual(await readAll(bytes(`\ufeff${file}`, 1)), expected);
    assert.deepEqual(await readAll(bytes(file.replaceAll('\n', '\r'))), expected);
    assert.deepEqual(await readAll(bytes(file.replaceAll('\n', '\r\n'), 3)), expected);
    assert.deepEqual(await readAll(bytes(file.trimEnd())), expected);
    const lines = expected.orders.map(({ line }) => line + 1);
    for (const [mark, delimiter] of [['', '\t'], ['sep=;\r\n', ';']] as const) {
      const other = mark + file.replaceAll('"12, MG Road"', '\u0001').replaceAll(',', delimiter).replaceAll('\u0001', '"12, MG Road"');
      const { orders, faults } = await readAll(bytes(other));
      assert.deepEqual(faults, []);
      assert.deepEqual(orders.map(({ order }) => order), expected.orders.map(({ order }) => order));
      if (mark !== '') assert.deepEqual(orders.map(({ line }) => line), lines);
    }
  });

  it('finds the delimiter outside quotes', () => {
    assert.equal(detectDelimiter('a,b,c\n1;2;3;4;5'), ',');
    assert.equal(detectDelimiter('a;"b,c,d,e";f'), ';');
    assert.equal(detectDelimiter('a\tb'), '\t');
    assert.equal(detectDelimiter('alone'), ',');
  });

  it('reads JSON lines by content and by name, one object an order or one a row', async () => {
    const { orders, faults } = await readAll(createReadStream(fixture('orders.jsonl')));
    assert.deepEqual(orders.map(({ externalId, line, rows }) => [externalId, line, rows]), [['J-1', 1, 2], ['J-3', 4, 1]]);
    assert.deepEqual(orders[0]?.order.lines, [
      { sku: 'TEA', quantity: 2, unitPricePaise: 69_500 },
      { sku: 'GHEE', quantity: 1, unitPricePaise: 85_000 },
    ]);
    assert.deepEqual(orders[0]?.order.tags, ['gift', 'vip']);
    assert.equal(orders[0]?.order.customer.phone, '+919800806360');
    assert.deepEqual(faults.map(({ line }) => line), [3]);
    const named = await readAll(bytes('null\n{"sku":{"a":1}}\n{"colour":"red"}\n{"lines":[]}\n'), 'x.ndjson');
    assert.deepEqual(named.faults.map(({ line }) => line), [1, 2, 3, 4]);
  });

  it('keeps the neighbours of rows with wrong quoting or cells, and names their lines', async () => {
    const { orders, faults } = await readAll(createReadStream(fixture('broken-quotes.csv')));
    assert.deepEqual(orders.map(({ externalId, line }) => [externalId, line]), [['A-1', 2], ['A-3', 4], ['A-6', 7], ['A-9', 12]]);
    assert.equal(orders[2]?.order.shippingAddress.line1, 'MG Road, near "Annapurna"');
    assert.deepEqual(faults.map(({ line, rows }) => [line, rows]), [[3, 1], [5, 1], [6, 1], [9, 1], [10, 2]]);
    assert.deepEqual(faults.map(({ externalId }) => externalId), [undefined, undefined, undefined, undefined, 'A-8']);
    assert.deepEqual(faults.at(-1)?.faults.map(({ line }) => line), [11]);
    for (const { faults: all } of faults) for (const { message } of all) assert.doesNotMatch(message, /MG|Asha|98008/);
  });

  it('a quotation mark never closed costs one row of thousands', async () => {
    const rows = Array.from({ length: 4000 }, (_, i) => ({ externalId: `B-${i}`, line1: 'MG Road' }));
    const file = ownFile(...rows).replace('B-10,Asha', 'B-10,"Asha');
    const { orders, faults } = await readAll(bytes(file, 65_536));
    assert.equal(orders.length, 3999);
    assert.deepEqual(faults.map(({ line }) => line), [12]);
  });

  it('gives the same rows for any cutting of the text, also between the two characters of CRLF and of a doubled quote', () => {
    const rowsOf = (text: string, size: number): RawRow[] => {
      const splitter = csvSplitter();
      const rows: RawRow[] = [];
      for (let at = 0; at < text.length; at += size) rows.push(...splitter.push(text.slice(at, at + size), false));
      return [...rows, ...splitter.push('', true)];
    };
    const overlong = `a,b\n1,2\nL,"${'line of text\n'.repeat(10_000)}"\n3,4\n`;
    for (const name of ['excel-semicolons.csv', 'broken-quotes.csv']) {
      const text = readFileSync(fixture(name), 'utf8').replace('\ufeff', '');
      for (const size of [1, 2, 3, 5]) assert.deepEqual(rowsOf(text, size), rowsOf(text, text.length), `${name} by ${size}`);
      const crlf = text.replaceAll(/\r?\n/g, '\r\n');
      assert.deepEqual(rowsOf(crlf, 1), rowsOf(crlf, crlf.length));
    }
    const marks = (size: number) => rowsOf(overlong, size).map(({ line, cells, fault }) => [line, cells[0], fault]);
    assert.deepEqual(marks(30_000), marks(overlong.length));
    assert.equal(rowsOf(overlong, 30_000).find(({ cells }) => cells[0] === '3')?.line, 10_004);
  });

  it('gives up an unfinished row at its bound and does not wait for the end of the file', () => {
    const splitter = csvSplitter();
    splitter.push('a,b\n', false);
    const rows = Array.from({ length: 4 }, () => splitter.push(`1,"${'x'.repeat(30_000)}\n`.replace('"', ''), false));
    assert.equal(rows.flat().length, 4);
    const open = ['1,"', ...Array.from({ length: 3 }, () => 'y'.repeat(30_000))].flatMap((text) => splitter.push(text, false));
    assert.deepEqual(open.map(({ line, fault }) => [line, typeof fault]), [[6, 'string']]);
  });

  it('bounds rows, cells and columns, refuses damaged bytes, and goes on', async () => {
    const tail = ownFile({ externalId: 'LAST' }).split('\n').slice(1).join('\n');
    const head = ownFile({ externalId: 'FIRST' });
    const bad: [string, RegExp, Uint8Array][] = [
      ['long row', /longer than 64 KiB/, Buffer.from(`L,${'x'.repeat(70_000)}\n`)],
      ['long row with no neighbours near', /longer than 64 KiB/, Buffer.from(`L,${'x'.repeat(700_000)}\n`)],
      ['long cell', /longer than 10000/, Buffer.from(ownFile({ externalId: 'L', line1: 'x'.repeat(10_001) }).split('\n').slice(1).join('\n'))],
      ['row over 64 KiB in several quoted lines', /longer than 64 KiB/, Buffer.from(`L,"${'x'.repeat(9_000)}"${`,"${'y'.repeat(9_000)}"`.repeat(8)}\n`)],
      ['many columns', /more than 200/, Buffer.from(`L${',1'.repeat(250)}\n`)],
      ['Latin-1 bytes', /UTF-8/, Buffer.from('L,Jos\xe9,9800806360,MG Road,Pune,411001,cod,TEA,1,1\n', 'latin1')],
      ['NUL', /control/, Buffer.from('L,Asha\0,9800806360,MG Road,Pune,411001,cod,TEA,1,1\n')],
      ['too few cells', /3 cells/, Buffer.from('L,Asha,9800806360\n')],
    ];
    for (const [name, message, row] of bad) {
      for (const size of [1 << 20, 1000]) {
        const { orders, faults } = await readAll(bytes(Buffer.concat([Buffer.from(head), row, Buffer.from(tail)]), size));
        assert.deepEqual(orders.map(({ externalId, line }) => [externalId, line]), [['FIRST', 2], ['LAST', 4]], name);
        assert.deepEqual(faults.map(({ line, record }) => [line, record]), [[3, 2]], name);
        assert.match(faults[0]?.faults[0]?.message ?? '', message);
      }
    }
    const jsonl = `{"a":"${'x'.repeat(200_000)}"}\n{"sku":`;
    assert.deepEqual((await readAll(bytes(jsonl, 1000))).faults.map(({ line }) => line), [1, 2]);
  });

  it('lets empty cells beyond the header pass, and no others', async () => {
    const [head = '', row = ''] = ownFile({}).split('\n');
    assert.equal((await readAll(bytes(`${head}\n${row},,,\n`))).orders.length, 1);
    assert.equal((await readAll(bytes(`${head}\n${row},,x\n`))).faults.length, 1);
  });

  it('refuses a file as a whole by its header', async () => {
    const refusals: [string, string, object | undefined][] = [
      ['', 'import_file_empty', undefined],
      ['\n \n', 'import_file_empty', undefined],
      ['[{"externalId":"1"}]', 'import_format', undefined],
      ['"externalId,sku\nA,1', 'import_header_unreadable', undefined],
      [
        'externalId,sku,colour,SKU\nA,B,C,D\n',
        'import_columns_invalid',
        {
          missing: ['customerName', 'customerPhone', 'line1', 'city', 'pincode', 'paymentMethod', 'quantity'],
          unknown: ['colour'],
          repeated: ['sku'],
        },
      ],
      ['Asha Rao,9800806360\n', 'import_columns_invalid', { missing: [...ORDER_LAYOUT.required], unknown: [], repeated: [] }],
      ['Name,Financial Status,Lineitem quantity,Lineitem name,Lineitem price\n#1', 'import_columns_invalid', undefined],
    ];
    for (const [file, code, details] of refusals) {
      await assert.rejects(readAll(bytes(file)), (error: { code?: string; message: string; details?: object }) => {
        assert.equal(error.code, code, file);
        assert.doesNotMatch(error.message, /Asha|9800/);
        if (details) assert.deepEqual(error.details, details);
        return true;
      });
    }
  });
});

describe('imports: orders in our own columns', () => {
  it('an id that comes again further down is a fault of the later rows only', async () => {
    const file = ownFile({}, { sku: 'GHEE' }, { externalId: 'A-2' }, { sku: 'DIYA' }, { externalId: 'A-3' });
    const { orders, faults } = await readAll(bytes(file));
    assert.deepEqual(orders.map(({ externalId, rows }) => [externalId, rows]), [['A-1', 2], ['A-2', 1], ['A-3', 1]]);
    assert.deepEqual(faults, [
      {
        line: 5,
        record: 4,
        rows: 1,
        externalId: 'A-1',
        duplicate: true,
        faults: [{ field: 'externalId', message: 'is already in this file at line 2; the rows of an order must stand together' }],
      },
    ]);
  });

  it('further rows may repeat or leave out the order columns, not contradict them', async () => {
    const empty = Object.fromEntries(Object.keys(BASE).map((column) => [column, '']));
    const order = await oneOrder(ownFile({}, { sku: 'GHEE' }, { ...empty, externalId: 'A-1', sku: 'DIYA', quantity: '1' }));
    assert.deepEqual(order.lines.map(({ sku }) => sku), ['TEA', 'GHEE', 'DIYA']);
    const { faults } = await readAll(bytes(ownFile({}, { city: 'Mumbai', paymentMethod: 'prepaid' })));
    assert.deepEqual(faults[0]?.faults.map(({ field, line }) => [field, line]), [['city', 3], ['paymentMethod', 3]]);
  });

  it('takes coupon, parcel, HSN code, e-mail and both kinds of price', async () => {
    const order = await oneOrder(
      ownFile({
        couponCode: 'DIWALI', weightGrams: '900', lengthMm: '200', breadthMm: '150', heightMm: '50', hsnCode: '0902',
        customerEmail: 'asha@example.in', unitPricePaise: '69500', paymentMethod: 'Cash on Delivery', country: 'India',
      }),
    );
    assert.equal(order.couponCode, 'DIWALI');
    assert.deepEqual(order.parcel, { weightGrams: 900, lengthMm: 200, breadthMm: 150, heightMm: 50 });
    assert.deepEqual(order.lines, [{ sku: 'TEA', quantity: 2, unitPricePaise: 69_500, hsnCode: '0902' }]);
    assert.equal(order.paymentMethod, 'cod');
    assert.equal(order.customer.email, 'asha@example.in');
  });

  const faulty: [string, Record<string, string>, string[]][] = [
    ['no id', { externalId: '' }, ['externalId']],
    ['long id', { externalId: 'x'.repeat(101) }, ['externalId']],
    ['no name', { customerName: '' }, ['customerName']],
    ['long name', { customerName: 'x'.repeat(121) }, ['customerName']],
    ['no phone', { customerPhone: '' }, ['customerPhone']],
    ['landline', { customerPhone: '080-41234567' }, ['customerPhone']],
    ['bad e-mail', { customerEmail: 'asha at example' }, ['customerEmail']],
    ['two e-mails', { customerEmail: 'a@example.in,b@example.in' }, ['customerEmail']],
    ['no line1', { line1: '' }, ['line1']],
    ['long line2', { line2: 'x'.repeat(201) }, ['line2']],
    ['no city', { city: '' }, ['city']],
    ['no pincode', { pincode: '' }, ['pincode']],
    ['short pincode', { pincode: '4110' }, ['pincode']],
    ['unknown pincode', { pincode: '999001' }, ['pincode']],
    ['unknown state', { state: 'Bavaria' }, ['state']],
    ['pincode without a state', { pincode: '744001' }, ['state']],
    ['foreign country', { country: 'NP' }, ['country']],
    ['no payment method', { paymentMethod: '' }, ['paymentMethod']],
    ['other payment method', { paymentMethod: 'barter' }, ['paymentMethod']],
    ['no SKU', { sku: '' }, ['sku']],
    ['no quantity', { quantity: '' }, ['quantity']],
    ['zero', { quantity: '0' }, ['quantity']],
    ['negative', { quantity: '-1' }, ['quantity']],
    ['fraction', { quantity: '1.5' }, ['quantity']],
    ['too many', { quantity: '10001' }, ['quantity']],
    ['negative price', { unitPrice: '-5' }, ['unitPrice']],
    ['decimal comma', { unitPrice: '695,00' }, ['unitPrice']],
    ['fraction of a paisa', { unitPricePaise: '69500.5', unitPrice: '' }, ['unitPricePaise']],
    ['two prices', { unitPricePaise: '100' }, ['unitPrice']],
    ['huge price', { unitPrice: '10000000.01' }, ['unitPrice']],
    ['bad HSN', { hsnCode: '12' }, ['hsnCode']],
    ['half a parcel', { weightGrams: '500', lengthMm: '100' }, ['breadthMm', 'heightMm']],
    ['weightless parcel', { weightGrams: '0', lengthMm: '1', breadthMm: '1', heightMm: '1' }, ['weightGrams']],
    ['too many tags', { tags: Array.from({ length: 51 }, (_, i) => `t${i}`).join(';') }, ['tags']],
    ['long tag', { tags: 'x'.repeat(51) }, ['tags']],
    ['long notes', { notes: 'x'.repeat(2001) }, ['notes']],
    ['several at once', { customerPhone: '1', pincode: 'x', quantity: '0' }, ['pincode', 'customerPhone', 'quantity']],
  ];
  for (const [name, change, fields] of faulty) {
    it(`refuses ${name}`, async () => {
      const { orders, faults } = await readAll(bytes(ownFile(change, { externalId: 'NEXT' })));
      assert.deepEqual(orders.map(({ externalId }) => externalId), ['NEXT']);
      assert.deepEqual(faults.flatMap((fault) => fault.faults.map(({ field }) => field)), fields);
      assert.equal(faults[0]?.line, 2);
    });
  }

  it('refuses an order of more than 200 lines and keeps the next', async () => {
    const rows = Array.from({ length: 201 }, () => ({}));
    const { orders, faults } = await readAll(bytes(ownFile(...rows, { externalId: 'NEXT' })));
    assert.deepEqual(orders.map(({ externalId, line }) => [externalId, line]), [['NEXT', 203]]);
    assert.deepEqual(faults.map(({ rows: n }) => n), [201]);
    assert.equal((await readAll(bytes(ownFile(...rows.slice(1))))).orders[0]?.order.lines.length, 200);
  });

  it('never pulls more of a stream than a piece ahead of its reader', async () => {
    let produced = 0;
    let ahead = 0;
    let read = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      const [head = ''] = ownFile({}).split('\n');
      yield Buffer.from(`${head}\n`);
      for (; produced < 10_000; produced += 1) {
        yield Buffer.from(`E-${produced},Asha Rao,98${String(20_000_000 + produced)},"12, MG Road",Pune,411001,cod,TEA,1,695\n`);
      }
    }
    for await (const one of readOrders(endless(), { knownPincode })) {
      assert.ok(!isRowFault(one));
      read += 1;
      ahead = Math.max(ahead, produced - read);
    }
    assert.equal(read, 10_000);
    assert.ok(ahead < 1_000, `${ahead} rows ahead`);
  });

  it('what is written as CSV comes back the same', async () => {
    const text = (max: number) =>
      fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: max })
        .map((s) => oneLine(s.replace(/[\p{C}\ufffd]/gu, '')))
        .filter((s) => s !== '' && s.length <= 64);
    const line = fc.record({
      sku: text(20),
      name: text(30),
      quantity: fc.integer({ min: 1, max: 10_000 }),
      unitPricePaise: fc.integer({ min: 0, max: 1_000_000_000 }),
    });
    const phone = fc.integer({ min: 0, max: 999_999_999 }).map((n) => `+919${String(n).padStart(9, '0')}`);
    const order = fc.record({
      customer: fc.record({ name: text(40), phone }),
      line1: text(60),
      city: text(30),
      notes: fc.constantFrom('', 'Leave with security\nGate 2', 'say "namaste"; then, call', '=SUM(A1)'),
      paymentMethod: fc.constantFrom('cod' as const, 'prepaid' as const),
      lines: fc.array(line, { minLength: 1, maxLength: 4 }),
    });
    const head = [
      'externalId', 'customerName', 'customerPhone', 'line1', 'city', 'pincode', 'paymentMethod', 'notes', 'sku', 'itemName',
      'quantity', 'unitPricePaise',
    ];
    const file = (given: readonly Given[]) =>
      given.flatMap(({ customer, line1, city, paymentMethod, notes, lines }, i) =>
        lines.map((l) => [
          `R-${i}`, customer.name, customer.phone, line1, city, '411001', paymentMethod, notes, l.sku, l.name,
          String(l.quantity), String(l.unitPricePaise),
        ]),
      );
    type Given = typeof order extends fc.Arbitrary<infer T> ? T : never;
    const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
    await fc.assert(
      fc.asyncProperty(
        fc.array(order, { minLength: 1, maxLength: 5 }),
        fc.constantFrom('\n', '\r\n'),
        fc.integer({ min: 1, max: 400 }),
        async (given, end, size) => {
          const { orders, faults } = await readAll(bytes(csv([head, ...file(given)], end), size));
          assert.deepEqual(faults, []);
          const expected = given.map((o, i) => ({
            channel: 'file',
            externalId: `R-${i}`,
            customer: o.customer,
            shippingAddress: { line1: o.line1, city: o.city, state: 'Maharashtra', pincode: '411001', country: 'IN' },
            lines: o.lines,
            paymentMethod: o.paymentMethod,
            tags: [],
            ...(o.notes !== '' && { notes: o.notes }),
          }));
          assert.deepEqual(plain(orders.map((one) => one.order)), plain(expected));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('imports: Shopify orders', () => {
  it('keeps discount, shipping, total and time, and the code as text', async () => {
    const order = await oneOrder(shopifyFile({}));
    assert.deepEqual(order, {
      channel: 'shopify',
      externalId: '#1',
      customer: { name: 'Asha Rao', phone: '+919800806360', email: 'a@example.in' },
      shippingAddress: { line1: 'MG Road', city: 'Pune', state: 'Maharashtra', pincode: '411001', country: 'IN' },
      lines: [{ sku: 'TEA', name: 'Tea', quantity: 2, unitPricePaise: 69_500 }],
      paymentMethod: 'cod',
      tags: [],
      discountPaise: 10_000,
      shippingPaise: 6_000,
      totalPaise: 135_000,
      discountCodeText: 'WELCOME100',
      placedAt: new Date('2026-09-18T22:27:20Z'),
    });
  });

  it('falls back for phone, street and SKU, puts the company first, and splits tags', async () => {
    assert.equal((await oneOrder(shopifyFile({ 'Shipping Phone': '', 'Billing Phone': "'+919800806361" }))).customer.phone, '+919800806361');
    assert.equal((await oneOrder(shopifyFile({ 'Shipping Phone': '', Phone: '09800806362' }))).customer.phone, '+919800806362');
    const street = await oneOrder(shopifyFile({ 'Shipping Address1': '', 'Shipping Street': 'Flat 1\nTower B', 'Shipping Company': 'Annapurna' }));
    assert.equal(street.shippingAddress.line1, 'Annapurna, Flat 1, Tower B');
    const slug = await oneOrder(shopifyFile({ 'Lineitem sku': '', 'Lineitem name': 'Silk Saree, Red', Tags: 'gift, vip' }));
    assert.equal(slug.lines[0]?.sku, 'silk-saree-red');
    assert.deepEqual(slug.tags, ['gift', 'vip']);
    assert.equal(skuFromName('चाय 250 g'), 'चाय-250-g');
    assert.equal(skuFromName('***'), '');
  });

  it('takes the province by name when its code is strange, and counts line discounts', async () => {
    const named = await oneOrder(shopifyFile({ 'Shipping Province': 'ZZ', 'Shipping Province Name': 'Kerala' }));
    assert.equal(named.shippingAddress.state, 'Kerala');
    const order = await oneOrder(shopifyFile({ 'Lineitem discount': '90.00', Subtotal: '1200.00', Total: '1260.00' }));
    assert.equal(order.discountPaise, 19_000);
  });

  it('keeps a billing address that is another complete Indian one', async () => {
    const billing = { 'Billing Address1': 'Park Street', 'Billing City': 'Kolkata', 'Billing Zip': "'700016", 'Billing Province': 'WB', 'Billing Country': 'IN' };
    assert.equal((await oneOrder(shopifyFile(billing))).billingAddress?.state, 'West Bengal');
    assert.equal((await oneOrder(shopifyFile({ ...billing, 'Billing Country': 'US' }))).billingAddress, undefined);
    assert.equal((await oneOrder(shopifyFile({ ...billing, 'Billing City': '' }))).billingAddress, undefined);
  });

  it('paid is prepaid', async () => {
    const order = await oneOrder(shopifyFile({ 'Financial Status': 'paid', 'Payment Method': 'Razorpay Secure (UPI)' }));
    assert.equal(order.paymentMethod, 'prepaid');
  });

  const faulty: [string, Record<string, string>, string[]][] = [
    ['cancelled', { 'Cancelled at': '2026-09-20 10:00:00 +0530' }, ['Cancelled at']],
    ['refunded', { 'Financial Status': 'refunded' }, ['Financial Status']],
    ['partly refunded', { 'Financial Status': 'partially_refunded' }, ['Financial Status']],
    ['refunded amount', { 'Financial Status': 'paid', 'Refunded Amount': '10.00' }, ['Refunded Amount']],
    ['voided', { 'Financial Status': 'voided' }, ['Financial Status']],
    ['authorised only', { 'Financial Status': 'authorized' }, ['Financial Status']],
    ['no status', { 'Financial Status': '' }, ['Financial Status']],
    ['unknown status', { 'Financial Status': 'guessed' }, ['Financial Status']],
    ['pending without COD', { 'Payment Method': 'Bank Deposit' }, ['Payment Method']],
    ['foreign currency', { Currency: 'USD' }, ['Currency']],
    ['foreign country', { 'Shipping Country': 'US' }, ['Shipping Country']],
    ['bad zip', { 'Shipping Zip': '1234' }, ['Shipping Zip']],
    ['no phone anywhere', { 'Shipping Phone': '' }, ['Shipping Phone']],
    ['negative quantity', { 'Lineitem quantity': '-2' }, ['Lineitem quantity']],
    ['fractional quantity', { 'Lineitem quantity': '0.5' }, ['Lineitem quantity']],
    ['no price', { 'Lineitem price': '' }, ['Lineitem price']],
    ['nameless item', { 'Lineitem name': '', 'Lineitem sku': '' }, ['Lineitem name']],
    ['a wrong subtotal', { Subtotal: '1291.00', Total: '1351.00' }, ['Subtotal']],
    ['a wrong total', { Total: '1349.99' }, ['Total']],
    ['taxes on top', { Total: '1546.78' }, ['Total']],
    ['a bad time', { 'Created at': '19/09/2026' }, ['Created at']],
    ['an impossible time', { 'Created at': '2026-13-45 03:57:20 +0530' }, ['Created at']],
    ['no name', { Name: '' }, ['Name']],
  ];
  for (const [name, change, fields] of faulty) {
    it(`refuses ${name}`, async () => assert.deepEqual(await fieldsOf(shopifyFile(change)), fields));
  }

  it('a total that contradicts the first row, and a lost row, are faults', async () => {
    const empty = Object.fromEntries(Object.keys(SHOPIFY).map((column) => [column, '']));
    const item = { ...empty, Name: '#1', 'Lineitem name': 'Ghee', 'Lineitem quantity': '1', 'Lineitem price': '850.00' };
    const first = { Subtotal: '2140.00', Total: '2200.00' };
    assert.equal((await oneOrder(shopifyFile(first, item))).lines.length, 2);
    assert.deepEqual(await fieldsOf(shopifyFile(first)), ['Subtotal']);
    assert.deepEqual(await fieldsOf(shopifyFile(first, { ...item, Total: '1.00' })), ['Total']);
  });
});

describe('imports: other kinds and errors.csv', () => {
  async function table<T>(rows: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const row of rows) all.push(row);
    return all;
  }

  it('reads products', async () => {
    const file = 'sku,name,price,hsnCode,taxBp,weightGrams\nTEA,Tea,695.00,0902,500,250\nTEA,Again,1,,,\nX,,-1,1,x,0\n';
    const [ok, twice, bad] = await table(readProducts(bytes(file)));
    assert.deepEqual(ok, {
      line: 2,
      record: 1,
      key: 'TEA',
      value: { sku: 'TEA', name: 'Tea', pricePaise: 69_500, hsnCode: '0902', taxBp: 500, weightGrams: 250 },
    });
    assert.ok(twice && isRowFault(twice) && twice.duplicate);
    assert.ok(bad && isRowFault(bad));
    assert.deepEqual(bad.faults.map(({ field }) => field), ['price', 'hsnCode', 'name', 'taxBp', 'weightGrams']);
  });

  it('reads serviceability and pincodes', async () => {
    const rows = await table(readServiceabilityRows(bytes('pincode,prepaid,cod,oda,sortCode\n411001,Y,no,1,PNQ/1\n411002,maybe,,,\n')));
    assert.deepEqual(rows[0], {
      line: 2,
      record: 1,
      key: '411001',
      value: { pincode: '411001', prepaid: true, cod: false, pickup: false, reverse: false, oda: true, sortCode: 'PNQ/1' },
    });
    assert.ok(rows[1] && isRowFault(rows[1]));
    const pins = await table(readPincodes(createReadStream(new URL('../../data/pincodes.csv', import.meta.url))));
    assert.deepEqual(pins.filter((pin) => isRowFault(pin)), []);
    assert.equal(pins.length, 19_586);
  });

  it('writes errors.csv that no spreadsheet runs', () => {
    const fault: Pick<RowFault, 'line' | 'record' | 'faults'> = {
      line: 5,
      record: 4,
      faults: [
        { field: 'quantity', message: 'must be a whole number from 1 to 10000' },
        { field: '=cmd|x', message: 'a, "b"', line: 7, record: 5 },
      ],
    };
    assert.equal(ERRORS_CSV_HEADER + errorsCsvRows(fault), [
      'line,record,field,message',
      '5,4,quantity,must be a whole number from 1 to 10000',
      `7,5,'=cmd|x,"a, ""b"""`,
      '',
    ].join('\r\n'));
    for (const start of ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) assert.match(csvCell(`${start}1`), /^"?'/);
  });
});
