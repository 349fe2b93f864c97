import type { Module } from '../../platform/module.ts';
import { addressRoutes } from './address.routes.ts';
import { followBlocks } from './address.service.ts';
import { operationsJobs, operationsSchedules } from './operation.jobs.ts';
import { operationRoutes } from './operation.routes.ts';

export { addressBlocks } from './address.service.ts';

export const operationsModule: Module = {
  name: 'operations',
  routes: [...operationRoutes, ...addressRoutes],
  jobs: operationsJobs,
  schedules: operationsSchedules,
  start: followBlocks,
};
