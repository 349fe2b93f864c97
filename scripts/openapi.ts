import { readFile, writeFile } from 'node:fs/promises';
import { openapiDocument } from '../src/platform/openapi.ts';
import { contractRoutes } from '../src/service.ts';
import { VERSION } from '../src/version.ts';
import { say } from './lib/output.ts';

const FILE = 'openapi.json';

/** Writes openapi.json, or compares it with the routes; exit code 1 when it differs. */
export async function openapiCommand(check: boolean): Promise<number> {
  const text = `${JSON.stringify(openapiDocument(contractRoutes(), VERSION), null, 2)}\n`;
  if (!check) {
    await writeFile(FILE, text);
    say(`${FILE} written`);
    return 0;
  }
  const committed = await readFile(FILE, 'utf8').catch(() => '');
  if (committed === text) return 0;
  process.stderr.write(`${FILE} is not what the routes say: run "npm run -s dakiya -- openapi" and commit it\n`);
  return 1;
}
