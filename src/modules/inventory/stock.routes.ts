import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { adjustStock, receiveStock, transferStock } from './stock.commands.service.ts';
import { MOVEMENT_KINDS, type Movement, type Stock } from './stock.model.ts';
import type { AdjustmentInput, ReceiptInput, ReceiptLine, StockPlan, TransferInput } from './stock.plan.rules.ts';
import { listMovements, listStock, type ListedMovement, type MovementQuery, type StockQuery } from './stock.queries.service.ts';

interface StockView extends Stock {
  id: string;
  version: number;
  updatedAt: string;
}

function stockView(row: Row<Stock>): StockView {
  const { _id: id, sku, locationId, onHand, reserved, available, version, updatedAt } = row;
  return { id, sku, locationId, onHand, reserved, available, version, updatedAt: updatedAt.toISOString() };
}

interface MovementView extends Omit<Movement, 'expiresAt'> {
  id: string;
  expiresAt?: string;
  createdAt: string;
}

function movementView({ expiresAt, createdAt, ...rest }: ListedMovement): MovementView {
  return { ...rest, ...(expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() }), createdAt: createdAt.toISOString() };
}

type LineView = StockPlan['lines'][number];

interface PlanView {
  id: string;
  kind: StockPlan['kind'];
  reference?: string;
  reason?: string;
  lines: LineView[];
}

function planView({ id, kind, text, lines }: StockPlan): PlanView {
  return { id, kind, ...(text === undefined ? {} : { [kind === 'receipt' ? 'reference' : 'reason']: text }), lines };
}

const count = Joi.number().integer().required();

const stockShape = shape<StockView>({
  id: field.id().required(),
  sku: Joi.string().required(),
  locationId: field.id().required(),
  onHand: count,
  reserved: count,
  available: count,
  version: field.version().required(),
  updatedAt: field.isoTime().required(),
});

const movementShape = shape<MovementView>({
  id: field.id().required(),
  sku: Joi.string().required(),
  locationId: field.id().required(),
  kind: Joi.string().valid(...MOVEMENT_KINDS).required(),
  onHandDelta: count,
  reservedDelta: count,
  reference: shape<Movement['reference']>({ type: Joi.string().required(), id: Joi.string().required() }).required(),
  reason: Joi.string(),
  batch: Joi.string(),
  expiresAt: field.isoTime(),
  actorId: Joi.string().required(),
  createdAt: field.isoTime().required(),
});

const MAX_LINES = 500;
const MAX_QUANTITY = 1_000_000;
const units = field.count(1, MAX_QUANTITY).required();
const sku = field.text(100).required();
const place = field.id().required();

const planShape = shape<PlanView>({
  id: field.id().required(),
  kind: Joi.string().valid('receipt', 'adjustment', 'transfer').required(),
  reference: Joi.string(),
  reason: Joi.string(),
  lines: Joi.array()
    .items(shape<LineView>({ sku, locationId: place, toLocationId: field.id(), quantity: count, batch: Joi.string(), expiresAt: field.isoTime() }))
    .required(),
});

const receiptBody = shape<ReceiptInput>({
  reference: field.text(200),
  lines: Joi.array()
    .items(shape<ReceiptLine>({ sku, locationId: place, quantity: units, batch: field.text(100), expiresAt: field.isoTime() }))
    .min(1)
    .max(MAX_LINES)
    .required(),
});

const adjustmentBody = shape<AdjustmentInput>({
  reason: field.text(500).required(),
  lines: Joi.array()
    .items(shape<AdjustmentInput['lines'][number]>({ sku, locationId: place, quantity: field.count(-MAX_QUANTITY, MAX_QUANTITY).required() }))
    .min(1)
    .max(MAX_LINES)
    .required(),
});

const transferBody = shape<TransferInput>({
  fromLocationId: place,
  toLocationId: place,
  reason: field.text(500),
  lines: Joi.array()
    .items(shape<TransferInput['lines'][number]>({ sku, quantity: units }))
    .min(1)
    .max(MAX_LINES)
    .required(),
});

export const stockRoutes = [
  route({
    method: 'get',
    path: '/v1/stock',
    summary: 'Stock by SKU and location: on hand, reserved, available',
    permission: 'stock:read',
    query: Joi.object<StockQuery>({ ...pageQueryKeys, sku: field.text(100), locationId: field.id() }),
    response: pageOf(stockShape),
    handle: (ctx, { query }) => listStock(ctx, query),
    view: (page) => mapPage(page, stockView),
  }),
  route({
    method: 'post',
    path: '/v1/stock/receipts',
    summary: 'Book goods in',
    permission: 'stock:write',
    idempotent: 'accepted',
    status: 201,
    body: receiptBody,
    response: planShape,
    errors: ['product_not_found', 'location_not_found', 'location_archived'],
    handle: (ctx, { body }) => receiveStock(ctx, body),
    view: planView,
  }),
  route({
    method: 'post',
    path: '/v1/stock/adjustments',
    summary: 'Correct stock up or down, for a reason',
    permission: 'stock:write',
    idempotent: 'accepted',
    status: 201,
    body: adjustmentBody,
    response: planShape,
    errors: ['out_of_stock', 'product_not_found', 'location_not_found', 'location_archived'],
    handle: (ctx, { body }) => adjustStock(ctx, body),
    view: planView,
  }),
  route({
    method: 'post',
    path: '/v1/stock/transfers',
    summary: 'Move free stock from one location to another',
    permission: 'stock:write',
    idempotent: 'accepted',
    status: 201,
    body: transferBody,
    response: planShape,
    errors: ['out_of_stock', 'product_not_found', 'location_not_found', 'location_archived'],
    handle: (ctx, { body }) => transferStock(ctx, body),
    view: planView,
  }),
  route({
    method: 'get',
    path: '/v1/stock/movements',
    summary: 'Every change of stock, newest first',
    permission: 'stock:read',
    query: Joi.object<MovementQuery>({
      ...pageQueryKeys,
      sku: field.text(100),
      locationId: field.id(),
      referenceId: field.id(),
      kind: Joi.string().valid(...MOVEMENT_KINDS),
    }),
    response: pageOf(movementShape),
    handle: (ctx, { query }) => listMovements(ctx, query),
    view: (page) => mapPage(page, movementView),
  }),
];
