import { nowMs } from '../../platform/clock.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import { sweepFiles } from '../../platform/db/files.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { job } from '../../platform/jobs.ts';
import { runtime } from '../../platform/runtime.ts';
import type { Schedule } from '../../platform/scheduler.ts';
import { KYC_FILES } from './kyc.files.service.ts';
import { kycs, vault } from './kyc.model.ts';
import { expireVerifications } from './kyc.review.service.ts';
import { VERIFY_DOCUMENT } from './kyc.steps.ts';
import { verifyDocument, type Verification } from './kyc.verify.service.ts';

const ATTEMPTS = 8;
const DAY_MS = 86_400_000;
const AT_ONCE = 500;

export const kycJobs = [
  job<Verification>({
    name: VERIFY_DOCUMENT,
    attempts: ATTEMPTS,
    backoffMs: 2_000,
    handle: (ctx, verification, { attempt }) => verifyDocument(ctx, verification, { attempt, lastTry: attempt >= ATTEMPTS }),
  }),
];

const expiry: Schedule = {
  name: 'kyc.expire',
  everySeconds: 3_600,
  async run() {
    const count = await expireVerifications();
    if (count > 0) runtime().log.info('kyc.expired', { companies: count });
  },
};

/** Uploads that no KYC refers to: of a process that died in between, or of an unclear commit. */
const sweepUploads: Schedule = {
  name: 'kyc.sweep_files',
  everySeconds: 86_400,
  async run() {
    const ctx = acrossCompanies(systemCtx('kyc-sweep', PLATFORM_COMPANY_ID), 'files without a KYC are removed');
    await sweepFiles(KYC_FILES, DAY_MS, async (ids) => {
      const rows = await kycs.find(ctx, { 'files.fileId': { $in: ids } }, { fields: ['files'] });
      return new Set(rows.flatMap((row) => row.files.map((file) => file.fileId)));
    });
  },
};

/** Aadhaar numbers that wait for a check that never ends, when nobody must keep them. */
const emptyVault: Schedule = {
  name: 'kyc.empty_vault',
  everySeconds: 3_600,
  async run() {
    const across = acrossCompanies(systemCtx('kyc-vault', PLATFORM_COMPANY_ID), 'numbers that nobody must keep are removed');
    const waiting = { keep: false, updatedAt: { $lt: new Date(nowMs() - DAY_MS) }, number: { $exists: true } };
    for (const { _id, companyId, version } of await vault.find(across, waiting, { limit: AT_ONCE, fields: ['companyId', 'version'] })) {
      await withTransaction(systemCtx('kyc-vault', companyId), async (ctx) => vault.update(ctx, _id, { $unset: { number: '' } }, { version }));
    }
  },
};

export const kycSchedules = [expiry, sweepUploads, emptyVault];
