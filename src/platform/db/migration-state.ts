import { now } from '../clock.ts';
import { SetupError } from '../embedded/setup-error.ts';
import { database } from './connect.ts';
import { isDuplicateKey } from './duplicate-key.ts';
import { MIGRATION_NAMES } from './migration-names.ts';
import type mongoose from 'mongoose';

/** Collections in which rows of the former product may stand: theirs have ObjectIds, ours texts. */
export const LEGACY_COLLECTIONS = ['companies', 'users', 'kycs', 'integrations', 'sessions'] as const;
export const LEGACY_ROW = { _id: { $type: 'objectId' } } as const;

export type MigrationStage = 'running' | 'done' | 'undoing' | 'undone';

/** What is known of one migration of this database. */
export interface MigrationRow {
  _id: string;
  state: MigrationStage;
  /** The runner that works on it; another one that takes over writes its own name here first. */
  owner?: string;
  phase?: string;
  /** The last batch that is in, by collection. */
  progress?: Record<string, number>;
  rows?: number;
  digests?: Record<string, { rows: number; sha256: string }>;
  /** Of `indexes`: which declarations were prepared. */
  fingerprint?: string;
  startedAt?: Date;
  finishedAt?: Date;
  [more: string]: unknown;
}

export interface MigrationState {
  /** True when the database holds nothing at all. */
  empty: boolean;
  done: string[];
  pending: string[];
  /** Begun and not ended, in either direction; a restore that was killed too. */
  unfinished: string[];
  /** Names that this version does not know: a newer one wrote here. */
  unknown: string[];
  rows: Map<string, MigrationRow>;
}

const COLLECTION = 'migrations';

/** Where migrations are kept. */
export function migrationRows(): mongoose.mongo.Collection<MigrationRow> {
  return database().collection<MigrationRow>(COLLECTION);
}

/** What has run on this database and what has not. */
export async function readMigrationState(): Promise<MigrationState> {
  const found = await migrationRows().find({ _id: { $ne: 'lock' } }).toArray();
  const rows = new Map(found.map((row) => [row._id, row]));
  const known: readonly string[] = MIGRATION_NAMES;
  const names = await database().listCollections({}, { nameOnly: true }).toArray();
  return {
    empty: names.filter(({ name }) => !name.startsWith('system.') && name !== 'keyvault').length === 0,
    done: known.filter((name) => rows.get(name)?.state === 'done'),
    pending: known.filter((name) => (rows.get(name)?.state ?? 'undone') === 'undone'),
    unfinished: found.filter((row) => row.state === 'running' || row.state === 'undoing').map((row) => row._id),
    unknown: found.filter((row) => row._id !== 'restore' && !known.includes(row._id)).map((row) => row._id),
    rows,
  };
}

/** True when every migration has run and none is under way; for readiness. */
export async function isMigrated(): Promise<boolean> {
  const found = await migrationRows().find({ _id: { $in: [...MIGRATION_NAMES, 'restore'] } }).toArray();
  const done = found.filter(({ state }) => state === 'done').map(({ _id }) => _id);
  return MIGRATION_NAMES.every((name) => done.includes(name)) && !found.some(({ state }) => state === 'running' || state === 'undoing');
}

/** Which collections hold rows of the former product. */
export async function legacyCollections(): Promise<string[]> {
  const found = await Promise.all(LEGACY_COLLECTIONS.map((name) => database().collection(name).findOne(LEGACY_ROW, { projection: { _id: 1 } })));
  return LEGACY_COLLECTIONS.filter((_, i) => found[i] !== null);
}

export interface OpenSchemaOptions {
  /** Refuses to change an existing database: that is what `migrate up` is for. */
  strict: boolean;
  fingerprint: string;
  /** Creates what is missing; tells what would be, and does nothing, with `dryRun`. */
  prepare(dryRun: boolean): Promise<string[]>;
}

const UP = 'npm run dakiya -- migrate up';

/**
 * Lets a service start only on a database that fits this code. An empty database is brought up here; one with rows of
 * the former product, a half-done migration, or a newer version's is refused with a sentence that names the command.
 */
export async function openSchema({ strict, fingerprint, prepare }: OpenSchemaOptions): Promise<void> {
  const state = await readMigrationState();
  if (state.unknown.length > 0) {
    throw new SetupError(`This database is newer than this version of Dakiya: it has ${state.unknown.join(', ')}, which this version does not know. Start the version that migrated it.`);
  }
  if (state.unfinished.includes('restore')) throw new SetupError('A restore into this database did not end. Run it again with --force: npm run dakiya -- restore --from DIR --force');
  if (state.unfinished.length > 0) throw new SetupError(`The migration ${state.unfinished.join(', ')} did not end. Nothing is lost; go on with: ${UP}`);
  if (state.pending.length > 0) {
    const legacy = state.empty ? [] : await legacyCollections();
    if (legacy.length > 0) throw new SetupError(`This database is not yet migrated: ${legacy.join(', ')} hold rows of the former product. Stop everything that writes to it, then run: ${UP}`);
  }
  const isNoted = state.rows.get('indexes')?.fingerprint === fingerprint && state.pending.length === 0;
  // A note says what was prepared once; an index may have been dropped since, or a collection.
  if (isNoted && !strict) return;
  if (strict && !state.empty) {
    const missing = await prepare(true);
    if (missing.length > 0) throw new SetupError(`This database lacks ${missing.slice(0, 5).join(', ')}${missing.length > 5 ? ` and ${missing.length - 5} more` : ''}. Run: ${UP}`);
  } else await prepare(false);
  if (isNoted) return;
  await noteDone('indexes', { fingerprint });
  for (const name of state.pending) if (name !== 'indexes') await noteDone(name, { rows: 0 });
}

/** Notes that a migration has run. */
export async function noteDone(name: string, more: object): Promise<void> {
  const note = () => migrationRows().updateOne({ _id: name }, { $set: { state: 'done', finishedAt: now(), ...more }, $unset: { owner: '', phase: '', progress: '' } }, { upsert: true });
  // Two processes may start at once: the loser's second try finds the winner's row.
  await note().catch((error: unknown) => (isDuplicateKey(error) ? note() : Promise.reject(error)));
}
