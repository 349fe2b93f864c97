/** Bounds of one row; a row beyond them is a fault of that row, never of the file. */
export const MAX_CELL_CHARS = 10_000;
export const MAX_COLUMNS = 200;
export const MAX_ROW_BYTES = 65_536;

const QUOTE = 34;
const LF = 10;
const CR = 13;
const DELIMITERS = [',', ';', '\t'] as const;

/** A row as it stands in the file: physical line where it begins (1-based), and its cells or why it has none. */
export interface RawRow {
  line: number;
  cells: string[];
  fault?: string;
}

interface Scan {
  outcome: 'row' | 'more' | 'fault';
  end: number;
  cells: string[];
  breaks: number;
  fault: string;
}

const STRAY_QUOTE = 'has a quotation mark inside a cell that is not quoted; quote the cell and double the mark';
const AFTER_QUOTE = 'has text after the closing quotation mark of a cell; double a mark that belongs to the text';
const UNCLOSED = 'opens a quotation mark that is never closed';
const TOO_LONG = `is longer than ${MAX_ROW_BYTES / 1024} KiB; is a quotation mark left open?`;

/** The most frequent of comma, semicolon and tab in the first line, outside quotes; comma wins a tie. */
export function detectDelimiter(text: string): string {
  const counts: Record<string, number> = { ',': 0, ';': 0, '\t': 0 };
  let quoted = false;
  for (const char of text) {
    if (char === '"') quoted = !quoted;
    else if (!quoted && (char === '\n' || char === '\r')) break;
    else if (!quoted && char in counts) counts[char] = (counts[char] ?? 0) + 1;
  }
  return DELIMITERS.reduce<string>((best, d) => ((counts[d] ?? 0) > (counts[best] ?? 0) ? d : best), ',');
}

/** Index after the first line break from `from` on; -1 when there is none yet (a last CR may still get its LF). */
export function afterLineBreak(text: string, from: number, final: boolean): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === LF) return at + 1;
    if (code !== CR) continue;
    if (at + 1 === text.length) return final ? text.length : -1;
    return text.charCodeAt(at + 1) === LF ? at + 2 : at + 1;
  }
  return -1;
}

function countBreaks(text: string): number {
  let breaks = 0;
  for (let i = afterLineBreak(text, 0, true); i !== -1; i = afterLineBreak(text, i, true)) breaks += 1;
  return breaks;
}

/** Index of the closing quote of the cell that opens at `open`; -1 when the text has none (yet). */
function closingQuote(text: string, open: number): number {
  let at = text.indexOf('"', open + 1);
  while (at !== -1) {
    if (text.charCodeAt(at + 1) !== QUOTE) return at;
    at = text.indexOf('"', at + 2);
  }
  return -1;
}

/**
 * One row of RFC 4180 text from `start`, strictly: `fault` as soon as quoting is wrong (with the cells read before it),
 * `more` when the text ends before the row surely does. With `final` the end of the text ends the row.
 * Written here because csv-parse, told to skip bad rows, loses every row after a quotation mark that is never closed.
 */
export function scanRow(text: string, start: number, delimiter: number, final: boolean): Scan {
  const scan: Scan = { outcome: 'more', end: start, cells: [], breaks: 0, fault: TOO_LONG };
  const length = text.length;
  let at = start;
  for (;;) {
    if (at < length && text.charCodeAt(at) === QUOTE) {
      const close = closingQuote(text, at);
      if (close === -1) return Object.assign(scan, { outcome: final ? 'fault' : 'more', end: length, fault: UNCLOSED });
      const inner = text.slice(at + 1, close);
      if (inner.includes('\n') || inner.includes('\r')) scan.breaks += countBreaks(inner);
      scan.cells.push(inner.includes('"') ? inner.replaceAll('""', '"') : inner);
      at = close + 1;
    } else {
      const from = at;
      let code = 0;
      for (; at < length; at += 1) {
        code = text.charCodeAt(at);
        if (code === delimiter || code === LF || code === CR || code === QUOTE) break;
      }
      if (at < length && code === QUOTE) return Object.assign(scan, { outcome: 'fault', end: at, fault: STRAY_QUOTE });
      scan.cells.push(text.slice(from, at));
    }
    if (at >= length) return final ? Object.assign(scan, { outcome: 'row', end: length }) : scan;
    const code = text.charCodeAt(at);
    if (code === delimiter) {
      at += 1;
    } else if (code === LF || code === CR) {
      const end = afterLineBreak(text, at, final);
      if (end === -1) return scan;
      return Object.assign(scan, { outcome: 'row', end, breaks: scan.breaks + 1 });
    } else {
      return Object.assign(scan, { outcome: 'fault', end: at, fault: AFTER_QUOTE });
    }
  }
}

