import Joi from 'joi';
import { now } from '../../platform/clock.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQuery, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { bookMany, bookShipment, type BulkResult } from './booking.service.ts';
import type { BookingRequest } from './booking.shelf.ts';
import { listManifests, makeManifest, schedulePickup, type ManifestRequest, type PickupRequestInput } from './handover.service.ts';
import { labelOf, labelsOf, manifestPdf } from './paper.service.ts';
import type { LabelLayout } from './papers/paper.views.ts';
import type { Parcel } from './shipment.rules.ts';
import { cancelShipment, getShipment, listShipments, setAwb, setEwayBill, type ShipmentSearch } from './shipment.service.ts';
import { SHIPMENT_STATUSES } from '../couriers/index.ts';
import { manifestShape, manifestView, pickupShape, pickupView, shipmentListView, shipmentShape, shipmentView } from './shipment.views.ts';

const parcelShape = shape<Parcel>({
  weightGrams: field.count(1, 1_000_000).required(),
  lengthMm: field.count(1, 10_000).required(),
  breadthMm: field.count(1, 10_000).required(),
  heightMm: field.count(1, 10_000).required(),
});

const lineShape = shape<{ sku: string; quantity: number }>({ sku: field.text(200).required(), quantity: field.count(1, 1_000_000).required() });
const ids = () => Joi.array().items(field.id()).min(1).max(500);

type BookingBody = Omit<BookingRequest, 'idempotencyKey'>;

const BOOKING_ERRORS = [
  'email_not_verified',
  'kyc_required',
  'order_not_found',
  'order_not_bookable',
  'order_already_booked',
  'pickup_location_required',
  'option_not_available',
  'courier_not_available',
  'connection_required',
  'not_serviceable',
  'insufficient_balance',
  'shipment_exists',
  'awb_exists',
];

const booking = [
  route({
    method: 'post',
    path: '/v1/shipments',
    summary: 'Book a shipment for the open lines of an order',
    description:
      'Names an option of POST rates, a courier (and service), or nothing for the first ranked. Order, hold, AWB and events commit together; the courier is told by a job. A COD order of several shipments collects by value of goods, the last one the rest.',
    permission: 'shipments:write',
    idempotent: 'required',
    status: 201,
    body: shape<BookingBody>({
      orderId: field.id().required(),
      optionId: field.text(300),
      courier: field.text(64),
      service: field.text(64),
      connectionId: field.id(),
      awb: field.text(60),
      parcel: parcelShape,
      lines: Joi.array().items(lineShape).min(1).max(200),
    }),
    response: shipmentShape,
    errors: BOOKING_ERRORS,
    handle: (ctx, { body, idempotencyKey }) => bookShipment(ctx, { ...body, idempotencyKey }),
    view: shipmentView,
  }),
  route({
    method: 'post',
    path: '/v1/shipments/bulk',
    summary: 'Book many orders, each on its own; a refused one does not hold up the others',
    permission: 'shipments:write',
    idempotent: 'required',
    body: shape<{ orderIds: string[]; courier?: string; service?: string }>({ orderIds: ids().required(), courier: field.text(64), service: field.text(64) }),
    response: shape<{ results: BulkResult[] }>({
      results: Joi.array()
        .items(
          shape<BulkResult>({
            orderId: field.id().required(),
            shipmentId: field.id(),
            error: shape<{ code: string; message: string }>({ code: Joi.string().required(), message: Joi.string().required() }),
          }),
        )
        .required(),
    }),
    handle: (ctx, { body: { orderIds, courier, service }, idempotencyKey }) => bookMany(ctx, orderIds, { courier, service }, idempotencyKey ?? ''),
    view: (results) => ({ results }),
  }),
];

const reading = [
  route({
    method: 'get',
    path: '/v1/shipments',
    summary: 'Shipments, newest first; phone, e-mail and street are masked',
    permission: 'shipments:read',
    query: shape<ShipmentSearch>({
      ...pageQueryKeys,
      status: Joi.string().valid(...SHIPMENT_STATUSES),
      courier: Joi.string().max(64),
      awb: Joi.string().max(60),
      orderId: field.id(),
      from: field.queryTime(),
      to: field.queryTime(),
    }),
    response: pageOf(shipmentShape),
    handle: (ctx, { query }) => listShipments(ctx, query),
    view: (page) => mapPage(page, shipmentListView),
  }),
  route({
    method: 'get',
    path: '/v1/shipments/:id',
    summary: 'One shipment with its frozen quote',
    permission: 'shipments:read',
    params: idParams,
    response: shipmentShape,
    handle: (ctx, { params }) => getShipment(ctx, params.id),
    view: shipmentView,
  }),
  route({
    method: 'get',
    path: '/v1/shipments/:id/label.pdf',
    summary: 'The 4×6 inch label',
    permission: 'shipments:read',
    params: idParams,
    response: 'application/pdf',
    errors: ['awb_not_assigned', 'shipment_cancelled'],
    handle: (ctx, { params }) => labelOf(ctx, params.id),
    view: (file) => file,
  }),
  route({
    method: 'post',
    path: '/v1/shipments/labels.pdf',
    summary: 'Labels of up to 500 shipments in one PDF: 4×6 inch pages, or four on each A4 sheet',
    permission: 'shipments:read',
    limit: 'api',
    body: shape<{ ids: string[]; layout?: LabelLayout }>({ ids: ids().required(), layout: Joi.string().valid('thermal', 'a4') }),
    response: 'application/pdf',
    errors: ['awb_not_assigned', 'shipment_cancelled', 'papers_busy'],
    handle: (ctx, { body }) => labelsOf(ctx, body.ids, body.layout ?? 'thermal'),
    view: (file) => file,
  }),
];

