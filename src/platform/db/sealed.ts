import { randomBytes, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';
import fieldEncryption from 'mongoose-field-encryption';
import { AppError, conflict } from '../errors.ts';
import { LOG_AS } from '../logger.redact.ts';
import { runtime } from '../runtime.ts';
import { heldKey, settleKeys, writingKey, type DataKey, type KeyOwner } from './keyring.ts';
import { lengthPrefixed } from './length-prefixed.ts';
import { openTransaction } from './tx.ts';

/** Where a sealed value stands; it opens nowhere else. Positions in arrays are no part of the path. */
export interface Place {
  collection: string;
  id: string;
  path: string;
}

/** An envelope at rest: `e1.<key id>.<IV, cipher text, tag in base64url>`. `e2` is kept for a successor with the same binding. */
export const ENVELOPE = /^e1\.[A-Za-z0-9-]{1,16}\.[A-Za-z0-9_-]{86,}$/;

const VERSION = 'e1';
const UNREADABLE = 'A stored value cannot be read: it was changed or moved in the database, or its key is missing. Enter it again, or have it restored';
const HIDDEN = '[sealed]';
const ERASED = '[erased]';

/** 409: a stored value does not open, because it was moved or changed, or its key is not here. One error for every cause. */
export class UnreadableError extends AppError {
  constructor() {
    super('conflict', 'sealed_value_unreadable', UNREADABLE);
    this.name = 'UnreadableError';
  }
}

type Decrypt = (text: string, key: unknown, options: { notifyDecryptFails: boolean }) => string;
const decrypt: Decrypt = fieldEncryption.decrypt;

const [IV_BYTES, TAG_BYTES, LENGTH_BYTES] = [16, 32, 8];
let pool = Buffer.alloc(0);

/** Sixteen random bytes that no other envelope gets; drawn many at once, for each draw costs more than its bytes. */
export function freshIv(): Buffer {
  if (pool.length < IV_BYTES) pool = randomBytes(256 * IV_BYTES);
  const iv = pool.subarray(0, IV_BYTES);
  pool = pool.subarray(IV_BYTES);
  return iv;
}

/** Seals a text for one place. AEAD_AES_256_CBC_HMAC_SHA_512 in shape: encrypt, then authenticate with the place. */
export function sealEnvelope(key: DataKey, place: Place, clear: string): string {
  if (!key.cipher) throw new UnreadableError();
  // `<IV>:<cipher text>` in hex.
  const hex = fieldEncryption.encrypt(clear, key.cipher, freshIv);
  const size = (hex.length - 1) / 2;
  const { bytes, from } = boundTo(key, place, size + TAG_BYTES);
  bytes.write(hex.slice(0, 2 * IV_BYTES), from, 'hex');
  bytes.write(hex.slice(2 * IV_BYTES + 1), from + IV_BYTES, 'hex');
  const tag = tagOf(key, bytes.subarray(0, from + size + LENGTH_BYTES), from);
  if (!tag) throw new UnreadableError();
  tag.copy(bytes, from + size);
  return `${VERSION}.${key.id}.${bytes.toString('base64url', from)}`;
}

/** The text of an envelope at its place; the tag is compared first, in constant time. Throws UnreadableError. */
export function openEnvelope(key: DataKey, place: Place, envelope: string): string {
  const raw = Buffer.from(envelope.slice(envelope.indexOf('.', 3) + 1), 'base64url');
  const body = raw.subarray(0, -TAG_BYTES);
  const tag = authentication(key, place, body);
  // A second spelling of the same bytes in base64url is refused too.
  const exact = raw.length >= 64 && raw.length % 16 === 0 && `${VERSION}.${key.id}.${raw.toString('base64url')}` === envelope;
  if (!exact || !key.cipher || !tag || !timingSafeEqual(tag, raw.subarray(-TAG_BYTES))) throw new UnreadableError();
  try {
    return decrypt(`${body.toString('hex', 0, 16)}:${body.toString('hex', 16)}`, key.cipher, { notifyDecryptFails: true });
  } catch {
    throw new UnreadableError();
  }
}

/** The tag over a body and all that it is bound to; undefined without a usable key. */
export function authentication(key: DataKey, place: Place, body: Buffer): Buffer | undefined {
  const { bytes, from } = boundTo(key, place, body.length + LENGTH_BYTES);
  body.copy(bytes, from);
  return tagOf(key, bytes, from);
}

/** What a value is bound to, with room behind it. */
function boundTo(key: DataKey, { collection, id, path }: Place, room: number): { bytes: Buffer; from: number } {
  const bytes = lengthPrefixed([VERSION, key.id, collection, id, path], room);
  return { bytes, from: bytes.length - room };
}

/** The tag over bytes that end with room for the length, in bits as a 64-bit number, of what stands before `from`. */
function tagOf(key: DataKey, bytes: Buffer, from: number): Buffer | undefined {
  bytes.writeUInt32BE(0, bytes.length - LENGTH_BYTES);
  bytes.writeUInt32BE(from * 8, bytes.length - LENGTH_BYTES / 2);
  return key.tag(bytes);
}

/** The id of the key that an envelope names; empty for anything else. Opening checks the whole form. */
export function keyIdOf(envelope: string): string {
  const end = envelope.startsWith('e1.') ? envelope.indexOf('.', 3) : -1;
  return end > 3 && end <= 19 ? envelope.slice(3, end) : '';
}

/** True when a key seals for this owner: the keys of the system are the platform's, whatever company is named. */
export function isKeyOf(key: DataKey, owner: KeyOwner): boolean {
  return key.purpose === owner.purpose && (owner.purpose === 'system' || key.companyId === owner.companyId);
}

/** Who is told of a value that does not open: it was changed or moved, or names a key that nobody has. Set by the alerts module. */
export const sealAlarm = { ring: (_place: Place, _companyId: string): void => undefined };

/** A value as it was read: its envelope, and all that must fit it. */
export interface BoundTo {
  place: Place;
  envelope: string;
  key: DataKey;
  /** Whose row it stands in; another company's key does not open it. */
  owner: KeyOwner;
}

/**
 * A personal or secret value. Shows its mask in JSON and `[sealed]` in texts, logs and errors; `reveal` is the only way
 * to what is inside. Cannot be serialised for the database except by the door of its collection.
 */
export class Sealed<V, M = unknown> {
  readonly #clear: string | undefined;
  readonly #bound: BoundTo | undefined;
  readonly #mask: M;

  private constructor(clear: string | undefined, bound: BoundTo | undefined, mask: M) {
    this.#clear = clear;
    this.#bound = bound;
    this.#mask = mask;
  }

  /** A value that stands in no row yet: use `seal`. */
  static fresh<V, M>(value: V): Sealed<V, M> {
    const clear = JSON.stringify(value) as string | undefined;
    if (clear === undefined) throw new Error('Nothing can be sealed that JSON does not hold');
    return new Sealed<V, M>(clear, undefined, HIDDEN as M);
  }

  /** A value as it stands in a row; `clear` when it was written just now. For the door only. */
  static bound(bound: BoundTo, mask: unknown, clear?: string): Sealed<unknown> {
    return new Sealed(clear, bound, mask);
  }

  /** What may be shown; `[erased]` in its place when the key is destroyed. */
  get mask(): M {
    return this.#erased() ? (erased(this.#mask) as M) : this.#mask;
  }

  /** The value. 409 `data_erased` when its key is destroyed; throws UnreadableError, and logs it, when it does not open. */
  reveal(): V {
    return JSON.parse(this.text()) as V;
  }

  /** The value, or undefined when it does not open any more: for changes that put another in its place. */
  opened(): V | undefined {
    try {
      return this.reveal();
    } catch {
      return undefined;
    }
  }

  /** The value, or its mask when it does not open any more: for views that must not fail because of one value. */
  shown(): V | M {
    try {
      return this.reveal();
    } catch {
      return this.mask;
    }
  }

  /** The JSON text inside; for the door only. */
  text(): string {
    const bound = this.#bound;
    if (this.#erased()) throw conflict('data_erased', 'This personal data has been erased');
    if (this.#clear !== undefined) return this.#clear;
    if (!bound) throw new UnreadableError();
    try {
      const { key, owner, place, envelope } = bound;
      if (key.state !== 'usable' || !isKeyOf(key, owner)) throw new UnreadableError();
      return openEnvelope(key, place, envelope);
    } catch (error) {
      const { collection, id, path } = bound.place;
      runtime().log.error('sealed.unreadable', { collection, rowId: id, path, companyId: bound.owner.companyId, keyState: bound.key.state });
      // Outside of the reader's transaction, which may be open and fail. A key that waits for its own key is nobody's attack.
      if (bound.key.state !== 'locked') openTransaction.exit(() => setImmediate(() => sealAlarm.ring(bound.place, bound.owner.companyId)));
      throw error;
    }
  }

  /** The key of another owner erases nothing here: a value that was moved is unreadable, whatever became of its key. */
  #erased(): boolean {
    return this.#bound?.key.state === 'destroyed' && isKeyOf(this.#bound.key, this.#bound.owner);
  }

  /** The envelope, when it is already right for this place and key. */
  envelopeFor(place: Place, key: DataKey): string | undefined {
    const bound = this.#bound;
    if (!bound || bound.key !== key || bound.place.id !== place.id || bound.place.path !== place.path || bound.place.collection !== place.collection) return undefined;
    return bound.envelope;
  }

  /** True when a newer key than the value's own seals for its owner. */
  isSealedWith(key: DataKey): boolean {
    return this.#bound?.key === key;
  }

  toBSON(): never {
    throw new Error('A sealed value is stored only by the door of its collection, at a path that is declared sealed');
  }

  toJSON(): unknown {
    return this.mask;
  }

  toString(): string {
    return HIDDEN;
  }

  get [LOG_AS](): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}

/** Seals a value for writing: give it to insert, insertMany, `$set` or `$push` at a path that is declared sealed. */
export function seal<V, M = unknown>(value: V): Sealed<V, M> {
  return Sealed.fresh<V, M>(value);
}

/** The same for a value that may be missing. */
export function sealIf<V, M = unknown>(value: V | undefined): Sealed<V, M> | undefined {
  return value === undefined ? undefined : seal<V, M>(value);
}

/** The shape of a mask with every text in it replaced. */
export function erased(mask: unknown): unknown {
  if (typeof mask !== 'object' || mask === null) return ERASED;
  if (Array.isArray(mask)) return mask.map(erased);
  return Object.fromEntries(Object.keys(mask).map((key) => [key, erased((mask as Record<string, unknown>)[key])]));
}

/** Seals a text of a machine row (mail, replayed answers, tokens) for one place, with the owner's newest key. */
export async function sealText(owner: KeyOwner, place: Place, text: string): Promise<string> {
  const key = writingKey(owner);
  return sealEnvelope(key instanceof Promise ? await key : key, place, text);
}

/** The text that `sealText` sealed; throws UnreadableError, and 409 `data_erased` once its key is destroyed. */
export async function openText(owner: KeyOwner, place: Place, envelope: string): Promise<string> {
  const key = heldKey(keyIdOf(envelope));
  await settleKeys([key]);
  return Sealed.bound({ place, envelope, key, owner }, HIDDEN).text();
}
