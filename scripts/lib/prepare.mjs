import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, isBuilt } from './build.mjs';
import { checkNode, install, isInstalled } from './install.mjs';
import { withLock } from './lock.mjs';

/** The folder of the repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

const lockFile = join(root, '.cache', 'prepare.lock');

/** Makes dist/ and its packages ready to run. A production installation that is built needs no compiler. */
export async function prepareToRun() {
  checkNode();
  const withTools = () => process.env['NODE_ENV'] !== 'production' || !isBuilt(root);
  if (isBuilt(root) && isInstalled(root, withTools())) return;
  await withLock(lockFile, async (join_) => {
    await install(root, { withTools: withTools(), join: join_ });
    if (!isBuilt(root)) await build(root, join_);
  });
}

/** Makes the packages ready, compiler and test tools included. */
export async function prepareToTest() {
  checkNode();
  if (isInstalled(root, true)) return;
  await withLock(lockFile, (join_) => install(root, { withTools: true, join: join_ }));
}

/** Builds dist/ whatever it holds. */
export async function prepareBuild() {
  await prepareToTest();
  await withLock(lockFile, (join_) => build(root, join_));
}
