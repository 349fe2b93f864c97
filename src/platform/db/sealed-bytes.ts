import { createCipheriv, createDecipheriv, timingSafeEqual } from 'node:crypto';
import type mongoose from 'mongoose';
import { conflict } from '../errors.ts';
import { runtime } from '../runtime.ts';
import { heldKey, settleKeys, writingKey, type KeyOwner } from './keyring.ts';
import { authentication, freshIv, isKeyOf, sealAlarm, UnreadableError, type Place } from './sealed.ts';
import { openTransaction } from './tx.ts';

const HEAD = /^e1\.([A-Za-z0-9-]{1,16})\.b\n/;
const [IV_BYTES, TAG_BYTES, BLOCK_BYTES, MAX_HEAD_BYTES] = [16, 32, 16, 32];

/**
 * Seals bytes (files, replayed answers) for one place with the owner's newest key: the envelope of texts, without its
 * base64. A line names the key, then come IV, cipher text and tag.
 */
export async function sealBytes(owner: KeyOwner, place: Place, clear: Buffer): Promise<Buffer> {
  const found = writingKey(owner);
  const key = found instanceof Promise ? await found : found;
  if (!key.cipher) throw new UnreadableError();
  const iv = freshIv();
  const cipher = createCipheriv('aes-256-cbc', key.cipher, iv);
  const body = Buffer.concat([iv, cipher.update(clear), cipher.final()]);
  const tag = authentication(key, place, body);
  if (!tag) throw new UnreadableError();
  return Buffer.concat([Buffer.from(`e1.${key.id}.b\n`, 'latin1'), body, tag]);
}

/** Sealed bytes as they come from the database. */
export function bytesOf(stored: Buffer | mongoose.mongo.Binary): Buffer {
  return Buffer.isBuffer(stored) ? stored : Buffer.from(stored.buffer);
}

/** The id of the key that sealed bytes name; empty for others. */
export function keyIdOfBytes(stored: Buffer): string {
  return HEAD.exec(stored.toString('latin1', 0, MAX_HEAD_BYTES))?.[1] ?? '';
}

/** The bytes that `sealBytes` sealed; throws UnreadableError elsewhere or when one bit changed, 409 `data_erased` without the key. */
export async function openBytes(owner: KeyOwner, place: Place, stored: Buffer): Promise<Buffer> {
  try {
    return await open(owner, place, stored);
  } catch (error) {
    if (error instanceof UnreadableError) {
      const { collection, id, path } = place;
      runtime().log.error('sealed.unreadable', { collection, rowId: id, path, companyId: owner.companyId });
      openTransaction.exit(() => setImmediate(() => sealAlarm.ring(place, owner.companyId)));
    }
    throw error;
  }
}

async function open(owner: KeyOwner, place: Place, stored: Buffer): Promise<Buffer> {
  const [head, keyId] = HEAD.exec(stored.toString('latin1', 0, MAX_HEAD_BYTES)) ?? [];
  if (head === undefined || keyId === undefined) throw new UnreadableError();
  const key = heldKey(keyId);
  await settleKeys([key]);
  if (key.state === 'destroyed' && isKeyOf(key, owner)) throw conflict('data_erased', 'This personal data has been erased');
  const body = stored.subarray(head.length, -TAG_BYTES);
  const whole = body.length >= IV_BYTES + BLOCK_BYTES && body.length % BLOCK_BYTES === 0;
  const tag = whole ? authentication(key, place, body) : undefined;
  if (!key.cipher || !tag || !isKeyOf(key, owner) || !timingSafeEqual(tag, stored.subarray(-TAG_BYTES))) throw new UnreadableError();
  const decipher = createDecipheriv('aes-256-cbc', key.cipher, body.subarray(0, IV_BYTES));
  return Buffer.concat([decipher.update(body.subarray(IV_BYTES)), decipher.final()]);
}
