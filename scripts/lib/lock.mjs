import { appendFileSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { say } from './run.mjs';

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** The living processes named in the lock file.
 * @param {string} file */
function owners(file) {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number).filter(isAlive);
  } catch {
    return [];
  }
}

/** Runs `work` while no other process of this checkout installs or builds; `join` adds the id of a program that it
 * started, so that the lock lasts as long as that one even when this process is killed.
 * @template T
 * @param {string} file
 * @param {(join: (pid: number) => void) => Promise<T>} work
 * @returns {Promise<T>} */
export async function withLock(file, work) {
  mkdirSync(dirname(file), { recursive: true });
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, `${process.pid}\n`);
  const release = () => rmSync(file, { force: true });
  try {
    for (let waited = false; !tryLink(mine, file); ) {
      const [other] = owners(file);
      if (other === undefined) release();
      else if (!waited) say(`Waiting for another installation or build (process ${other}) ...`);
      waited ||= other !== undefined;
      await delay(other === undefined ? 10 + Math.random() * 50 : 200);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  try {
    return await work((pid) => appendFileSync(file, `${pid}\n`));
  } finally {
    release();
  }
}

/** @param {string} from
 * @param {string} to */
function tryLink(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}
