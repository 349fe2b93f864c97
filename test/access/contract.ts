import { openapiDocument } from '../../src/platform/openapi.ts';
import { contractRoutes } from '../../src/service.ts';

/** The part of a JSON schema that our routes use. */
export interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  pattern?: string;
  minimum?: number;
  minLength?: number;
  minItems?: number;
  additionalProperties?: boolean | Schema;
}

/** One operation of the served document. */
export interface Operation {
  name: string;
  method: string;
  path: string;
  permission: string;
  query: { name: string; schema: Schema }[];
  /** Absent: no JSON body. */
  body: Schema | undefined;
}

interface Document {
  paths: Record<string, Record<string, { 'x-permission': string; parameters?: { in: string; name: string; schema: Schema }[]; requestBody?: { content: Record<string, { schema?: Schema }> } }>>;
}

/** Every operation of openapi.json, as it is made from the routes. */
export function operations(): Operation[] {
  const { paths } = openapiDocument(contractRoutes(), 'test') as unknown as Document;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, found]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      permission: found['x-permission'],
      query: (found.parameters ?? []).filter((p) => p.in === 'query'),
      body: found.requestBody?.content['application/json']?.schema,
    })),
  );
}

/** A value of the schema's shape: what is required, and of an object without required keys the first one. */
export function sampleOf(schema: Schema): unknown {
  if (schema.enum) return schema.enum[0];
  if (schema.type === 'object') {
    const all = Object.keys(schema.properties ?? {});
    const used = schema.required?.length ? schema.required : all.slice(0, 1);
    return Object.fromEntries(used.map((key) => [key, sampleOf(schema.properties?.[key] ?? {})]));
  }
  if (schema.type === 'array') return Array.from({ length: Math.max(1, schema.minItems ?? 0) }, () => sampleOf(schema.items ?? {}));
  if (schema.type === 'integer' || schema.type === 'number') return Math.max(1, schema.minimum ?? 1);
  if (schema.type === 'boolean') return true;
  if (schema.pattern?.includes('[0-9a-f]{24}')) return 'a'.repeat(24);
  if (schema.pattern?.includes('[1-9]\\d{5}')) return '110001';
  return 'x'.repeat(Math.max(3, schema.minLength ?? 0));
}

/** The paths of every text of a body, arrays and objects inside included. */
export function textPaths(schema: Schema, at: string[] = []): string[][] {
  if (schema.type === 'string') return [at];
  if (schema.type === 'array' && schema.items) return textPaths(schema.items, [...at, '0']);
  return Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => textPaths(inner, [...at, key]));
}

/** An object in which the path leads to the value. */
export function withValue(path: string[], value: unknown): unknown {
  return path.reduceRight((inner: unknown, key) => (key === '0' ? [inner] : { [key]: inner }), value);
}
