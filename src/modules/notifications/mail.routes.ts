import Joi from 'joi';
import { field, route, shape } from '../../platform/route.ts';
import type { MailboxRow } from './mail.model.ts';
import { readMailbox } from './mail.service.ts';

interface MailboxView {
  id: string;
  to: string;
  subject: string;
  text: string;
  links: string[];
  createdAt: string;
}

function mailboxView(row: MailboxRow): MailboxView {
  return { id: row._id, to: row.to, subject: row.subject, text: row.text, links: row.links, createdAt: row.createdAt.toISOString() };
}

const mailboxShape = shape<MailboxView>({
  id: field.id().required(),
  to: Joi.string().required(),
  subject: Joi.string().required(),
  text: Joi.string().required(),
  links: Joi.array().items(Joi.string()).required(),
  createdAt: field.isoTime().required(),
});

/** Exist only outside production. */
export const mailDevRoutes = [
  route({
    method: 'get',
    path: '/dev/mailbox',
    summary: 'Mails that development keeps instead of sending them, newest first',
    permission: 'public',
    limit: 'none',
    query: shape<{ to?: string }>({ to: Joi.string().max(254) }),
    response: Joi.object<{ data: MailboxView[] }>({ data: Joi.array().items(mailboxShape).required() }),
    handle: (_ctx, { query }) => readMailbox(query.to),
    view: (rows) => ({ data: rows.map(mailboxView) }),
  }),
];
