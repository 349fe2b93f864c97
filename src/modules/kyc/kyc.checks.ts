import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import type { Check } from '../../platform/module.ts';
import { eachCompany } from '../companies/index.ts';
import { kycs, vault, type Kyc } from './kyc.model.ts';
import { overallStatus } from './kyc.rules.ts';

const everywhere = () => acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'checks');

/** A KYC's status follows from its documents, and its company shows the same. */
const statuses: Check = {
  name: 'kyc.statuses',
  async run() {
    const found: string[] = [];
    const rows = new Map<string, Pick<Kyc, 'status'>>();
    for await (const row of kycs.each(everywhere(), {}, { fields: ['companyId', 'memberId', 'status', 'documents', 'files', 'addresses'] })) {
      if (row.memberId === undefined) rows.set(row.companyId, row);
      const follows = overallStatus(row.documents, row.status, row.files.length + row.addresses.length > 0);
      if (follows !== row.status) found.push(`KYC ${row._id} is ${row.status}, its documents make it ${follows}`);
    }
    for await (const { _id, kycStatus } of eachCompany(everywhere())) {
      const own = rows.get(_id)?.status ?? 'not_started';
      if (kycStatus !== own) found.push(`Company ${_id} shows KYC ${kycStatus}, its KYC is ${own}`);
    }
    return found;
  },
};

/** Every vault row belongs to a KYC, every reference leads to one, and no number stays that nobody must keep. */
const vaultRows: Check = {
  name: 'kyc.vault',
  async run() {
    const found: string[] = [];
    const references = new Map<string, string>();
    for await (const { companyId, aadhaar } of kycs.each(everywhere(), {}, { fields: ['companyId', 'aadhaar', 'documents'] })) {
      if (aadhaar) references.set(aadhaar.reference, companyId);
    }
    for await (const entry of vault.each(everywhere(), {})) {
      if (references.get(entry._id) !== entry.companyId) found.push(`Vault row ${entry._id} belongs to no KYC`);
      references.delete(entry._id);
      if (entry.number && !entry.keep && entry.verification) found.push(`Vault row ${entry._id} keeps a number after its check`);
    }
    for (const [reference, companyId] of references) found.push(`The KYC of company ${companyId} refers to vault row ${reference}, which is not there`);
    return found;
  },
};

export const kycChecks = [statuses, vaultRows];
