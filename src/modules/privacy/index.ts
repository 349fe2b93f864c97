import type { Module } from '../../platform/module.ts';
import { privacyJobs } from './privacy.jobs.ts';
import { privacyRoutes } from './privacy.routes.ts';

export const privacyModule: Module = { name: 'privacy', routes: privacyRoutes, jobs: privacyJobs };
