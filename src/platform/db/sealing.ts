import { blindIndex } from './blind-index.ts';
import { AppError } from '../errors.ts';
import { dataErased, heldKey, settleKeys, writingKey, type DataKey, type KeyOwner, type KeyPurpose } from './keyring.ts';
import { ENVELOPE, keyIdOf, Sealed, sealEnvelope, type Place } from './sealed.ts';
import { sealedChange, unsealed } from './sealing.change.ts';
import { assertSealedFilter } from './sealing.filter.ts';
import { replaceIn, sealedElement, sealedIn, type RowSealer, type Seal, type SealedParts, type SealedRow, type StoredRow } from './sealing.place.ts';
import { isWithin, type SealedField } from './sealed-fields.ts';
import type { CollectionSpec } from './types.ts';

type Plain = Record<string, unknown>;

/** All that the door of a collection does about its sealed paths. */
export interface Sealing {
  readonly fields: readonly SealedField[];
  writer(companyId: string): Promise<RowSealer>;
  /** Puts bound `Sealed` values in the place of envelopes, in the rows themselves; masks and blind indexes leave them. */
  open(rows: readonly object[], made?: ReadonlyMap<string, string>): Promise<void>;
  /** Takes envelopes, masks and blind indexes out of what a pipeline answers. */
  hide(results: readonly object[]): void;
  /** Refuses conditions on sealed values, which no index and no comparison can answer. */
  assertFilter(filter: unknown): void;
  /** What must be read too when these fields are asked for. */
  projection(fields: readonly string[]): string[];
  /** The part of a filter that finds rows by a sealed value; of the company's rows unless the index is the platform's. */
  blind(companyId: () => string, name: string, value: string): Plain;
}

/** The sealed paths of a collection by where they stand. */
interface Layout {
  collection: string;
  /** Those of the row itself. */
  outer: readonly SealedField[];
  arrays: readonly { path: readonly string[]; inside: readonly SealedField[] }[];
}

function layoutOf(collection: string, fields: readonly SealedField[]): Layout {
  const arrays = [...new Set(fields.flatMap((f) => f.array ?? []))];
  return {
    collection,
    outer: fields.filter((f) => f.array === undefined),
    arrays: arrays.map((array) => ({ path: array.split('.'), inside: fields.filter((f) => f.array === array) })),
  };
}

/** The sealing of a collection; undefined when it has no sealed paths. */
export function makeSealing(spec: CollectionSpec, fields: readonly SealedField[]): Sealing | undefined {
  if (fields.length === 0) return undefined;
  const layout = layoutOf(spec.name, fields);
  const purposes = [...new Set(fields.map((f) => f.purpose))];
  return {
    fields,
    writer: async (companyId) => makeWriter(layout, fields, companyId, await writingKeys(companyId, purposes)),
    open: (rows, made) => openRows(layout, rows as readonly Plain[], made),
    hide(results) {
      for (const result of results as Plain[]) {
        delete result['masks'];
        delete result['blind'];
        hideEnvelopes(result);
      }
    },
    assertFilter: (filter) => assertSealedFilter(spec.name, fields, filter),
    projection(asked) {
      const touched = fields.filter((f) => asked.some((a) => isWithin(a, f.path) || isWithin(f.path, a)));
      if (touched.length === 0) return [...asked];
      return [...asked, 'companyId', 'masks', ...touched.flatMap((f) => (f.array && !asked.includes(f.array) ? [`${f.array}.masks`] : []))];
    },
    blind(companyId, name, value) {
      const found = fields.flatMap((f) => f.searches).find((search) => search.name === name);
      if (!found) throw new Error(`${spec.name} has no blind index ${name}`);
      return { [`blind.${name}`]: blindIndex(found.blind, found.blind.scope === 'platform' ? '' : companyId(), value) };
    },
  };
}

async function writingKeys(companyId: string, purposes: readonly KeyPurpose[]): Promise<Map<KeyPurpose, DataKey>> {
  const keys = new Map<KeyPurpose, DataKey>();
  for (const purpose of purposes) {
    const key = writingKey({ companyId, purpose });
    try {
      keys.set(purpose, key instanceof Promise ? await key : key);
    } catch (error) {
      // What is sealed is erased for good; the rest of the rows (a status, a late scan) still changes.
      if (!(error instanceof AppError && error.code === 'data_erased')) throw error;
    }
  }
  return keys;
}

function makeWriter(layout: Layout, fields: readonly SealedField[], companyId: string, keys: ReadonlyMap<KeyPurpose, DataKey>): RowSealer {
  const { collection } = layout;
  const made = new Map<string, string>();
  const value = (field: SealedField, id: string, given: unknown): SealedParts => {
    if (!(given instanceof Sealed)) throw new Error(`${field.path} of ${collection} is sealed: write seal(value)`);
    const key = keys.get(field.purpose);
    if (!key) throw dataErased();
    const place = { collection, id, path: field.path };
    const clear = given.text();
    const envelope = given.envelopeFor(place, key) ?? sealEnvelope(key, place, clear);
    made.set(envelope, clear);
    const open: unknown = JSON.parse(clear);
    const mask = field.mask(open);
    const blind = field.searches.map(({ name, valueOf, blind }): [string, string | undefined] => {
      const part = valueOf(open);
      return [name, part === undefined ? undefined : blindIndex(blind, companyId, part)];
    });
    const owner = { companyId, purpose: field.purpose };
    return { envelope, mask, blind, bound: Sealed.bound({ place, envelope, key, owner }, mask, clear) };
  };
  const writer: RowSealer = {
    keys,
    made,
    value,
    row: (row) => sealedRow(layout, row, (field, given) => value(field, row._id, given)),
    change: (id, update) => sealedChange(collection, fields, { id, update, writer }),
  };
  return writer;
}

