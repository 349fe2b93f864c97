import { runChecks } from '../../platform/checks.ts';
import { now, nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, inCompany, systemCtx, type Ctx, type OutsideTx } from '../../platform/context.ts';
import { conflict, notFound } from '../../platform/errors.ts';
import { jobRows, type JobRow } from '../../platform/jobs.ts';
import { pageLimit, readCursor, writeCursor, type Page, type PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import type { Row } from '../../platform/db/collection.ts';
import { changeCompanyStatus, type Company, type StatusDecision } from '../companies/index.ts';
import { shutOut } from '../identity/index.ts';
import { AUDIT_CHAIN_CHECK, reportSecurityEvent } from '../audit/index.ts';

/** Changes a company's status as `changeCompanyStatus` does; of one that is no longer active everybody is out when this answers. */
export async function decideOnCompany(ctx: OutsideTx, id: string, decision: StatusDecision, version: number): Promise<Row<Company>> {
  const company = await changeCompanyStatus(ctx, id, decision, version);
  if (company.status !== 'active') await shutOut(inCompany(ctx, id));
  return company;
}

/** For how long a dead job stays to be looked at and retried; its payload may hold personal data. */
const KEEP_DEAD_MS = 90 * 86_400_000;
const SHOWN_IN_LOG = 5;

export interface JobQuery extends PageRequest {
  state?: 'dead' | 'queued' | 'running' | undefined;
}

/** What our staff may see of a job: everything but its payload. */
export type JobFacts = Omit<JobRow, 'payload'>;
const FACTS = ['name', 'companyId', 'requestId', 'state', 'runAt', 'attempts', 'log', 'createdAt'] as const;

/** One page of the background jobs in a state (default `dead`), the latest due first, without their payloads. */
export async function listJobs({ state = 'dead', ...request }: JobQuery): Promise<Page<JobFacts>> {
  const limit = pageLimit(request);
  const filter = request.cursor === undefined ? { state } : { state, ...after(request.cursor) };
  const found = await jobRows.find(filter, { sort: { runAt: -1, _id: -1 }, limit: limit + 1, fields: FACTS });
  const data = found.slice(0, limit);
  const last = data.at(-1);
  return { data, nextCursor: found.length > limit && last ? writeCursor({ at: last.runAt.getTime(), id: last._id }) : null };
}

function after(cursor: string): { runAt: { $lte: Date }; $or: object[] } {
  const place = readCursor(cursor);
  const at = new Date(place.at);
  return { runAt: { $lte: at }, $or: [{ runAt: { $lt: at } }, { _id: { $lt: place.id } }] };
}

/** Queues a dead job again, with all its tries; 404 when unknown, 409 `job_not_dead` in any other state. */
export async function retryJob(ctx: Ctx, id: string): Promise<JobFacts> {
  const row = await jobRows.change({ _id: id, state: 'dead' }, { $set: { state: 'queued', runAt: now(), attempts: 0 } });
  if (row) {
    runtime().log.info('job.retried', { requestId: ctx.requestId, job: row.name, jobId: id, actorId: ctx.actor.id });
    return row;
  }
  const present = await jobRows.findOne({ _id: id });
  if (!present) throw notFound('job');
  throw conflict('job_not_dead', 'Only a job that has used up its tries can be retried', { state: present.state });
}

/** Runs every check and logs one error line for each that found something. */
export async function reportChecks(): Promise<void> {
  const { ok, checks } = await runChecks();
  const { log } = runtime();
  for (const { name, count, violations } of checks) {
    if (count > 0) log.error('check.failed', { check: name, count, violations: violations.slice(0, SHOWN_IN_LOG) });
  }
  const chain = checks.find((check) => check.name === AUDIT_CHAIN_CHECK);
  if (chain && !chain.ok) await reportSecurityEvent(systemCtx('checks', PLATFORM_COMPANY_ID), { type: 'security.audit_tampered', details: { found: chain.count, first: chain.violations[0] ?? '' } });
  log.info('checks.done', { ok, checks: checks.length });
}

/** Removes dead jobs that nobody retried within 90 days. */
export async function forgetOldDeadJobs(): Promise<void> {
  const count = await jobRows.remove({ state: 'dead', runAt: { $lt: new Date(nowMs() - KEEP_DEAD_MS) } });
  if (count > 0) runtime().log.info('jobs.dead_forgotten', { count });
}
