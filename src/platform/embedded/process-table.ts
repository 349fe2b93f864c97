import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../clock.ts';

/** Whether a process with this id exists, ours to signal or not. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Something that tells this process from a later one with the same id; empty where the system does not say. */
async function birthMark(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in brackets may hold spaces; the start time is the 20th field after it.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

async function isSameProcess(pid: number, mark: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const current = await birthMark(pid);
  return mark === '' || current === '' || mark === current;
}

/** Waits until the process is gone; false when it is still there after `limitMs`. */
export async function untilGone(pid: number, limitMs: number): Promise<boolean> {
  const start = monotonicMs();
  while (isAlive(pid)) {
    if (monotonicMs() - start > limitMs) return false;
    await delay(10);
  }
  return true;
}

let joined = 0;

/** Writes this process into the list of those who use the database; the returned function takes it off again. */
export async function joinUsers(folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true });
  joined += 1;
  const file = join(folder, `${process.pid}-${joined}`);
  await writeFile(file, await birthMark(process.pid));
  return () => rm(file, { force: true });
}

/** How many living users are on the list; the entries of dead ones are removed. */
export async function countUsers(folder: string): Promise<number> {
  let count = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    const mark = await readFile(join(folder, name), 'utf8').catch(() => '');
    if (await isSameProcess(Number.parseInt(name, 10), mark)) count += 1;
    else await rm(join(folder, name), { force: true });
  }
  return count;
}

/** Runs `work` while no other process runs its own under the same lock file; a dead owner's lock is taken over. */
export async function withFileLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const unique = `${file}.${process.pid}-${Math.random().toString(36).slice(2)}`;
  await writeFile(unique, `${process.pid} ${await birthMark(process.pid)} ${unique}`);
  try {
    // A link appears with its content or not at all, unlike a file that is created and then written.
    while (!(await linked(unique, file))) {
      await removeLockOfTheDead(file, `${unique}-stale`);
      await delay(20);
    }
  } finally {
    await rm(unique, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function removeLockOfTheDead(file: string, aside: string): Promise<void> {
  const seen = await readFile(file, 'utf8').catch(() => undefined);
  if (seen === undefined) return;
  const [pid = '', mark = ''] = seen.split(' ');
  if (await isSameProcess(Number(pid), mark)) return;
  // Moved before it is removed: another waiter may have replaced it by its own living lock meanwhile.
  await rename(file, aside).catch(() => undefined);
  const moved = await readFile(aside, 'utf8').catch(() => seen);
  if (moved !== seen) await linked(aside, file);
  await rm(aside, { force: true });
}
