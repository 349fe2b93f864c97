import { createCipheriv, createDecipheriv, createHmac, createSecretKey, randomBytes, type KeyObject } from 'node:crypto';
import { keyEncryptionKeys, type Config } from '../../config.ts';
import { runtime } from '../runtime.ts';
import { lengthPrefixed } from './length-prefixed.ts';

/** What a wrapped key is bound to, so that one company's cannot be put in the place of another's. */
export interface KeyIdentity {
  _id: string;
  companyId: string;
  purpose: string;
  generation: number;
}

interface Secrets {
  /** The key-encryption keys, the writing one first. */
  wrapping: Map<string, KeyObject>;
  blindIndex: KeyObject;
  pepper: KeyObject;
}

const prepared = new WeakMap<Config, Secrets>();

/** The secrets of the configuration as keys, made once. */
export function secrets(): Secrets {
  const { config } = runtime();
  const known = prepared.get(config);
  if (known) return known;
  if (config.blindIndexKey === undefined) throw new Error('BLIND_INDEX_KEY is not set');
  const made = {
    wrapping: new Map(keyEncryptionKeys(config).map(({ id, key }) => [id, createSecretKey(key)])),
    blindIndex: createSecretKey(config.blindIndexKey, 'hex'),
    pepper: createSecretKey(config.tokenPepper ?? '', 'utf8'),
  };
  prepared.set(config, made);
  return made;
}

/** The id of the key-encryption key that wrapped a data key. */
export function wrappedBy(wrapped: string): string {
  return wrapped.split('.')[1] ?? '';
}

/** A data key wrapped by the first key-encryption key: `w1.<key-encryption key>.<nonce, cipher text, tag>`, AES-256-GCM. */
export function wrapKey(bytes: Buffer, identity: KeyIdentity): string {
  const [first] = secrets().wrapping;
  if (!first) throw new Error('No key-encryption key is set');
  const [id, key] = first;
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(boundTo(id, identity));
  const sealed = Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  return `w1.${id}.${sealed.toString('base64url')}`;
}

/** The bytes of a wrapped data key; undefined when its key-encryption key is not there or does not open it. */
export function unwrapKey(wrapped: string, identity: KeyIdentity): Buffer | undefined {
  const [version, id = '', body = ''] = wrapped.split('.');
  const key = secrets().wrapping.get(id);
  const raw = Buffer.from(body, 'base64url');
  if (version !== 'w1' || !key || raw.length !== 60) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, raw.subarray(0, 12)).setAAD(boundTo(id, identity)).setAuthTag(raw.subarray(44));
  try {
    return Buffer.concat([decipher.update(raw.subarray(12, 44)), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** A check value of a secret that says nothing about it: for the canary. */
export function fingerprint(secret: KeyObject, what: string): string {
  return createHmac('sha256', secret).update(`dakiya.canary|${what}`).digest('base64url').slice(0, 22);
}

function boundTo(wrapperId: string, { _id, companyId, purpose, generation }: KeyIdentity): Buffer {
  return lengthPrefixed(['w1', wrapperId, _id, companyId, purpose, String(generation)]);
}
