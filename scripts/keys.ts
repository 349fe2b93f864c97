import { acceptSecret, type CanarySecret } from '../src/platform/db/canary.ts';
import { listKeys, rewrapKeys, rotateKeys } from '../src/platform/db/key-admin.ts';
import type { KeyPurpose } from '../src/platform/db/keyring.ts';
import { retireKeys } from '../src/platform/db/key-retire.ts';
import { reencryptAll } from '../src/platform/db/reencrypt.ts';
import { notFound } from '../src/platform/errors.ts';
// What a migration keeps is sealed too.
import './migrations/runner/backup-store.ts';
import { makeProgress, say, table } from './lib/output.ts';
import { withConnection, withSession } from './lib/session.ts';

/** 404 for a company that has no keys: a mistyped id must not look like work that is done. */
async function assertHasKeys(company: string | undefined): Promise<void> {
  if (company !== undefined && (await listKeys(company)).length === 0) throw notFound('company');
}

/** Lists data keys, never the keys themselves: a table on a terminal, one JSON line each otherwise. */
export async function listKeysCommand({ company }: { company?: string }): Promise<number> {
  return withSession(async () => {
    await assertHasKeys(company);
    const keys = await listKeys(company);
    if (process.stdout.isTTY) {
      const rows = keys.map((k) => [k.companyId, k.purpose, k.generation, k.id, k.state, k.wrappedBy ?? '', k.createdAt.toISOString()]);
      say(table(['company', 'purpose', 'generation', 'key', 'state', 'wrapped by', 'since'], rows));
    } else for (const key of keys) say(JSON.stringify(key));
    return 0;
  });
}

/** Makes a new generation of every data key, or of some; traffic may run. */
export async function rotateKeysCommand({ company, purpose }: { company?: string; purpose?: string }): Promise<number> {
  return withSession(async () => {
    await assertHasKeys(company);
    const progress = makeProgress('rotate');
    const rotated = await rotateKeys({
      ...(company === undefined ? {} : { companyId: company }),
      ...(purpose === undefined ? {} : { purpose: purpose as KeyPurpose }),
      onProgress: (done, total) => progress.set(done, total, 'keys'),
    });
    progress.stop();
    say(JSON.stringify({ rotated }));
    return rotated > 0 ? 0 : 1;
  });
}

/** Seals every row with its newest key; exit code 1 when some rows could not be read (they are logged by name). */
export async function reencryptCommand({ company, indexes }: { company?: string; indexes: boolean }): Promise<number> {
  return withSession(async () => {
    await assertHasKeys(company);
    const progress = makeProgress('reencrypt');
    const results = await reencryptAll({
      ...(company === undefined ? {} : { companyId: company }),
      indexes,
      onProgress: ({ collection, rows }, total) => progress.set(rows, total, collection),
    });
    progress.stop();
    for (const result of results) say(JSON.stringify(result));
    return results.some((r) => r.unreadable > 0) ? 1 : 0;
  });
}

/** Removes data keys that nothing names any more; exit code 1 when some stay, each with its reason. */
export async function retireCommand({ company, dryRun }: { company?: string; dryRun: boolean }): Promise<number> {
  return withSession(async () => {
    await assertHasKeys(company);
    const progress = makeProgress('retire');
    const results = await retireKeys({
      ...(company === undefined ? {} : { companyId: company }),
      dryRun,
      onProgress: (collection, done, total) => progress.set(done, total, collection),
    });
    progress.stop();
    const kept = results.filter((key) => key.kept !== undefined);
    for (const key of kept) say(JSON.stringify(key));
    say(JSON.stringify({ retired: results.length - kept.length, kept: kept.length, ...(dryRun ? { dryRun } : {}) }));
    return kept.length > 0 ? 1 : 0;
  });
}

/** Wraps every data key with the first key of ENCRYPTION_KEYS. */
export async function rewrapCommand(): Promise<number> {
  return withSession(async () => {
    const progress = makeProgress('rewrap');
    const rewrapped = await rewrapKeys((done, total) => progress.set(done, total, 'keys'));
    progress.stop();
    say(JSON.stringify({ rewrapped }));
    return 0;
  });
}

/** Notes that a secret was changed on purpose, so that the start goes on; see docs/runbooks/key-compromised.md. */
export async function acceptSecretCommand(secret: CanarySecret): Promise<number> {
  return withConnection(async () => {
    await acceptSecret(secret);
    say(JSON.stringify({ accepted: secret }));
    return 0;
  });
}
