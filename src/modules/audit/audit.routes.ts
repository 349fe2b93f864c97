import Joi from 'joi';
import { mapPage } from '../../platform/pagination.ts';
import { field, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { fieldNames, type AuditRow } from './audit.model.ts';
import { exportAuditCsv } from './audit.export.ts';
import { companyAudit, staffAudit, type AuditQuery } from './audit.service.ts';

interface AuditView {
  id: string;
  at: string;
  companyId: string;
  collection: string;
  rowId: string;
  action: string;
  fields: string[];
  actor: { kind: string; id: string };
  requestId: string;
}

function auditView(row: AuditRow): AuditView {
  const { _id, at, companyId, collection, rowId, action, actorKind, actorId, requestId } = row;
  return { id: _id, at: at.toISOString(), companyId, collection, rowId, action, fields: fieldNames(row), actor: { kind: actorKind, id: actorId }, requestId };
}

const auditShape = shape<AuditView>({
  id: field.id().required(),
  at: field.isoTime().required(),
  companyId: field.id().required(),
  collection: Joi.string().required(),
  rowId: Joi.string().required(),
  action: Joi.string().required(),
  fields: Joi.array().items(Joi.string()).required(),
  actor: Joi.object({ kind: Joi.string().required(), id: Joi.string().required() }).required(),
  requestId: Joi.string().required(),
});

const searchKeys = {
  collection: Joi.string().max(60),
  rowId: Joi.string().max(100),
  actorId: Joi.string().max(100),
  action: Joi.string().valid('insert', 'update', 'delete', 'read'),
  requestId: Joi.string().max(128),
  from: field.queryTime(),
  to: field.queryTime(),
};

const filters = { ...pageQueryKeys, ...searchKeys };

export const auditRoutes = [
  route({
    method: 'get',
    path: '/v1/audit-log',
    summary: 'Who changed what in the company, newest first; names of fields, never their values',
    permission: 'audit:read',
    query: Joi.object<AuditQuery>(filters),
    response: pageOf(auditShape),
    handle: (ctx, { query }) => companyAudit(ctx, query),
    view: (page) => mapPage(page, auditView),
  }),
  route({
    method: 'get',
    path: '/v1/audit-log/export.csv',
    summary: 'The audit log of a search as CSV, at most 100,000 rows',
    permission: 'audit:read',
    query: Joi.object<Omit<AuditQuery, 'limit' | 'cursor'>>(searchKeys),
    response: 'text/csv',
    handle: (ctx, { query }) => exportAuditCsv(ctx, query),
    view: (content) => ({ contentType: 'text/csv; charset=utf-8', filename: 'audit-log.csv', content }),
  }),
  route({
    method: 'get',
    path: '/v1/admin/audit-log',
    summary: 'Who changed what in any company, newest first; the look itself is noted',
    permission: 'admin:audit',
    query: Joi.object<AuditQuery & { companyId?: string }>({ ...filters, companyId: field.id() }),
    response: pageOf(auditShape),
    handle: (ctx, { query }) => staffAudit(ctx, query),
    view: (page) => mapPage(page, auditView),
  }),
];