// Damaged bytes decode to U+FFFD; the rest are control characters that no cell of text has.
 
const NOT_TEXT = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffd]/;

/** Why the text of one row cannot be taken (damaged bytes, control characters, too long), or undefined. */
export function rowTextFault(text: string): string | undefined {
  if (text.length * 3 > MAX_ROW_BYTES && Buffer.byteLength(text) > MAX_ROW_BYTES) return TOO_LONG;
  const bad = NOT_TEXT.exec(text)?.[0];
  if (bad === undefined) return undefined;
  return bad === '\ufffd' ? 'has bytes that are not valid UTF-8; save the file as UTF-8' : 'has control characters';
}

function cellsFault(cells: readonly string[]): string | undefined {
  if (cells.length > MAX_COLUMNS) return `has more than ${MAX_COLUMNS} columns`;
  if (cells.some((cell) => cell.length > MAX_CELL_CHARS)) return `has a cell longer than ${MAX_CELL_CHARS} characters`;
  return undefined;
}

/** Cuts text that arrives in pieces into rows; `push(text, true)` ends it. Keeps at most one unfinished row. */
export interface RowSplitter {
  push(text: string, final: boolean): RawRow[];
}

/**
 * CSV rows with their physical lines. A faulty row ends where its first line ends and reading goes on at the next line,
 * so a quotation mark that is never closed costs one row and not its neighbours (the lines of a faulty multi-line row may
 * then be faults of their own). Blank lines are left out. An Excel `sep=;` line is obeyed.
 */
export function csvSplitter(): RowSplitter {
  let text = '';
  let line = 1;
  let delimiter: number | undefined;
  let discarding = false;

  const takeRow = (start: number, final: boolean, rows: RawRow[]): number => {
    const scan = scanRow(text, start, delimiter ?? 44, final);
    // A row over the bound is left at its first line even if its end has arrived: how a file is cut changes nothing.
    const tooLong = (scan.outcome === 'more' ? text.length : scan.end) - start > MAX_ROW_BYTES;
    if (scan.outcome === 'row' && !tooLong) {
      const fault = rowTextFault(text.slice(start, scan.end)) ?? cellsFault(scan.cells);
      if (scan.cells.some((cell) => cell !== '')) rows.push({ line, cells: scan.cells, ...(fault && { fault }) });
      line += scan.breaks;
      return scan.end;
    }
    if (scan.outcome === 'more' && !tooLong) return start;
    rows.push({ line, cells: scan.cells.slice(0, MAX_COLUMNS), fault: tooLong ? TOO_LONG : scan.fault });
    discarding = true;
    return start;
  };

  return {
    push(piece, final) {
      text += piece;
      const rows: RawRow[] = [];
      let at = 0;
      if (delimiter === undefined) {
        const first = afterLineBreak(text, 0, final);
        if (first === -1 && !final && text.length <= MAX_ROW_BYTES) return rows;
        const told = /^sep=([,;\t])\r?\n?$/i.exec(text.slice(0, first === -1 ? text.length : first))?.[1];
        delimiter = (told ?? detectDelimiter(text)).charCodeAt(0);
        if (told !== undefined) [at, line] = [first === -1 ? text.length : first, 2];
      }
      while (at < text.length) {
        if (discarding) {
          const next = afterLineBreak(text, at, final);
          if (next === -1) {
            at = text.endsWith('\r') && !final ? text.length - 1 : text.length;
            break;
          }
          [at, line, discarding] = [next, line + 1, false];
          continue;
        }
        const next = takeRow(at, final, rows);
        if (next === at && !discarding) break;
        at = next;
      }
      text = text.slice(at);
      return rows;
    },
  };
}

/** The lines of a text one by one, each as one cell. Blank lines are left out, too long ones are faults. */
export function lineSplitter(): RowSplitter {
  let text = '';
  let line = 1;
  let discarding = false;
  return {
    push(piece, final) {
      text += piece;
      const rows: RawRow[] = [];
      let at = 0;
      while (at < text.length) {
        const next = afterLineBreak(text, at, final);
        const end = next === -1 && final ? text.length : next;
        if (end === -1) {
          if (!discarding && text.length - at > MAX_ROW_BYTES) {
            rows.push({ line, cells: [], fault: TOO_LONG });
            discarding = true;
          }
          if (discarding) at = text.endsWith('\r') ? text.length - 1 : text.length;
          break;
        }
        const content = text.slice(at, end).trim();
        const fault = rowTextFault(content);
        if (!discarding && content !== '') rows.push({ line, cells: [content], ...(fault && { fault }) });
        [at, line, discarding] = [end, line + 1, false];
      }
      text = text.slice(at);
      return rows;
    },
  };
}
