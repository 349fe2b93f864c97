import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the shipped reference data, found upwards from here so that sources and the build both find it. */
export async function referenceDataDir(): Promise<string> {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, 'data');
    const found = await access(join(candidate, 'pincodes.csv')).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
    const parent = dirname(folder);
    if (parent === folder) throw new Error('The reference data (data/pincodes.csv) is missing from this installation');
    folder = parent;
  }
}
