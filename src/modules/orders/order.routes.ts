import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { present } from '../../platform/present.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { exportOrdersCsv } from './order.export.ts';
import { ORDER_BOUNDS, ORDER_STATUSES, type Address, type Customer, type Order, type OrderStatus, type Parcel, type Totals } from './order.model.ts';
import type { AddressInput, LineInput, OrderInput } from './order.rules.ts';
import { cancelOrder, confirmOrder, editOrder, getOrder, listOrders, placeOrder, type OrderChange, type OrderSearch } from './order.service.ts';

interface LineView {
  sku: string;
  name: string;
  quantity: number;
  unitPricePaise: number;
  totalPaise: number;
  discountPaise: number;
  taxPaise: number;
  hsnCode?: string;
  locationId?: string;
}

export interface OrderView {
  id: string;
  orderNumber: string;
  status: OrderStatus;
  channel: string;
  externalId?: string;
  customer: { name: string; phone: string; email?: string };
  shippingAddress: Address;
  billingAddress?: Address;
  lines: LineView[];
  paymentMethod: string;
  collectPayment: boolean;
  paymentDueAt?: string;
  paidAt?: string;
  couponCode?: string;
  discountCodeText?: string;
  totals: Totals;
  parcel: Parcel;
  parcelSource: string;
  pickupLocationId?: string;
  tags: string[];
  notes?: string;
  shipmentIds: string[];
  placedAt: string;
  createdAt: string;
  updatedAt: string;
  version: number;
}

/** A single order as its company sees it, with its customer. */
export function orderView(row: Row<Order>): OrderView {
  return viewWith(row, { customer: row.customer.shown(), shippingAddress: row.shippingAddress.shown(), billingAddress: row.billingAddress?.shown() });
}

/** An order in a list: what is sealed shows its mask. */
export function orderListView(row: Row<Order>): OrderView {
  return viewWith(row, { customer: row.customer.mask, shippingAddress: row.shippingAddress.mask, billingAddress: row.billingAddress?.mask });
}

function viewWith(row: Row<Order>, people: { customer: Customer; shippingAddress: Address; billingAddress: Address | undefined }): OrderView {
  return present({
    id: row._id,
    orderNumber: row.orderNumber,
    status: row.status,
    channel: row.channel,
    externalId: row.externalId,
    ...people,
    lines: row.lines.map(lineView),
    paymentMethod: row.paymentMethod,
    collectPayment: row.collectPayment,
    paymentDueAt: row.paymentDueAt?.toISOString(),
    paidAt: row.paidAt?.toISOString(),
    couponCode: row.couponCode,
    discountCodeText: row.discountCodeText,
    totals: row.totals,
    parcel: row.parcel,
    parcelSource: row.parcelSource,
    pickupLocationId: row.pickupLocationId,
    tags: row.tags,
    notes: row.notes,
    shipmentIds: row.shipments.map((s) => s.shipmentId),
    placedAt: row.placedAt.toISOString(),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    version: row.version,
  });
}

function lineView({ sku, name, quantity, unitPricePaise, totalPaise, discountPaise, taxPaise, hsnCode, locationId }: Order['lines'][number]): LineView {
  const view: LineView = { sku, name, quantity, unitPricePaise, totalPaise, discountPaise, taxPaise };
  if (hsnCode !== undefined) view.hsnCode = hsnCode;
  if (locationId !== undefined) view.locationId = locationId;
  return view;
}

const addressKeys = {
  line1: field.text(500).required(),
  line2: field.text(500),
  city: field.text(100).required(),
  state: field.text(100).required(),
  pincode: field.text(10).required(),
  country: field.text(2).required(),
};
const addressInput = shape<AddressInput>(addressKeys);
const addressShape = shape<Address>({ ...addressKeys, pincode: Joi.string().required(), country: Joi.string().required() });

const customerInput = shape<OrderInput['customer']>({ name: field.text(200).required(), phone: field.text(30).required(), email: field.text(320) });

