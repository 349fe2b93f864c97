import type { DataKey, KeyPurpose } from './keyring.ts';
import type { SealedField } from './sealed-fields.ts';

type Plain = Record<string, unknown>;

/** Seals what is written to rows of one company; makes no change to what it is given, so a retry meets the same values. */
export interface RowSealer {
  /** The row as it is stored: envelopes, masks and blind indexes in the place of sealed values. */
  row(row: Plain & { _id: string }): Plain & { _id: string };
  /** The update of one row, `id`, as it is stored; refuses what is not sealed, and operators that cannot be. */
  change(id: string | undefined, update: Plain): Plain;
  /** The envelope of one value, its mask and its blind indexes. */
  value(field: SealedField, id: string, value: unknown): SealedParts;
  /** The keys that seal now; none for a purpose whose key is destroyed. */
  readonly keys: ReadonlyMap<KeyPurpose, DataKey>;
  /** What was sealed just now, by envelope: such a value need not be decrypted to be shown. */
  readonly made: ReadonlyMap<string, string>;
}

export interface SealedParts {
  envelope: string;
  mask: unknown;
  blind: readonly [name: string, index: string | undefined][];
}

/** One element of an array with sealed paths: its masks stand in the element, so that they move with it. */
export function sealedElement(fields: readonly SealedField[], element: unknown, seal: (field: SealedField, given: unknown) => SealedParts): Plain {
  if (typeof element !== 'object' || element === null || 'masks' in element) throw new Error(`An element of ${fields[0]?.array ?? ''} is an object without masks`);
  const result = { ...(element as Plain) };
  for (const field of fields) replaceAt(result, field, seal);
  return result;
}

/** Puts the envelope at the field's place below `owner` and the mask into its masks, copying what lies between. */
export function replaceAt(owner: Plain, field: SealedField, seal: (field: SealedField, given: unknown) => SealedParts): SealedParts | undefined {
  const { inner } = field;
  let parts: SealedParts | undefined;
  replaceIn(owner, inner, (given) => {
    if (given === undefined) return undefined;
    parts = seal(field, given);
    return parts.envelope;
  });
  if (!parts) return undefined;
  const { mask } = parts;
  const masks = (owner['masks'] ??= {}) as Plain;
  replaceIn(masks, inner, () => mask, true);
  return parts;
}

/** Puts another value at a place, copying the objects on the way; `make` makes them where they are missing. */
export function replaceIn(owner: Plain, path: readonly string[], change: (value: unknown) => unknown, make = false, from = 0): void {
  const head = path[from] ?? '';
  const inner = owner[head];
  if (from === path.length - 1) {
    const value = change(inner);
    if (value !== undefined) owner[head] = value;
    return;
  }
  if (typeof inner !== 'object' || inner === null) {
    if (!make) return;
    owner[head] = {};
  } else owner[head] = { ...(inner as Plain) };
  replaceIn(owner[head] as Plain, path, change, make, from + 1);
}
