import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import type { Check } from '../../platform/module.ts';
import { companiesById } from '../companies/index.ts';
import { integrations } from './former.model.ts';

const BATCH = 500;

/** What was taken up belongs to companies that are there. */
const owned: Check = {
  name: 'former.owned',
  async run() {
    const everywhere = acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'checks');
    const owners = new Set<string>();
    for await (const { companyId } of integrations.each(everywhere, {}, { fields: ['companyId'] })) owners.add(companyId);
    const ids = [...owners];
    for (let at = 0; at < ids.length; at += BATCH) for (const { _id } of await companiesById(everywhere, ids.slice(at, at + BATCH))) owners.delete(_id);
    return [...owners].map((id) => `Rows that were taken up belong to company ${id}, which is not there`);
  },
};

export const formerChecks = [owned];
