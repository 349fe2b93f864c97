import { invalid } from '../../../platform/errors.ts';
import { drawCode128 } from './barcode.ts';
import { fontsFor } from './fonts.ts';
import { formatDay, formatPrice, formatSize, formatWeight, joinLines, placeLine } from './formats.ts';
import { blockWidth, closePen, drawBlock, layOut, openPen, writeLine, type Pen } from './pen.ts';
import type { LabelItem, LabelLayout, LabelView, PaperPayment } from './paper.views.ts';

const PAGE = { width: 288, height: 432 };
const SHEET = { width: 595.28, height: 841.89 };
const SHEET_SCALE = 0.95;
const PER_SHEET = 4;

const LEFT = 9;
const RIGHT = 279;
const INNER = 7;
/** Lower edges of the sections; fixed, so that no content can push another section away. */
const EDGE = { top: 9, header: 47, barcode: 128, payment: 162, consignee: 269, facts: 309, items: 364, bottom: 423 };
const ITEM_ROWS = 4;

/** A label as a PDF of one 4×6 inch page; the same view gives the same bytes. Refuses an AWB that no barcode can hold. */
export function renderLabel(label: LabelView): Promise<Buffer> {
  return renderLabels([label], { layout: 'thermal' });
}

/** Labels in the given order as one PDF. Refuses `nothing_to_print` for an empty list, else as renderLabel does. */
export async function renderLabels(labels: readonly LabelView[], options: { layout: LabelLayout }): Promise<Buffer> {
  const [first] = labels;
  if (!first) throw invalid('nothing_to_print', 'There are no labels to print');
  const fonts = await fontsFor(JSON.stringify(labels));
  const title = labels.length === 1 ? `Label ${first.awb}` : `${labels.length} labels`;
  const pen = openPen(fonts, title, first.bookedAt, labels.length > 1);
  if (options.layout === 'a4') drawSheets(pen, labels);
  else {
    for (const label of labels) {
      pen.doc.addPage({ size: [PAGE.width, PAGE.height], margin: 0 });
      drawLabel(pen, label);
    }
  }
  return closePen(pen);
}

function drawSheets(pen: Pen, labels: readonly LabelView[]): void {
  const { doc } = pen;
  const cell = { width: SHEET.width / 2, height: SHEET.height / 2 };
  labels.forEach((label, index) => {
    const place = index % PER_SHEET;
    if (place === 0) {
      doc.addPage({ size: [SHEET.width, SHEET.height], margin: 0 });
      doc.lineWidth(0.4).dash(3, { space: 3 });
      doc.moveTo(cell.width, 0).lineTo(cell.width, SHEET.height).moveTo(0, cell.height).lineTo(SHEET.width, cell.height);
      doc.stroke().undash();
    }
    doc.save();
    doc.translate(
      (place % 2) * cell.width + (cell.width - PAGE.width * SHEET_SCALE) / 2,
      Math.floor(place / 2) * cell.height + (cell.height - PAGE.height * SHEET_SCALE) / 2,
    );
    doc.scale(SHEET_SCALE);
    drawLabel(pen, label);
    doc.restore();
  });
}

function drawLabel(pen: Pen, label: LabelView): void {
  pen.doc.fillColor('black').strokeColor('black');
  drawFrame(pen);
  drawHeader(pen, label);
  drawCode128(pen, label.awb, { x: LEFT + 2, y: EDGE.header + 6, width: RIGHT - LEFT - 4, height: 54 });
  writeLine(pen, label.awb, (LEFT + RIGHT) / 2, EDGE.barcode - 7, {
    width: RIGHT - LEFT - 2 * INNER,
    size: 14,
    minSize: 7,
    weight: 'bold',
    align: 'center',
  });
  drawPayment(pen, label.payment);
  drawConsignee(pen, label);
  drawFacts(pen, label);
  drawItems(pen, label.items);
  drawFooter(pen, label);
}

function drawFrame(pen: Pen): void {
  const { doc } = pen;
  doc.lineWidth(1.2).rect(LEFT, EDGE.top, RIGHT - LEFT, EDGE.bottom - EDGE.top).stroke();
  doc.lineWidth(0.8);
  for (const y of [EDGE.header, EDGE.barcode, EDGE.payment, EDGE.consignee, EDGE.facts, EDGE.items]) {
    doc.moveTo(LEFT, y).lineTo(RIGHT, y);
  }
  doc.stroke();
}

