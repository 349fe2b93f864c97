import { Sealed } from './sealed.ts';
import { isWithin, withoutPositions, type SealedField } from './sealed-fields.ts';
import { replaceAt, sealedElement, type RowSealer, type SealedParts } from './sealing.place.ts';

type Plain = Record<string, unknown>;
type Operators = Record<string, Plain>;

interface Given {
  /** The one row that is changed; without it nothing can be sealed, for a value is bound to its row. */
  id: string | undefined;
  update: Plain;
  writer: RowSealer;
}

interface Work {
  collection: string;
  fields: readonly SealedField[];
  seal: (field: SealedField, value: unknown) => SealedParts;
  out: Operators;
}

/** The update with envelopes, masks and blind indexes in the place of sealed values; see `RowSealer.change`. */
export function sealedChange(collection: string, fields: readonly SealedField[], { id, update, writer }: Given): Plain {
  const seal = (field: SealedField, value: unknown): SealedParts => {
    if (id === undefined) throw new Error(`${field.path} of ${collection} is sealed: name the row by its _id`);
    return writer.value(field, id, value);
  };
  const work: Work = { collection, fields, seal, out: {} };
  for (const [operator, body] of Object.entries(update as Operators)) {
    for (const [path, value] of Object.entries(body)) {
      const plain = withoutPositions(path);
      if (isWithin(plain, 'masks') || isWithin(plain, 'blind')) throw new Error(`${path} belongs to the collection door`);
      const touched = fields.filter((f) => isWithin(plain, f.path) || isWithin(f.path, plain) || (f.array !== undefined && isWithin(plain, `${f.array}.masks`)));
      if (touched.length === 0) put(work.out, operator, path, unsealed(collection, path, value));
      else if (touched.every((f) => f.array === undefined)) changeRow(work, touched, { operator, path, value });
      else changeArray(work, touched, { operator, path, plain, value });
    }
  }
  return work.out;
}

/** A sealed value at another path would be stored as the text `[sealed]`: lost. */
export function unsealed(collection: string, path: string, value: unknown): unknown {
  if (value instanceof Sealed) throw new Error(`${path} of ${collection} is not declared sealed`);
  return value;
}

/** A sealed path of the row itself, or an object that holds some. */
function changeRow({ collection, seal, out }: Work, touched: readonly SealedField[], { operator, path, value }: { operator: string; path: string; value: unknown }): void {
  const below = touched.every((f) => isWithin(f.path, path));
  if (!below || (operator !== '$set' && operator !== '$unset')) throw refusal(collection, path, operator);
  if (operator === '$set') {
    const holder: Plain = structure(path, value);
    for (const field of touched) {
      const parts = replaceAt(holder, field, seal);
      noteParts(out, field, parts);
    }
    put(out, '$set', path, at(holder, path.split('.')));
    return;
  }
  put(out, '$unset', path, value);
  for (const field of touched) noteParts(out, field, undefined);
}

/** Mask and blind indexes follow their value, and go with it. */
function noteParts(out: Operators, field: SealedField, parts: SealedParts | undefined): void {
  const mask = `masks.${field.path}`;
  if (parts) put(out, '$set', mask, parts.mask);
  else put(out, '$unset', mask, '');
  for (const { name } of field.searches) {
    const index = parts?.blind.find(([known]) => known === name)?.[1];
    if (index === undefined) put(out, '$unset', `blind.${name}`, '');
    else put(out, '$set', `blind.${name}`, index);
  }
}

interface ArrayChange {
  operator: string;
  path: string;
  plain: string;
  value: unknown;
}

/** An array whose elements hold sealed paths, one of its elements, or a sealed path of one element. */
function changeArray(work: Work, touched: readonly SealedField[], change: ArrayChange): void {
  const { collection, seal, out } = work;
  const { operator, path, plain, value } = change;
  const array = touched[0]?.array ?? '';
  const element = (given: unknown): Plain => sealedElement(touched, given, seal).stored;
  const whole = path === array;
  if (touched.some((f) => f.array !== array)) throw refusal(collection, path, operator);
  if (whole && operator === '$set' && Array.isArray(value)) put(out, operator, path, value.map(element));
  else if (whole && operator === '$push') put(out, operator, path, pushed(value, element));
  else if (plain === array && operator === '$unset') put(out, operator, path, value);
  else if (whole && operator === '$pull' && !namesSealed(touched, value)) put(out, operator, path, value);
  else if (plain === array && !whole && operator === '$set') put(out, operator, path, element(value));
  else changeElement(work, touched, change);
}

function changeElement({ collection, seal, out }: Work, touched: readonly SealedField[], { operator, path, plain, value }: ArrayChange): void {
  const [field] = touched;
  const inner = field?.inner.join('.') ?? '';
  if (touched.length !== 1 || !field || plain !== field.path || path === plain) throw refusal(collection, path, operator);
  const mask = `${path.slice(0, -inner.length)}masks.${inner}`;
  if (operator === '$set') {
    const parts = seal(field, value);
    put(out, '$set', path, parts.envelope);
    put(out, '$set', mask, parts.mask);
  } else if (operator === '$unset') {
    put(out, '$unset', path, value);
    put(out, '$unset', mask, '');
  } else throw refusal(collection, path, operator);
}

function pushed(value: unknown, element: (given: unknown) => Plain): unknown {
  const each = typeof value === 'object' && value !== null && '$each' in value ? value.$each : undefined;
  return Array.isArray(each) ? { ...(value as Plain), $each: each.map(element) } : element(value);
}

function namesSealed(fields: readonly SealedField[], condition: unknown): boolean {
  const text = JSON.stringify(condition);
  return fields.some((f) => text.includes(`"${f.inner[0] ?? ''}`)) || text.includes('"masks');
}

function refusal(collection: string, path: string, operator: string): Error {
  return new Error(`${path} of ${collection} is sealed or holds sealed values: ${operator} cannot change it`);
}

/** An object with `value` at a dotted path. */
function structure(path: string, value: unknown): Plain {
  return path.split('.').reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as Plain;
}

function at(node: Plain, parts: readonly string[]): unknown {
  return parts.reduce<unknown>((value, part) => (value as Plain | null | undefined)?.[part], node);
}

function put(out: Operators, operator: string, path: string, value: unknown): void {
  (out[operator] ??= {})[path] = value;
}
