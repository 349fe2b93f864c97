import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { isId, randomToken } from './ids.ts';

/** The parts of a refresh token: the session's family, its generation, and the secret of this generation. */
export interface RefreshToken {
  readonly sid: string;
  readonly gen: number;
  readonly secret: string;
}

/** Makes and reads the high-entropy secrets; only their HMACs are ever stored. */
export interface Tokens {
  /** The HMAC-SHA-256 under which a secret is stored and found; `purpose` keeps the kinds apart. */
  hash(purpose: TokenPurpose, secret: string): string;
  /** A new one-time secret (256 bits) for a link or a device, and the hash to store. */
  mint(purpose: TokenPurpose): { token: string; hash: string };
  /** The first refresh token of a new family; `sid` is a name that may be stored in clear. */
  newRefresh(): RefreshToken;
  /** `rt2.<sid>.<gen>.<secret>.<mac>`. */
  writeRefresh(token: RefreshToken): string;
  /** The parts of a token that this service issued, else undefined: a forged one costs no database call. */
  readRefresh(text: string): RefreshToken | undefined;
  /** A function of the presented token, so a retry after a lost answer gets the same successor. */
  refreshSuccessor(token: RefreshToken): RefreshToken;
}

export type TokenPurpose = 'refresh' | 'apiKey' | 'verifyEmail' | 'changeEmail' | 'resetPassword' | 'invitation' | 'device' | 'recoveryKey' | 'oauth' | 'cart';

const REFRESH = /^rt2\.([\w-]{16})\.(0|[1-9]\d{0,8})\.([\w-]{43})\.([\w-]{22})$/;

/** The token functions under one pepper (at least 32 characters, else it throws). */
export function makeTokens(pepper: string): Tokens {
  if (pepper.length < 32) throw new Error('TOKEN_PEPPER needs at least 32 characters');
  const root = createSecretKey(Buffer.from(pepper, 'utf8'));
  // one key per use, so a value of one kind never passes as another
  const keyFor = (use: string) => createSecretKey(createHmac('sha256', root).update(`dakiya.${use}`).digest());
  const hashKey = keyFor('hash');
  const macKey = keyFor('refresh-mac');
  const nextKey = keyFor('refresh-next');
  const mac = (token: RefreshToken): string =>
    createHmac('sha256', macKey).update(`${token.sid}|${token.gen}|${token.secret}`).digest().subarray(0, 16).toString('base64url');
  const hash = (purpose: TokenPurpose, secret: string): string =>
    createHmac('sha256', hashKey).update(`${purpose}|${secret}`).digest('base64url');
  return {
    hash,
    mint(purpose) {
      const token = randomToken(32);
      return { token, hash: hash(purpose, token) };
    },
    newRefresh: () => ({ sid: randomToken(12), gen: 0, secret: randomToken(32) }),
    writeRefresh: (token) => `rt2.${token.sid}.${token.gen}.${token.secret}.${mac(token)}`,
    readRefresh(text) {
      const match = REFRESH.exec(text);
      if (!match) return undefined;
      const [, sid = '', gen = '', secret = '', proof = ''] = match;
      const token = { sid, gen: Number(gen), secret };
      return timingSafeEqual(Buffer.from(proof), Buffer.from(mac(token))) ? token : undefined;
    },
    refreshSuccessor: (token) => ({
      sid: token.sid,
      gen: token.gen + 1,
      secret: createHmac('sha256', nextKey).update(`${token.sid}|${token.gen}|${token.secret}`).digest('base64url'),
    }),
  };
}

const API_KEY = /^dk_live_([0-9a-f]{24})_([0-9A-Za-z]{43})_([0-9a-f]{8})$/;

/** A new API key `dk_live_<id>_<secret>_<crc>`: 256 random bits; the check part finds typing faults and leaked keys. */
export function newApiKey(id: string): { key: string; secret: string } {
  if (!isId(id)) throw new Error('An API key is named by a 24-hex id');
  const secret = randomBase62(43);
  const body = `dk_live_${id}_${secret}`;
  return { key: `${body}_${checksum(body)}`, secret };
}

/** The id and secret of a well-formed API key, else undefined; proves nothing, the secret's hash must match the stored one. */
export function readApiKey(key: string): { id: string; secret: string } | undefined {
  const match = API_KEY.exec(key);
  if (!match) return undefined;
  const [, id = '', secret = '', check = ''] = match;
  return checksum(key.slice(0, -9)) === check ? { id, secret } : undefined;
}

/** Compares two hashes in a time that tells nothing of their content; different lengths are unequal. */
export function sameHash(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Bytes of 248 and more are thrown away, so every character is equally likely. */
function randomBase62(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length + 8)) {
      if (byte < 248 && text.length < length) text += BASE62[byte % 62];
    }
  }
  return text;
}
