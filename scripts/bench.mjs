import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from './lib/build.mjs';
import { prepareBuild, root } from './lib/prepare.mjs';

// Compiled like the service that they measure: a loader that rewrites code on the way costs a few per cent of it.
const [first, ...rest] = process.argv.slice(2);
const single = first === 'migrate' ? first : undefined;
const made = join(root, '.cache', 'bench');

await prepareBuild();
rmSync(made, { recursive: true, force: true });
await compile(root, 'tsconfig.bench.json', made);
for (const name of ['data', 'docs', 'dist', 'package.json']) symlinkSync(join(root, name), join(made, name));

const entry = join(made, 'bench', `${single ?? 'run'}.js`);
process.argv = [process.execPath, entry, ...(single ? rest : process.argv.slice(2))];
await import(entry);
