import type { NewSecurityEvent } from '../audit/index.ts';
import type { OutgoingMail } from '../notifications/index.ts';

interface Notice {
  severity: NewSecurityEvent['severity'];
  /** The mail to the owner of the account; without it only the record is kept. */
  mail?: { subject: string; happened: string; otherwise?: string };
}

const ASK_FOR_HELP = 'If it was not you, set a new password now and tell our support.';

/** What is recorded of an account's safety, and what its owner is told by mail. */
export const NOTICES = {
  new_device: {
    severity: 'info',
    mail: { subject: 'New sign-in to your account', happened: 'somebody signed in to your account from a device that we do not know yet.' },
  },
  password_changed: {
    severity: 'warning',
    mail: { subject: 'Your password was changed', happened: 'the password of your account was just changed, and your other sessions were ended.' },
  },
  password_reset: {
    severity: 'warning',
    mail: { subject: 'Your password was changed', happened: 'a new password was just set by a mailed link, and all sessions of your account were ended.' },
  },
  email_change_requested: {
    severity: 'warning',
    mail: {
      subject: 'A new e-mail address was asked for',
      happened: 'somebody asked for another e-mail address for your account. It changes when the link in the mail to the new address is opened.',
    },
  },
  email_changed: {
    severity: 'warning',
    mail: {
      subject: 'Your e-mail address was changed',
      happened: 'your account now has another e-mail address, and this one does not sign in any more.',
      otherwise: 'If it was not you, tell our support at once.',
    },
  },
  phone_changed: { severity: 'warning', mail: { subject: 'Your phone number was changed', happened: 'the phone number of your account was just changed.' } },
  mfa_enabled: {
    severity: 'warning',
    mail: { subject: 'Two-step sign-in is on', happened: 'sign-ins to your account now ask for a code of your authenticator. Other sessions were ended.' },
  },
  mfa_disabled: {
    severity: 'critical',
    mail: { subject: 'Two-step sign-in is off', happened: 'sign-ins to your account no longer ask for a code. Other sessions were ended.' },
  },
  recovery_key_used: {
    severity: 'critical',
    mail: { subject: 'A recovery key was used', happened: 'somebody signed in to your account with one of its recovery keys, which is now used up.' },
  },
  google_linked: {
    severity: 'warning',
    mail: { subject: 'Google sign-in is on', happened: 'your account can now be signed in to with your Google account.' },
  },
  api_key_created: { severity: 'warning', mail: { subject: 'An API key was made', happened: 'an API key was made for your company.' } },
  api_key_rotated: { severity: 'warning', mail: { subject: 'An API key was rotated', happened: 'an API key of your company was given a new text.' } },
  api_key_revoked: { severity: 'info', mail: { subject: 'An API key was revoked', happened: 'an API key of your company was revoked.' } },
  sign_in_locked: { severity: 'warning' },
  sign_in_unlocked: { severity: 'info' },
  refresh_token_reused: { severity: 'critical' },
  user_disabled: { severity: 'warning' },
  user_enabled: { severity: 'info' },
  member_changed: { severity: 'warning' },
  member_removed: { severity: 'warning' },
  sessions_ended_by_staff: { severity: 'info' },
} satisfies Record<string, Notice>;

export type NoticeType = keyof typeof NOTICES;

/** What a notice says of when and where; the address is the owner's business and goes into his mail only. */
export interface Circumstances {
  at: Date;
  address?: string;
}

/** The mail of a notice, or undefined for those that are only recorded. */
export function noticeMail(type: NoticeType, to: { email: string; name: string }, { at, address }: Circumstances): OutgoingMail | undefined {
  const { mail }: Notice = NOTICES[type];
  if (!mail) return undefined;
  const where = address === undefined ? '' : ` from the address ${address}`;
  const when = `It happened on ${at.toISOString().replace('T', ' at ').slice(0, 19)} UTC${where}.`;
  const text = `Hello ${to.name},\n\n${mail.happened}\n\n${when}\n\n${mail.otherwise ?? ASK_FOR_HELP}\n`;
  return { kind: `security_${type}`, to: to.email, subject: mail.subject, text };
}
