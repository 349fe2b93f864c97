import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { giveUp, run, say } from './run.mjs';

const SOURCES = ['src', 'scripts'];
/** Linked into dist/, so that a path relative to a source file also holds for the compiled one. */
const LINKED = ['data', 'docs', 'package.json'];
const SETTINGS = ['tsconfig.json', 'tsconfig.build.json'];

/** @param {string} root */
const stampFile = (root) => join(root, 'dist', '.build-stamp');

/** Whether dist/ was built from exactly these sources; an installation without sources has nothing to compare.
 * @param {string} root */
export function isBuilt(root) {
  if (!existsSync(stampFile(root))) return false;
  if (!existsSync(join(root, 'src'))) return true;
  return readFileSync(stampFile(root), 'utf8') === sourcesHash(root);
}

/** Compiles into a folder beside and swaps it in, so that an interrupted build is simply built again.
 * Types are checked by `npm run types`, not here: a start shall not wait for them.
 * @param {string} root
 * @param {(pid: number) => void} join_ */
export async function build(root, join_) {
  say('Building ...');
  const hash = sourcesHash(root);
  const made = join(root, '.cache', 'build');
  const old = join(root, '.cache', 'build-before');
  for (const folder of [made, old]) rmSync(folder, { recursive: true, force: true });
  await compile(root, 'tsconfig.build.json', made, join_);
  for (const path of filesOf(root).filter(isAsset)) cpSync(join(root, path), join(made, path), { recursive: true });
  for (const name of LINKED) symlinkSync(join('..', name), join(made, name));
  writeFileSync(join(made, '.build-stamp'), hash);
  if (existsSync(join(root, 'dist'))) renameSync(join(root, 'dist'), old);
  renameSync(made, join(root, 'dist'));
  rmSync(old, { recursive: true, force: true });
}

/** Compiles a project into a folder without checking its types.
 * @param {string} root
 * @param {string} project
 * @param {string} made
 * @param {(pid: number) => void} [onStart] */
export async function compile(root, project, made, onStart) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', project, '--outDir', made, '--noCheck', '--incremental', 'false', '--tsBuildInfoFile', 'null'];
  const code = await run(process.execPath, args, { cwd: root, onStart });
  if (code !== 0) giveUp(`${project} does not compile; see the compiler's messages above.`);
}

/** Data that modules read beside their code; the scripts in plain JavaScript stay where they are.
 * @param {string} path */
function isAsset(path) {
  return path.startsWith('src/') && !/\.(ts|md)$/.test(path);
}

/** @param {string} root
 * @returns {string[]} relative paths with forward slashes, sorted */
function filesOf(root) {
  const names = SOURCES.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1).replaceAll('\\', '/')),
  );
  return names.filter((name) => name.startsWith('src/') || name.endsWith('.ts')).sort();
}

/** @param {string} root */
function sourcesHash(root) {
  const hash = createHash('sha256');
  for (const path of [...filesOf(root), ...SETTINGS]) {
    const content = readFileSync(join(root, path));
    hash.update(`${path}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}
