import { now } from '../../platform/clock.ts';
import { inCompany } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { metrics } from '../../platform/metrics.ts';
import type { Subscriber } from '../../platform/outbox.ts';
import { runtime } from '../../platform/runtime.ts';
import { findSecurityEvent, SECURITY_EVENT_TYPES, takeMailing } from '../audit/index.ts';
import { mailReceivers } from '../identity/index.ts';
import { queueMail } from '../notifications/index.ts';
import { alertMail, audienceOf } from './alert.rules.ts';

/** The one place where security events become log lines, figures and mails. */
export const onSecurityEvent: Subscriber = {
  name: 'alerts.security',
  types: SECURITY_EVENT_TYPES,
  async handle(ctx, { payload, companyId }) {
    const event = await findSecurityEvent(inCompany(ctx, companyId), String(payload['eventId']));
    if (!event) return;
    const audience = audienceOf(event.type);
    const people = audience === undefined ? [] : await mailReceivers(companyId, audience === 'user' ? event.userId : undefined);
    await withTransaction(inCompany(ctx, companyId), async (ctx) => {
      if (people.length === 0 || !(await takeMailing(ctx, event, now()))) return;
      for (const person of people) await queueMail(ctx, alertMail(event, person));
    });
    const { type, severity, userId, requestId, count } = event;
    metrics.securityEvent(type, severity);
    runtime().log[severity === 'critical' ? 'error' : severity === 'warning' ? 'warn' : 'info'](type, { severity, companyId, userId, requestId, eventId: event._id, count });
  },
};
