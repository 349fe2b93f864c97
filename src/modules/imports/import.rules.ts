import { AppError, invalid, type FieldFault } from '../../platform/errors.ts';
import type { RowFault } from './grouping.rules.ts';
import { FAULT_BOUNDS, IMPORT_KINDS, IMPORT_MODES, type Import, type ImportCounts, type ImportKind, type ImportMode, type ListedFault } from './import.model.ts';

/** A record of a file that may be stored, where it begins, and how many data rows it takes. */
export interface Candidate<T> {
  line: number;
  record: number;
  rows: number;
  value: T;
}

/** Signatures of what people upload by mistake, and how it is called. */
const SIGNATURES: readonly (readonly [bytes: string, name: string])[] = [
  ['25504446', 'a PDF'],
  ['504b0304', 'a zip archive or an Excel workbook (.xlsx)'],
  ['504b0506', 'a zip archive'],
  ['d0cf11e0', 'an old Excel workbook (.xls)'],
  ['89504e47', 'a picture'],
  ['ffd8ff', 'a picture'],
  ['47494638', 'a picture'],
  ['1f8b', 'a gzip archive'],
  ['52617221', 'a RAR archive'],
  ['377abcaf', 'a 7z archive'],
];

/** Refuses 415 `unsupported_file` what is no text by its first bytes, and 400 an empty file; names do not matter. */
export function assertText(head: Buffer): void {
  if (head.length === 0) throw invalid('import_file_empty', 'The file is empty', { fields: [{ path: 'file', message: 'must not be empty' }] });
  const hex = head.toString('hex', 0, 4);
  const known = SIGNATURES.find(([bytes]) => hex.startsWith(bytes))?.[1];
  const wide = hex.startsWith('fffe') || hex.startsWith('feff');
  if (known === undefined && (wide || !head.includes(0))) return;
  throw new AppError('unsupported_type', 'unsupported_file', `This is ${known ?? 'a binary file'}; save the table as CSV or JSON lines and send that`, {
    fields: [{ path: 'file', message: 'must be CSV or JSON lines' }],
  });
}

/** What a form or the command line asks for. */
export interface ImportWish {
  kind: ImportKind;
  mode: ImportMode;
  force: boolean;
  courier?: string;
}

const COURIER = /^[a-z0-9][a-z0-9_-]{0,49}$/;

/** Reads the text fields of an upload; notes every fault. */
export function readWish(fields: Partial<Record<string, string>>, fault: (path: string, message: string) => void): ImportWish {
  const { kind, mode, force, courier } = fields;
  if (!isOneOf(IMPORT_KINDS, kind)) fault('kind', `must be one of ${IMPORT_KINDS.join(', ')}`);
  if (!isOneOf(IMPORT_MODES, mode)) fault('mode', `must be one of ${IMPORT_MODES.join(', ')}`);
  if (force !== undefined && force !== 'true' && force !== 'false') fault('force', 'must be true or false');
  if (courier !== undefined && kind !== 'serviceability') fault('courier', 'belongs to serviceability only');
  else if (courier !== undefined && !COURIER.test(courier)) fault('courier', 'must be the code of a courier, such as sandbox');
  return {
    kind: isOneOf(IMPORT_KINDS, kind) ? kind : 'orders',
    mode: isOneOf(IMPORT_MODES, mode) ? mode : 'skip_invalid',
    force: force === 'true',
    ...(courier === undefined ? {} : { courier }),
  };
}

function isOneOf<T extends string>(list: readonly T[], value: string | undefined): value is T {
  return list.some((item) => item === value);
}

/** True for a record that says nothing new: it stands in the file or in the database already. */
export function isDuplicate(fault: RowFault): boolean {
  return fault.duplicate === true;
}

/** A record that the business rules refused, as a fault of its first row; `order_exists` and the like are duplicates. */
export function refusalFault({ line, record, rows }: Omit<Candidate<unknown>, 'value'>, error: AppError): RowFault {
  const duplicate = /^(?:order|product)_exists$/.test(error.code);
  return { line, record, rows, ...(duplicate ? { duplicate } : {}), faults: faultsOf(error, record) };
}

const COLUMNS: Readonly<Record<string, string>> = { name: 'itemName', 'customer.name': 'customerName', 'customer.phone': 'customerPhone', 'customer.email': 'customerEmail' };

/** A field of an order as the file calls it; of the second line and further ones the row is told too. */
function placeOf(path: string, record: number): Pick<ListedFault, 'field' | 'record'> {
  const [, at = '0', inLine] = /^lines\.(\d+)\.(.+)$/.exec(path) ?? [];
  const field = inLine ?? path.replace(/^shippingAddress\./, '');
  return { field: COLUMNS[field] ?? field, ...(at === '0' ? {} : { record: record + Number(at) }) };
}

function faultsOf(error: AppError, record: number): ListedFault[] {
  const fields = error.details?.['fields'];
  const named = Array.isArray(fields) ? (fields as unknown[]) : [];
  const structured = named.filter((f): f is FieldFault => typeof f === 'object' && f !== null && 'path' in f && 'message' in f);
  if (structured.length > 0) return structured.map(({ path, message }) => ({ ...placeOf(path, record), message }));
  const [first] = named;
  return [{ field: typeof first === 'string' ? first : '', message: `${error.message} (${error.code})` }];
}

/** The counts after some more results. */
export function addCounts(counts: ImportCounts, stored: readonly { rows: number }[], faulty: readonly RowFault[]): ImportCounts {
  const duplicates = faulty.filter(isDuplicate).length;
  const rows = [...stored, ...faulty].reduce((sum, r) => sum + r.rows, 0);
  return {
    rows: counts.rows + rows,
    records: counts.records + stored.length + faulty.length,
    imported: counts.imported + stored.length,
    invalid: counts.invalid + faulty.length - duplicates,
    duplicates: counts.duplicates + duplicates,
  };
}

/** A fault as it is listed; a record with very many keeps its first ones. */
export function listedFault(importId: string, { line, record, faults }: RowFault): { importId: string; line: number; record: number; faults: ListedFault[] } {
  const kept = faults.slice(0, FAULT_BOUNDS.faults);
  return { importId, line, record, faults: kept.map(({ field, message, line, record }) => ({ field, message, ...(line === undefined ? {} : { line }), ...(record === undefined ? {} : { record }) })) };
}

/** True once nothing more will happen to an import. */
export function isOver(status: Import['status']): boolean {
  return status === 'completed' || status === 'rejected' || status === 'failed';
}

/** One sentence per rule that an ended import breaks; `stored` is how many rows carry its id, when they can. */
export function countFaults(row: Pick<Import, 'counts' | 'status' | 'listed'> & { _id: string }, stored: number | undefined): string[] {
  const { records, imported, invalid: bad, duplicates, rows } = row.counts;
  const faults: string[] = [];
  if (row.status === 'completed' && records !== imported + bad + duplicates) faults.push(`import ${row._id}: records are not imported + invalid + duplicates`);
  if (rows < records) faults.push(`import ${row._id}: it has more records than rows`);
  if (row.status === 'rejected' && imported > 0) faults.push(`import ${row._id}: was rejected and has stored ${imported}`);
  if (stored !== undefined && stored !== imported) faults.push(`import ${row._id}: says ${imported} imported, ${stored} are stored`);
  return faults;
}
