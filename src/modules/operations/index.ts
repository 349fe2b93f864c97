import type { Module } from '../../platform/module.ts';
import { operationsJobs, operationsSchedules } from './operation.jobs.ts';
import { operationRoutes } from './operation.routes.ts';

export const operationsModule: Module = { name: 'operations', routes: operationRoutes, jobs: operationsJobs, schedules: operationsSchedules };
