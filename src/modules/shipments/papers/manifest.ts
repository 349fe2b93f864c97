import { invalid } from '../../../platform/errors.ts';
import { formatRupees } from '../../../platform/money.ts';
import { fontsFor } from './fonts.ts';
import { formatMoment, formatPrice, formatWeight, joinLines, placeLine } from './formats.ts';
import { closePen, drawBlock, layOut, openPen, writeLine, type Pen } from './pen.ts';
import type { ManifestRow, ManifestView } from './paper.views.ts';

const PAGE = { width: 595.28, height: 841.89 };
const LEFT = 28;
const RIGHT = 567;
const TOP = 30;
const FOOT = 806;
const ROW_HEIGHT = 16;
const TABLE_HEAD = 18;
/** Where the table starts on the first page and on the others. */
const TABLE_TOP = { first: 158, next: 66 };
const SIGNATURE_HEIGHT = 128;
const GREY = '#f1f1f1';

interface Column {
  title: string;
  x: number;
  width: number;
  align: 'left' | 'right';
  weight?: 'bold';
  text: (row: ManifestRow, index: number) => string;
}

const COLUMNS: readonly Column[] = [
  { title: '#', x: 28, width: 22, align: 'right', text: (_row, index) => String(index + 1) },
  { title: 'AWB', x: 56, width: 98, align: 'left', weight: 'bold', text: (row) => row.awb },
  { title: 'ORDER', x: 158, width: 78, align: 'left', text: (row) => row.orderNumber },
  { title: 'CONSIGNEE', x: 240, width: 104, align: 'left', text: (row) => row.consigneeName },
  { title: 'CITY', x: 348, width: 74, align: 'left', text: (row) => row.city },
  { title: 'PINCODE', x: 426, width: 36, align: 'left', weight: 'bold', text: (row) => row.pincode },
  { title: 'COLLECT Rs', x: 464, width: 56, align: 'right', text: collectText },
  { title: 'WEIGHT', x: 524, width: 40, align: 'right', text: (row) => formatWeight(row.weightGrams) },
];

/** A manifest as an A4 PDF; the same view gives the same bytes. Refuses `nothing_to_print` without rows. */
export function renderManifest(view: ManifestView): Promise<Buffer> {
  return renderManifests([view]);
}

/** Several manifests in one PDF, each from a page of its own; refuses as renderManifest does. */
export async function renderManifests(views: readonly ManifestView[]): Promise<Buffer> {
  const [first] = views;
  if (!first || views.some((view) => view.rows.length === 0)) {
    throw invalid('nothing_to_print', 'A manifest needs at least one shipment');
  }
  const title = views.length === 1 ? `Manifest ${first.number}` : `${views.length} manifests`;
  const pen = openPen(await fontsFor(JSON.stringify(views)), title, first.createdAt, true);
  for (const view of views) drawManifest(pen, view);
  return closePen(pen);
}

function collectText(row: ManifestRow): string {
  return row.payment.mode === 'cod' ? formatRupees(row.payment.codPaise) : 'Prepaid';
}

/** Rows of each page; the last page keeps room for totals and signatures, even if that takes an empty page. */
function paginate(rows: readonly ManifestRow[]): ManifestRow[][] {
  const pages: ManifestRow[][] = [];
  let taken = 0;
  let space = 0;
  do {
    space = FOOT - (pages.length === 0 ? TABLE_TOP.first : TABLE_TOP.next) - TABLE_HEAD;
    const page = rows.slice(taken, taken + Math.floor(space / ROW_HEIGHT));
    taken += page.length;
    space -= page.length * ROW_HEIGHT;
    pages.push(page);
  } while (taken < rows.length || space < SIGNATURE_HEIGHT);
  return pages;
}

function drawManifest(pen: Pen, view: ManifestView): void {
  const pages = paginate(view.rows);
  let index = 0;
  pages.forEach((rows, page) => {
    pen.doc.addPage({ size: [PAGE.width, PAGE.height], margin: 0 });
    pen.doc.fillColor('black').strokeColor('black');
    const top = page === 0 ? TABLE_TOP.first : TABLE_TOP.next;
    drawPageHead(pen, view, page + 1, pages.length);
    if (page === 0) drawParties(pen, view);
    drawTable(pen, rows, index, top);
    index += rows.length;
    if (page === pages.length - 1) drawEnd(pen, view, top + TABLE_HEAD + rows.length * ROW_HEIGHT);
  });
}

function drawPageHead(pen: Pen, view: ManifestView, page: number, pages: number): void {
  const right = { width: 200, align: 'right' as const };
  writeLine(pen, 'PICKUP MANIFEST', LEFT, TOP + 14, { width: 170, size: 16, weight: 'bold' });
  writeLine(pen, view.courier, LEFT + 180, TOP + 14, { width: 150, size: 13, minSize: 8, weight: 'bold' });
  writeLine(pen, view.number, RIGHT, TOP + 6, { ...right, size: 10, minSize: 6, weight: 'bold' });
  writeLine(pen, `${formatMoment(view.createdAt)} · Page ${page} of ${pages}`, RIGHT, TOP + 19, { ...right, size: 8 });
  pen.doc.lineWidth(1.2).moveTo(LEFT, TOP + 27).lineTo(RIGHT, TOP + 27).stroke();
}

