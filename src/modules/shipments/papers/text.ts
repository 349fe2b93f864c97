import { scriptOf, type Script, type ScriptFonts } from './fonts.ts';

/** A stretch of text that one font draws: a standard font (`latin`) or the font of a script. */
export interface TextRun {
  script: Script | 'latin';
  text: string;
}

const PLAIN = /^[\x20-\x7e]*$/;
const WIN_ANSI_EXTRA = new Set('ƒ–—‘’‚“”„†‡•…€‰‹›ˆ™Œœ˜ŠšŸŽž');
/** Latin letters that Unicode does not decompose. */
const STROKED: Readonly<Record<string, string>> = { Ł: 'L', ł: 'l', Đ: 'D', đ: 'd', ı: 'i', Ħ: 'H', ħ: 'h' };
const JOINERS = '\u200c\u200d';

/** Longest text of one field that is looked at; ten times what fits into the largest box. */
const FIELD_LIMIT = 1_200;

/**
 * One line of text that can be measured and drawn: composed, without control, direction and private characters, runs of
 * blanks made one, and cut with an ellipsis far beyond what any box holds.
 */
export function cleanText(raw: string): string {
  const cut = raw.length > FIELD_LIMIT ? `${raw.slice(0, FIELD_LIMIT)}…` : raw;
  if (PLAIN.test(cut)) return cut.replace(/ {2,}/g, ' ').trim();
  return cut
    .normalize('NFC')
    .replace(/₹\s*/g, 'Rs ')
    .replace(/[\p{Cc}\p{Z}]+/gu, ' ')
    .replace(/[\p{Cf}\p{Cs}\p{Co}]/gu, (char) => (JOINERS.includes(char) ? char : ''))
    .replace(/(\p{M}{4})\p{M}+/gu, '$1')
    .replace(/ {2,}/g, ' ')
    .trim();
}

/**
 * The runs of one word. Letters that no font has become the Latin letter they decompose to or one `?`; symbols that no
 * font has (emoji) are left out, so nothing is ever drawn as an empty box.
 */
export function splitRuns(word: string, fonts: ScriptFonts): TextRun[] {
  if (PLAIN.test(word)) return word ? [{ script: 'latin', text: word }] : [];
  const runs: TextRun[] = [];
  for (const char of word) {
    const last = runs.at(-1);
    const run = runOf(char, last, fonts);
    if (!run || (run.text === '?' && last?.text.endsWith('?'))) continue;
    if (last?.script === run.script) last.text += run.text;
    else runs.push(run);
  }
  return runs;
}

/** True for a word that is read from right to left. */
export function isRightToLeft(runs: readonly TextRun[]): boolean {
  return runs.some((run) => run.script === 'arabic');
}

function runOf(char: string, last: TextRun | undefined, fonts: ScriptFonts): TextRun | undefined {
  const codePoint = char.codePointAt(0) ?? 0;
  if (isWinAnsi(codePoint, char)) return { script: 'latin', text: char };
  const previous = last && last.script !== 'latin' ? last.script : undefined;
  const own = scriptOf(codePoint);
  // The danda and the joiners are shared: they belong to the letters before them.
  const shared = JOINERS.includes(char) || codePoint === 0x964 || codePoint === 0x965;
  const script = shared ? previous ?? own : own;
  if (script && fonts.get(script)?.hasGlyphForCodePoint(codePoint)) return { script, text: char };
  const folded = STROKED[char] ?? char.normalize('NFKD').replace(/\p{M}+/gu, '');
  if (folded && [...folded].every((part) => isWinAnsi(part.codePointAt(0) ?? 0, part))) {
    return { script: 'latin', text: folded };
  }
  return /[\p{L}\p{N}]/u.test(char) ? { script: 'latin', text: '?' } : undefined;
}

function isWinAnsi(codePoint: number, char: string): boolean {
  if (codePoint <= 0xff) return (codePoint >= 0x20 && codePoint <= 0x7e) || codePoint >= 0xa1;
  return WIN_ANSI_EXTRA.has(char);
}
