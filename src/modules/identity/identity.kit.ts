import { createHmac } from 'node:crypto';
import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../config.ts';
import { makeAccessTokens, type AccessTokens } from '../../platform/jwt.ts';
import { invalidFields } from '../../platform/errors.ts';
import { loadCommonPasswords, makePasswordPolicy, makePasswords, type PasswordOwner, type PasswordPolicy, type Passwords } from '../../platform/passwords.ts';
import { runtime } from '../../platform/runtime.ts';
import { makeTokens, type Tokens } from '../../platform/tokens.ts';

/** The secrets and engines of this process, made once per configuration. */
interface Kit {
  tokens: Tokens;
  accessTokens: AccessTokens;
  passwords: Passwords;
  /** A name for a value in the throttle table that says nothing about the value. */
  blind(value: string): string;
}

const kits = new WeakMap<Config, Kit>();

/** The engines under the running configuration. */
export function kit(): Kit {
  const { config } = runtime();
  const known = kits.get(config);
  if (known) return known;
  const { tokenPepper, jwtPrivateKey, jwtSecret, accessTokenSeconds } = config;
  if (tokenPepper === undefined) throw new Error('TOKEN_PEPPER is not set');
  const key = jwtPrivateKey === undefined ? { secret: jwtSecret ?? '' } : { privateKeyPem: jwtPrivateKey };
  const made: Kit = {
    tokens: makeTokens(tokenPepper),
    accessTokens: makeAccessTokens({ key, lifetimeSeconds: accessTokenSeconds }),
    passwords: makePasswords(),
    blind: (value) => createHmac('sha256', tokenPepper).update(`dakiya.throttle|${value}`).digest('base64url'),
  };
  kits.set(config, made);
  return made;
}

let policy: Promise<PasswordPolicy> | undefined;

/** 400 naming `password` with everything that is wrong with it. */
export async function assertGoodPassword(password: string, owner: PasswordOwner): Promise<void> {
  policy ??= commonPasswordsFile().then(loadCommonPasswords).then(makePasswordPolicy);
  const problems = (await policy)(password, owner);
  if (problems.length > 0) throw invalidFields(problems.map((message) => ({ path: 'password', message })));
}

/** Found upwards from here, so that sources and the build both find it. */
async function commonPasswordsFile(): Promise<string> {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, 'data', 'common-passwords.txt');
    const found = await access(candidate).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
    if (dirname(folder) === folder) throw new Error('data/common-passwords.txt is missing from this installation');
  }
}

/** The address of a page of the portal with a secret in it, for mails. */
export function portalLink(page: string, token: string): string {
  const { portalUrl, publicUrl, host, port } = runtime().config;
  const base = portalUrl ?? publicUrl ?? `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return `${base.replace(/\/+$/, '')}/${page}?token=${encodeURIComponent(token)}`;
}
