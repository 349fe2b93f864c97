import { job, jobRows } from '../../platform/jobs.ts';
import { deliver, isQueued, noteOutcome, type MailPayload } from './mail.service.ts';

const ATTEMPTS = 8;

/** Sends one mail; after the last try it is in the mail log as failed, and its job among the dead ones. */
export const sendMail = job<MailPayload>({
  name: 'mail.send',
  attempts: ATTEMPTS,
  backoffMs: 5_000,
  async handle(ctx, payload, run) {
    if (await isQueued(ctx, payload.mailId)) {
      try {
        await deliver(payload);
      } catch (error) {
        if (run.attempt >= ATTEMPTS) await noteOutcome(ctx, payload.mailId, 'failed');
        throw error;
      }
      await noteOutcome(ctx, payload.mailId, 'sent');
    }
    // Links in mails carry secrets: once sent, their text has no business in a table of jobs.
    await jobRows.change({ _id: run.id }, { $set: { payload: { mailId: payload.mailId } } });
  },
});
