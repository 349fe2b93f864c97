import PDFDocument from 'pdfkit';
import { cleanText, isRightToLeft, splitRuns, type TextRun } from './text.ts';
import type { ScriptFonts } from './fonts.ts';

export type Weight = 'regular' | 'bold';

interface Word {
  runs: TextRun[];
  /** At font size 1, so that trying another size costs a multiplication. */
  width: number;
  rightToLeft: boolean;
}

/** A PDF being drawn, with the fonts it may use and every word it has measured. */
export interface Pen {
  doc: PDFKit.PDFDocument;
  fonts: ScriptFonts;
  words: Map<string, Word[]>;
}

/** Text laid into lines of words, at one size, that is known to fit its box. */
export interface Block {
  weight: Weight;
  size: number;
  lines: Word[][];
}

/** `maxLines` lines, or as many as `height` points hold at the size that is chosen. */
export interface BlockOptions {
  width: number;
  maxLines?: number;
  height?: number;
  size: number;
  minSize?: number;
  weight?: Weight;
}

const LATIN_FONTS: Readonly<Record<Weight, string>> = { regular: 'Helvetica', bold: 'Helvetica-Bold' };
/** Helvetica's blank is 278/1000 of the size in both weights. */
const BLANK = 0.278;
/** Noto's letters stand taller than Helvetica's at the same size. */
const SCRIPT_SCALE = 0.94;
const SIZE_STEP = 0.5;
/** Distance of two baselines in sizes. */
const LEADING = 1.22;
const UNKNOWN: TextRun = { script: 'latin', text: '?' };
const ELLIPSIS = '…';
const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** Opens an empty document; the same arguments and the same drawing give the same bytes. */
export function openPen(fonts: ScriptFonts, title: string, createdAt: Date, compress: boolean): Pen {
  const info = { Title: title, Producer: 'Dakiya', Creator: 'Dakiya', CreationDate: createdAt };
  // pdfkit reads null as "load no font yet", which its types leave out.
  const options = { autoFirstPage: false, font: null as unknown as string, margin: 0, compress, info };
  const doc = new PDFDocument(options);
  // pdfkit takes a parsed font too, which its types leave out; a buffer would be parsed again for each document.
  for (const [script, font] of fonts) doc.registerFont(script, font as unknown as Buffer);
  return { doc, fonts, words: new Map() };
}

/** Ends the document and resolves to its bytes. */
export function closePen(pen: Pen): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    pen.doc.on('data', (chunk: Buffer) => chunks.push(chunk));
    pen.doc.on('end', () => resolve(Buffer.concat(chunks)));
    pen.doc.on('error', reject);
    pen.doc.end();
  });
}

/**
 * Lays text into lines of `width` points: at `size` if it fits whole, else smaller down to `minSize`, else cut with an
 * ellipsis. Never wider or taller than asked for.
 */
export function layOut(pen: Pen, text: string, options: BlockOptions): Block {
  const { width, size } = options;
  const weight = options.weight ?? 'regular';
  const minSize = Math.min(options.minSize ?? size, size);
  const words = measured(pen, text, weight);
  for (let trial = size; trial > minSize; trial -= SIZE_STEP) {
    const room = width / trial;
    if (words.some((word) => word.width > room)) continue;
    const lines = wrap(words, room);
    if (lines.length <= linesAt(trial, options)) return { weight, size: trial, lines };
  }
  return { weight, size: minSize, lines: wrapHard(pen, words, weight, width / minSize, linesAt(minSize, options)) };
}

function linesAt(size: number, options: BlockOptions): number {
  if (options.height === undefined) return options.maxLines ?? 1;
  return Math.max(1, Math.floor((options.height - size) / (size * LEADING)) + 1);
}

/** Width in points of the widest line of a block. */
export function blockWidth(block: Block): number {
  return Math.max(0, ...block.lines.map((line) => lineWidth(line))) * block.size;
}

/** Draws a block with its first baseline at `y` and the next ones below. */
export function drawBlock(
  pen: Pen,
  block: Block,
  x: number,
  y: number,
  options: { align?: 'left' | 'right' | 'center' } = {},
): void {
  const step = block.size * LEADING;
  block.lines.forEach((line, index) => {
    const width = lineWidth(line) * block.size;
    const shift = options.align === 'right' ? width : options.align === 'center' ? width / 2 : 0;
    drawLine(pen, line, block, x - shift, y + index * step);
  });
}

/** One line of text with its baseline at `y`, cut to `width`; the short form of layOut and drawBlock. */
export function writeLine(
  pen: Pen,
  text: string,
  x: number,
  y: number,
  options: Omit<BlockOptions, 'maxLines' | 'height'> & { align?: 'left' | 'right' | 'center' },
): void {
  drawBlock(pen, layOut(pen, text, { ...options, maxLines: 1 }), x, y, { align: options.align });
}

function measured(pen: Pen, text: string, weight: Weight): Word[] {
  const key = `${weight}:${text}`;
  const known = pen.words.get(key);
  if (known) return known;
  const words = cleanText(text)
    .split(' ')
    .map((word) => measure(pen, splitRuns(word, pen.fonts), weight))
    .filter((word) => word.runs.length > 0);
  pen.words.set(key, words);
  return words;
}

