import { ORDER_LAYOUT, SHOPIFY_LAYOUT, bindColumns, isShopifyHeader } from './columns.rules.ts';
import type { ColumnReader } from './columns.rules.ts';
import { TEXT_LIMITS } from './fields.rules.ts';
import type { FieldFault, KnownPincode } from './fields.rules.ts';
import { groupRows, idsSeen } from './grouping.rules.ts';
import type { GroupRow, RowFault, RowGroup } from './grouping.rules.ts';
import type { ImportedOrder } from './order.rules.ts';
import { ownOrder } from './own.rules.ts';
import { readFile } from './reader.ts';
import type { ByteSource, FileHead, FileRow, ReadOptions } from './reader.ts';
import { shopifyOrder } from './shopify.rules.ts';

/** An order of the file, where it begins and how many data rows it takes. */
export interface ParsedOrder {
  externalId: string;
  line: number;
  record: number;
  rows: number;
  order: ImportedOrder;
}

export interface ReadOrdersOptions extends ReadOptions {
  knownPincode: KnownPincode;
}

type OrderBuilder<C extends string> = (
  group: RowGroup<C>,
  first: GroupRow<C>,
  faults: FieldFault[],
  known: KnownPincode,
) => ImportedOrder;

/** True for a record that cannot be imported. */
export function isRowFault(result: object): result is RowFault {
  return 'faults' in result;
}

/** The head of a file and its rows; the head is always there, because an empty file is refused. */
export async function openFile(
  source: ByteSource,
  opts: ReadOptions,
): Promise<{ head: FileHead; rows: AsyncGenerator<FileHead | FileRow> }> {
  const rows = readFile(source, opts);
  const first = await rows.next();
  return { head: first.value as FileHead, rows };
}

function buildOrder<C extends string>(
  group: RowGroup<C>,
  idField: string,
  build: OrderBuilder<C>,
  known: KnownPincode,
): ImportedOrder | FieldFault[] {
  const [first] = group.rows;
  if (group.faults.length > 0 || first === undefined) return group.faults;
  if (group.rowCount > TEXT_LIMITS.lines) {
    return [{ field: idField, message: `has more than ${TEXT_LIMITS.lines} lines` }];
  }
  const faults: FieldFault[] = [];
  const order = build(group, first, faults, known);
  return faults.length > 0 ? faults : order;
}

async function* ordersOf<C extends string>(
  rows: AsyncIterable<FileRow>,
  reader: ColumnReader<C>,
  idColumn: C,
  build: OrderBuilder<C>,
  known: KnownPincode,
): AsyncGenerator<ParsedOrder | RowFault> {
  const seenBefore = idsSeen();
  for await (const group of groupRows(rows, reader, idColumn)) {
    const { line, record, rowCount, id } = group;
    const firstLine = id === '' ? undefined : seenBefore(id, line);
    // The id of rows of which none could be read may be any piece of text, so it is not handed on.
    const externalId = group.rows.length > 0 && id !== '' ? id.slice(0, TEXT_LIMITS.externalId) : undefined;
    const at = { line, record, rows: rowCount, ...(externalId !== undefined && { externalId }) };
    if (firstLine !== undefined && group.faults.length === 0) {
      const message = `is already in this file at line ${firstLine}; the rows of an order must stand together`;
      yield { ...at, duplicate: true, faults: [{ field: idColumn, message }] };
      continue;
    }
    const built = buildOrder(group, idColumn, build, known);
    if (Array.isArray(built)) yield { ...at, faults: built };
    else yield { externalId: built.externalId, line, record, rows: rowCount, order: built };
  }
}

/**
 * The orders of a file in file order, one at a time: Shopify's export when the header is one, else our own columns.
 * Adjacent rows with the same id are one order; rows of the same id further down are a fault of those later rows and leave
 * the first order as it is. Throws AppError `import_file_empty`, `import_format`, `import_header_unreadable` or
 * `import_columns_invalid` for the file as a whole; all else that is wrong comes as a RowFault in its place.
 */
export async function* readOrders(source: ByteSource, opts: ReadOrdersOptions): AsyncGenerator<ParsedOrder | RowFault> {
  const { head, rows } = await openFile(source, opts);
  const data = rows as AsyncGenerator<FileRow>;
  if (head.format === 'csv' && isShopifyHeader(head.header)) {
    yield* ordersOf(data, bindColumns(SHOPIFY_LAYOUT, head), 'Name', shopifyOrder, opts.knownPincode);
  } else {
    yield* ordersOf(data, bindColumns(ORDER_LAYOUT, head), 'externalId', ownOrder, opts.knownPincode);
  }
}
