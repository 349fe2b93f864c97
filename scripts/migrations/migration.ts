import type { MigrationName } from '../../src/platform/db/migration-names.ts';
import type { MigrationRow } from '../../src/platform/db/migration-state.ts';
import type { Config } from '../../src/config.ts';

/** One thing that keeps a row from being taken up: which row and field, and never the value. */
export interface RowFault {
  collection: string;
  id: string;
  field: string;
  why: string;
}

/** What a step would do: rows by collection, and what stands in the way. */
export interface Plan {
  rows: Record<string, number>;
  faults: RowFault[];
}

/** What a step is told, and whom it tells how far it is. */
export interface Run {
  config: Config;
  /** This runner's name: a step's row names it as long as the runner may write. */
  owner: string;
  step(phase: string, collection: string, done: number, total: number): void;
  note(event: string, fields: object): void;
  /** Takes rows up without the fields that cannot be read; the backup keeps them. */
  dropUnreadable: boolean;
}

/** A refusal that names the step; nothing was lost. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

/** One direction of a migration. */
export interface Work {
  plan(run: Run): Promise<Plan>;
  /** Throws what must keep the whole run from beginning; asked before the first migration of it writes. */
  assertPossible?(): Promise<void>;
  /** Runs or goes on with what a killed runner left. */
  run(run: Run, row: MigrationRow): Promise<object>;
}

/** A named migration. */
export interface Migration {
  name: MigrationName;
  reason: string;
  touches: readonly string[];
  up: Work;
  down: Work | { irreversible: string };
}
