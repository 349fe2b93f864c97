import { strict as assert } from 'node:assert';
import { createServer, request as httpRequest } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import Joi from 'joi';
import { companyRoutes } from '../../src/modules/companies/company.routes.ts';
import { readBody } from '../../src/platform/body.ts';
import type { Caller, OutsideTx } from '../../src/platform/context.ts';
import { AppError, conflict, notFound, stale } from '../../src/platform/errors.ts';
import { newId } from '../../src/platform/ids.ts';
import { field, idParams, pageQuery, route, shape } from '../../src/platform/route.ts';
import { openHouse, serveRoutes, tokenOf, until, type House, type Served } from './house.ts';

interface Nested {
  title: string;
  inner?: { note?: string };
}

const nothing = shape<{ ok: boolean }>({ ok: Joi.boolean().required() });
const ok = (): { ok: boolean } => ({ ok: true });

describe('http', () => {
  let house: House;
  let served: Served;
  let decide: (ctx: OutsideTx) => Promise<unknown> = () => Promise.resolve();
  const companyId = newId();
  const token = tokenOf(companyId);
  const id = newId();

  const routes = [
    ...companyRoutes,
    route({ method: 'get', path: '/list', summary: 'A list', permission: 'public', query: pageQuery, response: shape<{ limit: number }>({ limit: Joi.number().required() }), handle: (_ctx, { query }) => Promise.resolve(query), view: (q) => ({ limit: q.limit ?? 0 }) }),
    route({
      method: 'post',
      path: '/nested',
      summary: 'A nested body',
      permission: 'public',
      body: shape<Nested>({ title: field.text(10).required(), inner: Joi.object({ note: field.text(10) }) }),
      response: nothing,
      handle: (ctx) => decide(ctx),
      view: ok,
    }),
    route({
      method: 'patch',
      path: '/things/:id',
      summary: 'Everything that can be refused',
      permission: 'locations:write',
      ifMatch: true,
      params: idParams,
      body: shape<{ title: string }>({ title: field.text(10).required() }),
      response: nothing,
      handle: (ctx) => decide(ctx),
      view: ok,
    }),
    route({ method: 'post', path: '/bare', summary: 'No body', permission: 'public', response: nothing, handle: (ctx) => decide(ctx), view: ok }),
    route({ method: 'get', path: '/odd', summary: 'Breaks its word', permission: 'public', response: nothing, handle: () => Promise.resolve(), view: () => ({ ok: true, more: 1 }) as never }),
  ];

  before(async () => {
    house = await openHouse();
    served = await serveRoutes(house, routes);
  });
  beforeEach(() => {
    decide = () => Promise.resolve();
  });
  after(async () => {
    await served.close();
    await house.close();
  });

  const code = async (method: string, path: string, options: Parameters<Served['call']>[2] = {}): Promise<[number, string]> => {
    const { status, body } = await served.call(method, path, options);
    return [status, body.error?.code ?? 'none'];
  };

  it('an unknown path is 404, an unknown method 405 with Allow', async () => {
    assert.deepEqual(await code('GET', '/v1/nowhere'), [404, 'route_not_found']);
    assert.deepEqual(await code('GET', '/list/'), [404, 'route_not_found']);
    const wrong = await served.call('PUT', `/v1/locations/${id}`);
    assert.deepEqual([wrong.status, wrong.body.error.code, wrong.headers.get('allow')], [405, 'method_not_allowed', 'GET, PATCH, DELETE']);
    assert.equal((await served.call('OPTIONS', '/list')).headers.get('allow'), 'GET');
  });

  it('paths that cannot be decoded, or reach upwards, are refused without an error of ours', async () => {
    const before = house.logLines.filter((l) => l.includes('http.failed')).length;
    for (const path of ['/v1/locations/%E0%A4%A', '/v1/locations/%00', '/v1/locations/..%2f..%2fetc', '/%', '//list', `/v1/locations/${'x'.repeat(2_000)}`]) {
      const { status } = await served.call('GET', path, { token });
      assert(status === 400 || status === 404, `${path}: ${status}`);
    }
    assert.equal(house.logLines.filter((l) => l.includes('http.failed')).length, before);
  });

  it('a body over the limit is 413: when its length says so, and in mid-stream', async () => {
    const big = JSON.stringify({ title: 'x'.repeat(1_100_000) });
    assert.deepEqual(await code('POST', '/nested', { raw: big, headers: { 'content-type': 'application/json' } }), [413, 'body_too_large']);
    const streamed = await new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      const request = httpRequest(`${served.url}/nested`, { method: 'POST', headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' } }, (answer) => {
        let body = '';
        answer.on('data', (chunk: Buffer) => (body += chunk.toString('utf8')));
        answer.on('end', () => resolve({ status: answer.statusCode, body }));
      });
      request.on('error', reject);
      for (let i = 0; i < 20; i += 1) request.write('x'.repeat(64 * 1024));
      request.end();
    });
    assert.equal(streamed.status, 413);
    assert.match(streamed.body, /body_too_large/);
    assert.equal((await served.call('GET', '/list')).status, 200);
  });

  it('a handler can tell that its caller has gone, also by a signal', async () => {
    const seen = new Promise<{ caller: Caller | undefined; signal: AbortSignal | undefined }>((resolve) => {
      decide = ({ caller }) => {
        resolve({ caller, signal: caller?.signal() });
        return new Promise(() => undefined);
      };
    });
    const leaving = new AbortController();
    const call = fetch(`${served.url}/bare`, { method: 'POST', signal: leaving.signal });
    const { caller, signal } = await seen;
    assert.deepEqual([caller?.gone, signal?.aborted], [false, false]);
    leaving.abort();
    await assert.rejects(call);
    await until(() => signal?.aborted === true);
    assert.equal(caller?.gone, true);
    assert.equal(caller.signal().aborted, true);
  });

  for (const [when, afterwards] of [['before it was read', true], ['while it was read', false]] as const) {
    it(`a body whose sender left ${when} ends as one that gave up, and waits for nobody`, async () => {
      const read = new Promise<unknown>((resolve) => {
        const server = createServer((request) => {
          const begin = (): void => {
            server.close();
            resolve(readBody(request, 100).catch((error: unknown) => error));
          };
          request.once('error', () => undefined);
          if (afterwards) request.once('close', begin);
          else begin();
        });
        server.listen(0, '127.0.0.1', () => {
          const socket = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
            socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345', () => socket.destroy());
          });
        });
      });
      const error = await read;
      assert.ok(error instanceof AppError);
      assert.equal(error.code, 'caller_gave_up');
    });
  }

  it('a route that takes no body refuses fields instead of ignoring them', async () => {
    const json = { 'content-type': 'application/json' };
    const refused = await served.call('POST', '/bare', { body: { status: 'verified' } });
    assert.deepEqual([refused.status, refused.body.error.details.fields], [400, [{ path: 'status', message: 'status is not allowed' }]]);
    assert.deepEqual(await code('POST', '/bare', { raw: '{"status"', headers: json }), [400, 'malformed_json']);
    for (const raw of ['{}', '']) assert.equal((await served.call('POST', '/bare', { raw, headers: json })).status, 200, raw);
    assert.equal((await served.call('POST', '/bare', { raw: 'a=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } })).status, 200);
  });

  it('what the parser cannot read gets the error form and the security headers too, and nothing follows it', async () => {
    const said = (bytes: string): Promise<string> =>
      new Promise((resolve, reject) => {
        let text = '';
        const socket = connect(Number(new URL(served.url).port), '127.0.0.1', () => socket.write(bytes));
        socket.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
        socket.on('close', () => resolve(text));
        socket.on('error', reject);
      });
    const cases: [string, number, string][] = [
      ['FOO /list HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'malformed_request'],
      [`GET /list?${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'headers_too_large'],
      ['POST /nested HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n', 400, 'malformed_request'],
    ];
    for (const [bytes, status, errorCode] of cases) {
      const [head = '', body = ''] = (await said(bytes)).split('\r\n\r\n');
      const { error } = JSON.parse(body) as { error: { code: string; statusCode: number; requestId: string } };
      assert.deepEqual([head.split(' ')[1], error.code, error.statusCode], [String(status), errorCode, status], head);
      assert.match(head, /^X-Frame-Options: DENY\r$/m);
      assert.ok(head.includes(`X-Request-Id: ${error.requestId}`) && head.includes('Connection: close'), head);
    }
    assert.equal((await served.call('GET', '/list')).status, 200);
  });

  it('a body in any coding is 415, also as a form or signed bytes; identity is none', async () => {
    const json = { 'content-type': 'application/json' };
    for (const coding of ['gzip', 'br', 'deflate', 'identity, gzip', 'nonsense']) {
      assert.deepEqual(await code('POST', '/nested', { raw: gzipSync('{"title":"x"}'), headers: { ...json, 'content-encoding': coding } }), [415, 'unsupported_media_type'], coding);
    }
    assert.deepEqual(await code('POST', '/nested', { raw: '{"title":"x"}', headers: { ...json, 'content-encoding': 'Identity' } }), [200, 'none']);
  });

  it('another content type is 415; what is no JSON object is 400 malformed_json', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp']) {
      assert.deepEqual(await code('POST', '/nested', { raw: '{"title":"x"}', headers: { 'content-type': type } }), [415, 'unsupported_media_type'], type);
    }
    for (const raw of ['{', '[]', 'null', '"x"', '1', '{"title":"x"} x', '{title:1}', '\u0000']) {
      assert.deepEqual(await code('POST', '/nested', { raw, headers: { 'content-type': 'application/json' } }), [400, 'malformed_json'], raw);
    }
    assert.deepEqual(await code('POST', '/nested', { raw: '{"title":"x"}', headers: { 'content-type': 'Application/JSON; charset=utf-8' } }), [200, 'none']);
  });

  it('unknown keys are refused in body and query, at any depth, whatever they are called', async () => {
    const bodies = [
      '{"title":"x","more":1}',
      '{"title":"x","inner":{"more":1}}',
      '{"title":"x","__proto__":{"admin":true}}',
      '{"title":"x","inner":{"__proto__":{"admin":true}}}',
      '{"title":"x","inner":{"\\u005f_proto\\u005F_":{"admin":true}}}',
      '{"title":"x","__pr\\u006fto__":{"admin":true}}',
      '{"title":"x","constructor":{"prototype":{"admin":true}}}',
      '{"title":"x","toString":1}',
      '{"title":{"$gt":""}}',
      '{"title":["x"]}',
      '{"title":1}',
      '{}',
      '',
    ];
    for (const raw of bodies) {
      assert.deepEqual(await code('POST', '/nested', { raw, headers: { 'content-type': 'application/json' } }), [400, 'validation_failed'], raw);
    }
    assert.equal(({} as { admin?: boolean }).admin, undefined);
    for (const query of ['more=1', '__proto__=1', 'constructor=1', 'limit[$gt]=1', 'limit=1&more=']) {
      assert.deepEqual(await code('GET', `/list?${query}`), [400, 'validation_failed'], query);
    }
    assert.deepEqual(await code('POST', '/bare'), [200, 'none']);
    assert.deepEqual(await code('POST', '/bare', { body: {} }), [200, 'none']);
  });

  it('all faults are told at once, by path, without the values that were sent', async () => {
    const { body } = await served.call('POST', '/nested', { body: { title: 'secret-secret-secret', inner: { note: 5 }, more: 'hidden' } });
    assert.deepEqual(body.error.details.fields.map((f: { path: string }) => f.path).sort(), ['inner.note', 'more', 'title']);
    assert(!/secret-secret|hidden/.test(JSON.stringify(body)));
  });

  it('limit is a positive integer, given once, capped by the list', async () => {
    for (const query of ['limit=0', 'limit=-1', 'limit=1.5', 'limit=x', 'limit=', 'limit=1&limit=2', 'limit=1e999', 'limit=0x10', 'cursor=a&cursor=b', `cursor=${'c'.repeat(601)}`]) {
      assert.equal((await served.call('GET', `/list?${query}`)).status, 400, query);
    }
    assert.equal((await served.call('GET', '/list?limit=5000')).status, 200);
    for (const cursor of ['x', Buffer.from('[1]').toString('base64url'), Buffer.from('{"a":1}').toString('base64url'), Buffer.from(JSON.stringify([{ $gt: 0 }, id])).toString('base64url')]) {
      const answer = await served.call('GET', `/v1/locations?cursor=${cursor}`, { token });
      assert.deepEqual([answer.status, answer.body.error?.details.fields[0].path], [400, 'cursor'], cursor);
    }
    for (const at of [9_007_199_254_740_991, -9_007_199_254_740_991, 'text']) {
      const cursor = Buffer.from(JSON.stringify([at, id])).toString('base64url');
      assert((await served.call('GET', `/v1/locations?cursor=${cursor}`, { token })).status < 500, String(at));
    }
  });

  it('every answer carries the headers of the contract', async () => {
    decide = () => Promise.reject(new Error('boom'));
    const answers = [await served.call('GET', '/list'), await served.call('GET', '/none'), await served.call('POST', '/bare'), await served.call('GET', '/v1/company')];
    assert.deepEqual(answers.map((a) => a.status), [200, 404, 500, 401]);
    for (const { headers } of answers) {
      for (const name of ['x-request-id', 'x-response-time', 'x-frame-options', 'x-content-type-options', 'referrer-policy', 'permissions-policy', 'content-security-policy', 'cache-control']) {
        assert(headers.get(name), name);
      }
      assert.equal(headers.get('x-powered-by'), null);
    }
    assert.equal(answers[3]?.headers.get('www-authenticate'), 'Bearer');
  });

  it('a well-formed request id is kept, another replaced', async () => {
    const given = 'req-12345678';
    assert.equal((await served.call('GET', '/none', { headers: { 'x-request-id': given } })).headers.get('x-request-id'), given);
    for (const bad of ['short', 'x'.repeat(129), 'with blank here', '<script>alert(1)</script>']) {
      const { headers, body } = await served.call('GET', '/none', { headers: { 'x-request-id': bad } });
      assert.notEqual(headers.get('x-request-id'), bad);
      assert.equal(body.error.requestId, headers.get('x-request-id'));
    }
  });

  it('errors have the one form', async () => {
    const { body, status } = await served.call('GET', '/none?token=abc');
    const { timestamp, requestId, message, ...rest } = body.error;
    assert.deepEqual(rest, { code: 'route_not_found', statusCode: status, path: '/none' });
    assert([timestamp, requestId, message].every((v) => typeof v === 'string' && v !== ''));
  });

  it('If-Match takes the ETag in its usual forms', async () => {
    const patch = (header?: string): Promise<[number, string]> => code('PATCH', `/things/${id}`, { token, body: { title: 'x' }, headers: header === undefined ? {} : { 'if-match': header } });
    for (const header of ['"3"', 'W/"3"', '3', ' "3" ']) assert.deepEqual(await patch(header), [200, 'none'], header);
    for (const header of ['*', '"x"', '"1","2"', '"-1"', '"1.5"', `"${'9'.repeat(20)}"`]) assert.deepEqual(await patch(header), [400, 'validation_failed'], header);
    assert.deepEqual(await patch(), [428, 'precondition_required']);
  });

  it('refusals come in the order 401, 403, 400, 428, 404, 412, 409', async () => {
    const bad = { body: { titel: 1 } };
    const good = { body: { title: 'x' } };
    const viewer = tokenOf(companyId, 'viewer');
    const match = { headers: { 'if-match': '"1"' } };
    decide = () => Promise.reject(notFound('thing'));
    assert.deepEqual(await code('PATCH', '/things/x', bad), [401, 'unauthenticated']);
    assert.deepEqual(await code('PATCH', '/things/x', { ...bad, token: 'nonsense' }), [401, 'invalid_token']);
    assert.deepEqual(await code('PATCH', '/things/x', { ...bad, token: viewer }), [403, 'forbidden']);
    assert.deepEqual(await code('PATCH', '/things/x', { ...bad, token }), [400, 'validation_failed']);
    assert.deepEqual(await code('PATCH', `/things/${id}`, { ...bad, token }), [400, 'validation_failed']);
    assert.deepEqual(await code('PATCH', `/things/${id}`, { ...good, token }), [428, 'precondition_required']);
    assert.deepEqual(await code('PATCH', `/things/${id}`, { ...good, ...match, token }), [404, 'thing_not_found']);
    decide = () => Promise.reject(stale('thing', 3));
    assert.deepEqual(await code('PATCH', `/things/${id}`, { ...good, ...match, token }), [412, 'stale_version']);
    decide = () => Promise.reject(conflict('thing_sold', 'sold'));
    assert.deepEqual(await code('PATCH', `/things/${id}`, { ...good, ...match, token }), [409, 'thing_sold']);
  });

  it('a fault of ours is an opaque 500, logged once with its cause', async () => {
    decide = () => Promise.reject(new TypeError('the connection string is mongodb://user:pw@host'));
    const { status, body, headers } = await served.call('POST', '/bare');
    assert.deepEqual([status, body.error.code, body.error.statusCode], [500, 'internal', 500]);
    assert(!JSON.stringify(body).includes('connection string'));
    await until(() => house.logLines.some((l) => l.includes(String(headers.get('x-request-id'))) && l.includes('http.request')));
    const lines = house.logLines.filter((l) => l.includes(String(headers.get('x-request-id'))));
    assert.equal(lines.filter((l) => l.includes('"http.failed"') && l.includes('TypeError')).length, 1);
    assert.equal(lines.filter((l) => l.includes('"http.request"')).length, 1);
  });

  it('an answer that breaks its own declaration is found in tests', async () => {
    assert.deepEqual(await code('GET', '/odd'), [500, 'internal']);
  });

  it('HEAD answers as GET does, without a body', async () => {
    const head = await served.call('HEAD', '/list');
    assert.deepEqual([head.status, head.body], [200, '']);
    assert.deepEqual([(await served.call('HEAD', '/none')).status, (await served.call('HEAD', '/v1/company')).status], [404, 401]);
  });

  it('broken HTTP ends the connection, not the service', async () => {
    const { port } = new URL(served.url);
    for (const bytes of ['GARBAGE\r\n\r\n', 'GET /list HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n', `GET /list HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`]) {
      await new Promise<void>((resolve) => {
        const socket = connect(Number(port), '127.0.0.1', () => socket.write(bytes));
        socket.on('data', () => socket.end());
        socket.on('close', () => resolve());
        socket.on('error', () => undefined);
      });
    }
    assert.equal((await served.call('GET', '/list')).status, 200);
  });

  describe('limits', () => {
    let limited: Served;
    const open = async (more: object): Promise<void> => {
      limited = await serveRoutes(house, routes, { ...house.config, rateLimits: true, rateLimitApiPerMinute: 3, rateLimitWritePerMinute: 2, ...more });
    };
    afterEach(() => limited.close());

    it('tell what is left, then 429 with the time to come back', async () => {
      await open({});
      const answers = [];
      for (let i = 0; i < 5; i += 1) answers.push(await limited.call('GET', '/list'));
      assert.deepEqual(answers.map((a) => [a.status, a.headers.get('x-ratelimit-limit'), a.headers.get('x-ratelimit-remaining')]), [
        [200, '3', '2'],
        [200, '3', '1'],
        [200, '3', '0'],
        [429, '3', '0'],
        [429, '3', '0'],
      ]);
      const last = answers.at(-1);
      const wait = Number(last?.headers.get('retry-after'));
      assert(wait >= 1 && wait <= 60);
      assert(Number(last?.headers.get('x-ratelimit-reset')) > Date.now() / 1_000);
      assert.equal(last?.body.error.code, 'rate_limited');
    });

    it('count users apart from each other, and guesses of tokens by address', async () => {
      await open({});
      const [a, b] = [tokenOf(newId()), tokenOf(newId())];
      for (let i = 0; i < 3; i += 1) await limited.call('GET', '/v1/locations', { token: a });
      assert.equal((await limited.call('GET', '/v1/locations', { token: a })).status, 429);
      assert.equal((await limited.call('GET', '/v1/locations', { token: b })).status, 200);
      const guesses = [];
      for (let i = 0; i < 4; i += 1) guesses.push((await limited.call('GET', '/v1/locations', { token: `guess${i}` })).status);
      assert.deepEqual(guesses, [401, 401, 401, 429]);
    });

    it('a forged X-Forwarded-For changes nothing without a trusted proxy; behind one its last hop counts', async () => {
      const statuses = async (forward: (i: number) => string): Promise<number[]> => {
        const seen = [];
        for (let i = 0; i < 4; i += 1) seen.push((await limited.call('GET', '/list', { headers: { 'x-forwarded-for': forward(i) } })).status);
        return seen;
      };
      await open({});
      assert.deepEqual(await statuses((i) => `10.0.0.${i}`), [200, 200, 200, 429]);
      await limited.close();
      await open({ trustProxy: 1 });
      assert.deepEqual(await statuses((i) => `10.0.0.${i}`), [200, 200, 200, 200]);
      assert.deepEqual(await statuses((i) => `10.9.9.${i}, 10.0.1.1`), [200, 200, 200, 429]);
    });
  });
});
