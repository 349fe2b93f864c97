import mongoose from 'mongoose';
import { seal } from '../../src/platform/db/sealed.ts';
import type { CollectionSpec } from '../../src/platform/db/types.ts';
import { newId } from '../../src/platform/ids.ts';

type Doc = Record<string, unknown>;

const OWN = new Set(['_id', 'companyId', 'version', 'createdAt', 'updatedAt']);
const LATER = Date.UTC(2040, 0, 1);

function aCustomer(n: number): unknown {
  return seal({ name: 'Asha Rao', phone: `+9198${String(10_000_000 + n).slice(-8)}` });
}

function anAddress(n: number): unknown {
  return seal({ line1: `Flat ${n}`, city: 'Bengaluru', state: 'Karnataka', pincode: '560001', country: 'IN' });
}

/** What the generator cannot know from a schema, by collection and path. */
const OVERRIDES: Record<string, Record<string, (n: number) => unknown>> = {
  orders: { customer: aCustomer, shippingAddress: anAddress, billingAddress: anAddress },
  shipments: { consignee: aCustomer, destination: anAddress, pickup: (n) => seal({ name: `Place ${n}`, contactName: 'Asha Rao', phone: '+919800012345', line1: `${n} MG Road`, city: 'Bengaluru', state: 'Karnataka', pincode: '560001' }) },
  kycs: {
    pan: (n) => seal({ number: `ABCPE${String(1000 + (n % 9000))}F`, name: `Asha Rao ${n}` }),
    bankAccount: (n) => seal({ accountNumber: `77${String(10_000_000 + n)}`, ifsc: 'HDFC0000001', holderName: 'Asha Rao' }),
    addressLines: (n) => seal([`${n} MG Road`]),
  },
  test_readers: { guardian: (n) => seal({ name: 'Asha Rao', phone: `+9198${String(10_000_000 + n).slice(-8)}` }) },
};

/** Texts to try against a `match`. */
const FORMS = (n: number): string[] => [
  `t${n}`,
  String(100_000 + n),
  String(10 + (n % 90)),
  newId(),
  `T${n}`,
  `+9198${String(10_000_000 + n).slice(-8)}`,
  `n${n}@shop.example.in`,
  `2040-01-${String(1 + (n % 28)).padStart(2, '0')}`,
  'IN',
  '9990',
];

interface Options {
  enum?: readonly unknown[] | { values?: readonly unknown[] };
  match?: RegExp | readonly [RegExp, string];
  min?: number | readonly [number, string];
  max?: number | readonly [number, string];
  maxlength?: number;
}

function limitOf(limit: Options['min'], otherwise: number): number {
  return Number((Array.isArray(limit) ? (limit[0] as unknown) : limit) ?? otherwise);
}

function textOf(options: Options, n: number): string {
  const values = Array.isArray(options.enum) ? (options.enum as readonly unknown[]) : (options.enum as { values?: readonly unknown[] } | undefined)?.values;
  if (values && values.length > 0) return String(values[0]);
  const pattern = options.match instanceof RegExp ? options.match : options.match?.[0];
  const fits = FORMS(n).find((form) => (!pattern || pattern.test(form)) && form.length <= (options.maxlength ?? Infinity));
  if (fits === undefined) throw new Error(`No sample text fits ${String(pattern)}: add an override`);
  return fits;
}

/** A valid value for one path of a schema; other values for other `n`, where the kind allows it. */
function valueOf(type: mongoose.SchemaType, n: number): unknown {
  const options = type.options as Options;
  switch (type.instance) {
    case 'String':
      return textOf(options, n);
    case 'Number':
      return Math.min(Math.max(n, limitOf(options.min, 0)), limitOf(options.max, Infinity));
    case 'Date':
      return new Date(LATER + n);
    case 'Boolean':
      return false;
    case 'Array':
    case 'DocumentArray':
      return [];
    case 'Buffer':
      return Buffer.from(`bytes ${n}`);
    default:
      return {};
  }
}

