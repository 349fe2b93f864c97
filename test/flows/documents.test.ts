import { strict as assert } from 'node:assert';
import { contractRoutes } from '../../src/service.ts';
import { PERMISSIONS } from '../../src/platform/permissions.ts';
import { startWorld, type World } from '../support/world.ts';

type Plain = Record<string, unknown>;

interface Operation extends Plain {
  operationId: string;
  parameters: { name: string; in: string; required: boolean; schema: Plain }[];
  requestBody?: { content: Record<string, { schema: Plain }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Plain }> }>;
}

/** Keywords of JSON Schema 2020-12 with the kind of their values; what is not here is no keyword. */
const KEYWORDS: Record<string, (value: unknown) => boolean> = {
  type: (v) => [v].flat().every((t) => ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'].includes(String(t))),
  ...Object.fromEntries(['properties', 'patternProperties', '$defs'].map((k) => [k, isObject])),
  ...Object.fromEntries(['items', 'not', 'propertyNames', 'contains', 'if', 'then', 'else', 'unevaluatedProperties', 'additionalProperties'].map((k) => [k, isSchema])),
  ...Object.fromEntries(['allOf', 'anyOf', 'oneOf', 'prefixItems'].map((k) => [k, (v: unknown) => Array.isArray(v) && v.length > 0 && v.every(isSchema)])),
  ...Object.fromEntries(['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'].map((k) => [k, (v: unknown) => typeof v === 'number'])),
  ...Object.fromEntries(['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'].map((k) => [k, (v: unknown) => Number.isInteger(v)])),
  required: (v) => Array.isArray(v) && new Set(v).size === v.length && v.every((name) => typeof name === 'string'),
  enum: (v) => Array.isArray(v) && v.length > 0,
  const: () => true,
  default: () => true,
  uniqueItems: (v) => typeof v === 'boolean',
  pattern: (v) => typeof v === 'string' && Boolean(new RegExp(v, 'u')),
  ...Object.fromEntries(['format', 'title', 'description', '$ref', 'contentEncoding', 'contentMediaType'].map((k) => [k, (v: unknown) => typeof v === 'string'])),
};

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSchema(value: unknown): boolean {
  return typeof value === 'boolean' || isObject(value);
}

/** What is wrong with a schema, by path. */
function faultsOf(schema: unknown, at: string, root: Plain): string[] {
  if (typeof schema === 'boolean') return [];
  if (!isObject(schema)) return [`${at} is no schema`];
  const faults: string[] = [];
  for (const [key, value] of Object.entries(schema as Plain)) {
    const check = KEYWORDS[key];
    if (!check) faults.push(`${at}.${key} is no keyword`);
    else if (!check(value)) faults.push(`${at}.${key} has a wrong value`);
    else if (key === '$ref') faults.push(...(resolves(String(value), root) ? [] : [`${at}: ${String(value)} leads nowhere`]));
    else if (['properties', 'patternProperties', '$defs'].includes(key)) for (const [name, inner] of Object.entries(value as Plain)) faults.push(...faultsOf(inner, `${at}.${name}`, root));
    else if (Array.isArray(value) && ['allOf', 'anyOf', 'oneOf', 'prefixItems'].includes(key)) faults.push(...value.flatMap((inner, i) => faultsOf(inner, `${at}.${key}[${i}]`, root)));
    else if (['items', 'not', 'additionalProperties', 'if', 'then', 'else'].includes(key)) faults.push(...faultsOf(value, `${at}.${key}`, root));
  }
  return faults;
}

function resolves(ref: string, root: Plain): boolean {
  const found = ref.replace(/^#\//, '').split('/').reduce<unknown>((at, key) => (at as Plain | undefined)?.[key], root);
  return ref.startsWith('#/') && found !== undefined;
}

describe('what the service says about itself', () => {
  let world: World;
  let document: Plain;
  let operations: [string, string, Operation][];

  before(async () => {
    world = await startWorld();
    document = (await world.api('GET', '/openapi.json')).body;
    const paths = document['paths'] as Record<string, Record<string, Operation>>;
    operations = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]): [string, string, Operation] => [method, path, operation]));
  });
  after(() => world.close());

  it('openapi.json has the parts of OpenAPI 3.1, and nothing that 3.1 does not know', () => {
    assert.match(String(document['openapi']), /^3\.1\.\d+$/);
    const { title, version } = document['info'] as Plain;
    assert.ok(typeof title === 'string' && typeof version === 'string');
    const known = ['openapi', 'info', 'servers', 'security', 'paths', 'components', 'tags', 'externalDocs', 'webhooks', 'jsonSchemaDialect'];
    assert.deepEqual(Object.keys(document).filter((key) => !known.includes(key)), []);
  });

  it('openapi.json holds exactly the routes of the contract, each under a name of its own', () => {
    const served = contractRoutes().map((r) => `${r.method} ${r.path.replace(/:(\w+)/g, '{$1}')}`);
    assert.deepEqual(operations.map(([method, path]) => `${method} ${path}`).sort(), [...new Set(served)].sort());
    const ids = operations.map(([, , o]) => o.operationId);
    assert.deepEqual(ids.filter((id, i) => ids.indexOf(id) !== i), []);
    assert.deepEqual(ids.filter((id) => !/^[a-z][A-Za-z0-9]*$/.test(id)), []);
  });

  it('calls that prove themselves say 401, and signed-in calls with a body say 404, for an id in it', () => {
    const lacking = operations.filter(([method, , o]) => {
      const needs = o['x-permission'] === 'public' ? (method === 'post' ? ['401'] : []) : o.requestBody?.content['application/json'] ? ['401', '404'] : ['401'];
      return needs.some((status) => !(status in o.responses));
    });
    assert.deepEqual(lacking.map(([method, path]) => `${method} ${path}`), []);
  });

  it('every route says who may call it', () => {
    const known = new Set<unknown>(['public', 'signedIn', ...PERMISSIONS]);
    const wrong = operations.filter(([, , o]) => !known.has(o['x-permission']));
    assert.deepEqual(wrong.map(([method, path]) => `${method} ${path}`), []);
    const open = operations.filter(([, , o]) => (o['x-permission'] === 'public') !== (Array.isArray(o['security']) && o['security'].length === 0));
    assert.deepEqual(open.map(([method, path]) => `${method} ${path}`), []);
  });

  it('the parameters of a path are those it names, and every parameter, body and answer has a well-formed schema', () => {
    const faults: string[] = [];
    for (const [method, path, { parameters, requestBody, responses }] of operations) {
      const at = `${method} ${path}`;
      const named = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();
      const declared = parameters.filter((p) => p.in === 'path').map((p) => p.name).sort();
      if (named.join() !== declared.join()) faults.push(`${at}: path names ${named.join()}, declared are ${declared.join()}`);
      const keys = parameters.map((p) => `${p.in} ${p.name}`);
      if (new Set(keys).size !== keys.length) faults.push(`${at}: a parameter twice`);
      for (const p of parameters) faults.push(...(p.in === 'path' && !p.required ? [`${at}: ${p.name} is not required`] : []), ...faultsOf(p.schema, `${at} ${p.name}`, document));
      for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) faults.push(...faultsOf(schema, `${at} ${type}`, document));
      if (!Object.keys(responses).some((status) => /^2|^302$/.test(status))) faults.push(`${at}: no success`);
      for (const [status, { description, content }] of Object.entries(responses)) {
        if (!/^[1-5]\d\d$/.test(status) || typeof description !== 'string') faults.push(`${at} ${status}: no answer`);
        for (const { schema } of Object.values(content ?? {})) faults.push(...faultsOf(schema, `${at} ${status}`, document));
      }
    }
    const { schemas } = document['components'] as { schemas: Record<string, Plain> };
    for (const [name, schema] of Object.entries(schemas)) faults.push(...faultsOf(schema, name, document));
    assert.deepEqual(faults, []);
  });

  it('/docs comes whole from this service, under a policy that lets it work', async () => {
    const page = await world.api('GET', '/docs');
    assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html; charset=utf-8']);
    const text = page.bytes.toString('utf8');
    const parts = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map((m) => m[1] ?? '');
    assert.ok(parts.length >= 3);
    for (const part of parts) {
      assert.match(part, /^\/docs\//, 'nothing from elsewhere');
      const answer = await world.api('GET', part);
      assert.equal(answer.status, 200, part);
      assert.ok(answer.bytes.length > 20, part);
      const type = part.endsWith('.js') ? /^text\/javascript/ : part.endsWith('.css') ? /^text\/css/ : /^image\//;
      assert.match(answer.headers.get('content-type') ?? '', type);
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    }
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'self'/);
    assert.doesNotMatch(text, /<script>|\son\w+=/, 'no script within the page, which the policy would stop');
    assert.equal((await world.api('GET', '/docs/package.json')).status, 404);
    assert.equal((await world.api('GET', '/docs/..%2fpackage.json')).status, 404);
  });

  it('/health tells that it lives, is ready, and how its parts are; /metrics counts by route', async () => {
    assert.deepEqual((await world.api('GET', '/health/live')).body, { status: 'live' });
    const ready = await world.api('GET', '/health/ready');
    assert.deepEqual([ready.status, ready.body.status, ready.body.checks.map((c: { ok: boolean }) => c.ok)], [200, 'ready', ready.body.checks.map(() => true)]);
    const full = await world.api('GET', '/health');
    assert.deepEqual(Object.keys(full.body).sort(), ['breakers', 'checks', 'memory', 'status', 'time', 'version']);
    const { google, razorpay, smtp, 'virus scanner': scanner } = full.body.breakers as Record<string, string>;
    assert.deepEqual([google, razorpay, smtp, scanner], ['closed', 'closed', 'closed', 'closed']);
    const metrics = await world.api('GET', '/metrics');
    assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain/);
    const text = metrics.bytes.toString();
    assert.match(text, /dakiya_http_request_duration_seconds_count\{method="GET",route="\/health\/live",status="200"\} [1-9]/);
    assert.ok(text.split('\n').every((line) => line === '' || /^(?:# (?:HELP|TYPE) \w+ .*|\w+(?:\{.*\})? \S+)$/.test(line)), 'every line is of the exposition format');
  });

  it('every kind of answer carries the headers of all answers', async () => {
    const merchant = await world.merchant();
    const { token } = merchant;
    const calls: [number, string, string, object][] = [
      [200, 'GET', '/v1/orders', { token }],
      [200, 'GET', '/v1/orders/export.csv', { token }],
      [200, 'GET', '/docs', {}],
      [200, 'GET', '/health/live', {}],
      [204, 'POST', '/v1/auth/logout-all', { token }],
      [401, 'GET', '/v1/orders', {}],
      [400, 'POST', '/v1/auth/login', { body: {} }],
      [404, 'GET', '/nowhere', {}],
      [405, 'DELETE', '/v1/orders', {}],
      [415, 'POST', '/v1/auth/login', { raw: 'x', headers: { 'content-type': 'text/xml' } }],
    ];
    const wanted = {
      'x-frame-options': /^DENY$/,
      'x-content-type-options': /^nosniff$/,
      'referrer-policy': /^no-referrer$/,
      'permissions-policy': /camera=\(\)/,
      'content-security-policy': /default-src '(?:none|self)'.*frame-ancestors 'none'/,
      'cross-origin-resource-policy': /^same-origin$/,
      'cache-control': /no-store/,
      'x-request-id': /^[\w.:-]{8,128}$/,
      'x-response-time': /^[\d.]+ms$/,
    };
    for (const [status, method, path, options] of calls) {
      const answer = await world.api(method, path, options);
      assert.equal(answer.status, status, `${method} ${path}`);
      for (const [name, form] of Object.entries(wanted)) assert.match(answer.headers.get(name) ?? '', form, `${name} of ${method} ${path}`);
      assert.equal(answer.headers.get('x-powered-by'), null);
      assert.equal(answer.headers.get('strict-transport-security'), null, 'only where there is TLS');
    }
  });
});
