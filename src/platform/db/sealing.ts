import { blindIndex } from './blind-index.ts';
import { AppError } from '../errors.ts';
import { dataErased, heldKey, isSettled, settleKeys, writingKey, type DataKey, type KeyPurpose } from './keyring.ts';
import { ENVELOPE, keyIdOf, Sealed, sealEnvelope } from './sealed.ts';
import { sealedChange, unsealed } from './sealing.change.ts';
import { assertSealedFilter } from './sealing.filter.ts';
import { replaceAt, replaceIn, sealedElement, type RowSealer, type SealedParts } from './sealing.place.ts';
import { isWithin, type SealedField } from './sealed-fields.ts';
import type { CollectionSpec } from './types.ts';
import { valueAt } from './value-at.ts';

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

/** The sealing of a collection; undefined when it has no sealed paths. */
export function makeSealing(spec: CollectionSpec, fields: readonly SealedField[]): Sealing | undefined {
  if (fields.length === 0) return undefined;
  const purposes = [...new Set(fields.map((f) => f.purpose))];
  return {
    fields,
    writer: async (companyId) => makeWriter(spec, fields, companyId, await writingKeys(companyId, purposes)),
    open: (rows, made) => openRows(spec, fields, rows as readonly Plain[], made),
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

function makeWriter(spec: CollectionSpec, fields: readonly SealedField[], companyId: string, keys: ReadonlyMap<KeyPurpose, DataKey>): RowSealer {
  const made = new Map<string, string>();
  const value = (field: SealedField, id: string, given: unknown): SealedParts => {
    if (!(given instanceof Sealed)) throw new Error(`${field.path} of ${spec.name} is sealed: write seal(value)`);
    const key = keys.get(field.purpose);
    if (!key) throw dataErased();
    const place = { collection: spec.name, id, path: field.path };
    const clear = given.text();
    const envelope = given.envelopeFor(place, key) ?? sealEnvelope(key, place, clear);
    made.set(envelope, clear);
    const open: unknown = JSON.parse(clear);
    const blind = field.searches.map(({ name, valueOf, blind }): [string, string | undefined] => {
      const part = valueOf(open);
      return [name, part === undefined ? undefined : blindIndex(blind, companyId, part)];
    });
    return { envelope, mask: field.mask(open), blind };
  };
  const writer: RowSealer = {
    made,
    value,
    row: (row) => sealedRow({ collection: spec.name, fields }, row, (field, given) => value(field, row._id, given)),
    change: (id, update) => sealedChange(spec.name, fields, { id, update, writer }),
  };
  return writer;
}

type Seal = (field: SealedField, given: unknown) => SealedParts;

function sealedRow({ collection, fields }: { collection: string; fields: readonly SealedField[] }, row: Plain & { _id: string }, seal: Seal): Plain & { _id: string } {
  for (const own of ['masks', 'blind']) if (own in row) throw new Error(`${own} belongs to the collection door`);
  const result = { ...row };
  const blind: Plain = {};
  for (const field of fields) {
    if (field.array) continue;
    const parts = replaceAt(result, field, (given) => seal(field, given));
    for (const [name, index] of parts?.blind ?? []) if (index !== undefined) blind[name] = index;
  }
  for (const path in result) unsealed(collection, path, result[path]);
  if (Object.keys(blind).length > 0) result['blind'] = blind;
  for (const array of new Set(fields.flatMap((f) => f.array ?? []))) {
    const inside = fields.filter((f) => f.array === array);
    replaceIn(result, array.split('.'), (elements) => (Array.isArray(elements) ? elements.map((e: unknown) => sealedElement(inside, e, seal)) : elements));
  }
  return result;
}

async function openRows(spec: CollectionSpec, fields: readonly SealedField[], rows: readonly Plain[], made?: ReadonlyMap<string, string>): Promise<void> {
  const unsettled = new Set<DataKey>();
  for (const row of rows) {
    for (const field of fields) {
      for (const [owner, element] of field.array ? elementsOf(row, field.array) : [[row, row] as const]) {
        const key = openField(spec, field, { row: owner, element, made });
        if (key && !isSettled(key)) unsettled.add(key);
      }
    }
  }
  for (const row of rows) {
    delete row['masks'];
    delete row['blind'];
    for (const array of new Set(fields.flatMap((f) => f.array ?? []))) for (const [, element] of elementsOf(row, array)) delete element['masks'];
  }
  if (unsettled.size > 0) await settleKeys(unsettled);
}

function elementsOf(row: Plain, array: string): (readonly [row: Plain, element: Plain])[] {
  const found = valueAt(row, array);
  return Array.isArray(found) ? (found as unknown[]).flatMap((e) => (typeof e === 'object' && e !== null ? [[row, e as Plain] as const] : [])) : [];
}

/** Whatever is found at a sealed path becomes a Sealed: what is no envelope then shows its mask and never opens. */
function openField(spec: CollectionSpec, field: SealedField, { row, element, made }: { row: Plain; element: Plain; made: ReadonlyMap<string, string> | undefined }): DataKey | undefined {
  const parent = field.inner.slice(0, -1).reduce<unknown>((value, part) => (value as Plain | null | undefined)?.[part], element);
  const last = field.inner.at(-1) ?? '';
  if (typeof parent !== 'object' || parent === null) return undefined;
  const found = (parent as Plain)[last];
  if (found === undefined || found === null || found instanceof Sealed) return undefined;
  const envelope = String(found as string);
  const key = heldKey(keyIdOf(envelope));
  const place = { collection: spec.name, id: String(row['_id']), path: field.path };
  const owner = { companyId: String(row['companyId']), purpose: field.purpose };
  const mask = field.inner.reduce<unknown>((value, part) => (value as Plain | null | undefined)?.[part], element['masks']);
  (parent as Plain)[last] = Sealed.bound({ place, envelope, key, owner }, mask ?? '[sealed]', made?.get(envelope));
  return key;
}

function hideEnvelopes(node: object): void {
  for (const [key, value] of Object.entries(node)) {
    if (typeof value === 'string' && ENVELOPE.test(value)) (node as Plain)[key] = '[sealed]';
    else if (typeof value === 'object' && value !== null) hideEnvelopes(value as object);
  }
}
