import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { inflateSync } from 'node:zlib';
import { create, type Font } from 'fontkit';

/** Scripts that the standard PDF fonts lack and a Noto Sans font serves. */
export type Script =
  | 'devanagari'
  | 'bengali'
  | 'gurmukhi'
  | 'gujarati'
  | 'oriya'
  | 'tamil'
  | 'telugu'
  | 'kannada'
  | 'malayalam'
  | 'arabic';

export type ScriptFonts = ReadonlyMap<Script, Font>;

const BLOCKS: ReadonlyArray<readonly [Script, number, number]> = [
  ['devanagari', 0x0900, 0x097f],
  ['bengali', 0x0980, 0x09ff],
  ['gurmukhi', 0x0a00, 0x0a7f],
  ['gujarati', 0x0a80, 0x0aff],
  ['oriya', 0x0b00, 0x0b7f],
  ['tamil', 0x0b80, 0x0bff],
  ['telugu', 0x0c00, 0x0c7f],
  ['kannada', 0x0c80, 0x0cff],
  ['malayalam', 0x0d00, 0x0d7f],
  ['arabic', 0x0600, 0x06ff],
  ['arabic', 0x0750, 0x077f],
  ['arabic', 0xfb50, 0xfdff],
  ['arabic', 0xfe70, 0xfefe],
];

const resolveFile = createRequire(import.meta.url).resolve;
const loading = new Map<Script, Promise<Font>>();

/** The script whose font draws this code point; undefined when no block of ours holds it. */
export function scriptOf(codePoint: number): Script | undefined {
  if (codePoint < 0x0600 || codePoint > 0xfefe) return undefined;
  return BLOCKS.find(([, from, to]) => codePoint >= from && codePoint <= to)?.[0];
}

/** The fonts that these texts need, each read once in the life of the process. Rejects when a font file is missing. */
export async function fontsFor(text: string): Promise<ScriptFonts> {
  const scripts = new Set<Script>();
  for (const found of text.match(/[\u0600-\u0d7f\ufb50-\ufefe]/g) ?? []) {
    const script = scriptOf(found.charCodeAt(0));
    if (script) scripts.add(script);
  }
  const sorted = [...scripts].sort();
  return new Map(await Promise.all(sorted.map(async (script) => [script, await loadFont(script)] as const)));
}

function loadFont(script: Script): Promise<Font> {
  const known = loading.get(script);
  if (known) return known;
  const family = `noto-sans-${script}`;
  const font = readFile(resolveFile(`@fontsource/${family}/files/${family}-${script}-500-normal.woff`)).then((woff) =>
    skipMissingAnchors(create(unpackWoff(woff))),
  );
  loading.set(script, font);
  font.catch(() => loading.delete(script));
  return font;
}

/**
 * fontkit 2.0.4 throws on a mark whose base has no anchor for it, which OpenType allows and Noto's Malayalam, Telugu and
 * Gurmukhi use (foliojs/fontkit issue 367). Such a mark keeps its own place.
 */
function skipMissingAnchors(font: Font): Font {
  const positioning = font._layoutEngine.engine?.GPOSProcessor;
  if (!positioning) return font;
  const apply = positioning.applyAnchor.bind(positioning);
  positioning.applyAnchor = (mark, base, index) => {
    if (mark.markAnchor && base) apply(mark, base, index);
  };
  return font;
}

/**
 * A WOFF 1.0 file as the plain sfnt inside it (W3C "WOFF File Format 1.0", sections 4 and 5). fontkit's own inflate
 * refuses stored deflate blocks, which some of these files have.
 */
function unpackWoff(woff: Buffer): Buffer {
  const count = woff.readUInt16BE(12);
  const header = Buffer.alloc(12 + 16 * count);
  woff.copy(header, 0, 4, 8);
  header.writeUInt16BE(count, 4);
  const parts: Buffer[] = [header];
  let offset = header.length;
  for (let index = 0; index < count; index += 1) {
    const entry = 44 + 20 * index;
    const start = woff.readUInt32BE(entry + 4);
    const packedLength = woff.readUInt32BE(entry + 8);
    const length = woff.readUInt32BE(entry + 12);
    const packed = woff.subarray(start, start + packedLength);
    const at = 12 + 16 * index;
    woff.copy(header, at, entry, entry + 4);
    woff.copy(header, at + 4, entry + 16, entry + 20);
    header.writeUInt32BE(offset, at + 8);
    header.writeUInt32BE(length, at + 12);
    const padding = Buffer.alloc((4 - (length % 4)) % 4);
    parts.push(packedLength < length ? inflateSync(packed) : packed, padding);
    offset += length + padding.length;
  }
  return Buffer.concat(parts);
}
