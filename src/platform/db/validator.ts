import type mongoose from 'mongoose';
import type { Model } from './collection.ts';
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
 * within their bounds. It holds for bulk writes and foreign clients too (code 121).
 */
export function serverValidator(spec: CollectionSpec, model: Model): Plain {
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
  return { $jsonSchema: { bsonType: 'object', required, properties, additionalProperties: false } };
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
