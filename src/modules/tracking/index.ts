import type { Module } from '../../platform/module.ts';
import { trackingChecks } from './tracking.checks.ts';
import { trackingJobs, trackingSchedules } from './tracking.jobs.ts';
import { ndrPrivacy } from './ndr.privacy.ts';
import { ndrRoutes } from './ndr.routes.ts';
import { trackingDevRoutes, trackingRoutes } from './tracking.routes.ts';

export { playParcel, type PlayRequest, type PlayResult } from './play.service.ts';
export { recordScans, refold, type Arrival, type ScanReport } from './scan.record.ts';
export { courierArrival, everyCompany, trackShipment } from './tracking.service.ts';
export { reportWeights } from './webhook.service.ts';
export type { Ndr } from './tracking.model.ts';

export const trackingModule: Module = {
  name: 'tracking',
  routes: [...trackingRoutes, ...ndrRoutes],
  devRoutes: trackingDevRoutes,
  jobs: trackingJobs,
  schedules: trackingSchedules,
  checks: trackingChecks,
  customerData: [ndrPrivacy],
};