function caption(pen: Pen, text: string, x: number, y: number, align: 'left' | 'right' = 'left'): void {
  writeLine(pen, text, x, y, { width: 140, size: 5.5, align });
}

function drawHeader(pen: Pen, label: LabelView): void {
  const split = label.sortCode ? 176 : RIGHT;
  const width = split - LEFT - 2 * INNER;
  writeLine(pen, label.courier, LEFT + INNER, EDGE.top + 19, { width, size: 17, minSize: 9, weight: 'bold' });
  writeLine(pen, label.service, LEFT + INNER, EDGE.top + 31, { width, size: 9, minSize: 7 });
  if (!label.sortCode) return;
  pen.doc.moveTo(split, EDGE.top).lineTo(split, EDGE.header).stroke();
  caption(pen, 'SORT CODE', split + INNER, EDGE.top + 9);
  const options = { width: RIGHT - split - 2 * INNER, size: 20, minSize: 8, weight: 'bold' as const };
  writeLine(pen, label.sortCode, (split + RIGHT) / 2, EDGE.header - 8, { ...options, align: 'center' });
}

function drawPayment(pen: Pen, payment: PaperPayment): void {
  const { doc } = pen;
  const baseline = EDGE.payment - 9.5;
  if (payment.mode === 'prepaid') {
    writeLine(pen, 'PREPAID', LEFT + INNER, baseline, { width: 150, size: 22, weight: 'bold' });
    writeLine(pen, 'Do not collect cash', RIGHT - INNER, baseline - 3, { width: 130, size: 9, align: 'right' });
    return;
  }
  doc.rect(LEFT, EDGE.barcode, RIGHT - LEFT, EDGE.payment - EDGE.barcode).fill();
  doc.fillColor('white');
  writeLine(pen, 'COD', LEFT + INNER, baseline, { width: 60, size: 22, weight: 'bold' });
  writeLine(pen, 'Collect on', LEFT + 62, baseline - 9, { width: 50, size: 7.5 });
  writeLine(pen, 'delivery', LEFT + 62, baseline, { width: 50, size: 7.5 });
  writeLine(pen, formatPrice(payment.codPaise), RIGHT - INNER, baseline, {
    width: 160,
    size: 22,
    minSize: 10,
    weight: 'bold',
    align: 'right',
  });
  doc.fillColor('black');
}

function drawConsignee(pen: Pen, label: LabelView): void {
  const { consignee } = label;
  const x = LEFT + INNER;
  const width = RIGHT - LEFT - 2 * INNER;
  caption(pen, 'DELIVER TO', x, EDGE.payment + 9);
  if (consignee.phone) {
    const options = { width: 130, size: 10, minSize: 7, weight: 'bold' as const, align: 'right' as const };
    writeLine(pen, `Ph ${consignee.phone}`, RIGHT - INNER, EDGE.payment + 12, options);
  }
  writeLine(pen, consignee.name, x, EDGE.payment + 24, { width, size: 13, minSize: 9.5, weight: 'bold' });
  const street = layOut(pen, joinLines(consignee), { width, height: 46, size: 11, minSize: 8 });
  drawBlock(pen, street, x, EDGE.payment + 38.5);

  const ruler = EDGE.consignee - 31;
  pen.doc.lineWidth(0.5).moveTo(x, ruler).lineTo(RIGHT - INNER, ruler).stroke().lineWidth(0.8);
  const pin = layOut(pen, consignee.pincode, { width: 120, maxLines: 1, size: 29, minSize: 10, weight: 'bold' });
  drawBlock(pen, pin, x, EDGE.consignee - 6);
  const room = width - blockWidth(pin) - 12;
  const right = RIGHT - INNER;
  const place = { width: room, weight: 'bold' as const, align: 'right' as const };
  writeLine(pen, consignee.city, right, EDGE.consignee - 19.5, { ...place, size: 11, minSize: 7 });
  writeLine(pen, consignee.state, right, EDGE.consignee - 6.5, { ...place, weight: 'regular', size: 9, minSize: 7 });
}

