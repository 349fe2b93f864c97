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

/** Tells the owner of an account that its password was changed. */
export function passwordChangedMail({ to, name }: Omit<LinkMail, 'link'>): OutgoingMail {
  return {
    kind: 'password_changed',
    to,
    subject: 'Your password was changed',
    text: `Hello ${name},\n\nthe password of your account was just changed, and all sessions were ended.\n\nIf it was not you, set a new password now and tell our support.\n`,
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