function sealedRow({ collection, outer, arrays }: Layout, row: StoredRow, seal: Seal): SealedRow {
  for (const own of ['masks', 'blind']) if (own in row) throw new Error(`${own} belongs to the collection door`);
  const { stored, shown, masks, blind } = sealedIn(row, outer, seal);
  for (const path in stored) unsealed(collection, path, stored[path]);
  for (const { path, inside } of arrays) {
    const elements = arrayAt(row, path);
    if (!elements) continue;
    const sealed = elements.map((element) => sealedElement(inside, element, seal));
    replaceIn(stored, path, () => sealed.map((element) => element.stored));
    replaceIn(shown, path, () => sealed.map((element) => element.shown));
  }
  return { stored: withBoth(stored, masks, blind), shown: shown as StoredRow };
}

function withBoth(stored: Plain, masks: Plain | undefined, blind: Plain | undefined): StoredRow {
  if (!masks) return stored as StoredRow;
  return (blind ? { ...stored, masks, blind } : { ...stored, masks }) as Plain as StoredRow;
}

async function openRows({ collection, outer, arrays }: Layout, rows: readonly Plain[], made?: ReadonlyMap<string, string>): Promise<void> {
  const keyOf = keyFinder();
  for (const row of rows) {
    const [id, companyId] = [String(row['_id']), String(row['companyId'])];
    let owner: KeyOwner | undefined;
    const where = ({ path, purpose }: SealedField): Opening => {
      if (owner?.purpose !== purpose) owner = { companyId, purpose };
      return { place: { collection, id, path }, owner, keyOf, made };
    };
    for (const field of outer) openField(field, row, where(field));
    for (const { path, inside } of arrays) for (const element of elementsOf(row, path)) for (const field of inside) openField(field, element, where(field));
  }
  for (const row of rows) {
    // In this order: they were stored last, and an object that loses its last property stays a fast one.
    if ('blind' in row) delete row['blind'];
    if ('masks' in row) delete row['masks'];
    for (const { path } of arrays) for (const element of elementsOf(row, path)) delete element['masks'];
  }
  await settleKeys(keyOf.asked);
}

function elementsOf(row: Plain, array: readonly string[]): Plain[] {
  return (arrayAt(row, array) ?? []).filter((e): e is Plain => typeof e === 'object' && e !== null);
}

function arrayAt(row: object, path: readonly string[]): unknown[] | undefined {
  const found = above(row, path)?.[path[path.length - 1] ?? ''];
  return Array.isArray(found) ? found : undefined;
}

interface Opening {
  place: Place;
  owner: KeyOwner;
  keyOf: KeyFinder;
  made: ReadonlyMap<string, string> | undefined;
}

/** Whatever is found at a sealed path becomes a Sealed: what is no envelope then shows its mask and never opens. */
function openField({ inner }: SealedField, element: Plain, { place, owner, keyOf, made }: Opening): void {
  const parent = above(element, inner);
  const last = inner[inner.length - 1] ?? '';
  const found = parent?.[last];
  if (parent === undefined || found === undefined || found === null || found instanceof Sealed) return;
  const envelope = String(found as string);
  const mask = above(element['masks'], inner)?.[last];
  parent[last] = Sealed.bound({ place, envelope, key: keyOf(envelope), owner }, mask ?? '[sealed]', made?.get(envelope));
}

interface KeyFinder {
  (envelope: string): DataKey;
  /** Every key that was found. */
  asked: Set<DataKey>;
}

/** Finds the keys of envelopes; next to each other they mostly name the same. */
function keyFinder(): KeyFinder {
  const asked = new Set<DataKey>();
  let last: { prefix: string; key: DataKey } | undefined;
  const find = (envelope: string): DataKey => {
    if (last && envelope.startsWith(last.prefix)) return last.key;
    const id = keyIdOf(envelope);
    const key = heldKey(id);
    asked.add(key);
    if (id !== '') last = { prefix: envelope.slice(0, id.length + 4), key };
    return key;
  };
  return Object.assign(find, { asked });
}

/** The object that holds the last part of a path. */
function above(value: unknown, path: readonly string[]): Plain | undefined {
  let holder = value;
  for (let i = 0; i < path.length - 1; i += 1) holder = (holder as Plain | null | undefined)?.[path[i] ?? ''];
  return typeof holder === 'object' && holder !== null ? (holder as Plain) : undefined;
}

function hideEnvelopes(node: object): void {
  for (const [key, value] of Object.entries(node)) {
    if (typeof value === 'string' && ENVELOPE.test(value)) (node as Plain)[key] = '[sealed]';
    else if (typeof value === 'object' && value !== null) hideEnvelopes(value as object);
  }
}
