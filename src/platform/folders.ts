import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

function hasCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  return found?.isDirectory() ?? false;
}

/**
 * Makes a folder and those above it; one that is there stays as it is. Rejects with the system's own error. Node's
 * recursive `mkdir` tries for ever where a file system says ENOENT to whatever is made in it, as /proc does.
 */
export async function makeFolder(folder: string, mode = 0o777): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(folder); !(await isFolder(at)) && at !== dirname(at); at = dirname(at)) missing.unshift(at);
  for (const path of missing) {
    try {
      await mkdir(path, { mode });
    } catch (error) {
      // Somebody else may have been first.
      if (!hasCode(error, 'EEXIST') || !(await isFolder(path))) throw error;
    }
  }
}
