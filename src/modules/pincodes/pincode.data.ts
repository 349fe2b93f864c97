import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { referenceDataDir } from '../../platform/reference-data.ts';
import type { PincodeRow, PincodeTable } from './pincode.rules.ts';
import { buildPincodeTable } from './pincode.rules.ts';

const HEADER = 'pincode,state,districts';

/** The rows of the pincode file (no quoting in it); throws with the line number when a line has another form. */
export function parsePincodeFile(text: string): PincodeRow[] {
  const [header, ...lines] = text
    .replace(/^\uFEFF/, '')
    .trimEnd()
    .split(/\r?\n/);
  if (header !== HEADER) throw new Error(`The pincode file must start with the line ${HEADER}`);
  return lines.map((line, at) => {
    const [pincode = '', state, districts, ...rest] = line.split(',');
    if (state === undefined || districts === undefined || rest.length > 0) {
      throw new Error(`Line ${at + 2} of the pincode file does not have three columns`);
    }
    return { pincode, state, districts: districts === '' ? [] : districts.split(';') };
  });
}

/** The rows of the shipped pincode file. */
export async function loadPincodeRows(): Promise<PincodeRow[]> {
  return parsePincodeFile(await readFile(join(await referenceDataDir(), 'pincodes.csv'), 'utf8'));
}

let shipped: Promise<PincodeTable> | undefined;

/** The shipped pincode table, read once per process; a failed read is not kept. */
export function loadPincodeTable(): Promise<PincodeTable> {
  shipped ??= loadPincodeRows()
    .then(buildPincodeTable)
    .catch((cause: unknown) => {
      shipped = undefined;
      throw cause;
    });
  return shipped;
}