function measure(pen: Pen, runs: TextRun[], weight: Weight): Word {
  const shaped = runs.map((run) => (canShape(pen, run) ? run : UNKNOWN));
  const width = shaped.reduce((sum, run) => sum + runWidth(pen, run, weight), 0);
  return { runs: shaped, width, rightToLeft: isRightToLeft(shaped) };
}

function runWidth(pen: Pen, run: TextRun, weight: Weight): number {
  const latin = run.script === 'latin';
  pen.doc.font(latin ? LATIN_FONTS[weight] : run.script).fontSize(100);
  return (pen.doc.widthOfString(run.text) / 100) * (latin ? 1 : SCRIPT_SCALE);
}

/** A label must come out whatever a buyer typed, so a sequence that breaks the shaper is printed as unknown. */
function canShape(pen: Pen, run: TextRun): boolean {
  if (run.script === 'latin') return true;
  try {
    runWidth(pen, run, 'regular');
    return true;
  } catch {
    return false;
  }
}

function lineWidth(line: readonly Word[]): number {
  return line.reduce((sum, word) => sum + word.width, 0) + Math.max(0, line.length - 1) * BLANK;
}

function wrap(words: readonly Word[], room: number): Word[][] {
  const lines: Word[][] = [];
  let used = 0;
  for (const word of words) {
    const line = lines.at(-1);
    if (line && used + BLANK + word.width <= room) {
      line.push(word);
      used += BLANK + word.width;
    } else {
      lines.push([word]);
      used = word.width;
    }
  }
  return lines;
}

function wrapHard(pen: Pen, words: readonly Word[], weight: Weight, room: number, maxLines: number): Word[][] {
  const lines = wrap(words.flatMap((word) => breakWord(pen, word, weight, room)), room);
  if (lines.length <= maxLines) return lines;
  const kept = lines.slice(0, maxLines);
  const last = kept.at(-1);
  // The next line is offered too, else a long word after a short one would vanish whole.
  if (last) kept[maxLines - 1] = withEllipsis(pen, [...last, ...(lines[maxLines] ?? [])], weight, room);
  return kept;
}

function breakWord(pen: Pen, word: Word, weight: Weight, room: number): Word[] {
  if (word.width <= room) return [word];
  const pieces: Word[] = [];
  let rest = graphemesOf(word);
  while (rest.length > 0) {
    const piece = longestThatFits(pen, rest, weight, room, '');
    pieces.push(piece.word);
    rest = rest.slice(Math.max(1, piece.count));
  }
  return pieces;
}

function withEllipsis(pen: Pen, line: readonly Word[], weight: Weight, room: number): Word[] {
  const words = [...line];
  for (let word = words.pop(); word; word = words.pop()) {
    const before = words.length > 0 ? lineWidth(words) + BLANK : 0;
    const cut = longestThatFits(pen, graphemesOf(word), weight, room - before, ELLIPSIS);
    if (cut.count > 0) return [...words, cut.word];
  }
  return [];
}

function graphemesOf(word: Word): string[] {
  return Array.from(graphemes.segment(word.runs.map((run) => run.text).join('')), (part) => part.segment);
}

function longestThatFits(
  pen: Pen,
  parts: readonly string[],
  weight: Weight,
  room: number,
  suffix: string,
): { word: Word; count: number } {
  const build = (count: number) =>
    measure(pen, splitRuns(parts.slice(0, count).join('') + suffix, pen.fonts), weight);
  let low = 0;
  let high = Math.min(parts.length, 400);
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (build(middle).width <= room) low = middle;
    else high = middle - 1;
  }
  return { word: build(low), count: low };
}

function drawLine(pen: Pen, line: readonly Word[], block: Block, x: number, y: number): void {
  let at = x;
  let pending = '';
  let pendingX = x;
  const flush = () => {
    if (pending) drawRun(pen, { script: 'latin', text: pending }, block, pendingX, y);
    pending = '';
  };
  for (const word of visualOrder(line)) {
    const [first] = word.runs;
    if (word.runs.length === 1 && first?.script === 'latin') {
      if (!pending) pendingX = at;
      pending += pending ? ` ${first.text}` : first.text;
    } else {
      flush();
      drawWord(pen, word, block, at, y);
    }
    at += (word.width + BLANK) * block.size;
  }
  flush();
}

function drawWord(pen: Pen, word: Word, block: Block, x: number, y: number): void {
  let at = x;
  for (const run of word.rightToLeft ? [...word.runs].reverse() : word.runs) {
    drawRun(pen, run, block, at, y);
    at += runWidth(pen, run, block.weight) * block.size;
  }
}

function drawRun(pen: Pen, run: TextRun, block: Block, x: number, y: number): void {
  const latin = run.script === 'latin';
  pen.doc
    .font(latin ? LATIN_FONTS[block.weight] : run.script)
    .fontSize(latin ? block.size : block.size * SCRIPT_SCALE)
    .text(run.text, x, y, { lineBreak: false, baseline: 'alphabetic' });
}

/** Neighbouring right-to-left words change places; all else stays, since the page reads from left to right. */
function visualOrder(line: readonly Word[]): Word[] {
  const ordered: Word[] = [];
  let start = 0;
  while (start < line.length) {
    let end = start + 1;
    while (line[start]?.rightToLeft && line[end]?.rightToLeft) end += 1;
    ordered.push(...line.slice(start, end).reverse());
    start = end;
  }
  return ordered;
}
