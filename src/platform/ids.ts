import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { nowMs } from './clock.ts';

const ID = /^[0-9a-f]{24}$/;

let counter = randomBytes(3).readUIntBE(0, 3);
const machine = randomBytes(5).toString('hex');

/** A new id: 24 hex characters in the layout of a MongoDB ObjectId, so ids of one process sort by birth. */
export function newId(): string {
  counter = (counter + 1) & 0xffffff;
  return `${Math.floor(nowMs() / 1000).toString(16).padStart(8, '0')}${machine}${counter.toString(16).padStart(6, '0')}`;
}

/** The first of `count` ids in a row, all of them new: `idAfter` gives the others, so a list of them is stored as one. */
export function newIdBlock(count: number): string {
  if (counter + count > 0xffffff) counter = 0;
  const first = newId();
  counter += count - 1;
  return first;
}

/** The id `steps` after one; only inside of a block. */
export function idAfter(id: string, steps: number): string {
  return id.slice(0, 18) + (Number.parseInt(id.slice(18), 16) + steps).toString(16).padStart(6, '0');
}

/** True for 24 lower-case hex characters. */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value);
}

/** A random token of `bytes` bytes in base64url; for secrets use at least 32. */
export function randomToken(bytes: number): string {
  return randomBytes(bytes).toString('base64url');
}

let pool = Buffer.alloc(0);
let taken = 0;

/** A new id for a request, 16 characters: random bytes drawn for many at once, for a draw costs more than the rest of an id. */
export function newRequestId(): string {
  if (taken + 12 > pool.length) [pool, taken] = [randomBytes(1536), 0];
  taken += 12;
  return pool.toString('base64url', taken - 12, taken);
}

/** SHA-256 as base64url; for fingerprints of public bytes, never for secrets of low entropy. */
export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('base64url');
}

/** Compares two texts in constant time of their length; for tokens. */
export function sameText(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}