function drawFacts(pen: Pen, label: LabelView): void {
  const { invoice } = label;
  const rows = [
    [
      ['ORDER', label.orderNumber],
      ['BOOKED', formatDay(label.bookedAt)],
      ['WEIGHT', formatWeight(label.weightGrams)],
      ['SIZE', label.sizeMm ? formatSize(label.sizeMm) : '-'],
    ],
    [
      ['INVOICE', invoice?.number ?? '-'],
      ['INVOICE DATE', invoice?.issuedAt ? formatDay(invoice.issuedAt) : '-'],
      ['PIECES', String(pieces(label.items))],
      ['VALUE', label.valuePaise === undefined ? '-' : formatPrice(label.valuePaise)],
    ],
  ] as const;
  const columns = [LEFT, 105, 161, 203, RIGHT];
  const middle = (EDGE.consignee + EDGE.facts) / 2;
  const { doc } = pen;
  doc.lineWidth(0.4).moveTo(LEFT, middle).lineTo(RIGHT, middle);
  for (const x of columns.slice(1, -1)) doc.moveTo(x, EDGE.consignee).lineTo(x, EDGE.facts);
  doc.stroke().lineWidth(0.8);
  rows.forEach((row, rowIndex) => {
    const top = rowIndex === 0 ? EDGE.consignee : middle;
    row.forEach(([name, value], index) => {
      const x = (columns[index] ?? LEFT) + (index === 0 ? INNER : 4);
      const width = (columns[index + 1] ?? RIGHT) - x - 3;
      caption(pen, name, x, top + 7);
      writeLine(pen, value, x, top + 16.5, { width, size: 8.5, minSize: 6, weight: 'bold' });
    });
  });
}

function drawItems(pen: Pen, items: readonly LabelItem[]): void {
  const x = LEFT + INNER;
  const right = RIGHT - INNER;
  caption(pen, 'ITEMS', x, EDGE.facts + 8);
  caption(pen, 'SKU', 203, EDGE.facts + 8);
  caption(pen, 'QTY', right, EDGE.facts + 8, 'right');
  const shown = items.slice(0, items.length > ITEM_ROWS ? ITEM_ROWS - 1 : ITEM_ROWS);
  const baseline = (row: number) => EDGE.facts + 18 + row * 10.6;
  shown.forEach((item, row) => {
    const y = baseline(row);
    writeLine(pen, item.name, x, y, { width: 182, size: 8 });
    writeLine(pen, item.sku ?? '', 203, y, { width: 42, size: 7, minSize: 5.5 });
    writeLine(pen, String(item.quantity), right, y, { width: 24, size: 8, minSize: 5, weight: 'bold', align: 'right' });
  });
  const hidden = items.slice(shown.length);
  if (hidden.length === 0) return;
  const y = baseline(shown.length);
  writeLine(pen, `+ ${hidden.length} more`, x, y, { width: 182, size: 8, weight: 'bold' });
  const rest = { width: 28, size: 8, minSize: 5, weight: 'bold' as const, align: 'right' as const };
  writeLine(pen, String(pieces(hidden)), right, y, rest);
}

function pieces(items: readonly LabelItem[]): number {
  return items.reduce((sum, item) => sum + item.quantity, 0);
}

function drawFooter(pen: Pen, label: LabelView): void {
  const split = 121;
  const { seller, returnAddress: back } = label;
  pen.doc.moveTo(split, EDGE.items).lineTo(split, EDGE.bottom).stroke();

  const left = LEFT + INNER;
  const leftWidth = split - left - 4;
  caption(pen, 'SOLD BY', left, EDGE.items + 8);
  const name = layOut(pen, seller.name, { width: leftWidth, maxLines: 2, size: 9, minSize: 7, weight: 'bold' });
  drawBlock(pen, name, left, EDGE.items + 18);
  if (seller.gstin) {
    caption(pen, 'GSTIN', left, EDGE.bottom - 14);
    writeLine(pen, seller.gstin, left, EDGE.bottom - 5.5, { width: leftWidth, size: 8, minSize: 6, weight: 'bold' });
  }

  const x = split + 6;
  const width = RIGHT - INNER - x;
  caption(pen, 'IF UNDELIVERED, RETURN TO', x, EDGE.items + 8);
  writeLine(pen, back.name, x, EDGE.items + 18, { width, size: 8, minSize: 6.5, weight: 'bold' });
  const street = layOut(pen, joinLines(back), { width, maxLines: 2, size: 7, minSize: 6.5 });
  drawBlock(pen, street, x, EDGE.items + 27);
  writeLine(pen, placeLine(back), x, EDGE.items + 44.5, { width, size: 7.5, minSize: 6, weight: 'bold' });
  if (back.phone) writeLine(pen, `Ph ${back.phone}`, x, EDGE.bottom - 5.5, { width, size: 7, minSize: 6 });
}
