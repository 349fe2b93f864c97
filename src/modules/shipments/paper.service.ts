import type { Ctx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { conflict } from '../../platform/errors.ts';
import type { FileAnswer } from '../../platform/route.ts';
import { present } from '../../platform/present.ts';
import { ownCompany, type Company, type Place } from '../companies/index.ts';
import { getManifest } from './handover.service.ts';
import { renderInWorker } from './papers/paper-worker.ts';
import type { LabelLayout, LabelView, ManifestRow, PaperAddress, PaperPayment } from './papers/paper.views.ts';
import { getShipment, getShipments } from './shipment.service.ts';
import { shipments, type Shipment } from './shipment.model.ts';

/** The 4×6 inch label of one shipment; 409 `awb_not_assigned` before it has a number, `shipment_cancelled` after its end. */
export async function labelOf(ctx: Ctx, id: string): Promise<FileAnswer> {
  const [shipment, company] = await Promise.all([getShipment(ctx, id), ownCompany(ctx)]);
  const content = await renderInWorker('thermal', [labelView(shipment, company)]);
  return { contentType: 'application/pdf', filename: `label-${shipment.awb ?? id}.pdf`, content };
}

/** Many labels as one PDF in the order asked for; refuses what one label refuses. */
export async function labelsOf(ctx: Ctx, ids: readonly string[], layout: LabelLayout): Promise<FileAnswer> {
  const [rows, company] = await Promise.all([getShipments(ctx, ids), ownCompany(ctx)]);
  const views = rows.map((row) => labelView(row, company));
  return { contentType: 'application/pdf', filename: 'labels.pdf', content: await renderInWorker(layout, views) };
}

/** A manifest as PDF, with counts and space for a signature. */
export async function manifestPdf(ctx: Ctx, id: string): Promise<FileAnswer> {
  const manifest = await getManifest(ctx, id);
  const [rows, company] = await Promise.all([shipments.find(ctx, { _id: { $in: manifest.shipmentIds } }), ownCompany(ctx)]);
  const byId = new Map(rows.map((row) => [row._id, row]));
  const listed = manifest.shipmentIds.flatMap((shipmentId) => byId.get(shipmentId) ?? []);
  const [first] = listed;
  if (!first) throw conflict('nothing_to_print', 'This manifest has no shipments');
  const pickup = first.pickup.reveal();
  const view = {
    number: manifest.number,
    courier: manifest.courier,
    seller: seller(company, pickup),
    pickup: placeAddress(pickup),
    createdAt: manifest.createdAt,
    rows: listed.map(manifestRow),
  };
  return { contentType: 'application/pdf', filename: `${manifest.number}.pdf`, content: await renderInWorker('manifests', [view]) };
}

function labelView(shipment: Row<Shipment>, company: Row<Company>): LabelView {
  if (shipment.awb === undefined) throw conflict('awb_not_assigned', 'The courier has given no number yet', { id: shipment._id });
  if (shipment.cancelledAt) throw conflict('shipment_cancelled', 'A cancelled shipment has no label', { id: shipment._id });
  const { parcel } = shipment;
  const [consignee, destination, pickup] = [shipment.consignee.reveal(), shipment.destination.reveal(), shipment.pickup.reveal()];
  return present<LabelView>({
    awb: shipment.awb,
    courier: shipment.courier,
    service: shipment.service,
    sortCode: shipment.sortCode,
    payment: payment(shipment),
    consignee: {
      name: consignee.name,
      phone: consignee.phone,
      lines: [destination.line1, destination.line2 ?? ''],
      city: destination.city,
      state: destination.state,
      pincode: destination.pincode,
    },
    orderNumber: shipment.orderNumber,
    bookedAt: shipment.createdAt,
    weightGrams: parcel.weightGrams,
    sizeMm: { lengthMm: parcel.lengthMm, widthMm: parcel.breadthMm, heightMm: parcel.heightMm },
    valuePaise: shipment.valuePaise,
    items: shipment.lines.map(({ name, sku, quantity }) => ({ name, sku, quantity })),
    seller: seller(company, pickup),
    returnAddress: placeAddress(pickup),
  });
}

function payment({ paymentMethod, codPaise }: Pick<Shipment, 'paymentMethod' | 'codPaise'>): PaperPayment {
  return paymentMethod === 'cod' && codPaise > 0 ? { mode: 'cod', codPaise } : { mode: 'prepaid' };
}

function seller(company: Row<Company>, pickup: Place): { name: string; gstin?: string } {
  return present({ name: company.name, gstin: company.gstin ?? pickup.gstin });
}

function placeAddress({ name, phone, line1, line2, city, state, pincode }: Place): PaperAddress {
  return { name, phone, lines: [line1, line2 ?? ''], city, state, pincode };
}

function manifestRow(shipment: Row<Shipment>): ManifestRow {
  const { city, pincode } = shipment.destination.mask;
  return present<ManifestRow>({
    awb: shipment.awb ?? '',
    orderNumber: shipment.orderNumber,
    consigneeName: shipment.consignee.shown().name,
    city,
    pincode,
    payment: payment(shipment),
    weightGrams: shipment.parcel.weightGrams,
    ewayBillNumber: shipment.ewayBillNumber,
  });
}
