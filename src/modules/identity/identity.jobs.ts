import { inCompany } from '../../platform/context.ts';
import { job } from '../../platform/jobs.ts';
import type { Subscriber } from '../../platform/outbox.ts';
import { ownCompany } from '../companies/index.ts';
import { sendReset, type ResetPayload } from './password.service.ts';
import { endSessions } from './session.service.ts';
import { shutOut } from './staff.service.ts';

/** Finds out whether an address that asked for a reset is known, out of the asker's sight. */
export const sendResetMail = job<ResetPayload>({
  name: 'identity.send-reset',
  attempts: 5,
  backoffMs: 2_000,
  handle: (ctx, payload) => sendReset(ctx, payload),
});

/** Ends sessions that a committed change has made worthless. */
export const endSessionsJob = job<{ userId: string; because: string; startedBefore: string; except?: string }>({
  name: 'identity.end-sessions',
  attempts: 10,
  backoffMs: 1_000,
  handle: (_ctx, { userId, because, startedBefore, except }) => endSessions(userId, because, { except, startedBefore: new Date(startedBefore) }),
});

/** A company that is no longer active signs everybody out; one that is active again keeps who has come in since. */
export const onCompanyStatus: Subscriber = {
  name: 'identity.company-status',
  types: ['company.status_changed'],
  async handle(ctx, { payload, companyId }) {
    if (payload['status'] === 'active') return;
    const own = inCompany(ctx, companyId);
    if ((await ownCompany(own)).status !== 'active') await shutOut(own);
  },
};
