import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepareToRun, root } from './lib/prepare.mjs';

await prepareToRun();

const cli = join(root, 'dist', 'scripts', 'cli.js');
process.argv[1] = cli;
await import(pathToFileURL(cli).href);
