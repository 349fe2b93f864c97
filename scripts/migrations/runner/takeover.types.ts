import type mongoose from 'mongoose';
import type { MigrationName } from '../../../src/platform/db/migration-names.ts';
import type { Blind } from '../../../src/platform/db/blind-index.ts';
import type { RowFault, Run } from '../migration.ts';
import type { BackupStore } from './backup-store.ts';
import type { LegacyField, LegacyReader } from './legacy-values.ts';

export type Plain = Record<string, unknown>;

/** A row of the former product: its id is an ObjectId. */
export type LegacyDoc = Plain & { _id: mongoose.mongo.ObjectId };
/** A row of ours, whole but not sealed yet. */
export type OurRow = Plain & { _id: string; companyId: string };

/** What a takeover's functions get. */
export interface Help {
  reader: LegacyReader;
  run: Run;
  /** The value of a field; undefined when it has none, or cannot be read and shall be left behind. */
  value(doc: LegacyDoc, field: LegacyField): string | undefined;
}

/** A value that no two rows of the whole platform may have; `index` is that of our collection. */
export interface UniqueField {
  path: string;
  max: number;
  index: Blind;
}

/** A migration that takes up every row of the former product of some collections. */
export interface Takeover {
  name: MigrationName;
  reason: string;
  /** Collections with rows of the former product, in the order they are taken up. */
  sources: readonly string[];
  /** Every collection that gets rows. */
  targets: readonly string[];
  fields: Readonly<Record<string, readonly LegacyField[]>>;
  /** Fields that `convert` looks rows up by, as `collection.field`: without an index each batch would read everything. */
  lookups?: readonly string[];
  /** By collection, what two of its rows may not share. */
  unique?: Readonly<Record<string, UniqueField>>;
  /** Further reasons why a row cannot be taken up. */
  inspect?(collection: string, doc: LegacyDoc): RowFault[];
  /** Our rows for some of theirs, by collection. Reads only. */
  convert(collection: string, docs: readonly LegacyDoc[], help: Help): Promise<Record<string, OurRow[]>>;
}

/** One collection of a step, and where its backup is. */
export interface Part {
  run: Run;
  store: BackupStore;
  collection: string;
}
