import type { Cell, ColumnReader } from './columns.rules.ts';
import { TEXT_LIMITS } from './fields.rules.ts';
import type { FieldFault } from './fields.rules.ts';
import type { FileRow } from './reader.ts';

/** A record that cannot be imported, with all its faults at once. Positions are those of its first row. */
export interface RowFault {
  line: number;
  record: number;
  /** How many data rows of the file it covers. */
  rows: number;
  externalId?: string;
  /** Set when the only fault is that an earlier record of the file has the same id. */
  duplicate?: true;
  faults: FieldFault[];
}

export interface GroupRow<C extends string> {
  line: number;
  record: number;
  cell: Cell<C>;
}

/** Adjacent rows with one id. `faults` are what makes single rows unreadable. */
export interface RowGroup<C extends string> {
  id: string;
  line: number;
  record: number;
  rowCount: number;
  rows: GroupRow<C>[];
  faults: FieldFault[];
}

function openGroup<C extends string>(id: string, row: FileRow): RowGroup<C> {
  return { id, line: row.line, record: row.record, rowCount: 0, rows: [], faults: [] };
}

/**
 * Collects adjacent rows with the same id into groups, one at a time. A row without an id stands alone. A row that cannot
 * be read belongs to the group of its id cell when that much could be read, so an order is never imported without a line
 * that the file has. At most 200 rows of a group are kept; the rest only count.
 */
export async function* groupRows<C extends string>(
  rows: AsyncIterable<FileRow>,
  reader: ColumnReader<C>,
  idColumn: C,
): AsyncGenerator<RowGroup<C>> {
  let group: RowGroup<C> | undefined;
  for await (const row of rows) {
    const cell = reader.cell(row);
    const id = cell(idColumn);
    if (group === undefined || id === '' || id !== group.id) {
      if (group !== undefined) yield group;
      group = openGroup(id, row);
    }
    group.rowCount += 1;
    const fault = reader.fault(row);
    if (fault !== undefined) {
      if (group.faults.length < TEXT_LIMITS.lines) {
        group.faults.push({ field: '', message: `This row ${fault}`, line: row.line, record: row.record });
      }
    } else if (group.rows.length < TEXT_LIMITS.lines) group.rows.push({ line: row.line, record: row.record, cell });
  }
  if (group !== undefined) yield group;
}

/** Remembers where each id of a file stood first; answers that line for an id that comes again. */
export function idsSeen(): (id: string, line: number) => number | undefined {
  const seen = new Map<string, number>();
  return (id, line) => {
    const first = seen.get(id);
    if (first !== undefined) return first;
    // A slice of the file's text would keep the whole piece of the file alive; a copy does not.
    seen.set(Buffer.from(id).toString(), line);
    return undefined;
  };
}
