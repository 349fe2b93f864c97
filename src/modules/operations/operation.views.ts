import Joi from 'joi';
import type { CheckReport, ChecksReport } from '../../platform/checks.ts';
import type { Row } from '../../platform/db/collection.ts';
import { cleanText } from '../../platform/logger.redact.ts';
import { field, shape } from '../../platform/route.ts';
import { companyShape, companyView, type Company, type CompanyView } from '../companies/index.ts';
import type { JobFacts } from './operation.service.ts';

interface StaffCompanyView extends CompanyView {
  statusReason?: string;
  statusChangedAt?: string;
}

/** What our staff see of a company: what it sees itself, and why its status was last changed. */
export function staffCompanyView(row: Row<Company>): StaffCompanyView {
  return {
    ...companyView(row),
    ...(row.statusReason === undefined ? {} : { statusReason: row.statusReason }),
    ...(row.statusChangedAt === undefined ? {} : { statusChangedAt: row.statusChangedAt.toISOString() }),
  };
}

export const staffCompanyShape: Joi.ObjectSchema<StaffCompanyView> = companyShape.append<StaffCompanyView>({
  statusReason: Joi.string(),
  statusChangedAt: field.isoTime(),
});

interface JobView {
  id: string;
  name: string;
  companyId: string;
  requestId: string;
  state: string;
  runAt: string;
  attempts: number;
  errors: { at: string; error: string }[];
  createdAt: string;
}

/** A job without its payload; of error texts only what a log may show. */
export function jobView({ _id, name, companyId, requestId, state, runAt, attempts, log, createdAt }: JobFacts): JobView {
  return {
    id: _id,
    name,
    companyId,
    requestId,
    state,
    runAt: runAt.toISOString(),
    attempts,
    errors: log.map(({ at, error }) => ({ at: at.toISOString(), error: cleanText(error) })),
    createdAt: createdAt.toISOString(),
  };
}

export const jobShape = shape<JobView>({
  id: field.id().required(),
  name: Joi.string().required(),
  companyId: field.id().required(),
  requestId: Joi.string().required(),
  state: Joi.string().required(),
  runAt: field.isoTime().required(),
  attempts: Joi.number().integer().required(),
  errors: Joi.array()
    .items(Joi.object({ at: field.isoTime().required(), error: Joi.string().allow('').required() }))
    .required(),
  createdAt: field.isoTime().required(),
});

interface ChecksView {
  ok: boolean;
  startedAt: string;
  checks: CheckReport[];
}

/** One run of the checks. */
export function checksView({ ok, startedAt, checks }: ChecksReport): ChecksView {
  return { ok, startedAt: startedAt.toISOString(), checks };
}

export const checksShape = shape<ChecksView>({
  ok: Joi.boolean().required(),
  startedAt: field.isoTime().required(),
  checks: Joi.array()
    .items(
      Joi.object({
        name: Joi.string().required(),
        ok: Joi.boolean().required(),
        ms: Joi.number().integer().min(0).required(),
        count: Joi.number().integer().min(0).required(),
        violations: Joi.array().items(Joi.string()).required(),
      }),
    )
    .required(),
});
