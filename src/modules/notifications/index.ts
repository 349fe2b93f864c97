import type { Module } from '../../platform/module.ts';
import { mailChecks } from './mail.checks.ts';
import { sendMail } from './mail.jobs.ts';
import { mailRetention } from './mail.retention.ts';
import { mailDevRoutes } from './mail.routes.ts';
import { closeTransport } from './mail.service.ts';

export { queueMail, type OutgoingMail } from './mail.service.ts';

export const notificationsModule: Module = {
  name: 'notifications',
  devRoutes: mailDevRoutes,
  jobs: [sendMail],
  checks: mailChecks,
  retention: mailRetention,
  start: () => Promise.resolve(() => Promise.resolve(closeTransport())),
};
