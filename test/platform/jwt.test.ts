import { strict as assert } from 'node:assert';
import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { useClock } from '../../src/platform/clock.ts';
import { makeAccessTokens } from '../../src/platform/jwt.ts';

const newPem = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const privateKeyPem = newPem();
const publicKeyPem = createPublicKey(privateKeyPem).export({ type: 'spki', format: 'pem' }).toString();
const secret = 'Zq8vN2mX5rT9wK3pL7sD1fG4hJ6bC0yU';
const claims = { sub: 'a'.repeat(24), cid: 'b'.repeat(24), role: 'owner', sid: 'c'.repeat(16), epoch: 3 };
const START = 1_800_000_000_000;

type Parts = Record<string, unknown>;
const encode = (part: Parts): string => Buffer.from(JSON.stringify(part)).toString('base64url');
const part = (token: string, index: number): Parts =>
  JSON.parse(Buffer.from(token.split('.')[index] ?? '', 'base64url').toString()) as Parts;

describe('access tokens', () => {
  let atMs = START;
  let restore: () => void;
  beforeEach(() => {
    atMs = START;
    restore = useClock({ ms: () => atMs });
  });
  afterEach(() => restore());

  const kinds = [
    ['ES256', { privateKeyPem }],
    ['HS256', { secret }],
  ] as const;
  for (const [algorithm, key] of kinds) {
    describe(algorithm, () => {
      const make = (cacheSize?: number) => makeAccessTokens({ key, lifetimeSeconds: 600, cacheSize });
      const good = (): string => make().sign(claims).token;
      /** The service's own signature over other parts: what only a fault in the service could make. */
      const resigned = (header: Parts, payload: Parts): string => {
        const base = good();
        const body = { ...part(base, 1), ...payload };
        const head = { ...part(base, 0), ...header };
        for (const [name, value] of Object.entries(body)) if (value === undefined) delete body[name];
        const options = { algorithm, header: head as unknown as jwt.JwtHeader };
        return jwt.sign(body, 'secret' in key ? secret : privateKeyPem, options);
      };

      it('proves what it signed, and says the claims', () => {
        const tokens = make();
        const { token, expiresInSeconds } = tokens.sign(claims);
        assert.equal(expiresInSeconds, 600);
        assert.deepEqual(tokens.verify(token), { ...claims, issuedAtMs: START, expiresAtMs: START + 600_000 });
        assert.deepEqual([part(token, 0)['alg'], part(token, 0)['typ']], [algorithm, 'at+jwt']);
        assert.deepEqual([part(token, 1)['iss'], part(token, 1)['aud']], ['dakiya', 'dakiya-api']);
      });

      it('proves a token re-signed without a change, so the variants below fail for their own reason', () => {
        assert(make().verify(resigned({}, {})));
      });

      const forged: [string, () => string][] = [
        ['alg none', () => `${encode({ ...part(good(), 0), alg: 'none' })}.${good().split('.')[1] ?? ''}.`],
        [
          'HMAC with the public key',
          () => {
            const signed = `${encode({ ...part(good(), 0), alg: 'HS256' })}.${good().split('.')[1] ?? ''}`;
            return `${signed}.${createHmac('sha256', publicKeyPem).update(signed).digest('base64url')}`;
          },
        ],
        ['another kid', () => resigned({ kid: 'other' }, {})],
        ['no kid', () => resigned({ kid: undefined }, {})],
        ['another issuer', () => resigned({}, { iss: 'elsewhere' })],
        ['another audience', () => resigned({}, { aud: 'other-api' })],
        ['another typ', () => resigned({ typ: 'JWT' }, {})],
        ['no exp', () => resigned({}, { exp: undefined })],
        ['expired 31 s ago', () => resigned({}, { iat: START / 1_000 - 631, exp: START / 1_000 - 31 })],
        ['jku', () => resigned({ jku: 'https://evil.example/keys' }, {})],
        ['jwk', () => resigned({ jwk: { kty: 'EC' } }, {})],
        ['crit', () => resigned({ crit: ['x'] }, {})],
        ['another key of the same kind', () => makeAccessTokens({ key: 'secret' in key ? { secret: secret + 'x' } : { privateKeyPem: newPem() }, lifetimeSeconds: 600 }).sign(claims).token],
        ['a subject that is no id', () => resigned({}, { sub: 'root' })],
        ['a company that is no id', () => resigned({}, { cid: { $ne: '' } })],
        ['no role', () => resigned({}, { role: undefined })],
        ['an epoch in text', () => resigned({}, { epoch: '3' })],
        ['not yet valid', () => resigned({}, { nbf: START / 1_000 + 60 })],
        ['a changed payload', () => [good().split('.')[0], encode({ ...part(good(), 1), role: 'platform_admin' }), good().split('.')[2]].join('.')],
        ['nothing', () => ''],
        ['no dots', () => 'abc'],
        ['too long', () => `${good()}${'a'.repeat(5_000)}`],
      ];
      for (const [name, forge] of forged) {
        it(`refuses ${name}`, () => {
          const tokens = make();
          assert.equal(tokens.verify(forge()), undefined);
          assert.equal(tokens.cached(), 0);
        });
      }

      it('refuses every changed byte of the signature', () => {
        const tokens = make();
        const [head = '', body = '', signature = ''] = good().split('.');
        const bytes = Buffer.from(signature, 'base64url');
        for (let index = 0; index < bytes.length; index += 1) {
          const changed = Buffer.from(bytes);
          changed.writeUInt8((changed.readUInt8(index) ^ 1) & 0xff, index);
          assert.equal(tokens.verify(`${head}.${body}.${changed.toString('base64url')}`), undefined);
        }
      });

      it('remembers a proved token but still sees its end, at 30 s after exp', () => {
        const tokens = make();
        const { token } = tokens.sign(claims);
        const proved = tokens.verify(token);
        assert.equal(tokens.verify(token), proved);
        assert.equal(tokens.cached(), 1);
        assert.throws(() => Object.assign(proved ?? {}, { role: 'platform_admin' }), TypeError);
        atMs += 629_999;
        assert.equal(tokens.verify(token), proved);
        atMs += 1;
        assert.equal(tokens.verify(token), undefined);
        assert.equal(tokens.cached(), 0);
        assert.equal(tokens.verify(token), undefined);
      });

      it('remembers no more than it may', () => {
        const tokens = make(32);
        for (let epoch = 0; epoch < 100; epoch += 1) {
          assert(tokens.verify(tokens.sign({ ...claims, epoch }).token));
          assert(tokens.cached() <= 32);
        }
      });
    });
  }

  it('refuses a short secret', () => {
    assert.throws(() => makeAccessTokens({ key: { secret: 'short' }, lifetimeSeconds: 600 }), /32/);
  });
});
