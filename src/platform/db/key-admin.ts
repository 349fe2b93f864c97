import { forgetWrappingKey } from './canary.ts';
import { forgetKeys, keyRows, keyVault, rotateKey, type KeyPurpose } from './keyring.ts';
import { secrets, unwrapKey, wrapKey, wrappedBy } from './key-wrap.ts';
import { forgetCheckpoint } from './reencrypt.ts';

/** One data key as an operator sees it: everything but the key. */
export interface KeyListing {
  id: string;
  companyId: string;
  purpose: KeyPurpose;
  generation: number;
  /** `current` seals what is written now; `old` only opens; `destroyed` is erased for good. */
  state: 'current' | 'old' | 'destroyed';
  /** The key-encryption key that wraps it. */
  wrappedBy?: string;
  createdAt: Date;
}

/** Every data key, or one company's, by company, purpose and generation. */
export async function listKeys(companyId?: string): Promise<KeyListing[]> {
  const rows = await keyRows(companyId);
  return rows.map((row, i): KeyListing => {
    const next = rows[i + 1];
    const last = next?.companyId !== row.companyId || next.purpose !== row.purpose;
    const { _id: id, purpose, generation, wrapped, createdAt } = row;
    const state = wrapped === undefined ? 'destroyed' : last ? 'current' : 'old';
    return { id, companyId: row.companyId, purpose, generation, state, ...(wrapped === undefined ? {} : { wrappedBy: wrappedBy(wrapped) }), createdAt };
  });
}

export interface RotateOptions {
  companyId?: string;
  purpose?: KeyPurpose;
  onProgress?: (done: number, total: number) => void;
}

/** Gives every owner (or those named) a new generation of its key; answers how many. What is sealed already stays readable. */
export async function rotateKeys({ companyId, purpose, onProgress }: RotateOptions = {}): Promise<number> {
  const current = (await listKeys(companyId)).filter((key) => key.state === 'current' && (purpose === undefined || key.purpose === purpose));
  let rotated = 0;
  for (const [i, key] of current.entries()) {
    if (await rotateKey({ companyId: key.companyId, purpose: key.purpose })) rotated += 1;
    onProgress?.(i + 1, current.length);
  }
  await forgetCheckpoint();
  return rotated;
}

/**
 * Wraps every data key with the first key-encryption key, so that older ones can leave the configuration. Answers how
 * many were wrapped anew; throws before the first write when a key cannot be opened.
 */
export async function rewrapKeys(onProgress?: (done: number, total: number) => void): Promise<number> {
  const [first] = secrets().wrapping.keys();
  const rows = (await keyRows()).filter((row) => row.wrapped !== undefined && wrappedBy(row.wrapped) !== first);
  const opened = rows.map((row) => ({ row, bytes: unwrapKey(row.wrapped ?? '', row) }));
  const locked = opened.find(({ bytes }) => !bytes);
  if (locked) throw new Error(`The data key ${locked.row._id} cannot be opened: ENCRYPTION_KEYS lacks the key ${wrappedBy(locked.row.wrapped ?? '')}`);
  for (const [i, { row, bytes }] of opened.entries()) {
    if (!bytes) continue;
    await keyVault().updateOne({ _id: row._id, wrapped: row.wrapped ?? '' }, { $set: { wrapped: wrapKey(bytes, row) } });
    bytes.fill(0);
    onProgress?.(i + 1, opened.length);
  }
  for (const id of new Set(rows.map((row) => wrappedBy(row.wrapped ?? '')))) await forgetWrappingKey(id);
  forgetKeys();
  return rows.length;
}
