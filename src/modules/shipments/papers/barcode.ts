// The named export `raw` is another thing (a symbology) in the ES module; the default's is the encoder in both forms.
import bwipjs from 'bwip-js/node';
import { invalid } from '../../../platform/errors.ts';
import type { Pen } from './pen.ts';

/** One dot of a 203 dpi label printer in points: bars of whole dots print with clean edges. */
const PRINTER_DOT = 72 / 203.2;
const DOTS_PER_MODULE = { least: 2, most: 5 };
const QUIET_MODULES = 10;

/**
 * Draws Code 128 bars as vectors, centred in the box, with quiet zones of ten modules inside it (ISO/IEC 15417). Refuses
 * `awb_not_printable` unless the text is 1 to 40 visible ASCII characters, since a changed barcode would be a lie.
 */
export function drawCode128(pen: Pen, text: string, box: { x: number; y: number; width: number; height: number }): void {
  if (!/^[\x21-\x7e]{1,40}$/.test(text)) {
    throw invalid('awb_not_printable', 'An AWB on a label is 1 to 40 visible ASCII characters');
  }
  const [symbol] = bwipjs.raw({ bcid: 'code128', text });
  if (!symbol || !('sbs' in symbol)) throw invalid('awb_not_printable', 'The AWB has no Code 128 form');
  const modules = symbol.sbs.reduce((sum, width) => sum + width, 0);
  const widest = box.width / (modules + 2 * QUIET_MODULES);
  const dots = Math.min(DOTS_PER_MODULE.most, Math.floor(widest / PRINTER_DOT));
  // A very long number gets uneven bars rather than bars of a single dot, which no scanner reads.
  const snapped = dots >= DOTS_PER_MODULE.least;
  const module = snapped ? dots * PRINTER_DOT : widest;
  const start = box.x + (box.width - modules * module) / 2;
  let x = snapped ? Math.round(start / PRINTER_DOT) * PRINTER_DOT : start;
  symbol.sbs.forEach((width, index) => {
    if (index % 2 === 0) pen.doc.rect(x, box.y, width * module, box.height);
    x += width * module;
  });
  pen.doc.fill();
}
