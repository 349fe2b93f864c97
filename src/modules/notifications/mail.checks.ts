import { PLATFORM_COMPANY_ID, acrossCompanies, systemCtx } from '../../platform/context.ts';
import { jobRows } from '../../platform/jobs.ts';
import type { Check } from '../../platform/module.ts';
import { mails } from './mail.model.ts';

/** Of every mail the log knows whether it waits, and then a job waits with it. */
const queuedMailsHaveJobs: Check = {
  name: 'notifications.queued-mails-have-jobs',
  async run() {
    const ctx = acrossCompanies(systemCtx('check', PLATFORM_COMPANY_ID), 'check of all mails');
    const queued = new Map<string, Date>();
    for await (const mail of mails.each(ctx, { state: 'queued' })) queued.set(mail._id, mail.createdAt);
    if (queued.size === 0) return [];
    for await (const row of jobRows.each({ name: 'mail.send', state: { $in: ['queued', 'running'] } })) queued.delete(String(row.payload['mailId']));
    return [...queued.keys()].map((id) => `Mail ${id} is queued and no job will send it`);
  },
};

export const mailChecks: readonly Check[] = [queuedMailsHaveJobs];
