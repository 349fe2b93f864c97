import { machineRows } from '../../platform/db/machine-rows.ts';
import { removeSome, type Retention } from '../../platform/retention.ts';
import { runtime } from '../../platform/runtime.ts';

const oldFaults = machineRows<{ _id: string; createdAt: Date }>('import_faults', [{ keys: { createdAt: 1 } }]);

/** Faults of imported files help for a while only; their counts stay with the import. */
export const importRetention: readonly Retention[] = [
  {
    name: 'import_faults',
    days: () => runtime().config.retentionImportFaultsDays,
    sweep: (before, most) => removeSome(oldFaults, { createdAt: { $lt: before } }, most),
  },
];
