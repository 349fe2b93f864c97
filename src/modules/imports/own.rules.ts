import { ORDER_LAYOUT } from './columns.rules.ts';
import type { Cell, OrderColumn } from './columns.rules.ts';
import {
  TEXT_LIMITS,
  faultList,
  oneLine,
  readEmail,
  readPhone,
  readPlace,
  readRupees,
  readTags,
  readText,
  readWhole,
} from './fields.rules.ts';
import type { FaultList, FieldFault, KnownPincode } from './fields.rules.ts';
import type { GroupRow, RowGroup } from './grouping.rules.ts';
import { MAX_QUANTITY, MAX_UNIT_PRICE_PAISE, compact } from './order.rules.ts';
import type { ImportedLine, ImportedOrder, ImportedParcel } from './order.rules.ts';

const LINE_COLUMNS: ReadonlySet<OrderColumn> = new Set([
  'sku', 'itemName', 'quantity', 'unitPricePaise', 'unitPrice', 'hsnCode',
]);
const ORDER_ONLY = ORDER_LAYOUT.columns.filter((column) => !LINE_COLUMNS.has(column));

/** HSN code: 4, 6 or 8 digits. */
function readHsn(faults: FaultList, field: string, text: string): string | undefined {
  const code = text.replace(/^'/, '');
  if (code === '') return undefined;
  return /^(?:\d{4}|\d{6}|\d{8})$/.test(code) ? code : faults.add(field, 'must be 4, 6 or 8 digits');
}

function readUnitPrice(faults: FaultList, cell: Cell<OrderColumn>): number | undefined {
  const paise = readWhole(faults, 'unitPricePaise', cell('unitPricePaise'), { min: 0, max: MAX_UNIT_PRICE_PAISE });
  const rupees = readRupees(faults, 'unitPrice', cell('unitPrice'));
  if (paise !== undefined && rupees !== undefined && paise !== rupees) {
    return faults.add('unitPrice', 'differs from unitPricePaise; give one of them');
  }
  if ((rupees ?? 0) > MAX_UNIT_PRICE_PAISE) return faults.add('unitPrice', 'must be at most 1 crore rupees');
  return paise ?? rupees;
}

function readLine(faults: FaultList, cell: Cell<OrderColumn>): ImportedLine {
  return compact({
    sku: readText(faults, 'sku', oneLine(cell('sku')), { max: TEXT_LIMITS.sku, required: true }) ?? '',
    name: readText(faults, 'itemName', oneLine(cell('itemName')), { max: TEXT_LIMITS.itemName }),
    quantity: readWhole(faults, 'quantity', cell('quantity'), { min: 1, max: MAX_QUANTITY, required: true }) ?? 0,
    unitPricePaise: readUnitPrice(faults, cell),
    hsnCode: readHsn(faults, 'hsnCode', cell('hsnCode')),
  });
}

function readParcel(faults: FaultList, cell: Cell<OrderColumn>): ImportedParcel | undefined {
  const fields = ['weightGrams', 'lengthMm', 'breadthMm', 'heightMm'] as const;
  const given = fields.filter((field) => cell(field) !== '');
  if (given.length === 0) return undefined;
  const [weightGrams = 0, lengthMm = 0, breadthMm = 0, heightMm = 0] = fields.map((field) =>
    readWhole(faults, field, cell(field), { min: 1, max: field === 'weightGrams' ? 1_000_000 : 10_000, required: true }),
  );
  return { weightGrams, lengthMm, breadthMm, heightMm };
}

function readPayment(faults: FaultList, text: string): 'prepaid' | 'cod' {
  if (/^(?:cod|cash on delivery)$/i.test(text)) return 'cod';
  if (text === '') faults.add('paymentMethod', 'is required');
  else if (!/^(?:prepaid|paid)$/i.test(text)) faults.add('paymentMethod', 'must be prepaid or cod');
  return 'prepaid';
}

/** Further rows may leave the order's own columns empty or repeat them, never contradict the first row. */
function compareRows(faults: FieldFault[], first: GroupRow<OrderColumn>, row: GroupRow<OrderColumn>): void {
  for (const column of ORDER_ONLY) {
    const text = row.cell(column);
    if (text !== '' && text !== first.cell(column)) {
      faultList(faults, row).add(column, `differs from the first row of this order (line ${first.line})`);
    }
  }
}

/** One order from its rows in our own layout; every fault is in `faults`, and with any the answer means nothing. */
export function ownOrder(
  group: RowGroup<OrderColumn>,
  first: GroupRow<OrderColumn>,
  faults: FieldFault[],
  known: KnownPincode,
): ImportedOrder {
  const list = faultList(faults);
  const { cell } = first;
  const text = (field: OrderColumn, value: string, max: number, required = false) =>
    readText(list, field, value, { max, required });
  const country = cell('country');
  if (country !== '' && !/^(?:in|ind|india)$/i.test(country)) list.add('country', 'must be IN');
  const place = readPlace(
    list,
    { pincode: 'pincode', state: 'state' },
    { pincode: cell('pincode'), state: cell('state') },
    known,
  );
  const notes = cell('notes').replace(/\r\n?/g, '\n');
  const order: ImportedOrder = {
    channel: 'file',
    externalId: text('externalId', group.id, TEXT_LIMITS.externalId, true) ?? '',
    customer: compact({
      name: text('customerName', oneLine(cell('customerName')), TEXT_LIMITS.customerName, true) ?? '',
      phone: readPhone(list, 'customerPhone', cell('customerPhone')) ?? '',
      email: readEmail(list, 'customerEmail', cell('customerEmail')),
    }),
    shippingAddress: compact({
      line1: text('line1', oneLine(cell('line1'), ', '), TEXT_LIMITS.addressLine, true) ?? '',
      line2: text('line2', oneLine(cell('line2'), ', '), TEXT_LIMITS.addressLine),
      city: text('city', oneLine(cell('city')), TEXT_LIMITS.city, true) ?? '',
      state: place?.state ?? '',
      pincode: place?.pincode ?? '',
      country: 'IN' as const,
    }),
    lines: group.rows.map((row) => readLine(row === first ? list : faultList(faults, row), row.cell)),
    paymentMethod: readPayment(list, cell('paymentMethod')),
    parcel: readParcel(list, cell),
    tags: readTags(list, 'tags', cell('tags'), ';'),
    notes: text('notes', notes, TEXT_LIMITS.notes),
    couponCode: text('couponCode', cell('couponCode'), TEXT_LIMITS.couponCode),
  };
  for (const row of group.rows) if (row !== first) compareRows(faults, first, row);
  return compact(order);
}
