import { invalid } from '../../platform/errors.ts';
import { columnKey } from './reader.ts';
import type { FileHead, FileRow } from './reader.ts';

/** Columns as documented; the required ones must be in the header, unknown ones are refused unless `open`. */
export interface Layout<C extends string = string> {
  name: string;
  columns: readonly C[];
  required: readonly C[];
  open?: boolean;
}

/** The trimmed text of one column of one row; empty when the row or the file has none. */
export type Cell<C extends string = string> = (column: C) => string;

const ORDER_COLUMNS = [
  'externalId', 'customerName', 'customerPhone', 'customerEmail', 'line1', 'line2', 'city', 'state', 'pincode', 'country',
  'paymentMethod', 'sku', 'itemName', 'quantity', 'unitPricePaise', 'unitPrice', 'hsnCode', 'weightGrams', 'lengthMm',
  'breadthMm', 'heightMm', 'couponCode', 'tags', 'notes',
] as const;
export type OrderColumn = (typeof ORDER_COLUMNS)[number];

/** Our own order columns, as api.md documents them. */
export const ORDER_LAYOUT: Layout<OrderColumn> = {
  name: 'orders',
  columns: ORDER_COLUMNS,
  required: [
    'externalId', 'customerName', 'customerPhone', 'line1', 'city', 'pincode', 'paymentMethod', 'sku', 'quantity',
  ],
};

const SHOPIFY_COLUMNS = [
  'Name', 'Email', 'Financial Status', 'Currency', 'Subtotal', 'Shipping', 'Taxes', 'Total', 'Discount Code',
  'Discount Amount', 'Created at', 'Lineitem quantity', 'Lineitem name', 'Lineitem price', 'Lineitem sku',
  'Lineitem discount', 'Billing Street', 'Billing Address1', 'Billing Address2', 'Billing Company', 'Billing City',
  'Billing Zip', 'Billing Province', 'Billing Country', 'Billing Phone', 'Billing Province Name', 'Shipping Name',
  'Billing Name', 'Shipping Street', 'Shipping Address1', 'Shipping Address2', 'Shipping Company', 'Shipping City',
  'Shipping Zip', 'Shipping Province', 'Shipping Country', 'Shipping Phone', 'Shipping Province Name', 'Notes',
  'Cancelled at', 'Payment Method', 'Refunded Amount', 'Tags', 'Phone',
] as const;
export type ShopifyColumn = (typeof SHOPIFY_COLUMNS)[number];

/** Shopify's order export; its other columns (Id, Location, Vendor, …) are known to be of no use here and passed over. */
export const SHOPIFY_LAYOUT: Layout<ShopifyColumn> = {
  name: 'shopify',
  columns: SHOPIFY_COLUMNS,
  required: [
    'Name', 'Financial Status', 'Currency', 'Subtotal', 'Shipping', 'Total', 'Discount Amount', 'Lineitem quantity',
    'Lineitem name', 'Lineitem price', 'Shipping Name', 'Shipping City', 'Shipping Zip', 'Payment Method',
  ],
  open: true,
};

const PRODUCT_COLUMNS = [
  'sku', 'name', 'pricePaise', 'price', 'hsnCode', 'taxBp', 'weightGrams', 'lengthMm', 'breadthMm', 'heightMm',
  'maxPerOrder',
] as const;
export type ProductColumn = (typeof PRODUCT_COLUMNS)[number];

/** Products; the price is `pricePaise` or `price` in rupees. */
export const PRODUCT_LAYOUT: Layout<ProductColumn> = {
  name: 'products',
  columns: PRODUCT_COLUMNS,
  required: ['sku', 'name'],
};

const SERVICEABILITY_COLUMNS = ['pincode', 'prepaid', 'cod', 'pickup', 'reverse', 'oda', 'sortCode'] as const;
export type ServiceabilityColumn = (typeof SERVICEABILITY_COLUMNS)[number];

