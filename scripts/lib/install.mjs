import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { giveUp, run, say } from './run.mjs';

const OLDEST_NODE = [20, 19];

/** Ends the process with a sentence when this node is too old. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  giveUp(`Dakiya needs Node.js ${OLDEST_NODE.join('.')} or later; this is ${process.versions.node}. See nodejs.org.`);
}

/** Installs the packages of package-lock.json when they are missing or of another lockfile; without network otherwise.
 * @param {string} root
 * @param {{ withTools: boolean, join: (pid: number) => void }} options `withTools`: compiler and test tools too */
export async function install(root, options) {
  if (isInstalled(root, options.withTools)) return;
  say(`Installing packages (npm ci) ...`);
  rmSync(stampFile(root), { force: true });
  const npm = process.env['npm_execpath'] ?? '';
  const isNpm = basename(npm) === 'npm-cli.js';
  const args = ['ci', '--no-audit', '--no-fund', options.withTools ? '--include=dev' : '--omit=dev'];
  const code = await run(isNpm ? process.execPath : 'npm', isNpm ? [npm, ...args] : args, { cwd: root, onStart: options.join });
  if (code !== 0) giveUp(`npm ci failed (exit code ${code}); see its message above. Nothing was left half done: start again.`);
  writeStamp(root, options.withTools);
}

/** Whether node_modules is complete, by the stamp that is written last.
 * @param {string} root
 * @param {boolean} withTools */
export function isInstalled(root, withTools) {
  const wanted = lockHash(root);
  const stamp = readJson(stampFile(root));
  if (stamp?.lock === wanted && (stamp.tools || !withTools)) return true;
  if (!matchesByHand(root, withTools)) return false;
  writeStamp(root, withTools);
  return true;
}

/** @param {string} root */
const stampFile = (root) => join(root, 'node_modules', '.dakiya-stamp.json');

/** @param {string} root
 * @param {boolean} tools */
function writeStamp(root, tools) {
  writeFileSync(stampFile(root), JSON.stringify({ lock: lockHash(root), tools }));
}

/** @param {string} root */
function lockHash(root) {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  return hash.update(`${process.platform}-${process.arch}`).digest('hex');
}

/** Whether somebody ran npm by hand: npm writes its own list of what it installed as the last thing it does.
 * @param {string} root
 * @param {boolean} withTools */
function matchesByHand(root, withTools) {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages ?? {};
  const present = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages;
  if (present === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.optional || entry.devOptional || (entry.dev && !withTools)) return true;
    return present[path]?.version === entry.version && existsSync(join(root, path));
  });
}

/** @param {string} file
 * @returns {any} */
function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
