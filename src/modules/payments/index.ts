import type { Module } from '../../platform/module.ts';
import { paymentChecks } from './payment.checks.ts';
import { paymentJobs } from './payment.jobs.ts';
import { paymentDevRoutes, paymentRoutes } from './payment.routes.ts';

export type { Payment, PaymentStatus } from './payment.model.ts';
export { startOrderPayment, startTopup, verifyPayment } from './payment.service.ts';

export const paymentsModule: Module = {
  name: 'payments',
  routes: paymentRoutes,
  devRoutes: paymentDevRoutes,
  jobs: paymentJobs,
  checks: paymentChecks,
};
