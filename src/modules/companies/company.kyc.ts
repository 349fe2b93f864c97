import type { Ctx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { forbidden } from '../../platform/errors.ts';
import { companies, type Company, type KycStatus } from './company.model.ts';

/** What the KYC says of its company; the state only of a verified GSTIN. */
export interface KycFacts {
  status: KycStatus;
  gstinState: string | undefined;
}

/** Carries the KYC's word to the company, in the transaction of the KYC's own change; what it says already changes nothing. */
export async function setKycStatus(tx: Tx, { status, gstinState }: KycFacts): Promise<void> {
  const company = await companies.get(tx, tx.companyId);
  if (company.kycStatus === status && company.gstinState === gstinState) return;
  const change = gstinState === undefined ? { $set: { kycStatus: status }, $unset: { gstinState: '' as const } } : { $set: { kycStatus: status, gstinState } };
  await companies.update(tx, company._id, change, { version: company.version });
}

/** Real money is paid out only to a company that is known: 403 `email_not_verified`, 403 `kyc_required`. */
export async function requireMayReceiveMoney(ctx: Ctx): Promise<void> {
  const { emailVerifiedAt, kycStatus } = await companies.get(ctx, ctx.companyId);
  if (!emailVerifiedAt) throw forbidden('email_not_verified', 'Verify your e-mail address first; until then no money can be received');
  if (kycStatus !== 'verified') throw forbidden('kyc_required', 'Until your KYC is verified no money can be received');
}

/** Some companies at once, for lists of our staff. */
export async function companiesById(ctx: Ctx, ids: readonly string[]): Promise<Row<Company>[]> {
  return companies.find(ctx, { _id: { $in: ids } });
}

/** Walks every company with its KYC status; for checks. */
export function eachCompany(ctx: Ctx): AsyncIterable<Row<Company>> {
  return companies.each(ctx, {}, { fields: ['kycStatus'] });
}
