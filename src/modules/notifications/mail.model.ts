import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';

export type MailState = 'queued' | 'sent' | 'failed';

/** One mail in the log: what kind, how it went. Neither its text nor its receiver's address is kept. */
export interface Mail {
  kind: string;
  state: MailState;
  sentAt?: Date;
}

export const mails = defineCollection<Mail>({
  name: 'mails',
  rowName: 'mail',
  // The row is itself the record of what happened to the mail.
  audited: false,
  fields: {
    kind: { type: String, required: true, maxlength: 50 },
    state: { type: String, required: true, enum: ['queued', 'sent', 'failed'] },
    sentAt: { type: Date },
  },
  indexes: [{ keys: { state: 1, createdAt: 1 } }],
});

/** A mail as development keeps it instead of sending; `_id` is the mail's id, so a repeated job stores it once. */
export interface MailboxRow {
  _id: string;
  to: string;
  subject: string;
  text: string;
  links: string[];
  createdAt: Date;
  expireAt: Date;
}

export const mailbox = machineRows<MailboxRow>('mailbox', [
  { keys: { to: 1, createdAt: -1 } },
  { keys: { createdAt: -1 } },
  { keys: { expireAt: 1 }, expireAfterSeconds: 0 },
]);
