import { forgetBackups, migrationStatus, planMigrations, runMigrations, type MigrationIo, type Wish } from './migrations/runner/run.ts';
import '../src/modules.ts';
import { makeProgress, say, table, type Progress } from './lib/output.ts';
import { withDatabase } from './lib/session.ts';

const MOST_FAULTS = 20;

/** `migrate up|down`. Exit code 0: done, also when there was nothing to do; 1: refused, and the sentence says what is safe. */
export async function migrateCommand({ dryRun, ...wish }: Wish & { dryRun: boolean }): Promise<number> {
  return withDatabase(async (config) => {
    const io = makeIo();
    try {
      if (dryRun) return await showPlan(await planMigrations(config, wish, io));
      const ran = await runMigrations(config, wish, io);
      if (ran.length === 0) io.event('nothing_to_do', { direction: wish.direction });
      return 0;
    } finally {
      io.end();
    }
  }, { checkSecrets: !dryRun });
}

async function showPlan(plans: Awaited<ReturnType<typeof planMigrations>>): Promise<number> {
  let faulty = 0;
  for (const { migration, plan } of plans) {
    faulty += plan.faults.length;
    const rows = Object.values(plan.rows).reduce((a, b) => a + b, 0);
    say(JSON.stringify({ migration, dryRun: true, rows, byCollection: plan.rows, unreadable: plan.faults.length, ...(plan.faults.length > 0 ? { faults: plan.faults.slice(0, MOST_FAULTS) } : {}) }));
  }
  if (plans.length === 0) say(JSON.stringify({ dryRun: true, rows: 0, note: 'nothing to do' }));
  return faulty > 0 ? 1 : 0;
}

/** `migrate status`: a table on a terminal, one JSON line per migration otherwise. */
export async function statusCommand({ check }: { check: boolean }): Promise<number> {
  return withDatabase(async () => {
    const lines = await migrationStatus();
    if (process.stdout.isTTY) say(table(['migration', 'state', 'rows', 'waiting', 'finished'], lines.map((l) => [l.name, l.state, l.rows, l.waiting, l.finishedAt ?? ''])));
    else for (const line of lines) say(JSON.stringify(line));
    return check && lines.some((l) => l.state !== 'done' || l.waiting > 0) ? 1 : 0;
  }, { checkSecrets: false });
}

/** `migrate discard-backups`: exit code 1 when there were none. */
export async function discardCommand(): Promise<number> {
  return withDatabase(async (config) => {
    const pieces = await forgetBackups(config);
    say(JSON.stringify({ discarded: pieces }));
    return pieces > 0 ? 0 : 1;
  });
}

/** A bar for each phase on a terminal; otherwise one JSON line for each step and event. */
function makeIo(): MigrationIo & { end(): void } {
  let bar: { of: string; progress: Progress } | undefined;
  const end = (): void => {
    bar?.progress.stop();
    bar = undefined;
  };
  return {
    end,
    step(phase, collection, done, total) {
      if (!process.stdout.isTTY) {
        say(JSON.stringify({ step: phase, collection, done, total }));
        return;
      }
      const of = `${phase} ${collection}`;
      if (bar?.of !== of) {
        end();
        bar = { of, progress: makeProgress(phase) };
      }
      bar?.progress.set(done, total, collection);
    },
    event(event, fields) {
      end();
      say(process.stdout.isTTY ? `${event} ${Object.entries(fields).map(([k, v]) => `${k}=${typeof v === 'object' ? JSON.stringify(v) : String(v)}`).join(' ')}` : JSON.stringify({ event, ...fields }));
    },
  };
}

