import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from './platform/folders.ts';

/** 32 bytes in hex. */
export const HEX_KEY = /^[0-9a-f]{64}$/i;

const SAMPLE_WORD =
  /change.?(me|this|it)|example|sample|placeholder|secret|password|dakiya|insecure|develop|replace|your.?key|default|xxxxxx|012345|123456|abcdef|deadbeef/i;
const SAMPLE_HEX = /0123456789abcdef|fedcba9876543210|deadbeef|cafebabe/i;

/**
 * True for a secret that a person typed or copied from a page: known words, repeats, or hardly any different characters.
 * A random base64 secret of 44 characters is refused about 4 times in 10^7, for the words have six letters or more.
 */
export function isSample(value: string): boolean {
  const parts = value.includes(':') ? parseKeys(value).map(({ hex }) => hex) : [value];
  return parts.some((part) => {
    const words = HEX_KEY.test(part) ? SAMPLE_HEX : SAMPLE_WORD;
    return words.test(part) || new Set(part).size < 8 || /^(.+?)\1+$/.test(part);
  });
}

/** The pairs of `id:hex,id:hex`, in their order. */
export function parseKeys(list: string | undefined): { id: string; hex: string }[] {
  return (list ?? '')
    .split(',')
    .filter((item) => item !== '')
    .map((item) => ({ id: item.slice(0, item.indexOf(':')), hex: item.slice(item.indexOf(':') + 1) }));
}

/** True for an unencrypted EC private key on P-256, which is what ES256 signs with. */
export function isP256(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyDetails?.namedCurve === 'prime256v1';
  } catch {
    return false;
  }
}

/** The code of a system error, for a message without paths or values. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
}

/** The variables that development may leave out, and how each value is born. */
export const GENERATED_SECRETS: ReadonlyMap<string, () => string> = new Map([
  ['ENCRYPTION_KEY', () => randomBytes(32).toString('hex')],
  ['BLIND_INDEX_KEY', () => randomBytes(32).toString('hex')],
  ['TOKEN_PEPPER', () => randomBytes(32).toString('base64url')],
  ['COOKIE_SECRET', () => randomBytes(32).toString('base64url')],
  ['RAZORPAY_WEBHOOK_SECRET', () => randomBytes(32).toString('base64url')],
  ['JWT_PRIVATE_KEY', newP256Pem],
]);

function newP256Pem(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/**
 * The development secrets kept at `path`, generated where they are missing (`born`); never overwrites one that is there.
 * The file appears whole or not at all, with mode 0600. Throws a SyntaxError for a damaged file: replacing it would
 * make the data unreadable that its keys opened.
 */
export async function developmentSecrets(path: string): Promise<{ secrets: Record<string, string>; born: boolean }> {
  const kept = await readSecrets(path);
  const missing = [...GENERATED_SECRETS].filter(([name]) => kept?.[name] === undefined);
  if (kept !== undefined && missing.length === 0) return { secrets: kept, born: false };
  const secrets = { ...kept, ...Object.fromEntries(missing.map(([name, make]) => [name, make()])) };
  await makeFolder(dirname(path), 0o700);
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  if (kept !== undefined) {
    await rename(temporary, path);
    return { secrets, born: true };
  }
  try {
    // link refuses an existing target, so of two processes that start together one wins and both use its secrets
    await link(temporary, path);
    return { secrets, born: true };
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    return await developmentSecrets(path);
  } finally {
    await unlink(temporary);
  }
}

async function readSecrets(path: string): Promise<Record<string, string> | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null) throw new SyntaxError('not an object');
  const entries = Object.entries(parsed);
  if (entries.some(([, value]) => typeof value !== 'string')) throw new SyntaxError('not a table of texts');
  return Object.fromEntries(entries) as Record<string, string>;
}
