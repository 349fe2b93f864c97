import { now } from '../../platform/clock.ts';
import type { Tx } from '../../platform/context.ts';
import { noteSecurityEvent, type NewSecurityEvent } from '../audit/index.ts';
import { queueMail } from '../notifications/index.ts';
import { NOTICES, noticeMail, type NoticeType } from './security.rules.ts';
import { users } from './user.model.ts';

interface Subject {
  /** Absent when nobody has the account. */
  userId?: string;
  /** Who is told by mail, when the notice has one. */
  tell?: readonly { email: string; name: string }[];
  /** Named in the mail only. */
  address?: string;
  details?: NewSecurityEvent['details'];
}

/** Records what happened to an account, tells subscribers as `security.<type>`, and mails its owner. */
export async function noteSecurity(tx: Tx, type: NoticeType, { userId, tell = [], address, details = {} }: Subject): Promise<void> {
  const { severity } = NOTICES[type];
  const about = userId === undefined ? {} : { userId };
  await noteSecurityEvent(tx, { type: `security.${type}`, severity, ...about, details });
  tx.emit({ type: `security.${type}`, key: userId ?? tx.companyId, payload: { severity, ...about, ...details } });
  for (const to of tell) {
    const mail = noticeMail(type, to, { at: now(), ...(address === undefined ? {} : { address }) });
    if (mail) await queueMail(tx, mail);
  }
}

/** The owners of the Tx's company, to be told of what concerns the whole company. */
export async function companyOwners(tx: Tx): Promise<{ email: string; name: string }[]> {
  return users.find(tx, { role: 'owner', status: 'active' }, { limit: 10, sort: { _id: 1 } });
}
