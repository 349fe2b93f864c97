import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage, pageAmong } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import type { ConnectionChange, ConnectionInput, ConnectionMode } from './connection.rules.ts';
import type { Connection } from './courier.model.ts';
import {
  addConnection,
  archiveConnection,
  changeConnection,
  courierStatuses,
  getConnection,
  listConnections,
  testConnection,
  type ConnectionTest,
  type CourierStatus,
  type NewConnection,
} from './courier.service.ts';

interface ConnectionView {
  id: string;
  courier: string;
  name: string;
  mode: ConnectionMode;
  version: number;
  createdAt: string;
  updatedAt: string;
}

interface NewConnectionView extends ConnectionView {
  webhook: NewConnection['webhook'];
}

function connectionView(row: Row<Connection>): ConnectionView {
  const { courier, name, mode, version } = row;
  return { id: row._id, courier, name, mode, version, createdAt: row.createdAt.toISOString(), updatedAt: row.updatedAt.toISOString() };
}

const mode = () => Joi.string().valid('sandbox', 'live');
const credentials = () => Joi.object<Record<string, string>>().pattern(Joi.string().max(50), Joi.string().min(1).max(2_000)).max(10);

const connectionKeys = {
  id: field.id().required(),
  courier: Joi.string().required(),
  name: Joi.string().required(),
  mode: mode().required(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
  updatedAt: field.isoTime().required(),
};
const connectionShape = shape<ConnectionView>(connectionKeys);
const newConnectionShape = shape<NewConnectionView>({
  ...connectionKeys,
  webhook: shape<NewConnection['webhook']>({ url: Joi.string().required(), header: Joi.string().required(), token: Joi.string().required() }).required(),
});

interface CourierView extends Omit<CourierStatus, 'lastSuccessAt' | 'lastFailureAt'> {
  lastSuccessAt: string | null;
  lastFailureAt: string | null;
}

const courierShape = shape<CourierView>({
  courier: Joi.string().required(),
  available: Joi.boolean().required(),
  breaker: Joi.string().valid('closed', 'open', 'half_open').required(),
  p95Ms: Joi.number().allow(null).required(),
  lastSuccessAt: field.isoTime().allow(null).required(),
  lastFailureAt: field.isoTime().allow(null).required(),
  calls: Joi.number().required(),
  failures: Joi.number().required(),
});

function courierView(status: CourierStatus): CourierView {
  const { lastSuccessAt, lastFailureAt, ...rest } = status;
  return { ...rest, lastSuccessAt: lastSuccessAt?.toISOString() ?? null, lastFailureAt: lastFailureAt?.toISOString() ?? null };
}

export const courierRoutes = [
  route({
    method: 'get',
    path: '/v1/couriers',
    summary: 'Couriers, and how they have answered lately: breaker, 95th percentile, last success',
    permission: 'couriers:read',
    query: pageQuery,
    response: pageOf(courierShape),
    handle: (_ctx, { query }) => Promise.resolve(pageAmong(courierStatuses(), query)),
    view: (page) => mapPage(page, courierView),
  }),
  route({
    method: 'post',
    path: '/v1/connections',
    summary: 'Connect with a courier; the answer shows the webhook token this once',
    permission: 'connections:write',
    idempotent: 'accepted',
    answersSecret: true,
    status: 201,
    body: shape<ConnectionInput>({
      courier: field.text(50).required(),
      name: field.text(200),
      mode: mode().required(),
      credentials: credentials(),
    }),
    response: newConnectionShape,
    handle: (ctx, { body }) => addConnection(ctx, body),
    view: ({ row, webhook }) => ({ ...connectionView(row), webhook }),
  }),
  route({
    method: 'get',
    path: '/v1/connections',
    summary: 'Connections in use, newest first; credentials are never shown',
    permission: 'connections:read',
    query: pageQuery,
    response: pageOf(connectionShape),
    handle: (ctx, { query }) => listConnections(ctx, query),
    view: (page) => mapPage(page, connectionView),
  }),
  route({
    method: 'get',
    path: '/v1/connections/:id',
    summary: 'One connection',
    permission: 'connections:read',
    params: idParams,
    response: connectionShape,
    handle: (ctx, { params }) => getConnection(ctx, params.id),
    view: connectionView,
  }),
  route({
    method: 'patch',
    path: '/v1/connections/:id',
    summary: 'Change name, mode or credentials; given credentials replace all of them',
    permission: 'connections:write',
    ifMatch: true,
    params: idParams,
    body: shape<ConnectionChange>({ name: field.text(200), mode: mode(), credentials: credentials() }).min(1),
    response: connectionShape,
    handle: (ctx, { params, body, ifMatch }) => changeConnection(ctx, params.id, body, ifMatch),
    view: connectionView,
  }),
  route({
    method: 'delete',
    path: '/v1/connections/:id',
    summary: 'Take a connection out of use; its webhooks are refused from now on',
    permission: 'connections:write',
    ifMatch: true,
    params: idParams,
    response: connectionShape,
    handle: (ctx, { params, ifMatch }) => archiveConnection(ctx, params.id, ifMatch),
    view: connectionView,
  }),
  route({
    method: 'post',
    path: '/v1/connections/:id/test',
    summary: 'Ask the courier whether the credentials work',
    permission: 'connections:write',
    params: idParams,
    response: shape<ConnectionTest>({ ok: Joi.boolean().required(), code: Joi.string(), message: Joi.string() }),
    errors: ['courier_not_available'],
    handle: (ctx, { params }) => testConnection(ctx, params.id),
    view: (result) => result,
  }),
];
