import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { field, shape } from '../../platform/route.ts';
import { present } from '../../platform/present.ts';
import type { Address, Customer } from '../orders/index.ts';
import type { FrozenQuote, Manifest, Pickup, Shipment, ShipmentLine } from './shipment.model.ts';
import type { Parcel } from './shipment.rules.ts';

export interface ShipmentView {
  id: string;
  orderId: string;
  orderNumber: string;
  direction: string;
  courier: string;
  service: string;
  connectionId?: string;
  awb: string | null;
  sortCode?: string;
  courierReference?: string;
  bookingState: string;
  status: string;
  statusAt?: string;
  cancelledAt?: string;
  cancelReason?: string;
  lines: ShipmentLine[];
  parcel: Parcel;
  parcelSource: string;
  paymentMethod: string;
  codPaise: number;
  valuePaise: number;
  totalPaise: number;
  quote: FrozenQuote;
  consignee: Customer;
  destination: Address;
  pickupLocationId: string;
  ewayBillNumber?: string;
  manifestId?: string;
  pickupId?: string;
  pickedUpAt?: string;
  deliveredAt?: string;
  attempts: number;
  alerts: string[];
  createdAt: string;
  updatedAt: string;
  version: number;
}

/** A single shipment as its company sees it, with its consignee. */
export function shipmentView(row: Row<Shipment>): ShipmentView {
  return viewWith(row, { consignee: row.consignee.shown(), destination: row.destination.shown() });
}

/** A shipment in a list: phone and e-mail masked, no street. */
export function shipmentListView(row: Row<Shipment>): ShipmentView {
  return viewWith(row, { consignee: row.consignee.mask, destination: row.destination.mask });
}

function viewWith(row: Row<Shipment>, people: { consignee: Customer; destination: Address }): ShipmentView {
  return present({
    id: row._id,
    orderId: row.orderId,
    orderNumber: row.orderNumber,
    direction: row.direction,
    courier: row.courier,
    service: row.service,
    connectionId: row.connectionId,
    awb: row.awb ?? null,
    sortCode: row.sortCode,
    courierReference: row.courierReference,
    bookingState: row.bookingState,
    status: row.status,
    statusAt: row.statusAt?.toISOString(),
    cancelledAt: row.cancelledAt?.toISOString(),
    cancelReason: row.cancelReason,
    lines: row.lines,
    parcel: row.parcel,
    parcelSource: row.parcelSource,
    paymentMethod: row.paymentMethod,
    codPaise: row.codPaise,
    valuePaise: row.valuePaise,
    totalPaise: row.quote.totalPaise,
    quote: row.quote,
    ...people,
    pickupLocationId: row.pickupLocationId,
    ewayBillNumber: row.ewayBillNumber,
    manifestId: row.manifestId,
    pickupId: row.pickupId,
    pickedUpAt: row.pickedUpAt?.toISOString(),
    deliveredAt: row.deliveredAt?.toISOString(),
    attempts: row.attempts,
    alerts: row.alerts,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    version: row.version,
  });
}

const text = () => Joi.string().required();

export const shipmentShape = shape<ShipmentView>({
  id: field.id().required(),
  orderId: field.id().required(),
  orderNumber: text(),
  direction: text(),
  courier: text(),
  service: text(),
  connectionId: Joi.string(),
  awb: Joi.string().allow(null).required(),
  sortCode: Joi.string(),
  courierReference: Joi.string(),
  bookingState: Joi.string().valid('requested', 'confirmed', 'failed').required(),
  status: text(),
  statusAt: field.isoTime(),
  cancelledAt: field.isoTime(),
  cancelReason: Joi.string(),
  lines: Joi.array()
    .items(shape<ShipmentLine>({ sku: text(), name: text(), quantity: Joi.number().required(), unitPricePaise: Joi.number().required(), hsnCode: Joi.string() }))
    .required(),
  parcel: Joi.object().required(),
  parcelSource: text(),
  paymentMethod: text(),
  codPaise: field.paise().required(),
  valuePaise: field.paise().required(),
  totalPaise: field.paise().required(),
  quote: Joi.object().required(),
  consignee: Joi.object().required(),
  destination: Joi.object().required(),
  pickupLocationId: field.id().required(),
  ewayBillNumber: Joi.string(),
  manifestId: field.id(),
  pickupId: field.id(),
  pickedUpAt: field.isoTime(),
  deliveredAt: field.isoTime(),
  attempts: Joi.number().required(),
  alerts: Joi.array().items(Joi.string()).required(),
  createdAt: field.isoTime().required(),
  updatedAt: field.isoTime().required(),
  version: field.version().required(),
});

interface ManifestView {
  id: string;
  number: string;
  courier: string;
  locationId: string;
  shipmentIds: string[];
  createdAt: string;
  version: number;
}

/** A manifest without its shipments' contents. */
export function manifestView({ _id, number, courier, pickupLocationId, shipmentIds, createdAt, version }: Row<Manifest>): ManifestView {
  return { id: _id, number, courier, locationId: pickupLocationId, shipmentIds, createdAt: createdAt.toISOString(), version };
}

export const manifestShape = shape<ManifestView>({
  id: field.id().required(),
  number: text(),
  courier: text(),
  locationId: field.id().required(),
  shipmentIds: Joi.array().items(Joi.string()).required(),
  createdAt: field.isoTime().required(),
  version: field.version().required(),
});

interface PickupView {
  id: string;
  courier: string;
  locationId: string;
  date: string;
  slot?: string;
  shipmentIds: string[];
  state: string;
  pickupReference?: string;
  failure?: string;
  createdAt: string;
  version: number;
}

/** A pickup request and what the courier said to it. */
export function pickupView(row: Row<Pickup>): PickupView {
  const { courier, date, slot, shipmentIds, state, pickupReference, failure, version } = row;
  const createdAt = row.createdAt.toISOString();
  return present({ id: row._id, courier, locationId: row.pickupLocationId, date, slot, shipmentIds, state, pickupReference, failure, createdAt, version });
}

export const pickupShape = shape<PickupView>({
  id: field.id().required(),
  courier: text(),
  locationId: field.id().required(),
  date: text(),
  slot: Joi.string(),
  shipmentIds: Joi.array().items(Joi.string()).required(),
  state: Joi.string().valid('requested', 'confirmed', 'failed').required(),
  pickupReference: Joi.string(),
  failure: Joi.string(),
  createdAt: field.isoTime().required(),
  version: field.version().required(),
});
