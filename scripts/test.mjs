import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { giveUp, say } from './lib/run.mjs';
import { prepareToTest, root } from './lib/prepare.mjs';

const LINGER_MS = 20_000;

await prepareToTest();
await putMongodOnPath();
await runTests(process.argv.slice(2));

/** Fetched now, so that no test pays for a download, and put on PATH, so that every test uses this one. */
async function putMongodOnPath() {
  const { tsImport } = await import('tsx/esm/api');
  const { resolveMongod } = await tsImport('../src/platform/embedded/mongod-binary.ts', import.meta.url);
  const binary = process.env['MONGOD_BINARY'] ?? process.env['MONGOMS_SYSTEM_BINARY'];
  const cacheDir = process.env['DAKIYA_CACHE_DIR'];
  try {
    const { path } = await resolveMongod({ binary, cacheDir });
    if (path !== 'mongod') process.env['PATH'] = `${dirname(path)}${delimiter}${process.env['PATH'] ?? ''}`;
  } catch (error) {
    giveUp(error instanceof Error ? error.message : String(error));
  }
}

/** Runs all tests, or the named files, and prints the count as the very last line.
 * @param {string[]} args files and mocha's own options */
async function runTests(args) {
  const files = args.filter((arg) => existsSync(arg));
  const specs = files.length > 0 ? args : ['test/**/*.test.ts', ...args];
  const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');
  const child = spawn(process.execPath, ['--import', 'tsx', mocha, '--forbid-only', ...reporting(), ...specs], {
    cwd: root,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  let passed = 0;
  let failed = 0;
  child.on('message', (/** @type {{ passed: number, failed: number }} */ counts) => {
    ({ passed, failed } = counts);
    setTimeout(() => {
      say(`The tests are over, but something they started keeps the process alive after ${LINGER_MS / 1000} s.`);
      failed += 1;
      child.kill('SIGKILL');
    }, LINGER_MS).unref();
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0 && failed === 0) failed = 1;
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

function reporting() {
  return ['--reporter', join(root, 'test', 'support', 'reporter.cjs')];
}
