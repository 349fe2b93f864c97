import { ConfigError } from '../../config.ts';
import { now } from '../clock.ts';
import { keyVault, type KeyRow } from './keyring.ts';
import { fingerprint, secrets, wrappedBy } from './key-wrap.ts';
import { isDuplicateKey } from './duplicate-key.ts';

/** Check values of the secrets that this database was written with. */
interface Canary {
  _id: string;
  wrapping: Record<string, string>;
  blindIndex: string;
  pepper: string;
  createdAt: Date;
}

export type CanarySecret = 'blindIndex' | 'pepper';

const ID = 'canary';
const VARIABLES: Record<CanarySecret, string> = { blindIndex: 'BLIND_INDEX_KEY', pepper: 'TOKEN_PEPPER' };

/**
 * Refuses to go on with other secrets than the database was written with, before anything is written: a changed key
 * would make new rows that the old ones' key does not open, and look-ups that find nothing. The first start notes them.
 */
export async function verifySecrets(): Promise<void> {
  const present = ours();
  const canary = (await keyVault().findOne({ _id: ID })) as unknown as Canary | null;
  if (!canary) {
    await keyVault().insertOne({ _id: ID, ...present, createdAt: now() } as unknown as KeyRow).catch((error: unknown) => {
      if (!isDuplicateKey(error)) throw error;
    });
    return verifyKnown(((await keyVault().findOne({ _id: ID })) as unknown as Canary | null) ?? { _id: ID, ...present, createdAt: now() });
  }
  await verifyKnown(canary);
}

/** Notes that a secret was changed on purpose; what depended on the old one is lost or must be made again. */
export async function acceptSecret(secret: CanarySecret): Promise<void> {
  await keyVault().updateOne({ _id: ID }, { $set: { [secret]: ours()[secret] } } as object);
}

/** Forgets a key-encryption key that wraps nothing any more. */
export async function forgetWrappingKey(id: string): Promise<void> {
  await keyVault().updateOne({ _id: ID }, { $unset: { [`wrapping.${id}`]: '' } } as object);
}

/** True while the secrets of this process are those that the database was written with; one row read, for readiness. */
export async function secretsFit(): Promise<boolean> {
  const canary = (await keyVault().findOne({ _id: ID })) as unknown as Canary | null;
  return canary !== null && changedSecrets(canary).length === 0;
}

function changedSecrets(canary: Canary): string[] {
  const { wrapping, ...others } = ours();
  const problems: string[] = [];
  for (const secret of ['blindIndex', 'pepper'] as const) {
    if (canary[secret] === others[secret]) continue;
    problems.push(`${VARIABLES[secret]} is not the one this database was written with; put the old one back, or see docs/runbooks/key-compromised.md`);
  }
  for (const [id, mark] of Object.entries(wrapping)) {
    if ((canary.wrapping[id] ?? mark) !== mark) problems.push(`ENCRYPTION_KEY(S): the key with the id ${id} is not the one this database was written with`);
  }
  return problems;
}

async function verifyKnown(canary: Canary): Promise<void> {
  const { wrapping } = ours();
  const problems = changedSecrets(canary);
  const used = (await keyVault().distinct('wrapped')).map((wrapped) => wrappedBy(String(wrapped)));
  for (const id of new Set(used)) {
    if (!(id in wrapping)) problems.push(`ENCRYPTION_KEYS lacks the key ${id}, with which data keys are wrapped; keep it until \`dakiya keys rewrap\` has run`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const fresh = Object.entries(wrapping).filter(([id]) => !(id in canary.wrapping));
  if (fresh.length > 0) await keyVault().updateOne({ _id: ID }, { $set: Object.fromEntries(fresh.map(([id, mark]) => [`wrapping.${id}`, mark])) } as object);
}

function ours(): Pick<Canary, 'wrapping' | 'blindIndex' | 'pepper'> {
  const { wrapping, blindIndex, pepper } = secrets();
  return {
    wrapping: Object.fromEntries([...wrapping].map(([id, key]) => [id, fingerprint(key, id)])),
    blindIndex: fingerprint(blindIndex, 'blindIndex'),
    pepper: fingerprint(pepper, 'pepper'),
  };
}
