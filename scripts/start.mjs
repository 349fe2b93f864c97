import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepareToRun, root } from './lib/prepare.mjs';

await prepareToRun();

// In this very process, which npm's shell has become by `exec`: so SIGTERM and Ctrl-C reach the server itself.
const main = join(root, 'dist', 'src', 'main.js');
process.argv.splice(1, 1, main, 'serve');
await import(pathToFileURL(main).href);