const changing = [
  route({
    method: 'post',
    path: '/v1/shipments/:id/cancel',
    summary: 'Cancel before the pickup: lines open again, hold released, the courier told',
    permission: 'shipments:write',
    idempotent: 'accepted',
    ifMatch: true,
    params: idParams,
    body: shape<{ reason?: string }>({ reason: field.text(500) }),
    response: shipmentShape,
    errors: ['shipment_not_cancellable'],
    handle: (ctx, { params, body, ifMatch }) => cancelShipment(ctx, params.id, ifMatch, body.reason),
    view: shipmentView,
  }),
  route({
    method: 'post',
    path: '/v1/shipments/:id/ewaybill',
    summary: 'Note the e-way bill number of a shipment',
    permission: 'shipments:write',
    idempotent: 'accepted',
    params: idParams,
    body: shape<{ number: string }>({ number: field.text(30).required() }),
    response: shipmentShape,
    handle: (ctx, { params, body }) => setEwayBill(ctx, params.id, body.number),
    view: shipmentView,
  }),
];

const handover = [
  route({
    method: 'post',
    path: '/v1/manifests',
    summary: 'Put shipments of one courier at one location on a numbered manifest',
    permission: 'shipments:write',
    idempotent: 'accepted',
    status: 201,
    body: shape<ManifestRequest>({ shipmentIds: ids(), courier: field.text(64), locationId: field.id(), date: field.text(10) }),
    response: manifestShape,
    errors: ['eway_bill_required', 'shipment_not_manifestable', 'manifest_mixed', 'nothing_to_manifest'],
    handle: (ctx, { body }) => makeManifest(ctx, body),
    view: manifestView,
  }),
  route({
    method: 'get',
    path: '/v1/manifests',
    summary: 'Manifests, newest first',
    permission: 'shipments:read',
    query: pageQuery,
    response: pageOf(manifestShape),
    handle: (ctx, { query }) => listManifests(ctx, query),
    view: (page) => mapPage(page, manifestView),
  }),
  route({
    method: 'get',
    path: '/v1/manifests/:id.pdf',
    summary: 'A manifest as PDF',
    permission: 'shipments:read',
    params: idParams,
    response: 'application/pdf',
    handle: (ctx, { params }) => manifestPdf(ctx, params.id),
    view: (file) => file,
  }),
  route({
    method: 'post',
    path: '/v1/pickups',
    summary: 'Ask a courier to come to a location, for named shipments or all that wait there',
    permission: 'shipments:write',
    idempotent: 'required',
    status: 201,
    body: shape<PickupRequestInput>({
      locationId: field.id().required(),
      courier: field.text(64).required(),
      date: field.text(10).required(),
      slot: field.text(50),
      shipmentIds: ids(),
    }),
    response: pickupShape,
    errors: ['nothing_to_pick_up', 'shipment_not_schedulable', 'pickup_mixed', 'pickup_exists'],
    handle: (ctx, { body, idempotencyKey }) => schedulePickup(ctx, body, now(), idempotencyKey),
    view: pickupView,
  }),
];

export const shipmentRoutes = [...booking, ...reading, ...changing, ...handover];

/** Only outside production. */
export const shipmentDevRoutes = [
  route({
    method: 'post',
    path: '/dev/shipments/:id/awb',
    summary: 'Give a shipment another number and courier, for replaying recorded scans',
    permission: 'public',
    limit: 'none',
    params: idParams,
    body: shape<{ awb: string; courier: string }>({ awb: field.text(60).required(), courier: field.text(64).required() }),
    response: shipmentShape,
    handle: (ctx, { params, body }) => setAwb(ctx, params.id, body.awb, body.courier),
    view: shipmentView,
  }),
];
