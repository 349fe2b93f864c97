import { hostname } from 'node:os';
import { migrationRows } from '../../../src/platform/db/migration-state.ts';
import { isDuplicateKey } from '../../../src/platform/db/duplicate-key.ts';
import { randomToken } from '../../../src/platform/ids.ts';
import { pause } from '../../../src/platform/pause.ts';
import { MigrationError } from '../migration.ts';

/** The one runner's right to write. */
export interface Lock {
  owner: string;
  /** Throws when the lease was lost: another runner may be at work. */
  assertHeld(): void;
  release(): Promise<void>;
}

const POLL_MS = 200;

/**
 * Takes the lock, by the server's clock. Waits as long as a killed runner's lease can last, then refuses with a sentence
 * that names the living one.
 */
export async function takeLock(leaseMs: number): Promise<Lock> {
  const owner = `${hostname()}:${process.pid}:${randomToken(6)}`;
  const giveUpAt = performance.now() + leaseMs * 1.5 + 2_000;
  while (!(await tryTake(owner, leaseMs))) {
    const holder = await migrationRows().findOne({ _id: 'lock' });
    if (performance.now() > giveUpAt) {
      const who = String(holder?.['holder'] ?? 'unknown').split(':').slice(0, 2).join(', process ');
      throw new MigrationError(`Another runner is migrating this database (${who}) and renews its lock. Wait until it ends, then look with: npm run dakiya -- migrate status`);
    }
    await pause(POLL_MS);
  }
  return hold(owner, leaseMs);
}

async function tryTake(owner: string, leaseMs: number): Promise<boolean> {
  const free = { _id: 'lock', $or: [{ holder: owner }, { $expr: { $lte: ['$until', '$$NOW'] } }] };
  const taken = await migrationRows().updateOne(free as never, [{ $set: { holder: owner, until: { $add: ['$$NOW', leaseMs] } } }]);
  if (taken.matchedCount === 1) return true;
  // An upsert may not ask for the server's time, so the first runner of a database makes the row, and the next try takes it.
  await migrationRows()
    .insertOne({ _id: 'lock', until: new Date(0) } as never)
    .catch((error: unknown) => (isDuplicateKey(error) ? undefined : Promise.reject(error)));
  return false;
}

function hold(owner: string, leaseMs: number): Lock {
  let sureUntil = performance.now() + leaseMs;
  let lost = false;
  let renewing: Promise<void> = Promise.resolve();
  const renew = async (): Promise<void> => {
    const from = performance.now();
    const held = await tryTake(owner, leaseMs).catch(() => undefined);
    if (held === true) sureUntil = from + leaseMs;
    if (held === false) lost = true;
  };
  const beat = setInterval(() => {
    renewing = renewing.then(renew);
  }, Math.max(20, leaseMs / 3));
  return {
    owner,
    assertHeld() {
      if (lost || performance.now() > sureUntil) throw new MigrationError('This runner lost its lock, so it stopped; another one may be at work. Nothing is lost: run the same command again');
    },
    async release() {
      clearInterval(beat);
      await renewing;
      await migrationRows().updateOne({ _id: 'lock', holder: owner }, { $set: { until: new Date(0) }, $unset: { holder: '' } });
    },
  };
}
