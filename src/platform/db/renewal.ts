import { AppError } from '../errors.ts';
import { runtime } from '../runtime.ts';
import { writingKey, type DataKey, type KeyOwner } from './keyring.ts';
import type { Place } from './sealed.ts';

/** What one run has done; `unreadable` rows are logged by name and left as they are. */
export interface Renewed {
  collection: string;
  rows: number;
  renewed: number;
  erased: number;
  unreadable: number;
}

export interface RenewOptions {
  /** Only this company's rows; all without it. */
  companyId?: string;
  /** Makes every blind index again: after a change of BLIND_INDEX_KEY. */
  indexes?: boolean;
  onProgress?: (done: Renewed, total: number) => void;
}

/** The key that seals for an owner now; undefined when what it sealed is erased. */
export async function newestKey(owner: KeyOwner): Promise<DataKey | undefined> {
  try {
    return await writingKey(owner);
  } catch (error) {
    if (error instanceof AppError && error.code === 'data_erased') return undefined;
    throw error;
  }
}

/** Counts and names a value that does not open; it is left as it is. */
export function noteUnreadable(done: Renewed, { collection, id, path }: Place, key: DataKey): void {
  done.unreadable += 1;
  runtime().log.error('sealed.unreadable', { collection, rowId: id, path, companyId: key.companyId, keyState: key.state });
}
