import type mongoose from 'mongoose';
import type { Blind, BlindForm, BlindScope } from './blind-index.ts';
import { MASKS, type MaskName } from './masks.ts';
import type { KeyPurpose } from './keyring.ts';
import { ENVELOPE } from './sealed.ts';
import type { CollectionSpec } from './types.ts';

/** The part of a value that is found again; undefined when a value has none. */
type SearchPart = (value: never) => string | undefined;

/** A blind index that is not of a code within one company. */
export interface SearchSpec {
  of: SearchPart;
  /** `platform`: found, and unique where an index says so, before any company is known. Default `company`. */
  scope?: BlindScope;
  /** Default `code`. */
  form?: BlindForm;
}

/** One blind index as the door uses it. */
export interface FieldSearch {
  name: string;
  valueOf: (value: unknown) => string | undefined;
  blind: Blind;
}

/** How one path of a collection is sealed. */
export interface SealedSpec {
  /** What lists and logs of changes may show; stored beside the envelope. */
  mask: MaskName | ((value: never) => unknown);
  /** Blind indexes: of the value itself under the path's name, or of parts of it by name. */
  search?: 'exact' | Readonly<Record<string, SearchPart | SearchSpec>>;
  /** Whose data key seals it; the company's without it. */
  key?: KeyPurpose;
  required?: boolean;
}

/** How the schema names a sealed path inside another object; at the top of a row `sealed` alone is enough. */
export const SEALED_FIELD = { type: String, match: ENVELOPE } as const;

/** One sealed path as the door uses it. */
export interface SealedField {
  path: string;
  /** The array of sub-documents it stands in. */
  array?: string;
  /** The path inside an element of that array, or in the row. */
  inner: readonly string[];
  purpose: KeyPurpose;
  mask: (value: unknown) => unknown;
  searches: readonly FieldSearch[];
}

/** A path without positions: `people.0.pan` and `people.$[].pan` are both `people.pan`. */
export function withoutPositions(path: string): string {
  return path.includes('.') ? path.split('.').filter((part) => !/^(?:\d+$|\$)/.test(part)).join('.') : path;
}

/** True when one path is the other or stands below it. */
export function isWithin(path: string, above: string): boolean {
  return path === above || (path.startsWith(above) && path[above.length] === '.');
}

/** The fields that a declaration adds to the schema: envelopes at the top of the row, masks and blind indexes. */
export function sealedSchema(spec: CollectionSpec): mongoose.SchemaDefinition {
  const sealed = Object.entries(spec.sealed ?? {});
  if (sealed.length === 0) return {};
  const top = sealed.filter(([path]) => !path.includes('.')).map(([path, { required = false }]) => [path, { type: String, required }]);
  return { ...Object.fromEntries(top), masks: { type: Object }, blind: { type: Object } } as mongoose.SchemaDefinition;
}

/** The sealed paths of a collection; throws for a declaration that cannot be kept. */
export function sealedFields(spec: CollectionSpec, schema: mongoose.Schema): SealedField[] {
  for (const { keys, unique, partial } of spec.indexes ?? []) {
    const blind = Object.keys(keys).find((path) => path.startsWith('blind.'));
    // Erased rows have no blind index: two of them must not meet under a unique one.
    if (unique && blind !== undefined && !(blind in (partial ?? {}))) throw new Error(`${spec.name}: a unique index of ${blind} is partial, on { $exists: true }`);
  }
  return Object.entries(spec.sealed ?? {}).map(([path, { mask, search, key = 'company' }]) => {
    const array = arrayAbove(schema, path);
    if (!holdsText(schema, path, array)) throw new Error(`${spec.name}.${path} is sealed: declare it with SEALED_FIELD`);
    if (array && search) throw new Error(`${spec.name}.${path} stands in an array, where no blind index can be kept`);
    const show = (typeof mask === 'string' ? MASKS[mask] : mask) as (value: unknown) => unknown;
    return { path, ...(array ? { array } : {}), inner: path.slice(array ? array.length + 1 : 0).split('.'), purpose: key, mask: show, searches: searchesOf(spec.name, path, search) };
  });
}

/** An envelope can stand at the path: a text of the schema, or anything inside a free object. Elements get room for masks. */
function holdsText(schema: mongoose.Schema, path: string, array: string | undefined): boolean {
  const elements = array === undefined ? schema : (schema.path(array) as mongoose.SchemaType & { schema?: mongoose.Schema }).schema;
  if (!elements) return true;
  if (array !== undefined && !elements.path('masks')) elements.add({ masks: { type: Object } });
  const parts = path.slice(array === undefined ? 0 : array.length + 1).split('.');
  const type = elements.path(parts.join('.')) as mongoose.SchemaType | undefined;
  return type?.instance === 'String' || parts.some((_, i) => elements.path(parts.slice(0, i).join('.'))?.instance === 'Mixed');
}

function searchesOf(collection: string, path: string, search: SealedSpec['search']): FieldSearch[] {
  if (search === undefined) return [];
  const own = path.split('.').at(-1) ?? path;
  const parts = search === 'exact' ? { [own]: (value: unknown) => (typeof value === 'string' ? value : undefined) } : search;
  return Object.entries(parts).map(([name, part]) => {
    const { of, scope = 'company', form = 'code' }: SearchSpec = typeof part === 'function' ? { of: part } : part;
    return { name, valueOf: of as FieldSearch['valueOf'], blind: { name: `${collection}.${name}`, scope, form } };
  });
}

/** The one array of sub-documents that a path goes through. */
function arrayAbove(schema: mongoose.Schema, path: string): string | undefined {
  const parts = path.split('.');
  const above = parts.map((_, i) => parts.slice(0, i).join('.')).filter((prefix) => prefix !== '' && schema.path(prefix)?.instance.endsWith('Array'));
  if (above.length > 1) throw new Error(`${path} stands in an array of arrays: that cannot be sealed`);
  return above[0];
}
