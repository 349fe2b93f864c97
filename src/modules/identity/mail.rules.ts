import type { OutgoingMail } from '../notifications/index.ts';

interface LinkMail {
  to: string;
  name: string;
  link: string;
}

/** Asks to prove an address. */
export function verificationMail({ to, name, link }: LinkMail): OutgoingMail {
  return {
    kind: 'verify_email',
    to,
    subject: 'Verify your e-mail address',
    text: `Hello ${name},\n\nplease verify your e-mail address by opening this link:\n\n${link}\n\nIf you did not sign up at Dakiya, ignore this mail.\n`,
    links: [link],
  };
}

/** Carries the link that sets a new password. */
export function resetMail({ to, name, link, minutes }: LinkMail & { minutes: number }): OutgoingMail {
  return {
    kind: 'reset_password',
    to,
    subject: 'Set a new password',
    text: `Hello ${name},\n\nsomebody asked for a new password for your account. This link works once, for ${minutes} minutes:\n\n${link}\n\nIf it was not you, ignore this mail: your password stays as it is.\n`,
    links: [link],
  };
}

/** Carries the link that makes a new address the account's; goes to the new address. */
export function emailChangeMail({ to, name, link, minutes }: LinkMail & { minutes: number }): OutgoingMail {
  return {
    kind: 'change_email',
    to,
    subject: 'Confirm your new e-mail address',
    text: `Hello ${name},\n\nthis address shall become the one of your account at Dakiya. Open this link within ${minutes} minutes:\n\n${link}\n\nIf you did not ask for this, ignore this mail.\n`,
    links: [link],
  };
}

/** Tells the present address that another one was asked for, or the former one that it is out of use. */
export function emailNoticeMail({ to, name, done }: Omit<LinkMail, 'link'> & { done: boolean }): OutgoingMail {
  const happened = done
    ? 'your account now has another e-mail address, and this one does not sign in any more.'
    : 'somebody asked for another e-mail address for your account. It changes when the link mailed to the new address is opened.';
  return {
    kind: 'email_notice',
    to,
    subject: done ? 'Your e-mail address was changed' : 'A new e-mail address was asked for',
    text: `Hello ${name},\n\n${happened}\n\nIf it was not you, tell our support at once.\n`,
  };
}

/** Invites somebody into a company. */
export function invitationMail({ to, companyName, role, link }: { to: string; companyName: string; role: string; link: string }): OutgoingMail {
  return {
    kind: 'invitation',
    to,
    subject: `You are invited to ${companyName}`,
    text: `Hello,\n\n${companyName} invites you to join its account at Dakiya with the role ${role}. Accept here:\n\n${link}\n\nIf you do not know this company, ignore this mail.\n`,
    links: [link],
  };
}
