import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import { sweepFiles } from '../../platform/db/files.ts';
import { job } from '../../platform/jobs.ts';
import type { Schedule } from '../../platform/scheduler.ts';
import { imports } from './import.model.ts';
import { IMPORT_FILES, RUN_IMPORT } from './import.service.ts';
import { runImport } from './import.run.service.ts';

const ATTEMPTS = 20;
const DAY_MS = 86_400_000;

export const importJobs = [
  job<{ importId: string }>({
    name: RUN_IMPORT,
    attempts: ATTEMPTS,
    backoffMs: 1_000,
    handle: (ctx, { importId }, { attempt, signal }) => runImport(ctx, importId, { signal, lastTry: attempt >= ATTEMPTS }),
  }),
];

/** Uploads that no unfinished import refers to: refused ones, and those of a process that died in between. */
const sweepUploads: Schedule = {
  name: 'imports.sweep_files',
  everySeconds: 3_600,
  async run() {
    const ctx = acrossCompanies(systemCtx('imports', PLATFORM_COMPANY_ID), 'files of ended imports are removed');
    await sweepFiles(IMPORT_FILES, DAY_MS, async (ids) => {
      const rows = await imports.find(ctx, { status: { $in: ['queued', 'running'] }, fileId: { $in: ids } }, { fields: ['fileId'] });
      return new Set(rows.map((row) => row.fileId));
    });
  },
};

export const importSchedules = [sweepUploads];
