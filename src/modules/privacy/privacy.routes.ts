import type { Readable } from 'node:stream';
import Joi from 'joi';
import type { OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import type { FileAnswer } from '../../platform/route.ts';
import { field, idParams, route, shape } from '../../platform/route.ts';
import { assertFresh } from '../identity/index.ts';
import { askCompanyErasure, askErasureByStaff, cancelCompanyErasure } from './company.service.ts';
import { eraseCustomer, getErasure } from './customer.service.ts';
import { exportCompany, exportCustomer } from './export.service.ts';
import type { Erasure } from './privacy.model.ts';
import { readCustomerKeys, type CustomerInput } from './privacy.rules.ts';


interface ErasureView {
  id: string;
  kind: string;
  status: string;
  reason: string;
  dueAt: string;
  finishedAt?: string;
  counts: Record<string, number>;
}

function erasureView({ _id, kind, state, reason, dueAt, finishedAt, counts }: Row<Erasure>): ErasureView {
  return { id: _id, kind, status: state, reason: String(reason.shown()), dueAt: dueAt.toISOString(), ...(finishedAt ? { finishedAt: finishedAt.toISOString() } : {}), counts };
}

const erasureShape = shape<ErasureView>({
  id: field.id().required(),
  kind: Joi.string().required(),
  status: Joi.string().required(),
  reason: Joi.string().required(),
  dueAt: field.isoTime().required(),
  finishedAt: field.isoTime(),
  counts: Joi.object().unknown().required(),
});

interface Confirmation {
  password: string;
  otp?: string;
}

/** The password always, however fresh the sign-in; the second factor as for every fresh authentication. */
const confirmationKeys = { password: Joi.string().min(1).max(128).required(), otp: field.text(40) };
const CONFIRMATION_ERRORS = ['invalid_credentials', 'mfa_required', 'invalid_otp', 'too_many_attempts'] as const;
const customerKeys = { phone: field.text(40), email: field.text(254) };

async function confirmed<T>(ctx: OutsideTx, { password, otp }: Confirmation, work: () => Promise<T>): Promise<T> {
  await assertFresh(ctx, { password, ...(otp === undefined ? {} : { otp }) });
  return work();
}

function archive(filename: string) {
  return (content: Readable): FileAnswer => ({ contentType: 'application/gzip', filename, content });
}

export const privacyRoutes = [
  route({
    method: 'post',
    path: '/v1/company/export',
    summary: 'Everything about the company as gzipped JSON lines, sealed values in clear; needs the password again',
    description: 'One line a row: {"collection", "row"}. Hashes, tokens and credentials are left out. The owners are told by mail.',
    permission: 'company:export',
    limit: 'sensitive',
    body: shape<Confirmation>(confirmationKeys),
    response: 'application/gzip',
    errors: CONFIRMATION_ERRORS,
    handle: (ctx, { body, connection }) => confirmed(ctx, body, () => exportCompany(ctx, connection.address)),
    view: archive('company.jsonl.gz'),
  }),
  route({
    method: 'post',
    path: '/v1/privacy/customers/export',
    summary: 'Everything that the company holds of one customer, by phone or e-mail, as gzipped JSON lines',
    permission: 'customers:export',
    limit: 'sensitive',
    body: shape<CustomerInput>(customerKeys),
    response: 'application/gzip',
    handle: (ctx, { body, connection }) => exportCustomer(ctx, readCustomerKeys(body), connection.address),
    view: archive('customer.jsonl.gz'),
  }),
  route({
    method: 'post',
    path: '/v1/privacy/customers/erase',
    summary: 'Erase what the company holds of one customer, by phone or e-mail; a job does it',
    permission: 'customers:erase',
    limit: 'sensitive',
    idempotent: 'accepted',
    body: shape<CustomerInput & { reason: string }>({ ...customerKeys, reason: field.text(500).required() }),
    response: erasureShape,
    status: 202,
    errors: ['customer_has_open_orders'],
    handle: (ctx, { body: { reason, ...customer } }) => eraseCustomer(ctx, readCustomerKeys(customer), reason),
    view: erasureView,
  }),
  route({
    method: 'get',
    path: '/v1/privacy/erasures/:id',
    summary: 'How far an erasure is',
    permission: 'customers:erase',
    params: idParams,
    response: erasureShape,
    handle: (ctx, { params }) => getErasure(ctx, params.id),
    view: erasureView,
  }),
  route({
    method: 'post',
    path: '/v1/company/erase',
    summary: 'Ask for the erasure of the company after a time in which it may be taken back; needs the password again',
    permission: 'company:erase',
    limit: 'sensitive',
    idempotent: 'accepted',
    body: shape<Confirmation & { reason: string }>({ ...confirmationKeys, reason: field.text(500).required() }),
    response: erasureShape,
    status: 202,
    errors: [...CONFIRMATION_ERRORS, 'company_has_open_business', 'erasure_exists'],
    handle: (ctx, { body }) => confirmed(ctx, body, () => askCompanyErasure(ctx, body.reason)),
    view: erasureView,
  }),
  route({
    method: 'post',
    path: '/v1/company/erase/cancel',
    summary: 'Take the erasure of the company back, while it waits',
    permission: 'company:erase',
    response: erasureShape,
    errors: ['erasure_begun'],
    handle: (ctx) => cancelCompanyErasure(ctx),
    view: erasureView,
  }),
  route({
    method: 'post',
    path: '/v1/admin/companies/:id/erase',
    summary: 'Erase a company at once; its name must be repeated',
    permission: 'admin:erase',
    limit: 'sensitive',
    idempotent: 'accepted',
    params: idParams,
    body: shape<{ reason: string; name: string }>({ reason: field.text(500).required(), name: field.text(200).required() }),
    response: erasureShape,
    status: 202,
    errors: ['company_has_open_business', 'erasure_exists'],
    handle: (ctx, { params, body }) => askErasureByStaff(ctx, params.id, body),
    view: erasureView,
  }),
];