const parcelShape = shape<Parcel>({
  weightGrams: field.count(1, 1_000_000).required(),
  lengthMm: field.count(1, 10_000).required(),
  breadthMm: field.count(1, 10_000).required(),
  heightMm: field.count(1, 10_000).required(),
});

const lineInput = shape<LineInput>({
  sku: field.text(100).required(),
  name: field.text(500),
  quantity: field.count(1, 1_000_000).required(),
  unitPricePaise: Joi.number().integer().min(0).max(10_000_000_000),
  hsnCode: field.text(20),
});

const tags = Joi.array().items(field.text(100)).max(ORDER_BOUNDS.tags);
const notes = field.text(1_000);

const orderInput = shape<OrderInput>({
  channel: field.text(50),
  externalId: field.text(200),
  customer: customerInput.required(),
  shippingAddress: addressInput.required(),
  billingAddress: addressInput,
  lines: Joi.array().items(lineInput).min(1).max(ORDER_BOUNDS.lines).required(),
  paymentMethod: Joi.string().valid('prepaid', 'cod').required(),
  collectPayment: Joi.boolean(),
  couponCode: field.text(50),
  parcel: parcelShape,
  tags,
  notes,
  pickupLocationId: field.id(),
});

const lineShape = shape<LineView>({
  sku: Joi.string().required(),
  name: Joi.string().required(),
  quantity: Joi.number().integer().required(),
  unitPricePaise: Joi.number().integer().required(),
  totalPaise: Joi.number().integer().required(),
  discountPaise: Joi.number().integer().required(),
  taxPaise: Joi.number().integer().required(),
  hsnCode: Joi.string(),
  locationId: field.id(),
});

const totalsShape = shape<Totals>({
  subtotalPaise: Joi.number().integer().required(),
  discountPaise: Joi.number().integer().required(),
  shippingPaise: Joi.number().integer().required(),
  taxPaise: Joi.number().integer().required(),
  totalPaise: Joi.number().integer().required(),
});

const orderShape = shape<OrderView>({
  id: field.id().required(),
  orderNumber: Joi.string().required(),
  status: Joi.string()
    .valid(...ORDER_STATUSES)
    .required(),
  channel: Joi.string().required(),
  externalId: Joi.string(),
  customer: shape<OrderView['customer']>({ name: Joi.string().required(), phone: Joi.string().required(), email: Joi.string() }).required(),
  shippingAddress: addressShape.required(),
  billingAddress: addressShape,
  lines: Joi.array().items(lineShape).required(),
  paymentMethod: Joi.string().required(),
  collectPayment: Joi.boolean().required(),
  paymentDueAt: field.isoTime(),
  paidAt: field.isoTime(),
  couponCode: Joi.string(),
  discountCodeText: Joi.string(),
  totals: totalsShape.required(),
  parcel: parcelShape.required(),
  parcelSource: Joi.string().valid('order', 'products', 'default').required(),
  pickupLocationId: field.id(),
  tags: Joi.array().items(Joi.string()).required(),
  notes: Joi.string(),
  shipmentIds: Joi.array().items(field.id()).required(),
  placedAt: field.isoTime().required(),
  createdAt: field.isoTime().required(),
  updatedAt: field.isoTime().required(),
  version: field.version().required(),
});

interface TimelineEntry {
  at: string;
  kind: string;
  status?: string;
  fields?: string[];
  reason?: string;
  by: { kind: string; id: string };
}

function timelineView(row: Row<Order>): { data: TimelineEntry[]; nextCursor: null } {
  const data = row.history.map(({ at, kind, status, fields, reason, actorKind, actorId }) =>
    present({ at: at.toISOString(), kind, status, fields, reason, by: { kind: actorKind, id: actorId } }),
  );
  return { data, nextCursor: null };
}

const timelineShape = pageOf(
  shape<TimelineEntry>({
    at: field.isoTime().required(),
    kind: Joi.string().required(),
    status: Joi.string(),
    fields: Joi.array().items(Joi.string()),
    reason: Joi.string(),
    by: Joi.object({ kind: Joi.string().required(), id: Joi.string().required() }).required(),
  }),
);