export interface Samples {
  /** A valid row, as `insert` takes it; no two of them meet under a unique index. */
  fresh(): Doc;
  /** The same kind of value as this path has, and another one than any before. */
  another(path: string): unknown;
  /** One element of an array. */
  element(path: string): unknown;
  /** A top-level path that may be changed without meeting a unique index. */
  changeable: string;
  /** Rows that share the key of a unique index. */
  twins(index: NonNullable<CollectionSpec['indexes']>[number]): [Doc, Doc];
}

let count = 0;

/** Makes rows of one collection from what its schema says of them. */
export function samplesOf(spec: CollectionSpec): Samples {
  const { schema } = mongoose.model(spec.name);
  const overrides = OVERRIDES[spec.name] ?? {};
  const uniquePaths = new Set((spec.indexes ?? []).filter((i) => i.unique).flatMap((i) => Object.keys(i.keys)));
  const typeAt = (path: string): mongoose.SchemaType => {
    const type = schema.path(path);
    if (!type) throw new Error(`${spec.name} has no path ${path}`);
    return type;
  };
  const element = (path: string): unknown => {
    const type = typeAt(path) as mongoose.SchemaType & { schema?: mongoose.Schema; embeddedSchemaType?: mongoose.SchemaType };
    if (type.schema) return requiredOf(type.schema);
    return type.embeddedSchemaType ? valueOf(type.embeddedSchemaType, (count += 1)) : 'x';
  };
  const another = (path: string): unknown => {
    count += 1;
    const type = typeAt(path);
    if (overrides[path]) return overrides[path](count);
    if (spec.sealed?.[path]) return seal(`sealed ${count}`);
    if (uniquePaths.has(path) && (type.instance === 'Array' || type.instance === 'DocumentArray')) return [element(path)];
    return valueOf(type, count);
  };
  const fresh = (): Doc => {
    const doc: Doc = {};
    schema.eachPath((path, type) => {
      if (OWN.has(path) || type.isRequired !== true) return;
      put(doc, path, another(path));
    });
    for (const path of Object.keys(overrides)) if (typeAt(path).isRequired === true) put(doc, path, another(path));
    return doc;
  };
  /** The sealed path that a blind index is of. */
  const sealedFor = (name: string): string => {
    const found = Object.entries(spec.sealed ?? {}).find(([path, { search }]) => (search === 'exact' ? path.split('.').at(-1) === name : name in (search ?? {})));
    if (!found) throw new Error(`${spec.name} has no blind index ${name}`);
    return found[0];
  };
  const plain = Object.entries(schema.paths).filter(([path, type]) => !OWN.has(path) && !spec.sealed?.[path] && !path.includes('.') && ['String', 'Number', 'Date'].includes(type.instance));
  const varying = plain.filter(([, type]) => !(type.options as Options).enum);
  const changeable = (varying.find(([path]) => !uniquePaths.has(path)) ?? varying[0] ?? plain[0])?.[0];
  if (changeable === undefined) throw new Error(`${spec.name} has nothing to change`);
  return {
    fresh,
    another,
    element,
    changeable,
    twins(index) {
      const [a, b] = [fresh(), fresh()];
      const fixed = Object.entries(index.partial ?? {}).filter(([, value]) => typeof value !== 'object' || value === null);
      for (const path of [...Object.keys(index.keys), ...Object.keys(index.partial ?? {})]) {
        if (OWN.has(path)) continue;
        const source = path.startsWith('blind.') ? sealedFor(path.slice('blind.'.length)) : path;
        const pinned = fixed.find(([name]) => name === path);
        // A condition on null means rows without the field.
        if (pinned?.[1] === null) continue;
        const value = pinned?.[1] ?? another(source);
        put(a, source, value);
        put(b, source, value);
      }
      return [a, b];
    },
  };
}

function requiredOf(schema: mongoose.Schema): Doc {
  const doc: Doc = {};
  schema.eachPath((path, type) => {
    if (type.isRequired === true) put(doc, path, valueOf(type, (count += 1)));
  });
  return doc;
}

/** Sets a dotted path, making the objects on the way. */
export function put(doc: Doc, path: string, value: unknown): void {
  const [head = '', ...rest] = path.split('.');
  if (rest.length === 0) {
    doc[head] = value;
    return;
  }
  const inner = (doc[head] ??= {}) as Doc;
  put(inner, rest.join('.'), value);
}
