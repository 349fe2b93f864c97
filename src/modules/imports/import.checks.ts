import { nowMs } from '../../platform/clock.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import { jobRows } from '../../platform/jobs.ts';
import type { Check } from '../../platform/module.ts';
import { runtime } from '../../platform/runtime.ts';
import { countImportedOrders } from '../orders/index.ts';
import { importFaults, imports, MAX_LISTED } from './import.model.ts';
import { countFaults } from './import.rules.ts';
import { RUN_IMPORT } from './import.service.ts';

const everywhere = () => acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'invariant checks');

/** What an ended import says of itself is what is stored: its orders, and its listed faults. */
const countsAddUp: Check = {
  name: 'import counts add up: records = imported + invalid + duplicates, imported = stored',
  async run() {
    const ended = await imports.find(everywhere(), { status: { $in: ['completed', 'rejected', 'failed'] } });
    const stored = await countImportedOrders(everywhere());
    const listed = await importFaults.aggregate<{ _id: string; count: number }>(everywhere(), [{ $group: { _id: '$importId', count: { $sum: 1 } } }]);
    const listedBy = new Map(listed.map((row) => [row._id, row.count]));
    return ended.flatMap((row) => {
      const faults = countFaults(row, row.kind === 'orders' ? (stored.get(row._id) ?? 0) : undefined);
      const inList = listedBy.get(row._id) ?? 0;
      if (inList !== row.listed && !(inList < row.listed && mayBeSwept(row))) faults.push(`import ${row._id}: says ${row.listed} faulty records are listed, there are ${inList}`);
      const { invalid, duplicates } = row.counts;
      if (row.status === 'completed' && row.listed < MAX_LISTED && row.listed !== invalid + duplicates) faults.push(`import ${row._id}: a faulty record is not listed`);
      return faults;
    });
  },
};

/** Listed faults go after RETENTION_IMPORT_FAULTS_DAYS, the import that counts them stays. */
function mayBeSwept({ createdAt }: { createdAt: Date }): boolean {
  const days = runtime().config.retentionImportFaultsDays;
  return days > 0 && createdAt.getTime() < nowMs() - days * 86_400_000;
}

/** Nothing waits or runs without somebody who works on it. */
const activeHaveJobs: Check = {
  name: 'every unfinished import has a job',
  async run() {
    const active = await imports.find(everywhere(), { status: { $in: ['queued', 'running'] } }, { fields: ['status'] });
    if (active.length === 0) return [];
    const jobs = await jobRows.find({ name: RUN_IMPORT, state: { $in: ['queued', 'running'] } }, { fields: ['payload'] });
    const worked = new Set(jobs.map((row) => row.payload['importId']));
    const suspects = active.filter((row) => !worked.has(row._id)).map((row) => row._id);
    // One that ended between the two reads is no violation.
    const still = await imports.find(everywhere(), { _id: { $in: suspects }, status: { $in: ['queued', 'running'] } }, { fields: ['status'] });
    return still.map((row) => `import ${row._id} is ${row.status} and no job works on it`);
  },
};

export const importChecks = [countsAddUp, activeHaveJobs];
