import type { Identity } from '../../platform/auth.ts';
import { BoundedMap } from '../../platform/bounded-map.ts';
import { monotonicMs, now, nowMs } from '../../platform/clock.ts';
import { inCompany } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { runtime } from '../../platform/runtime.ts';
import { readApiKey, sameHash } from '../../platform/tokens.ts';
import { ownCompany } from '../companies/index.ts';
import { everywhere } from './access.queries.ts';
import { apiKeys, apiKeyUses, type ApiKey } from './api-key.model.ts';
import { kit } from './identity.kit.ts';

const MAX_AGE_MS = 1_000;
const USE_EVERY_MS = 60_000;
const MAX_KEYS = 10_000;

interface Known {
  readonly key: Row<ApiKey>;
  readonly identity: Identity;
  readonly loadedAtMs: number;
}

const known = new BoundedMap<string, Known>(MAX_KEYS);
const loading = new Map<string, Promise<Known | undefined>>();
const noted = new BoundedMap<string, number>(MAX_KEYS);
let generation = 0;

/** Drops what is remembered of one key, or of all, also what is being loaded right now. */
export function forgetApiKeys(id?: string): void {
  generation += 1;
  loading.clear();
  if (id === undefined) known.clear();
  else known.delete(id);
}

/** Who an API key stands for; undefined for a wrong, revoked or expired one. Rows are trusted for one second at most. */
export async function apiKeyIdentity(text: string): Promise<Identity | undefined> {
  const given = readApiKey(text);
  if (!given) return undefined;
  const found = fresh(given.id) ?? (await load(given.id));
  if (!found || !fits(found.key, kit().tokens.hash('apiKey', given.secret))) return undefined;
  await noteUse(given.id);
  return found.identity;
}

function fresh(id: string): Known | undefined {
  const found = known.get(id);
  return found && monotonicMs() - found.loadedAtMs < MAX_AGE_MS ? found : undefined;
}

function fits(key: Row<ApiKey>, hash: string): boolean {
  const at = now();
  if (key.revokedAt || (key.expiresAt && key.expiresAt <= at)) return false;
  if (sameHash(key.hash, hash)) return true;
  return key.previousHash !== undefined && key.previousUntil !== undefined && key.previousUntil > at && sameHash(key.previousHash, hash);
}

function load(id: string): Promise<Known | undefined> {
  const underWay = loading.get(id);
  if (underWay) return underWay;
  const started = generation;
  const work = read(id)
    .then((found) => {
      // A revocation that came meanwhile must not be hidden by what was read before it.
      if (found && started === generation) known.set(id, found);
      return found;
    })
    .finally(() => {
      if (loading.get(id) === work) loading.delete(id);
    });
  loading.set(id, work);
  return work;
}

async function read(id: string): Promise<Known | undefined> {
  const loadedAtMs = monotonicMs();
  const ctx = everywhere('API key');
  const key = await apiKeys.findOne(ctx, { _id: id });
  if (!key) return undefined;
  const company = await ownCompany(inCompany(ctx, key.companyId));
  if (company.status !== 'active') return undefined;
  const identity: Identity = {
    companyId: key.companyId,
    actor: { kind: 'apiKey', id: key._id, permissions: new Set(key.scopes) },
    ...(key.limitPerMinute === undefined ? {} : { limitPerMinute: key.limitPerMinute }),
  };
  return { key, identity, loadedAtMs };
}

/** At most one write a minute and key from each process; a use that cannot be noted refuses nobody. */
async function noteUse(id: string): Promise<void> {
  const last = noted.get(id) ?? 0;
  if (nowMs() - last < USE_EVERY_MS) return;
  noted.set(id, nowMs());
  await apiKeyUses.change({ _id: id }, { $set: { lastUsedAt: now() } }, { upsert: true }).catch((error: unknown) => {
    runtime().log.warn('api_key.use_not_noted', { keyId: id, error });
  });
}
