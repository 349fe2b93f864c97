import { machineRows } from '../../platform/db/machine-rows.ts';
import { removeSome, type Retention } from '../../platform/retention.ts';
import { runtime } from '../../platform/runtime.ts';

const oldMails = machineRows<{ _id: string; state: string; createdAt: Date }>('mails');

/** What was sent or given up goes after its time; what still waits stays. */
export const mailRetention: readonly Retention[] = [
  {
    name: 'mails',
    days: () => runtime().config.retentionMailLogDays,
    sweep: (before, most) => removeSome(oldMails, { state: { $in: ['sent', 'failed'] }, createdAt: { $lt: before } }, most),
  },
];
