import { PINCODE_LAYOUT, PRODUCT_LAYOUT, SERVICEABILITY_LAYOUT, bindColumns } from './columns.rules.ts';
import type { Cell, Layout, PincodeColumn, ProductColumn, ServiceabilityColumn } from './columns.rules.ts';
import {
  TEXT_LIMITS,
  faultList,
  oneLine,
  parsePincode,
  readFlag,
  readRupees,
  readText,
  readWhole,
} from './fields.rules.ts';
import type { FaultList } from './fields.rules.ts';
import { idsSeen } from './grouping.rules.ts';
import type { RowFault } from './grouping.rules.ts';
import { MAX_UNIT_PRICE_PAISE, compact } from './order.rules.ts';
import { openFile } from './orders.rules.ts';
import type { ByteSource, FileRow, ReadOptions } from './reader.ts';
import { stateName } from './states.rules.ts';

export interface ImportedProduct {
  sku: string;
  name: string;
  pricePaise: number;
  hsnCode?: string;
  taxBp?: number;
  weightGrams?: number;
  lengthMm?: number;
  breadthMm?: number;
  heightMm?: number;
  maxPerOrder?: number;
}

export interface ImportedServiceability {
  pincode: string;
  prepaid: boolean;
  cod: boolean;
  pickup: boolean;
  reverse: boolean;
  oda: boolean;
  sortCode?: string;
}

export interface ImportedPincode {
  pincode: string;
  /** Empty where the source has none. */
  state: string;
  districts: string[];
}

/** One row of a table; `key` is what may stand only once in the file. */
export interface ParsedRow<T> {
  key: string;
  line: number;
  record: number;
  value: T;
}

function readPincode(faults: FaultList, text: string): string {
  return parsePincode(text) ?? faults.add('pincode', text === '' ? 'is required' : 'must be six digits') ?? '';
}

function readProduct(faults: FaultList, cell: Cell<ProductColumn>): ImportedProduct {
  const paise = readWhole(faults, 'pricePaise', cell('pricePaise'), { min: 0, max: MAX_UNIT_PRICE_PAISE });
  const rupees = readRupees(faults, 'price', cell('price'));
  if (cell('pricePaise') === '' && cell('price') === '') faults.add('pricePaise', 'is required, or price in rupees');
  if (paise !== undefined && rupees !== undefined && paise !== rupees) faults.add('price', 'differs from pricePaise');
  if ((rupees ?? 0) > MAX_UNIT_PRICE_PAISE) faults.add('price', 'must be at most 1 crore rupees');
  const hsnCode = cell('hsnCode').replace(/^'/, '');
  if (hsnCode !== '' && !/^(?:\d{4}|\d{6}|\d{8})$/.test(hsnCode)) faults.add('hsnCode', 'must be 4, 6 or 8 digits');
  const size = { min: 1, max: 10_000 };
  return compact({
    sku: readText(faults, 'sku', oneLine(cell('sku')), { max: TEXT_LIMITS.sku, required: true }) ?? '',
    name: readText(faults, 'name', oneLine(cell('name')), { max: TEXT_LIMITS.itemName, required: true }) ?? '',
    pricePaise: paise ?? rupees ?? 0,
    hsnCode: hsnCode || undefined,
    taxBp: readWhole(faults, 'taxBp', cell('taxBp'), { min: 0, max: 10_000 }),
    weightGrams: readWhole(faults, 'weightGrams', cell('weightGrams'), { min: 1, max: 1_000_000 }),
    lengthMm: readWhole(faults, 'lengthMm', cell('lengthMm'), size),
    breadthMm: readWhole(faults, 'breadthMm', cell('breadthMm'), size),
    heightMm: readWhole(faults, 'heightMm', cell('heightMm'), size),
    maxPerOrder: readWhole(faults, 'maxPerOrder', cell('maxPerOrder'), { min: 1, max: 10_000 }),
  });
}

function readServiceability(faults: FaultList, cell: Cell<ServiceabilityColumn>): ImportedServiceability {
  for (const field of ['prepaid', 'cod'] as const) if (cell(field) === '') faults.add(field, 'is required');
  return compact({
    pincode: readPincode(faults, cell('pincode')),
    prepaid: readFlag(faults, 'prepaid', cell('prepaid')) ?? false,
    cod: readFlag(faults, 'cod', cell('cod')) ?? false,
    pickup: readFlag(faults, 'pickup', cell('pickup')) ?? false,
    reverse: readFlag(faults, 'reverse', cell('reverse')) ?? false,
    oda: readFlag(faults, 'oda', cell('oda')) ?? false,
    sortCode: readText(faults, 'sortCode', cell('sortCode'), { max: 30 }),
  });
}

function readPincodeRow(faults: FaultList, cell: Cell<PincodeColumn>): ImportedPincode {
  const state = cell('state') === '' ? '' : stateName(cell('state'));
  if (state === undefined) faults.add('state', 'is not an Indian state or its code');
  return {
    pincode: readPincode(faults, cell('pincode')),
    state: state ?? '',
    districts: cell('districts').split(';').map((name) => oneLine(name)).filter((name) => name !== ''),
  };
}

async function* readTable<C extends string, T>(
  source: ByteSource,
  opts: ReadOptions,
  table: { layout: Layout<C>; key: C & keyof T; read: (faults: FaultList, cell: Cell<C>) => T },
): AsyncGenerator<ParsedRow<T> | RowFault> {
  const { head, rows } = await openFile(source, opts);
  const reader = bindColumns(table.layout, head);
  const seenBefore = idsSeen();
  for await (const row of rows as AsyncGenerator<FileRow>) {
    const at = { line: row.line, record: row.record };
    const unreadable = reader.fault(row);
    if (unreadable !== undefined) {
      yield { ...at, rows: 1, faults: [{ field: '', message: `This row ${unreadable}` }] };
      continue;
    }
    const list = faultList();
    const value = table.read(list, reader.cell(row));
    const key = String(value[table.key]);
    // A faulty row is not imported, so it does not stand in the way of a good one with its key.
    const firstLine = key === '' || list.all.length > 0 ? undefined : seenBefore(key, row.line);
    const duplicate = firstLine !== undefined;
    if (firstLine !== undefined) list.add(table.key, `is already in this file at line ${firstLine}`);
    if (list.all.length > 0) yield { ...at, rows: 1, ...(duplicate && { duplicate }), faults: list.all };
    else yield { ...at, key, value };
  }
}

/** Products, one a row; a SKU that comes again is a fault of the later row. File-level refusals as in readOrders. */
export function readProducts(
  source: ByteSource,
  opts: ReadOptions = {},
): AsyncGenerator<ParsedRow<ImportedProduct> | RowFault> {
  return readTable(source, opts, { layout: PRODUCT_LAYOUT, key: 'sku', read: readProduct });
}

/** Serviceability rows of one courier, one a pincode; missing pickup, reverse and oda mean no. */
export function readServiceabilityRows(
  source: ByteSource,
  opts: ReadOptions = {},
): AsyncGenerator<ParsedRow<ImportedServiceability> | RowFault> {
  return readTable(source, opts, { layout: SERVICEABILITY_LAYOUT, key: 'pincode', read: readServiceability });
}

/** Pincodes with state and districts, one a row; an empty state is kept as unknown. */
export function readPincodes(
  source: ByteSource,
  opts: ReadOptions = {},
): AsyncGenerator<ParsedRow<ImportedPincode> | RowFault> {
  return readTable(source, opts, { layout: PINCODE_LAYOUT, key: 'pincode', read: readPincodeRow });
}
