import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { SECURITY_EVENT_TYPES, SEVERITIES, type SecurityDetails, type SecurityEvent } from './security-event.model.ts';
import { companySecurityEvents, staffSecurityEvents, type SecurityQuery } from './security-event.service.ts';

interface SecurityEventView {
  id: string;
  at: string;
  companyId: string;
  type: string;
  severity: string;
  actor: { kind: string; id: string };
  requestId: string;
  count: number;
  userId?: string;
  address?: string;
  details?: SecurityDetails;
}

function securityEventView(row: Row<SecurityEvent>): SecurityEventView {
  const { _id, createdAt, companyId, type, severity, actorKind, actorId, requestId, count, userId, address, details } = row;
  return {
    ...{ id: _id, at: createdAt.toISOString(), companyId, type, severity, actor: { kind: actorKind, id: actorId }, requestId, count },
    ...(userId === undefined ? {} : { userId }),
    ...(address === undefined ? {} : { address }),
    ...(details === undefined ? {} : { details }),
  };
}

const eventShape = shape<SecurityEventView>({
  id: field.id().required(),
  at: field.isoTime().required(),
  companyId: field.id().required(),
  type: Joi.string().required(),
  severity: Joi.string().required(),
  actor: Joi.object({ kind: Joi.string().required(), id: Joi.string().required() }).required(),
  requestId: Joi.string().required(),
  count: Joi.number().integer().required(),
  userId: Joi.string(),
  address: Joi.string(),
  details: Joi.object().unknown(),
});

const filters = {
  ...pageQueryKeys,
  type: Joi.string().valid(...SECURITY_EVENT_TYPES),
  severity: Joi.string().valid(...SEVERITIES),
  userId: field.id(),
  from: field.queryTime(),
  to: field.queryTime(),
};

export const securityEventRoutes = [
  route({
    method: 'get',
    path: '/v1/security-events',
    summary: 'Sign-ins that failed, new devices, keys, reveals, exports and the like in the company, newest first',
    permission: 'security:read',
    query: Joi.object<SecurityQuery>(filters),
    response: pageOf(eventShape),
    handle: (ctx, { query }) => companySecurityEvents(ctx, query),
    view: (page) => mapPage(page, securityEventView),
  }),
  route({
    method: 'get',
    path: '/v1/admin/security-events',
    summary: 'Security events of all companies, newest first',
    permission: 'admin:audit',
    query: Joi.object<SecurityQuery & { companyId?: string }>({ ...filters, companyId: field.id() }),
    response: pageOf(eventShape),
    handle: (ctx, { query }) => staffSecurityEvents(ctx, query),
    view: (page) => mapPage(page, securityEventView),
  }),
];
