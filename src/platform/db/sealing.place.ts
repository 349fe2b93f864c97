import type { DataKey, KeyPurpose } from './keyring.ts';
import type { SealedField } from './sealed-fields.ts';

type Plain = Record<string, unknown>;
export type StoredRow = Plain & { _id: string };

/** A new row in both forms: as it is stored, and as it is answered. */
export interface SealedRow {
  /** Envelopes in the place of sealed values, their masks and blind indexes beside them. */
  stored: StoredRow;
  /** Sealed values that are bound to their places; the rest is shared. */
  shown: StoredRow;
}

/** Seals what is written to rows of one company; makes no change to what it is given, so a retry meets the same values. */
export interface RowSealer {
  /** Both forms of a new row. */
  row(row: StoredRow): SealedRow;
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
  /** The value as it is read back. */
  bound: unknown;
  mask: unknown;
  blind: readonly [name: string, index: string | undefined][];
}

export type Seal = (field: SealedField, given: unknown) => SealedParts;

/** One element of an array with sealed paths: its masks stand in the element, so that they move with it. */
export function sealedElement(fields: readonly SealedField[], element: unknown, seal: Seal): { stored: Plain; shown: Plain } {
  if (typeof element !== 'object' || element === null || 'masks' in element) throw new Error(`An element of ${fields[0]?.array ?? ''} is an object without masks`);
  const { stored, shown, masks } = sealedIn(element as Plain, fields, seal);
  return { stored: masks ? { ...stored, masks } : stored, shown };
}

/**
 * Copies of an object with the envelopes, and with the bound values, of its fields in their places, and what their masks
 * and blind indexes are. These are put in by a literal, not one by one: a copy that grows costs a microsecond a property.
 */
export function sealedIn(owner: Plain, fields: readonly SealedField[], seal: Seal): { stored: Plain; shown: Plain; masks: Plain | undefined; blind: Plain | undefined } {
  const [stored, shown] = [{ ...owner }, { ...owner }];
  let masks: Plain | undefined;
  let blind: Plain | undefined;
  for (const field of fields) {
    const parts = replaceAt(stored, field, seal);
    if (!parts) continue;
    replaceIn(shown, field.inner, () => parts.bound);
    replaceIn((masks ??= {}), field.inner, () => parts.mask, true);
    for (const [name, index] of parts.blind) if (index !== undefined) (blind ??= {})[name] = index;
  }
  return { stored, shown, masks, blind };
}

/** Puts the envelope at the field's place below `owner`, copying what lies between; undefined when nothing stands there. */
export function replaceAt(owner: Plain, field: SealedField, seal: Seal): SealedParts | undefined {
  let parts: SealedParts | undefined;
  replaceIn(owner, field.inner, (given) => {
    if (given === undefined) return undefined;
    parts = seal(field, given);
    return parts.envelope;
  });
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
