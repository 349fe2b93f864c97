import { now } from '../../platform/clock.ts';
import { acrossCompanies, inCompany, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { notFound, preconditionRequired, stale } from '../../platform/errors.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { companiesById, type Company, type KycStatus } from '../companies/index.ts';
import { normalizeReason } from './kyc.input.rules.ts';
import { COMPANY_OWN, kycEvents, kycs, type Kyc, type KycDocument, type KycEvent } from './kyc.model.ts';
import { expiredDocuments, statusOf, type Decision } from './kyc.rules.ts';
import { moveDocuments, notReviewable } from './kyc.steps.ts';

/** A KYC in the queue, with whose it is. */
export interface QueuedKyc {
  kyc: Row<Kyc>;
  company: Row<Company> | undefined;
}

/** One KYC with what has happened to it, newest first. */
export interface ReviewedKyc extends QueuedKyc {
  history: Row<KycEvent>[];
}

const HISTORY_SHOWN = 100;
const REASON_MAX = 500;

/** One page of the KYCs of all companies and of former members in a status, the longest waiting first: two commands, whatever its length. */
export async function listKycs(ctx: Ctx, { status, ...page }: PageRequest & { status?: KycStatus }): Promise<Page<QueuedKyc>> {
  const across = acrossCompanies(ctx, 'KYC review');
  const filter: Filter<Kyc> = status === undefined ? {} : { status };
  const { data, nextCursor } = await kycs.list(across, filter, page, { field: 'statusChangedAt', direction: 1 });
  const companies = new Map((await companiesById(across, data.map((kyc) => kyc.companyId))).map((company) => [company._id, company]));
  return { data: data.map((kyc) => ({ kyc, company: companies.get(kyc.companyId) })), nextCursor };
}

/** Any KYC by its id or its company's. */
export async function anyKyc(ctx: Ctx, id: string): Promise<Row<Kyc>> {
  const across = acrossCompanies(ctx, 'KYC review');
  const found = (await kycs.findOne(across, { _id: id })) ?? (await kycs.findOne(across, { companyId: id, ...COMPANY_OWN }));
  if (!found) throw notFound('kyc');
  return found;
}

/** Any KYC for a reviewer: masks, evidence and history. */
export async function reviewKyc(ctx: OutsideTx, id: string): Promise<ReviewedKyc> {
  const kyc = await anyKyc(ctx, id);
  const own = inCompany(ctx, kyc.companyId);
  const [[company], history] = await Promise.all([
    companiesById(acrossCompanies(ctx, 'KYC review'), [kyc.companyId]),
    kycEvents.find(own, { memberId: kyc.memberId ?? null }, { sort: { createdAt: -1, _id: -1 }, limit: HISTORY_SHOWN }),
  ]);
  return { kyc, company, history };
}

export interface DecisionInput {
  document: KycDocument;
  decision: Decision;
  reason?: string;
  /** Takes a verification back; the decision is then `needs_action`. */
  withdraw?: boolean;
}

/** A decision with the version of the KYC that the reviewer had read; -1 when he does not say. */
export interface SeenDecision extends DecisionInput {
  seen: number;
}

/**
 * Decides on one submitted document; the company's status and its owners' move in the same transaction, and the owners get
 * a mail by a job. Of many decisions at once one counts, the others get 409 `document_not_reviewable`. A refusal needs a
 * reason. `withdraw` turns a verified document into one that needs action. What counts is the value that was looked at: 412
 * when it was replaced since, 428 without If-Match when it was replaced while it waited.
 */
export async function decideOn(ctx: OutsideTx, id: string, { document, decision, reason: given, withdraw = false, seen }: SeenDecision): Promise<Row<Kyc>> {
  const reason = normalizeReason(given, { min: decision === 'verified' ? 0 : 1, max: REASON_MAX });
  const { _id, companyId } = await anyKyc(ctx, id);
  return withTransaction(inCompany(ctx, companyId), async (ctx) => {
    const row = await kycs.get(ctx, _id);
    const status = statusOf(row.documents, document);
    assertSeen(row, document, seen);
    if (withdraw && decision !== 'needs_action') throw notReviewable(document, status);
    return moveDocuments(ctx, row, [{ document, event: withdraw ? 'withdrawn' : decision, reason }]);
  });
}

function assertSeen(row: Row<Kyc>, document: KycDocument, seen: number): void {
  const state = row.documents[document];
  if (seen === -1 && state?.replaced && state.status === 'submitted') throw preconditionRequired('Another value took the place of the one that waited. Look at it. ');
  if (seen !== -1 && seen < (state?.savedVersion ?? 0)) throw stale('kyc', row.version);
}

const EXPIRED_AT_ONCE = 500;

/** Ends the verifications whose time has come, company by company; answers how many, and leaves to the next run what fails. */
export async function expireVerifications(): Promise<number> {
  const across = acrossCompanies(systemCtx('kyc-expiry', PLATFORM_COMPANY_ID), 'verifications of any company end');
  const due = await kycs.find(across, { expiresAt: { $lte: now(), $exists: true } }, { sort: { expiresAt: 1 }, limit: EXPIRED_AT_ONCE, fields: ['companyId'] });
  let count = 0;
  for (const { _id, companyId } of due) {
    try {
      await expireOne(companyId, _id);
      count += 1;
    } catch (error) {
      runtime().log.error('kyc.expiry_failed', { companyId, error });
    }
  }
  return count;
}

async function expireOne(companyId: string, id: string): Promise<void> {
  await withTransaction(systemCtx('kyc-expiry', companyId), async (ctx) => {
    const row = await kycs.get(ctx, id);
    const ended = expiredDocuments(row.documents, now());
    const reason = 'The verification has ended; look through the document and submit it again';
    if (ended.length > 0) await moveDocuments(ctx, row, ended.map((document) => ({ document, event: 'expired' as const, reason })));
  });
}
