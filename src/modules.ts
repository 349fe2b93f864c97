import { alertsModule } from './modules/alerts/index.ts';
import { auditModule } from './modules/audit/index.ts';
import { catalogModule } from './modules/catalog/index.ts';
import { companiesModule } from './modules/companies/index.ts';
import { formerModule } from './modules/former/index.ts';
import { identityModule } from './modules/identity/index.ts';
import { kycModule } from './modules/kyc/index.ts';
import { notificationsModule } from './modules/notifications/index.ts';
import { couponsModule } from './modules/coupons/index.ts';
import { couriersModule } from './modules/couriers/index.ts';
import { importsModule } from './modules/imports/index.ts';
import { inventoryModule } from './modules/inventory/index.ts';
import { operationsModule } from './modules/operations/index.ts';
import { ordersModule } from './modules/orders/index.ts';
import { paymentsModule } from './modules/payments/index.ts';
import { privacyModule } from './modules/privacy/index.ts';
import { pincodesModule } from './modules/pincodes/index.ts';
import { ratesModule } from './modules/rates/index.ts';
import { shipmentsModule } from './modules/shipments/index.ts';
import { trackingModule } from './modules/tracking/index.ts';
import { walletModule } from './modules/wallet/index.ts';
import type { AnyJob } from './platform/jobs.ts';
import type { Check, Module } from './platform/module.ts';
import type { CustomerData } from './platform/privacy.ts';
import type { Retention } from './platform/retention.ts';
import type { Subscriber } from './platform/outbox.ts';
import type { AnyRoute } from './platform/route.ts';
import type { Schedule } from './platform/scheduler.ts';

/** The whole system on one page. */
export const modules: readonly Module[] = [
  identityModule,
  pincodesModule,
  companiesModule,
  kycModule,
  catalogModule,
  inventoryModule,
  couponsModule,
  ratesModule,
  ordersModule,
  importsModule,
  walletModule,
  couriersModule,
  shipmentsModule,
  trackingModule,
  paymentsModule,
  notificationsModule,
  auditModule,
  alertsModule,
  privacyModule,
  operationsModule,
  formerModule,
];

/** Every public route of every module. */
export function allRoutes(): AnyRoute[] {
  return modules.flatMap((m) => [...(m.routes ?? [])]);
}

/** Routes that exist only outside production. */
export function devRoutes(): AnyRoute[] {
  return modules.flatMap((m) => [...(m.devRoutes ?? [])]);
}

/** Every kind of background work. */
export function allJobs(): AnyJob[] {
  return modules.flatMap((m) => [...(m.jobs ?? [])]);
}

/** Everybody who hears of events. */
export function allSubscribers(): Subscriber[] {
  return modules.flatMap((m) => [...(m.subscribers ?? [])]);
}

/** Everything that repeats. */
export function allSchedules(): Schedule[] {
  return modules.flatMap((m) => [...(m.schedules ?? [])]);
}

/** Everything that is kept for a time only. */
export function allRetention(): Retention[] {
  return modules.flatMap((m) => [...(m.retention ?? [])]);
}

/** Everybody who holds customers' data; those who find theirs through another's rows come before that one. */
export function allCustomerData(): CustomerData[] {
  return [...modules].reverse().flatMap((m) => [...(m.customerData ?? [])]);
}

/** Every rule over stored data. */
export function allChecks(): Check[] {
  return modules.flatMap((m) => [...(m.checks ?? [])]);
}
