import type Joi from 'joi';
import type { AnyRoute } from './route.ts';

type Json = Record<string, unknown>;

/** The part of Joi 18 that emits JSON Schema itself (draft 2020-12); it drops rules that JSON Schema lacks. */
interface StandardSchema {
  '~standard': { jsonSchema: Record<'input' | 'output', (options: { target: string }) => Json> };
}

function jsonSchema(schema: Joi.Schema, side: 'input' | 'output'): Json {
  const { $schema: _dialect, ...rest } = (schema as unknown as StandardSchema)['~standard'].jsonSchema[side]({ target: 'draft-2020-12' });
  return rest;
}

function parameters(schema: Joi.ObjectSchema | undefined, where: 'path' | 'query'): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as { properties?: Record<string, Json>; required?: string[] };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: property,
  }));
}

const ERROR_SCHEMA = { $ref: '#/components/schemas/Error' };
const errorAnswer = (description: string): Json => ({ description, content: { 'application/json': { schema: ERROR_SCHEMA } } });

/** Which refusals a route can answer, beyond its own codes. */
function errorAnswers(route: AnyRoute): Json {
  const own = route.errors && route.errors.length > 0 ? `: ${route.errors.join(', ')}` : '';
  return {
    400: errorAnswer('The input is not valid; details.fields names each fault'),
    ...(route.permission === 'public' && route.method !== 'post' ? {} : { 401: errorAnswer('Not signed in, or what the call proves itself with does not hold') }),
    ...(route.permission === 'public' ? {} : { 403: errorAnswer('Not allowed') }),
    ...(mayFindNothing(route) ? { 404: errorAnswer('Not found, or another company’s') } : {}),
    ...(route.errors || route.idempotent ? { 409: errorAnswer(`Refused by the state of things${own}`) } : {}),
    ...(route.ifMatch ? { 412: errorAnswer('stale_version'), 428: errorAnswer('precondition_required') } : {}),
    ...(route.body || route.rawBody ? { 413: errorAnswer('body_too_large'), 415: errorAnswer('unsupported_media_type') } : {}),
    ...(route.limit === 'none' ? {} : { 429: errorAnswer('rate_limited') }),
    503: errorAnswer('Busy or a dependency is away; Retry-After says when'),
  };
}

function mayFindNothing({ path, body, permission, errors = [] }: AnyRoute): boolean {
  return path.includes(':') || (body !== undefined && permission !== 'public') || errors.some((code) => code.endsWith('_not_found'));
}

function headers(route: AnyRoute): Json[] {
  const list: Json[] = [];
  if (route.idempotent) {
    list.push({ name: 'Idempotency-Key', in: 'header', required: route.idempotent === 'required', schema: { type: 'string', minLength: 1, maxLength: 255 } });
  }
  if (route.ifMatch) list.push({ name: 'If-Match', in: 'header', required: route.ifMatch === true, schema: { type: 'string' } });
  return list;
}

function successAnswer(route: AnyRoute): Json {
  const status = route.status ?? (route.response === 'none' ? 204 : 200);
  if (route.response === 'none') return { [status]: { description: 'Done' } };
  const content =
    typeof route.response === 'string'
      ? { [route.response]: { schema: { type: 'string', format: 'binary' } } }
      : { 'application/json': { schema: jsonSchema(route.response, 'output') } };
  return { [status]: { description: route.summary, content } };
}

/** `getOrdersId` for GET /v1/orders/:id; the page beside a call of the same name is its `…Page`. */
function operationId({ method, path, response }: AnyRoute): string {
  const name = path.replace(/^\/v1/, '').replace(/[:/._-]+(\w)?/g, (_, c: string | undefined) => c?.toUpperCase() ?? '');
  return `${method}${name}${response === 'text/html' ? 'Page' : ''}`;
}

function operation(route: AnyRoute): Json {
  const bodyContent = route.body
    ? { 'application/json': { schema: jsonSchema(route.body, 'input') } }
    : route.rawBody === 'stream'
      ? { 'multipart/form-data': { schema: { type: 'object' } } }
      : undefined;
  return {
    operationId: operationId(route),
    tags: [route.path.replace(/^\/v1\//, '').split(/[/.:]/)[0] ?? ''],
    summary: route.summary,
    ...(route.description ? { description: route.description } : {}),
    'x-permission': route.permission,
    ...(route.permission === 'public' ? { security: [] } : {}),
    parameters: [...parameters(route.params as Joi.ObjectSchema | undefined, 'path'), ...parameters(route.query as Joi.ObjectSchema | undefined, 'query'), ...headers(route)],
    ...(bodyContent ? { requestBody: { required: true, content: bodyContent } } : {}),
    responses: { ...successAnswer(route), ...errorAnswers(route) },
  };
}

/** The OpenAPI 3.1 document of some routes; the same routes give the same bytes. */
export function openapiDocument(routes: readonly AnyRoute[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Dakiya',
      version,
      description: 'Orders, couriers, tracking, wallet and COD for Indian merchants. Money is integer paise, times are ISO 8601 UTC.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'Access token or API key' } },
      schemas: { Error: ERROR_COMPONENT },
    },
  };
}

const ERROR_COMPONENT = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message', 'statusCode', 'requestId', 'timestamp', 'path'],
      properties: {
        code: { type: 'string' },
        message: { type: 'string' },
        statusCode: { type: 'integer' },
        requestId: { type: 'string' },
        timestamp: { type: 'string', format: 'date-time' },
        path: { type: 'string' },
        details: { type: 'object' },
      },
    },
  },
};