/** Where a courier delivers and collects. */
export const SERVICEABILITY_LAYOUT: Layout<ServiceabilityColumn> = {
  name: 'serviceability',
  columns: SERVICEABILITY_COLUMNS,
  required: ['pincode', 'prepaid', 'cod'],
};

const PINCODE_COLUMNS = ['pincode', 'state', 'districts'] as const;
export type PincodeColumn = (typeof PINCODE_COLUMNS)[number];

/** Pincodes with state and `;`-separated districts, as in the reference file. */
export const PINCODE_LAYOUT: Layout<PincodeColumn> = {
  name: 'pincodes',
  columns: PINCODE_COLUMNS,
  required: ['pincode', 'state', 'districts'],
};

const SHOPIFY_MARKS = ['Name', 'Financial Status', 'Lineitem quantity', 'Lineitem name', 'Lineitem price'].map(columnKey);

/** True when the header is that of a Shopify order export. */
export function isShopifyHeader(header: readonly string[]): boolean {
  const keys = new Set(header.map(columnKey));
  return SHOPIFY_MARKS.every((mark) => keys.has(mark));
}

/** Reads rows by column name. */
export interface ColumnReader<C extends string> {
  /** Why the row cannot be read by these columns (the reader's own fault, or a JSON key that is no column), or undefined. */
  fault(row: FileRow): string | undefined;
  cell(row: FileRow): Cell<C>;
}

function jsonReader<C extends string>(layout: Layout<C>): ColumnReader<C> {
  const keys = new Set(layout.columns.map(columnKey));
  const keyOf = new Map(layout.columns.map((column) => [column, columnKey(column)]));
  return {
    fault: (row) => {
      if (row.fault !== undefined) return row.fault;
      const strange = [...(row.values?.keys() ?? [])].some((key) => !keys.has(key));
      return strange ? 'has a column that is not known' : undefined;
    },
    cell: (row) => (column) => row.values?.get(keyOf.get(column) ?? '')?.trim() ?? '',
  };
}

/**
 * Binds a file's header to a layout. Case, spaces, underscores and hyphens in names do not matter; columns without a name
 * are passed over. Throws `import_columns_invalid` naming every missing, unknown and repeated column; a first line in
 * which nothing is recognised is not repeated, because it may be data.
 */
export function bindColumns<C extends string>(layout: Layout<C>, head: FileHead): ColumnReader<C> {
  if (head.format === 'jsonl') return jsonReader(layout);
  const byKey = new Map(layout.columns.map((column) => [columnKey(column), column]));
  const at = new Map<string, number>();
  const unknown: string[] = [];
  const repeated: string[] = [];
  head.header.forEach((name, i) => {
    const column = byKey.get(columnKey(name));
    if (column === undefined) {
      if (name !== '' && !layout.open) unknown.push(name.slice(0, 40));
    } else if (at.has(column)) repeated.push(column);
    else at.set(column, i);
  });
  const missing = layout.required.filter((column) => !at.has(column));
  if (missing.length > 0 || unknown.length > 0 || repeated.length > 0) {
    throw invalid('import_columns_invalid', columnsMessage(layout.name, missing, at.size > 0 ? unknown : [], repeated), {
      missing,
      unknown: at.size > 0 ? unknown.slice(0, 20) : [],
      repeated,
    });
  }
  return {
    fault: (row) => row.fault,
    cell: (row) => (column) => row.cells[at.get(column) ?? -1]?.trim() ?? '',
  };
}

function columnsMessage(layout: string, missing: string[], unknown: string[], repeated: string[]): string {
  const parts = [
    missing.length > 0 ? `missing: ${missing.join(', ')}` : '',
    unknown.length > 0 ? `unknown: ${unknown.slice(0, 20).join(', ')}` : '',
    repeated.length > 0 ? `twice: ${repeated.join(', ')}` : '',
  ];
  return `The header does not fit the ${layout} columns; ${parts.filter((part) => part !== '').join('; ')}`;
}
