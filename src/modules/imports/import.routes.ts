import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { IMPORT_KINDS, IMPORT_MODES, IMPORT_STATUSES, type Import, type ImportCounts } from './import.model.ts';
import { getImport, importErrorsCsv, listImports, uploadImport, type ImportQuery } from './import.service.ts';

interface ImportView {
  id: string;
  kind: string;
  mode: string;
  status: string;
  counts: ImportCounts;
  progress: number;
  fileName: string;
  sizeBytes: number;
  courier?: string;
  reason?: string;
  startedAt: string | null;
  finishedAt: string | null;
  version: number;
  createdAt: string;
}

function importView(row: Row<Import>): ImportView {
  const { kind, mode, status, counts, progress, fileName, sizeBytes, courier, reason } = row;
  return {
    id: row._id,
    kind,
    mode,
    status,
    counts,
    progress,
    fileName,
    sizeBytes,
    ...(courier === undefined ? {} : { courier }),
    ...(reason === undefined ? {} : { reason }),
    startedAt: row.startedAt?.toISOString() ?? null,
    finishedAt: row.finishedAt?.toISOString() ?? null,
    version: row.version,
    createdAt: row.createdAt.toISOString(),
  };
}

const count = Joi.number().integer().min(0).required();

const importShape = shape<ImportView>({
  id: field.id().required(),
  kind: Joi.string().valid(...IMPORT_KINDS).required(),
  mode: Joi.string().valid(...IMPORT_MODES).required(),
  status: Joi.string().valid(...IMPORT_STATUSES).required(),
  counts: shape<ImportCounts>({ rows: count, records: count, imported: count, invalid: count, duplicates: count }).required(),
  progress: Joi.number().min(0).max(1).required(),
  fileName: Joi.string().allow('').required(),
  sizeBytes: count,
  courier: Joi.string(),
  reason: Joi.string(),
  startedAt: field.isoTime().allow(null).required(),
  finishedAt: field.isoTime().allow(null).required(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
});

export const importRoutes = [
  route({
    method: 'post',
    path: '/v1/imports',
    summary: 'Import a file of orders or products, or of pincodes or serviceability by staff, in the background',
    description:
      'multipart/form-data with `kind`, `mode` (`all_or_nothing` or `skip_invalid`) and `file` (CSV or JSON lines). The same bytes again are refused ' +
      'with the id of the first import, unless `force` is true; rows that exist then count as duplicates. ' +
      'Serviceability is that of the `courier` named in the form, else of the sandbox.',
    permission: 'imports:write',
    idempotent: 'accepted',
    rawBody: 'stream',
    status: 202,
    query: Joi.object<{ force?: boolean }>({ force: Joi.boolean() }),
    response: shape<{ id: string; status: string }>({ id: field.id().required(), status: Joi.string().valid(...IMPORT_STATUSES).required() }),
    errors: ['import_exists', 'kind_not_supported'],
    handle: (ctx, { request, query }) => uploadImport(ctx, request, query.force === true),
    view: (row) => ({ id: row._id, status: row.status }),
  }),
  route({
    method: 'get',
    path: '/v1/imports',
    summary: 'Imports, newest first',
    permission: 'imports:read',
    query: Joi.object<ImportQuery>({ ...pageQueryKeys, kind: Joi.string().valid(...IMPORT_KINDS), status: Joi.string().valid(...IMPORT_STATUSES) }),
    response: pageOf(importShape),
    handle: (ctx, { query }) => listImports(ctx, query),
    view: (page) => mapPage(page, importView),
  }),
  route({
    method: 'get',
    path: '/v1/imports/:id',
    summary: 'One import: how far it is, and what became of its records',
    permission: 'imports:read',
    params: idParams,
    response: importShape,
    handle: (ctx, { params }) => getImport(ctx, params.id),
    view: importView,
  }),
  route({
    method: 'get',
    path: '/v1/imports/:id/errors.csv',
    summary: 'Records that were not imported: line, record, field, message',
    permission: 'imports:read',
    params: idParams,
    response: 'text/csv',
    handle: (ctx, { params }) => importErrorsCsv(ctx, params.id),
    view: ({ id, content }) => ({ contentType: 'text/csv; charset=utf-8', filename: `import-${id}-errors.csv`, content }),
  }),
];
