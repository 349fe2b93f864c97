import { now } from '../../platform/clock.ts';
import { acrossCompanies, inCompany, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { dataErased, isErased } from '../../platform/db/keyring.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { stale } from '../../platform/errors.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { companies, type Company, type CompanyStatus, type KycStatus } from './company.model.ts';
import { namePrefix, normalizeReason } from './company.rules.ts';

export interface CompanyFilter {
  status?: CompanyStatus | undefined;
  kycStatus?: KycStatus | undefined;
  /** The beginning of the name, in any case. */
  q?: string | undefined;
}

export interface StatusDecision {
  status: CompanyStatus;
  reason?: string;
}

/** One page of all companies for our staff, newest first. */
export async function listAllCompanies(ctx: Ctx, { status, kycStatus, q, ...request }: CompanyFilter & PageRequest): Promise<Page<Row<Company>>> {
  const wish: Filter<Company> = {
    ...(status === undefined ? {} : { status }),
    ...(kycStatus === undefined ? {} : { kycStatus }),
    ...(q === undefined ? {} : { name: { $regex: namePrefix(q) } }),
  };
  // Ids sort by birth, and the indexes of this collection end with them.
  return companies.list(acrossCompanies(ctx, 'staff list'), wish, request, { field: '_id', direction: -1 });
}

/** Any company, for our staff; 404 when unknown. */
export async function getAnyCompany(ctx: Ctx, id: string): Promise<Row<Company>> {
  return companies.get(acrossCompanies(ctx, 'staff view'), id);
}

/**
 * Suspends, closes or reopens a company under the version that was seen; `company.status_changed` then ends its
 * sessions. The status it has already changes nothing. An erased one is never active again: 409 `data_erased`.
 */
export async function changeCompanyStatus(ctx: OutsideTx, id: string, decision: StatusDecision, version: number): Promise<Row<Company>> {
  const { status } = decision;
  const reason = decision.reason === undefined ? undefined : normalizeReason(decision.reason);
  if (status === 'active' && (await isErased(id))) throw dataErased();
  return withTransaction(inCompany(ctx, id), async (ctx) => {
    const seen = await companies.get(ctx, id);
    if (seen.version !== version) throw stale('company', seen.version);
    if (seen.status === status) return seen;
    ctx.emit({ type: 'company.status_changed', key: id, payload: { status, ...(reason === undefined ? {} : { reason }) } });
    const why = reason === undefined ? { $unset: { statusReason: '' as const } } : {};
    return companies.update(ctx, id, { $set: { status, statusReason: reason, statusChangedAt: now() }, ...why }, { version });
  });
}

/** Holds the ctx's company closed for what this transaction does; 412 when it is open again. */
export async function confirmClosed(tx: Tx): Promise<void> {
  const guard = { where: { status: 'closed' as const }, otherwise: (row: Row<Company>) => stale('company', row.version) };
  await companies.update(tx, tx.companyId, { $set: { statusChangedAt: now() } }, guard);
}
