import type { Module } from '../../platform/module.ts';
import { kycAdminRoutes } from './kyc.admin.routes.ts';
import { kycChecks } from './kyc.checks.ts';
import { kycJobs, kycSchedules } from './kyc.jobs.ts';
import { kycRoutes } from './kyc.routes.ts';

export type { BankInput, PanInput } from './kyc.input.rules.ts';
export type { Documents, Kyc, KycDocument, VaultEntry } from './kyc.model.ts';
export { overallStatus } from './kyc.rules.ts';
export { ownKyc, saveBankAccount, saveGstin, savePan } from './kyc.service.ts';

export const kycModule: Module = {
  name: 'kyc',
  routes: [...kycRoutes, ...kycAdminRoutes],
  jobs: kycJobs,
  schedules: kycSchedules,
  checks: kycChecks,
};
