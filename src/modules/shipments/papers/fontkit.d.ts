declare module 'fontkit' {
  export interface Glyph {
    id: number;
    codePoints: number[];
    advanceWidth: number;
  }
  interface MarkRecord {
    markAnchor: object | null;
  }
  interface Positioning {
    applyAnchor(mark: MarkRecord, base: object | null, baseIndex: number): void;
  }
  export interface Font {
    readonly _layoutEngine: { engine: { GPOSProcessor?: Positioning | null } | null };
    postscriptName: string;
    unitsPerEm: number;
    hasGlyphForCodePoint(codePoint: number): boolean;
    layout(text: string): { glyphs: Glyph[]; advanceWidth: number };
  }
  export function create(data: Uint8Array): Font;
}
