import { job } from '../../platform/jobs.ts';
import type { Schedule } from '../../platform/scheduler.ts';
import { tellNdrAction } from './ndr.service.ts';
import { playScan } from './play.service.ts';
import { refold } from './scan.record.ts';
import { refoldLeftovers } from './tracking.service.ts';
import { parseLeftBehind, parseWebhook } from './webhook.service.ts';

export const trackingJobs = [
  parseWebhook,
  playScan,
  tellNdrAction,
  job<{ shipmentIds: string[] }>({
    name: 'tracking.refold',
    attempts: 10,
    backoffMs: 1_000,
    handle: (ctx, { shipmentIds }) => refold(ctx, shipmentIds),
  }),
];

export const trackingSchedules: readonly Schedule[] = [
  { name: 'tracking.leftovers', everySeconds: 30, run: () => refoldLeftovers() },
  { name: 'tracking.webhooks_left_behind', everySeconds: 60, run: () => parseLeftBehind() },
];
