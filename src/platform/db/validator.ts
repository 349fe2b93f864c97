import type mongoose from 'mongoose';
import type { Model } from './collection.ts';
import { BLIND_INDEX } from './blind-index.ts';
import { ENVELOPE } from './sealed.ts';
import type { SealedField } from './sealed-fields.ts';
import type { CollectionSpec } from './types.ts';

type Plain = Record<string, unknown>;

const BSON_TYPES: Readonly<Record<string, readonly string[]>> = {
  String: ['string'],
  Number: ['int', 'long', 'double'],
  Date: ['date'],
  Boolean: ['bool'],
  Buffer: ['binData'],
};

/**
 * The server's own guard of a collection: known top-level fields of the declared kind, required ones present, arrays
 * within their bounds, envelopes and nothing else at sealed paths. It holds for bulk writes and foreign clients too
 * (code 121).
 */
export function serverValidator(spec: CollectionSpec, model: Model, sealed: readonly SealedField[]): Plain {
  const properties: Plain = {};
  const required: string[] = [];
  model.schema.eachPath((path: string, type: mongoose.SchemaType) => {
    const [top, rest] = [path.split('.')[0] ?? path, path.includes('.')];
    if (rest) {
      properties[top] = nestedIn(top, spec.bounds);
      return;
    }
    properties[top] = type.instance === 'Mixed' ? nestedIn(top, spec.bounds, {}) : propertyOf(type.instance, spec.bounds?.[top]);
    if (type.isRequired === true) required.push(top);
  });
  for (const field of sealed) sealIn(properties, field);
  if (sealed.length > 0) {
    const indexes = sealed.flatMap((f) => f.searches.map(({ name }) => [name, { bsonType: 'string', pattern: BLIND_INDEX.source }]));
    properties['masks'] = { bsonType: 'object' };
    properties['blind'] = { bsonType: 'object', properties: Object.fromEntries(indexes), additionalProperties: false };
  }
  return { $jsonSchema: { bsonType: 'object', required, properties, additionalProperties: false } };
}

/** Only an envelope may stand at the path; every object and array on the way is described as far as it is needed. */
function sealIn(properties: Plain, { path, array }: SealedField): void {
  const parts = path.split('.');
  let node = properties;
  parts.forEach((part, i) => {
    const here = parts.slice(0, i + 1).join('.');
    if (here === path) {
      node[part] = { bsonType: 'string', pattern: ENVELOPE.source };
      return;
    }
    const known = (node[part] ?? {}) as Plain;
    const holder = (here === array ? (known['items'] ?? { bsonType: 'object' }) : known) as Plain;
    const inner = (holder['properties'] ?? {}) as Plain;
    const described = { ...holder, properties: inner };
    node[part] = here === array ? { bsonType: ['array', 'null'], ...known, items: described } : { bsonType: ['object', 'null'], ...described };
    node = inner;
  });
}

/** An embedded object; its arrays with a bound (`restrictions.skus`) are held to it. */
function nestedIn(top: string, bounds: CollectionSpec['bounds'] = {}, otherwise: Plain = { bsonType: ['object', 'null'] }): Plain {
  const inner = Object.entries(bounds).filter(([path]) => path.startsWith(`${top}.`));
  if (inner.length === 0) return otherwise;
  const properties = Object.fromEntries(inner.map(([path, bound]) => [path.slice(top.length + 1), propertyOf('Array', bound)]));
  return { bsonType: ['object', 'null'], properties };
}

function propertyOf(instance: string, bound: number | undefined): Plain {
  if (instance === 'Array' || instance === 'DocumentArray') {
    return bound === undefined ? { bsonType: ['array', 'null'] } : { bsonType: ['array', 'null'], maxItems: bound };
  }
  const types = BSON_TYPES[instance];
  return types ? { bsonType: [...types, 'null'] } : {};
}
