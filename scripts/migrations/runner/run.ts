import type { Config } from '../../../src/config.ts';
import { LEGACY_ROW, legacyCollections, migrationRows, readMigrationState, type MigrationRow } from '../../../src/platform/db/migration-state.ts';
import { prepareSchema } from '../../../src/platform/db/schema.ts';
import { database } from '../../../src/platform/db/connect.ts';
import { migrations } from '../index.ts';
import { MigrationError, type Migration, type Plan, type Run } from '../migration.ts';
import { discardBackups } from './backup-store.ts';
import { takeLock } from './lock.ts';

/** What the person asked for. */
export interface Wish {
  direction: 'up' | 'down';
  /** The last migration to run, or the last one to undo. */
  to?: string;
  /** Undo everything, not one step. */
  all?: boolean;
  dropUnreadable?: boolean;
}

/** Where a runner tells what it does. */
export interface MigrationIo {
  step: Run['step'];
  event(name: string, fields: object): void;
}

/** One line of `migrate status`. */
export interface StatusLine {
  name: string;
  state: string;
  rows: number;
  /** Rows of the former product, or missing indexes, that wait for it. */
  waiting: number;
  missing?: string[];
  phase?: string;
  finishedAt?: string;
}

/** Runs what was asked for, one runner at a time; answers the names that ran. Writes nothing that the backup does not bring back. */
export async function runMigrations(config: Config, wish: Wish, io: MigrationIo): Promise<string[]> {
  assertKnown(wish.to);
  const lock = await takeLock(config.migrationLeaseMs);
  try {
    await assertNotNewer();
    const ran: string[] = [];
    const wanted = await chosen(wish);
    if (wish.direction === 'up') for (const { up } of wanted) await up.assertPossible?.();
    for (const migration of wanted) {
      const run: Run = {
        config,
        owner: lock.owner,
        dropUnreadable: wish.dropUnreadable === true,
        note: (event, fields) => io.event(event, fields),
        step(phase, collection, done, total) {
          lock.assertHeld();
          io.step(phase, collection, done, total);
        },
      };
      io.event('begin', { migration: migration.name, direction: wish.direction });
      const row = (await migrationRows().findOne({ _id: migration.name })) ?? { _id: migration.name, state: 'undone' as const };
      const result = await work(migration, wish.direction, run, row);
      io.event('done', { migration: migration.name, direction: wish.direction, ...result });
      ran.push(migration.name);
    }
    return ran;
  } finally {
    await lock.release();
  }
}

function work({ up, down, name }: Migration, direction: Wish['direction'], run: Run, row: MigrationRow): Promise<object> {
  if (direction === 'up') return up.run(run, row);
  if ('irreversible' in down) throw new MigrationError(`${name} cannot be undone: ${down.irreversible}`);
  return down.run(run, row);
}

/** Which migrations a wish means, in the order in which they run. */
async function chosen({ direction, to, all }: Wish): Promise<Migration[]> {
  const { rows } = await readMigrationState();
  const stateOf = (m: Migration): string => rows.get(m.name)?.state ?? 'undone';
  if (direction === 'up') {
    const half = migrations.find((m) => stateOf(m) === 'undoing');
    if (half) throw new MigrationError(`${half.name} is half undone. Nothing is lost; end it first: npm run dakiya -- migrate down`);
    const until = to === undefined ? migrations.length : migrations.findIndex((m) => m.name === to) + 1;
    const waiting = new Set(await waitingFor());
    return migrations.slice(0, until).filter((m) => stateOf(m) !== 'done' || waiting.has(m.name));
  }
  const applied = migrations.filter((m) => stateOf(m) !== 'undone').reverse();
  if (to !== undefined) {
    const last = applied.findIndex((m) => m.name === to);
    if (last < 0) throw new MigrationError(`${to} has not run, so there is nothing to undo`);
    return applied.slice(0, last + 1);
  }
  return all ? applied : applied.slice(0, 1);
}

/** Migrations that have run and have work again: indexes that newer code declares. */
async function waitingFor(): Promise<string[]> {
  const legacy = await legacyCollections();
  const missing = await prepareSchema({ dryRun: true, except: legacy });
  return missing.length > 0 ? ['indexes'] : [];
}

/** What `runMigrations` would do, and what stands in its way; writes nothing. */
export async function planMigrations(config: Config, wish: Wish, io: MigrationIo): Promise<{ migration: string; plan: Plan }[]> {
  assertKnown(wish.to);
  await assertNotNewer();
  const plans: { migration: string; plan: Plan }[] = [];
  for (const { name, up, down } of await chosen(wish)) {
    const way = wish.direction === 'up' ? up : down;
    if ('irreversible' in way) throw new MigrationError(`${name} cannot be undone: ${way.irreversible}`);
    const run: Run = { config, owner: '', dropUnreadable: wish.dropUnreadable === true, step: io.step, note: io.event };
    plans.push({ migration: name, plan: await way.plan(run) });
  }
  return plans;
}

/** How the database stands, read from the database and not from memory of it. */
export async function migrationStatus(): Promise<StatusLine[]> {
  const { rows, unknown } = await readMigrationState();
  const legacy = await legacyCollections();
  const lines: StatusLine[] = [];
  for (const { name, touches } of migrations) {
    const row = rows.get(name);
    const missing = name === 'indexes' ? await prepareSchema({ dryRun: true, except: legacy }) : [];
    const mine = name === 'indexes' ? missing.length : await legacyCount(touches, row?.state === 'done' ? [] : legacy);
    lines.push({
      name,
      state: row?.state === 'running' || row?.state === 'undoing' ? `${row.state} (unfinished)` : row?.state === 'done' ? 'done' : 'pending',
      rows: row?.rows ?? 0,
      waiting: mine,
      ...(missing.length > 0 ? { missing: missing.slice(0, 10) } : {}),
      ...(row?.phase === undefined ? {} : { phase: row.phase }),
      ...(row?.finishedAt === undefined || row.state !== 'done' ? {} : { finishedAt: row.finishedAt.toISOString() }),
    });
  }
  for (const name of unknown) lines.push({ name, state: 'unknown to this version', rows: 0, waiting: 0 });
  return lines;
}

async function legacyCount(touches: readonly string[], legacy: readonly string[]): Promise<number> {
  const counts = await Promise.all(touches.filter((name) => legacy.includes(name)).map((name) => database().collection(name).countDocuments(LEGACY_ROW)));
  return counts.reduce((a, b) => a + b, 0);
}

/** Forgets the sealed backups: the migrations can then not be undone any more, and nothing of the former rows is left. */
export async function forgetBackups(config: Config): Promise<number> {
  const lock = await takeLock(config.migrationLeaseMs);
  try {
    const { unfinished } = await readMigrationState();
    if (unfinished.length > 0) throw new MigrationError(`${unfinished.join(', ')} did not end and needs its backup`);
    return await discardBackups();
  } finally {
    await lock.release();
  }
}

function assertKnown(name: string | undefined): void {
  if (name === undefined || migrations.some((m) => m.name === name)) return;
  throw new MigrationError(`There is no migration of this name; there are ${migrations.map((m) => m.name).join(', ')}`);
}

async function assertNotNewer(): Promise<void> {
  const { unknown } = await readMigrationState();
  if (unknown.length > 0) throw new MigrationError(`This database is newer than this version of Dakiya: it has ${unknown.join(', ')}. Use the version that migrated it`);
}