const filterKeys = {
  status: Joi.string().valid(...ORDER_STATUSES),
  phone: Joi.string().max(30),
  email: Joi.string().max(320),
  externalId: Joi.string().max(200),
  tag: Joi.string().max(100),
  q: Joi.string().max(200),
  from: field.queryTime(),
  to: field.queryTime(),
};
const searchQuery = Joi.object<OrderSearch>({ ...pageQueryKeys, ...filterKeys });

const common = { params: idParams, response: orderShape, view: orderView } as const;

export const orderRoutes = [
  route({
    method: 'post',
    path: '/v1/orders',
    summary: 'Place an order: reserves stock, redeems the coupon, numbers it',
    description: 'The merchant’s own call: a given unitPricePaise is the price it was sold at; without it the catalogue’s. A SKU outside the catalogue needs name and price and has no stock.',
    permission: 'orders:write',
    idempotent: 'required',
    status: 201,
    body: orderInput,
    response: orderShape,
    errors: ['out_of_stock', 'coupon_used_up', 'coupon_limit_reached', 'coupon_not_found', 'product_not_sold', 'order_exists', 'location_archived'],
    handle: (ctx, { body, idempotencyKey }) => placeOrder(ctx, body, idempotencyKey),
    view: orderView,
  }),
  route({
    method: 'get',
    path: '/v1/orders',
    summary: 'Orders, newest first; phone and e-mail masked',
    permission: 'orders:read',
    query: searchQuery,
    response: pageOf(orderShape),
    handle: (ctx, { query }) => listOrders(ctx, query),
    view: (page) => mapPage(page, orderListView),
  }),
  route({
    method: 'get',
    path: '/v1/orders/export.csv',
    summary: 'Orders as CSV, streamed; phone and e-mail masked',
    permission: 'orders:read',
    query: Joi.object<Omit<OrderSearch, 'limit' | 'cursor'>>(filterKeys),
    response: 'text/csv',
    handle: (ctx, { query }) => exportOrdersCsv(ctx, query),
    view: (content) => ({ contentType: 'text/csv; charset=utf-8', filename: 'orders.csv', content }),
  }),
  route({ ...common, method: 'get', path: '/v1/orders/:id', summary: 'One order with its customer', permission: 'orders:read', handle: (ctx, { params }) => getOrder(ctx, params.id) }),
  route({
    ...common,
    method: 'patch',
    path: '/v1/orders/:id',
    summary: 'Change tags, notes, customer, addresses, parcel or pickup location while that still makes sense',
    permission: 'orders:write',
    ifMatch: true,
    body: shape<OrderChange>({ tags, notes, customer: customerInput, shippingAddress: addressInput, billingAddress: addressInput, parcel: parcelShape, pickupLocationId: field.id() }).min(1),
    errors: ['order_not_editable', 'location_archived'],
    handle: (ctx, { params, body, ifMatch }) => editOrder(ctx, params.id, body, ifMatch),
  }),
  route({
    ...common,
    method: 'post',
    path: '/v1/orders/:id/cancel',
    summary: 'Cancel an order: stock and coupon use are given back',
    permission: 'orders:write',
    ifMatch: true,
    idempotent: 'accepted',
    body: shape<{ reason?: string }>({ reason: field.text(500) }),
    errors: ['order_not_cancellable'],
    handle: (ctx, { params, body, ifMatch }) => cancelOrder(ctx, params.id, body.reason, ifMatch),
  }),
  route({
    ...common,
    method: 'post',
    path: '/v1/orders/:id/confirm',
    summary: 'Confirm a placed order',
    permission: 'orders:write',
    ifMatch: true,
    idempotent: 'accepted',
    body: shape<Record<string, never>>({}),
    errors: ['order_not_confirmable'],
    handle: (ctx, { params, ifMatch }) => confirmOrder(ctx, params.id, ifMatch),
  }),
  route({
    method: 'get',
    path: '/v1/orders/:id/timeline',
    summary: 'Statuses and edits with who and when',
    permission: 'orders:read',
    params: idParams,
    response: timelineShape,
    handle: (ctx, { params }) => getOrder(ctx, params.id),
    view: timelineView,
  }),
];
