import type { Migration } from '../migration.ts';
import { assertAlone, planUp } from './takeover.check.ts';
import { down, planDown } from './takeover.down.ts';
import type { Takeover } from './takeover.types.ts';
import { up } from './takeover.up.ts';

export type { Help, LegacyDoc, OurRow, Takeover } from './takeover.types.ts';

/** Makes the migration of a takeover: backup, batches with checkpoints, verification; and the way back. */
export function takeover(spec: Takeover): Migration {
  return {
    name: spec.name,
    reason: spec.reason,
    touches: [...new Set([...spec.sources, ...spec.targets])],
    up: { assertPossible: () => assertAlone(spec), plan: (run) => planUp(spec, run), run: (run, row) => up(spec, run, row) },
    down: { plan: () => planDown(spec), run: (run, row) => down(spec, run, row) },
  };
}