function drawParties(pen: Pen, view: ManifestView): void {
  const top = TOP + 40;
  const { pickup, seller } = view;
  writeLine(pen, 'PICKED UP FROM', LEFT, top, { width: 200, size: 6.5 });
  writeLine(pen, pickup.name, LEFT, top + 13, { width: 250, size: 11, minSize: 8, weight: 'bold' });
  const street = layOut(pen, joinLines(pickup), { width: 250, maxLines: 2, size: 8.5, minSize: 7 });
  drawBlock(pen, street, LEFT, top + 25);
  const below = street.lines.length > 1 ? 46 : 36;
  writeLine(pen, placeLine(pickup), LEFT, top + below, { width: 250, size: 8.5, minSize: 6.5, weight: 'bold' });
  if (pickup.phone) writeLine(pen, `Ph ${pickup.phone}`, LEFT, top + below + 11, { width: 250, size: 8.5 });

  writeLine(pen, 'SELLER', 300, top, { width: 200, size: 6.5 });
  writeLine(pen, seller.name, 300, top + 13, { width: 140, size: 10, minSize: 7, weight: 'bold' });
  if (seller.gstin) writeLine(pen, `GSTIN ${seller.gstin}`, 300, top + 25, { width: 140, size: 8, minSize: 6 });

  pen.doc.rect(452, top - 6, RIGHT - 452, 66).fill(GREY).fillColor('black');
  writeLine(pen, 'SHIPMENTS', 460, top + 4, { width: 100, size: 6.5 });
  writeLine(pen, String(view.rows.length), 460, top + 30, { width: 100, size: 28, weight: 'bold' });
  const { cod, prepaid } = totalsOf(view.rows);
  writeLine(pen, `${cod} COD, ${prepaid} prepaid`, 460, top + 48, { width: 100, size: 8.5 });
}

function drawTable(pen: Pen, rows: readonly ManifestRow[], from: number, top: number): void {
  const { doc } = pen;
  if (rows.length === 0) return;
  doc.rect(LEFT, top, RIGHT - LEFT, TABLE_HEAD - 3).fill('black').fillColor('white');
  for (const column of COLUMNS) {
    const x = column.align === 'right' ? column.x + column.width : column.x;
    writeLine(pen, column.title, x, top + 10, { width: column.width + 4, size: 6.5, weight: 'bold', align: column.align });
  }
  const bottom = top + TABLE_HEAD + rows.length * ROW_HEIGHT;
  for (let row = 1; row < rows.length; row += 2) {
    doc.rect(LEFT, top + TABLE_HEAD + row * ROW_HEIGHT - 2.5, RIGHT - LEFT, ROW_HEIGHT);
  }
  doc.fill(GREY).fillColor('black');
  rows.forEach((row, index) => drawRow(pen, row, from + index, top + TABLE_HEAD + index * ROW_HEIGHT));
  doc.lineWidth(0.6).moveTo(LEFT, bottom - 2).lineTo(RIGHT, bottom - 2).stroke();
}

function drawRow(pen: Pen, row: ManifestRow, index: number, top: number): void {
  for (const column of COLUMNS) {
    const x = column.align === 'right' ? column.x + column.width : column.x;
    const withBill = column.title === 'ORDER' && row.ewayBillNumber;
    const options = { width: column.width, size: 8, minSize: 6.5, weight: column.weight, align: column.align };
    writeLine(pen, column.text(row, index), x, top + (withBill ? 5.5 : 8), options);
  }
  if (row.ewayBillNumber) writeLine(pen, `EWB ${row.ewayBillNumber}`, 158, top + 12, { width: 78, size: 5.5, minSize: 5 });
}

function totalsOf(rows: readonly ManifestRow[]): { cod: number; prepaid: number; codPaise: number; grams: number } {
  const totals = { cod: 0, prepaid: 0, codPaise: 0, grams: 0 };
  for (const row of rows) {
    totals.grams += row.weightGrams;
    if (row.payment.mode === 'cod') {
      totals.cod += 1;
      totals.codPaise += row.payment.codPaise;
    } else totals.prepaid += 1;
  }
  return totals;
}

function drawEnd(pen: Pen, view: ManifestView, top: number): void {
  const { cod, prepaid, codPaise, grams } = totalsOf(view.rows);
  const parts = [
    `${view.rows.length} ${view.rows.length === 1 ? 'shipment' : 'shipments'}`,
    `${prepaid} prepaid`,
    `${cod} COD to collect ${formatPrice(codPaise)}`,
    `total weight ${formatWeight(grams)}`,
  ];
  writeLine(pen, `Total: ${parts.join(', ')}`, LEFT, top + 14, { width: RIGHT - LEFT, size: 9.5, minSize: 7, weight: 'bold' });
  const half = (RIGHT - LEFT - 14) / 2;
  drawSignature(pen, 'Handed over by (seller)', LEFT, top + 26, half);
  drawSignature(pen, `Received by (${view.courier})`, LEFT + half + 14, top + 26, half);
}

function drawSignature(pen: Pen, title: string, x: number, top: number, width: number): void {
  const { doc } = pen;
  doc.lineWidth(0.6).rect(x, top, width, 96).stroke();
  writeLine(pen, title, x + 8, top + 13, { width: width - 16, size: 8.5, minSize: 6, weight: 'bold' });
  ['Name and phone', 'Shipments counted', 'Date and time', 'Signature'].forEach((field, row) => {
    const y = top + 33 + row * 19;
    writeLine(pen, field, x + 8, y, { width: 80, size: 7.5 });
    doc.lineWidth(0.3).moveTo(x + 88, y + 2).lineTo(x + width - 8, y + 2).stroke();
  });
}
