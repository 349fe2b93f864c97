import nodemailer, { type Transporter } from 'nodemailer';
import { makeBreaker } from '../../platform/breaker.ts';
import { now, nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, type OutsideTx, type Tx } from '../../platform/context.ts';
import { declareSealedRows } from '../../platform/db/renew-rows.ts';
import { openText, sealText, type Place } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { mailbox, mails, type MailboxRow, type MailState } from './mail.model.ts';

/** A mail to one receiver; `kind` names it in logs, which never show anything else of it. */
export interface OutgoingMail {
  kind: string;
  to: string;
  subject: string;
  text: string;
  links?: readonly string[];
}

/** What waits in the job: the mail itself is sealed, for it carries addresses and links that open doors. */
export interface MailPayload {
  mailId: string;
  kind: string;
  sealed: string;
}

const SERVICE = { companyId: PLATFORM_COMPANY_ID, purpose: 'system' } as const;

function placeOf(mailId: string): Place {
  return { collection: 'jobs', id: mailId, path: 'payload.sealed' };
}

declareSealedRows({ collection: 'jobs', path: 'payload.sealed', idPath: 'payload.mailId' });

const KEEP_MAILBOX_MS = 7 * 86_400_000;
const SMTP_TIMEOUT_MS = 15_000;

/** Sends a mail after the commit, with retries; nothing is sent when the caller's transaction fails. */
export async function queueMail(tx: Tx, mail: OutgoingMail): Promise<void> {
  const row = await mails.insert(tx, { kind: mail.kind, state: 'queued' });
  const payload: MailPayload = { mailId: row._id, kind: mail.kind, sealed: await sealText(SERVICE, placeOf(row._id), JSON.stringify(mail)) };
  tx.enqueue({ name: 'mail.send', payload: { ...payload } });
}

/** Hands one mail to the SMTP server, or to the development mailbox when none is set; throws when it was not taken. */
export async function deliver({ mailId, sealed }: MailPayload): Promise<void> {
  const { to, subject, text, links = [] } = JSON.parse(await openText(SERVICE, placeOf(mailId), sealed)) as OutgoingMail;
  const { smtpUrl, mailFrom, nodeEnv } = runtime().config;
  if (smtpUrl !== undefined) {
    const messageId = `<${mailId}@${domainOf(mailFrom)}>`;
    await smtp.run(() => transport(smtpUrl).sendMail({ from: mailFrom, to, subject, text, messageId }));
    return;
  }
  if (nodeEnv === 'production') throw new Error('SMTP_URL is not set, so no mail can be sent');
  await mailbox.insertNew([
    { _id: mailId, to, subject, text, links: [...links], createdAt: now(), expireAt: new Date(nowMs() + KEEP_MAILBOX_MS) },
  ]);
}

/** True while the mail waits to be sent. */
export async function isQueued(ctx: OutsideTx, mailId: string): Promise<boolean> {
  return (await mails.findOne(ctx, { _id: mailId, state: 'queued' }, { fields: ['_id'] })) !== undefined;
}

/** Notes in the mail log how a queued mail ended. */
export async function noteOutcome(ctx: OutsideTx, mailId: string, state: Exclude<MailState, 'queued'>): Promise<void> {
  const sent = state === 'sent' ? { sentAt: now() } : {};
  await withTransaction(ctx, async (ctx) =>
    mails.update(ctx, mailId, { $set: { state, ...sent } }, { where: { state: 'queued' }, otherwise: () => conflict('mail_ended', 'This mail has ended already') }),
  );
}

/** The development mailbox, newest first, at most 100 mails; of one receiver when `to` is given. */
export async function readMailbox(to?: string): Promise<MailboxRow[]> {
  return mailbox.find(to === undefined ? {} : { to: to.trim().toLowerCase() }, { sort: { createdAt: -1, _id: -1 }, limit: 100 });
}

/** A server that refuses one mail or one receiver is there. */
const smtp = makeBreaker({
  name: 'smtp',
  isFailure: (error) => !['EENVELOPE', 'EMESSAGE'].includes(String((error as { code?: unknown } | null)?.code)),
  refusal: () => new Error('The mail server does not answer'),
});

let open: { url: string; transporter: Transporter } | undefined;

/** One pooled connection per process and server; timeouts are ours, for the library's are minutes. */
function transport(url: string): Transporter {
  if (open?.url !== url) {
    open?.transporter.close();
    const options = { pool: true, connectionTimeout: SMTP_TIMEOUT_MS, greetingTimeout: SMTP_TIMEOUT_MS, socketTimeout: SMTP_TIMEOUT_MS };
    open = { url, transporter: nodemailer.createTransport({ ...options, url }) };
  }
  return open.transporter;
}

/** Closes the connection to the SMTP server, if one is open. */
export function closeTransport(): void {
  open?.transporter.close();
  open = undefined;
}

function domainOf(from: string): string {
  return /@([\w.-]+)/.exec(from)?.[1] ?? 'localhost';
}
