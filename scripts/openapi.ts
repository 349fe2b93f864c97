import { readFile, writeFile } from 'node:fs/promises';
import { openapiDocument } from '../src/platform/openapi.ts';
import { contractRoutes } from '../src/service.ts';
import { VERSION } from '../src/version.ts';
import { say } from './lib/output.ts';
import { ROLE_PAGE, rolePage } from './lib/role-table.ts';

/** The files that are made from the code, with what they must hold. */
function generated(): [file: string, text: string][] {
  return [
    ['openapi.json', `${JSON.stringify(openapiDocument(contractRoutes(), VERSION), null, 2)}\n`],
    [ROLE_PAGE, rolePage()],
  ];
}

/** Writes openapi.json and the page of roles, or compares them with the code; exit code 1 when one differs. */
export async function openapiCommand(check: boolean): Promise<number> {
  let differs = 0;
  for (const [file, text] of generated()) {
    if (!check) {
      await writeFile(file, text);
      say(`${file} written`);
    } else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
      differs += 1;
      process.stderr.write(`${file} is not what the code says: run "npm run -s dakiya -- openapi" and commit it\n`);
    }
  }
  return differs === 0 ? 0 : 1;
}
