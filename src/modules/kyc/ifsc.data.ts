import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { referenceDataDir } from '../../platform/reference-data.ts';
import { buildIfscTable, type IfscTable } from './ifsc.rules.ts';

let shipped: Promise<IfscTable> | undefined;

/** The shipped list of banks and branches, read when it is first asked for; a failed read is not kept. */
export function loadIfscTable(): Promise<IfscTable> {
  shipped ??= referenceDataDir()
    .then((folder) => readFile(join(folder, 'ifsc.txt'), 'utf8'))
    .then(buildIfscTable)
    .catch((cause: unknown) => {
      shipped = undefined;
      throw cause;
    });
  return shipped;
}
