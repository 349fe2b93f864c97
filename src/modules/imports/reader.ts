import { TextDecoder } from 'node:util';
import { invalid } from '../../platform/errors.ts';
import { MAX_ROW_BYTES, csvSplitter, lineSplitter } from './csv.rules.ts';
import type { RawRow } from './csv.rules.ts';

/** One data row: cells of a CSV row, or the values of a JSON line by lower-case key; `fault` when it cannot be read. */
export interface FileRow {
  /** Physical line of the file where the row begins, 1-based, the header included. */
  line: number;
  /** Number of the row among the data rows, 1-based; blank lines do not count. */
  record: number;
  cells: readonly string[];
  values?: ReadonlyMap<string, string>;
  fault?: string;
}

/** What a file turned out to be, before its first row. `header` is empty for JSON lines. */
export interface FileHead {
  format: 'csv' | 'jsonl';
  header: readonly string[];
}

export interface ReadOptions {
  fileName?: string;
}

export type ByteSource = AsyncIterable<Uint8Array | string>;

const PIECE_CHARS = 32_768;

/** A header cell or JSON key as it is compared: lower case, without spaces, underscores and hyphens. */
export function columnKey(name: string): string {
  return name.toLowerCase().replace(/[\s_-]+/g, '');
}

function decoderFor(first: Uint8Array): TextDecoder {
  if (first[0] === 0xff && first[1] === 0xfe) return new TextDecoder('utf-16le');
  if (first[0] === 0xfe && first[1] === 0xff) return new TextDecoder('utf-16be');
  return new TextDecoder('utf-8');
}

/** Text of a byte stream in pieces of at least 32 Ki characters: an unfinished row is not scanned once per chunk. */
async function* decodePieces(source: ByteSource): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined;
  let head: Uint8Array = new Uint8Array(0);
  let pending: string[] = [];
  let length = 0;
  for await (const chunk of source) {
    let bytes: Uint8Array = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (decoder === undefined) {
      head = head.length === 0 ? bytes : Buffer.concat([head, bytes]);
      if (head.length < 2) continue;
      decoder = decoderFor(head);
      bytes = head;
    }
    for (let at = 0; at < bytes.length; at += PIECE_CHARS) {
      const piece = decoder.decode(bytes.subarray(at, at + PIECE_CHARS), { stream: true });
      pending.push(piece);
      length += piece.length;
      if (length < PIECE_CHARS) continue;
      yield pending.join('');
      [pending, length] = [[], 0];
    }
  }
  if (decoder === undefined) pending.push(new TextDecoder().decode(head));
  else pending.push(decoder.decode());
  yield pending.join('');
}

async function* splitPieces(
  source: ByteSource,
  opts: ReadOptions,
): AsyncGenerator<{ format: 'csv' | 'jsonl'; rows: RawRow[] }> {
  const named = /\.(?:jsonl|ndjson)$/i.test(opts.fileName ?? '');
  let format: 'csv' | 'jsonl' | undefined = named ? 'jsonl' : undefined;
  let splitter = lineSplitter();
  let waiting = '';
  for await (const piece of decodePieces(source)) {
    if (format === undefined || waiting === '') {
      waiting += piece;
      const first = /\S/.exec(waiting)?.[0];
      if (first === undefined && waiting.length < MAX_ROW_BYTES) continue;
      if (first === '[') throw invalid('import_format', 'Send JSON lines (one object on each line), not a JSON array');
      format ??= first === '{' ? 'jsonl' : 'csv';
      if (format === 'csv') splitter = csvSplitter();
      yield { format, rows: splitter.push(waiting, false) };
    } else {
      yield { format, rows: splitter.push(piece, false) };
    }
  }
  if (format === undefined || waiting === '') return;
  yield { format, rows: splitter.push('', true) };
}

function scalarText(value: unknown): string | undefined {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value) && value.every((v) => typeof v === 'string' || typeof v === 'number')) return value.join(';');
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The records of one JSON line: an object of scalars by column name; `lines: [{…}]` in it gives one record each. */
function jsonRecords(text: string): Map<string, string>[] | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return 'is not a JSON object on one line';
  }
  if (!isObject(parsed)) return 'is not a JSON object on one line';
  const { lines, ...common } = parsed;
  if (lines !== undefined && !(Array.isArray(lines) && lines.length > 0 && lines.every(isObject))) {
    return 'has `lines` that is not a list of objects';
  }
  const records: Map<string, string>[] = [];
  for (const item of (lines as Record<string, unknown>[] | undefined) ?? [{}]) {
    const record = new Map<string, string>();
    for (const [name, value] of [...Object.entries(common), ...Object.entries(item)]) {
      const text = scalarText(value);
      if (text === undefined) return 'has a value that is neither text nor a number';
      if (record.has(columnKey(name))) return 'has the same column twice';
      record.set(columnKey(name), text);
    }
    records.push(record);
  }
  return records;
}

/**
 * The rows of an uploaded file in file order, first its head. CSV (comma, semicolon or tab; UTF-8 or UTF-16 with a byte
 * order mark; LF, CRLF or CR) or JSON lines, by the first character or the file's name. Memory is bounded by one row.
 * Throws `import_file_empty`, `import_format` or `import_header_unreadable`; a bad row is a row with `fault`.
 */
export async function* readFile(source: ByteSource, opts: ReadOptions = {}): AsyncGenerator<FileHead | FileRow> {
  let head: FileHead | undefined;
  let record = 0;
  for await (const { format, rows } of splitPieces(source, opts)) {
    if (format === 'jsonl' && head === undefined) yield (head = { format, header: [] });
    for (const row of rows) {
      if (head === undefined) {
        if (row.fault) throw invalid('import_header_unreadable', `The header ${row.fault}`, { line: row.line });
        yield (head = { format, header: row.cells.map((cell) => cell.trim()) });
        continue;
      }
      if (format === 'csv') {
        record += 1;
        yield { record, ...row, ...widthFault(row, head.header.length) };
        continue;
      }
      const values = row.fault ?? jsonRecords(row.cells[0] ?? '');
      if (typeof values === 'string') {
        record += 1;
        yield { line: row.line, record, cells: [], fault: values };
        continue;
      }
      for (const one of values) {
        record += 1;
        yield { line: row.line, record, cells: [], values: one };
      }
    }
  }
  if (head === undefined) throw invalid('import_file_empty', 'The file has no rows');
}

/** Cells beyond the header are let pass only when they are empty: a missing or extra cell shifts every one after it. */
function widthFault(row: RawRow, width: number): { fault?: string } {
  if (row.fault !== undefined || row.cells.length === width) return {};
  if (row.cells.length > width && row.cells.slice(width).every((cell) => cell === '')) return {};
  return { fault: `has ${row.cells.length} cells where the header has ${width}` };
}
