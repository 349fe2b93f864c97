import Joi from 'joi';
import { runChecks } from '../../platform/checks.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { getAnyCompany, listAllCompanies, type CompanyFilter, type StatusDecision } from '../companies/index.ts';
import { decideOnCompany, listJobs, retryJob, type JobQuery } from './operation.service.ts';
import { checksShape, checksView, jobShape, jobView, staffCompanyShape, staffCompanyView } from './operation.views.ts';

const companyStatus = () => Joi.string().valid('active', 'suspended', 'closed');
const kycStatus = () => Joi.string().valid('not_started', 'in_progress', 'submitted', 'verified', 'rejected', 'needs_action');

export const operationRoutes = [
  route({
    method: 'get',
    path: '/v1/admin/companies',
    summary: 'All companies, newest first',
    permission: 'admin:companies',
    query: Joi.object<CompanyFilter & { limit?: number; cursor?: string }>({
      ...pageQueryKeys,
      status: companyStatus(),
      kycStatus: kycStatus(),
      q: field.text(200),
    }),
    response: pageOf(staffCompanyShape),
    handle: (ctx, { query }) => listAllCompanies(ctx, query),
    view: (page) => mapPage(page, staffCompanyView),
  }),
  route({
    method: 'get',
    path: '/v1/admin/companies/:id',
    summary: 'Any company',
    permission: 'admin:companies',
    params: idParams,
    response: staffCompanyShape,
    handle: (ctx, { params }) => getAnyCompany(ctx, params.id),
    view: staffCompanyView,
  }),
  route({
    method: 'patch',
    path: '/v1/admin/companies/:id',
    summary: 'Suspend, close or reopen a company',
    description: 'Its sessions end and its API keys stop at once (in other processes within about a second); sign-in answers company_suspended until it is active again.',
    permission: 'admin:companies',
    ifMatch: true,
    params: idParams,
    body: shape<StatusDecision>({ status: companyStatus().required(), reason: field.text(500) }),
    response: staffCompanyShape,
    handle: (ctx, { params, body, ifMatch }) => decideOnCompany(ctx, params.id, body, ifMatch),
    view: staffCompanyView,
  }),
  route({
    method: 'get',
    path: '/v1/admin/jobs',
    summary: 'Background jobs in a state (default dead) with the errors of their tries, without payloads',
    permission: 'admin:jobs',
    query: Joi.object<JobQuery>({ ...pageQueryKeys, state: Joi.string().valid('dead', 'queued', 'running') }),
    response: pageOf(jobShape),
    handle: (_ctx, { query }) => listJobs(query),
    view: (page) => mapPage(page, jobView),
  }),
  route({
    method: 'post',
    path: '/v1/admin/jobs/:id/retry',
    summary: 'Queue a dead job again, with all its tries',
    permission: 'admin:jobs',
    params: idParams,
    response: jobShape,
    errors: ['job_not_dead'],
    handle: (ctx, { params }) => retryJob(ctx, params.id),
    view: jobView,
  }),
  route({
    method: 'get',
    path: '/v1/admin/checks',
    summary: 'Run every invariant check over the stored data',
    description: 'Reads everything: calls of the same moment share one run. The same checks run once a day and log what they find.',
    permission: 'admin:checks',
    response: checksShape,
    handle: () => runChecks(),
    view: checksView,
  }),
];
