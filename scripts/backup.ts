import { resolve } from 'node:path';
import { restoreBackup } from '../src/platform/db/backup/restore.ts';
import { writeBackup } from '../src/platform/db/backup/write.ts';
import { VERSION } from '../src/version.ts';
import { makeProgress, say } from './lib/output.ts';
import { withDatabase } from './lib/session.ts';

/** `backup --out DIR`. Exit code 0 only when the manifest is on the disk. */
export async function backupCommand({ out, plain }: { out: string; plain: boolean }): Promise<number> {
  return withDatabase(
    async () => {
      const progress = makeProgress('backup');
      const done = await writeBackup({ folder: resolve(out), gzip: !plain, version: VERSION, tell: (name, n, total) => progress.set(n, total, name) });
      progress.stop();
      say(JSON.stringify({ backup: resolve(out), ...done }));
      return 0;
    },
    { checkSecrets: false },
  );
}

/** `restore --from DIR`. Exit code 0 only when everything reads back as it was. */
export async function restoreCommand({ from, into, force }: { from: string; into?: string; force: boolean }): Promise<number> {
  return withDatabase(
    async () => {
      const bars = { verify: makeProgress('verify'), restore: makeProgress('restore') };
      const done = await restoreBackup({ folder: resolve(from), ...(into === undefined ? {} : { into }), force, tell: (phase, name, n, total) => bars[phase].set(n, total, name) });
      bars.verify.stop();
      bars.restore.stop();
      say(JSON.stringify({ restored: resolve(from), ...done }));
      return 0;
    },
    { checkSecrets: false },
  );
}
