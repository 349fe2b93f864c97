import type { Module } from '../../platform/module.ts';
import { importChecks } from './import.checks.ts';
import { importJobs, importSchedules } from './import.jobs.ts';
import { importRetention } from './import.retention.ts';
import { importRoutes } from './import.routes.ts';

export { IMPORT_KINDS, IMPORT_MODES, type Import, type ImportCounts, type ImportKind, type ImportMode } from './import.model.ts';
export { isOver, readWish, type ImportWish } from './import.rules.ts';
export { createImport, getImport, importErrorsCsv, listImports, storeImportFile } from './import.service.ts';
export { importJobs } from './import.jobs.ts';

export const importsModule: Module = { name: 'imports', routes: importRoutes, jobs: importJobs, schedules: importSchedules, checks: importChecks, retention: importRetention };
