import Joi from 'joi';
import type { OutsideTx } from '../../platform/context.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import type { KycStatus } from '../companies/index.ts';
import { readFileForStaff, savedName, type OpenedFile } from './kyc.files.service.ts';
import { KYC_DOCUMENTS } from './kyc.model.ts';
import { anyKyc, decideOn, listKycs, reviewKyc, type DecisionInput } from './kyc.review.service.ts';
import { DECISIONS } from './kyc.rules.ts';
import { kycShape, kycView, queuedShape, queuedView, reviewedShape, reviewedView } from './kyc.views.ts';

const kycStatus = () => Joi.string().valid('not_started', 'in_progress', 'submitted', 'verified', 'rejected', 'needs_action');

async function staffFile(ctx: OutsideTx, { id, fileId }: { id: string; fileId: string }): Promise<OpenedFile> {
  return readFileForStaff(ctx, await anyKyc(ctx, id), fileId);
}

export const kycAdminRoutes = [
  route({
    method: 'get',
    path: '/v1/admin/kyc',
    summary: 'KYCs of all companies, the longest in their status first',
    description: 'With `memberId` it is not the company’s own KYC but one that a member brought from the former product: decisions move it and that member, not the company.',
    permission: 'admin:kyc',
    query: Joi.object<{ limit?: number; cursor?: string; status?: KycStatus }>({ ...pageQueryKeys, status: kycStatus() }),
    response: pageOf(queuedShape),
    handle: (ctx, { query }) => listKycs(ctx, query),
    view: (page) => mapPage(page, queuedView),
  }),
  route({
    method: 'get',
    path: '/v1/admin/kyc/:id',
    summary: 'One KYC by its id or its company: masks, evidence, history',
    permission: 'admin:kyc',
    params: idParams,
    response: reviewedShape,
    handle: (ctx, { params }) => reviewKyc(ctx, params.id),
    view: reviewedView,
  }),
  route({
    method: 'get',
    path: '/v1/admin/kyc/:id/documents/:fileId',
    summary: 'An uploaded document of any company; noted in its audit log',
    permission: 'admin:kyc',
    params: shape<{ id: string; fileId: string }>({ id: field.id().required(), fileId: field.id().required() }),
    response: 'application/octet-stream',
    handle: (ctx, { params }) => staffFile(ctx, params),
    view: ({ file, content }) => ({ contentType: file.contentType, filename: savedName(file), content }),
  }),
  route({
    method: 'post',
    path: '/v1/admin/kyc/:id/decisions',
    summary: 'Decide on one submitted document',
    description: 'A refusal needs a reason, which the owners get by mail. `withdraw` with the decision needs_action takes a verification back. If-Match says which reading is decided on: 412 when the value was replaced since, 428 without it when it was replaced while it waited.',
    permission: 'admin:kyc',
    idempotent: 'accepted',
    ifMatch: 'accepted',
    params: idParams,
    body: shape<DecisionInput>({
      document: Joi.string().valid(...KYC_DOCUMENTS).required(),
      decision: Joi.string().valid(...DECISIONS).required(),
      reason: field.text(1_000),
      withdraw: Joi.boolean(),
    }),
    response: kycShape,
    errors: ['document_not_reviewable'],
    handle: (ctx, { params, body, ifMatch }) => decideOn(ctx, params.id, { ...body, seen: ifMatch }),
    view: kycView,
  }),
];
