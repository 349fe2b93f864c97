import type { SecurityEvent, SecurityEventType } from '../audit/index.ts';
import type { OutgoingMail } from '../notifications/index.ts';

/** Whom a mail goes to: the person whose account it is, or the owners of the company. */
type Audience = 'user' | 'owners';

interface Alert {
  to: Audience;
  subject: string;
  /** What happened, as one sentence. */
  text: string;
}

const ALERTS: Partial<Record<SecurityEventType, Alert>> = {
  'security.new_device': { to: 'user', subject: 'A new device signed in', text: 'somebody signed in to your account from a device that we had not seen before.' },
  'security.password_reset': { to: 'user', subject: 'Your password was changed', text: 'the password of your account was just set anew by a mailed link, and all sessions were ended.' },
  'security.password_changed': { to: 'user', subject: 'Your password was changed', text: 'the password of your account was just changed.' },
  'security.email_changed': { to: 'user', subject: 'Your e-mail address was changed', text: 'the e-mail address of your account was just changed.' },
  'security.phone_changed': { to: 'user', subject: 'Your phone number was changed', text: 'the phone number of your account was just changed.' },
  'security.mfa_enabled': { to: 'user', subject: 'Two-step sign-in is on', text: 'two-step sign-in was just switched on for your account.' },
  'security.mfa_disabled': { to: 'user', subject: 'Two-step sign-in is off', text: 'two-step sign-in was just switched off for your account.' },
  'security.recovery_key_used': { to: 'user', subject: 'A recovery key was used', text: 'somebody signed in to your account with one of your recovery keys.' },
  'security.identity_linked': { to: 'user', subject: 'Another way to sign in was added', text: 'an account of another provider can now sign in to your account.' },
  'security.identity_unlinked': { to: 'user', subject: 'A way to sign in was removed', text: 'an account of another provider can no longer sign in to your account.' },
  'security.refresh_reuse': { to: 'user', subject: 'A session was ended for your safety', text: 'a used-up session token of your account was presented again, so we ended that session. This happens when a token was stolen.' },
  'security.api_key_created': { to: 'owners', subject: 'An API key was created', text: 'an API key was just created for your company.' },
  'security.api_key_rotated': { to: 'owners', subject: 'An API key was rotated', text: 'the secret of an API key of your company was just replaced.' },
  'security.api_key_revoked': { to: 'owners', subject: 'An API key was revoked', text: 'an API key of your company was just revoked.' },
  'security.bulk_export': { to: 'owners', subject: 'Data was exported', text: 'an export of personal data of your company was just made.' },
  'security.company_erased': { to: 'owners', subject: 'Your account is to be erased', text: 'the erasure of your company and its data was asked for.' },
};

/** Why keys ended with somebody's right to have any. */
const WHY: Readonly<Record<string, string>> = {
  member_removed: 'The member who knew the secret was removed.',
  user_disabled: 'The user who knew the secret was shut out by our staff.',
  permission_changed: 'The member who knew the secret may no longer make keys.',
};

/** Who is told of an event by mail; undefined when nobody is. */
export function audienceOf(type: SecurityEventType): Audience | undefined {
  return ALERTS[type]?.to;
}

/** The mail that tells one person of an event: when, from where, and what to do when it was somebody else. */
export function alertMail(event: Pick<SecurityEvent, 'type' | 'address' | 'details'> & { createdAt: Date }, person: { email: string; name: string }): OutgoingMail {
  const alert = ALERTS[event.type] ?? { subject: 'About the safety of your account', text: 'something happened that you should know of.' };
  const { address, createdAt, details = {} } = event;
  const why = WHY[String(details['because'])];
  const facts = [
    `When: ${createdAt.toISOString()}`,
    ...(address === undefined ? [] : [`From: ${address}`]),
    ...(why === undefined ? [] : [`Why: ${why}`, `Keys revoked: ${Number(details['keys'] ?? 1)}`]),
  ];
  return {
    kind: event.type,
    to: person.email,
    subject: alert.subject,
    text: `Hello ${person.name},\n\n${alert.text}\n\n${facts.join('\n')}\n\nIf this was not you or your team, set a new password now, end all sessions and tell our support.\n`,
  };
}
