import { now, nowMs } from '../../platform/clock.ts';
import type { Ctx, OutsideTx, Tx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, forbidden } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { newId } from '../../platform/ids.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import type { Scope } from '../../platform/permissions.ts';
import { newApiKey } from '../../platform/tokens.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { forgetApiKeys } from './api-key.access.ts';
import { apiKeys, apiKeyUses, type ApiKey } from './api-key.model.ts';
import { kit } from './identity.kit.ts';
import { parseName } from './identity.rules.ts';

export interface NewApiKey {
  name: string;
  scopes: Scope[];
  /** ISO 8601. */
  expiresAt?: string;
  limitPerMinute?: number;
}

/** A key as lists show it. */
export interface KnownApiKey {
  row: Row<ApiKey>;
  lastUsedAt?: Date;
}

/** A key with its text, which is shown this once; only a replay of the same request tells it again, for a day. */
export interface MintedApiKey {
  row: Row<ApiKey>;
  key: string;
}

/** Makes an API key; 403 for scopes that the asker lacks, 400 for an end that has passed. */
export async function createApiKey(ctx: OutsideTx, input: NewApiKey): Promise<MintedApiKey> {
  const lacking = input.scopes.filter((scope) => !ctx.actor.permissions.has(scope));
  if (lacking.length > 0) throw forbidden('forbidden', `You cannot give what you may not do: ${lacking.join(', ')}`);
  const faults = makeFaults();
  const name = parseName(faults, 'name', input.name);
  const expiresAt = input.expiresAt === undefined ? undefined : new Date(input.expiresAt);
  if (expiresAt && !(expiresAt > now())) faults.add('expiresAt', 'must be in the future');
  faults.throwIfAny();
  const id = newId();
  const { key, secret } = newApiKey(id);
  const hash = kit().tokens.hash('apiKey', secret);
  const { limitPerMinute } = input;
  return withTransaction(ctx, async (ctx) => {
    const row = await apiKeys.insert(ctx, {
      _id: id,
      name,
      scopes: [...new Set(input.scopes)],
      hash,
      createdBy: ctx.actor.id,
      ...(expiresAt ? { expiresAt } : {}),
      ...(limitPerMinute === undefined ? {} : { limitPerMinute }),
    });
    await tellOfKey(ctx, 'api_key_created', id);
    return { row, key };
  });
}

/** Gives a key a new secret; the old one stays good for `overlapSeconds`. 409 `api_key_revoked`. */
export async function rotateApiKey(ctx: OutsideTx, id: string, overlapSeconds: number): Promise<MintedApiKey> {
  const { key, secret } = newApiKey(id);
  const hash = kit().tokens.hash('apiKey', secret);
  const minted = await withTransaction(ctx, async (ctx) => {
    const before = await apiKeys.get(ctx, id);
    const previous = { previousHash: before.hash, previousUntil: new Date(nowMs() + overlapSeconds * 1000) };
    const guard = { where: { hash: before.hash, revokedAt: { $exists: false } }, otherwise: revoked };
    const row = await apiKeys.update(ctx, id, { $set: { hash, ...previous, rotatedBy: ctx.actor.id } }, guard);
    await tellOfKey(ctx, 'api_key_rotated', id);
    return { row, key };
  });
  forgetApiKeys(id);
  return minted;
}

/** Ends a key for good, at once here and within a second elsewhere; 409 `api_key_revoked` the second time. */
export async function revokeApiKey(ctx: OutsideTx, id: string): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    await endKey(ctx, id);
    await tellOfKey(ctx, 'api_key_revoked', id);
  });
  forgetApiKeys(id);
}

async function endKey(tx: Tx, id: string): Promise<void> {
  const change = { $set: { revokedAt: now() }, $unset: { previousHash: '' as const, previousUntil: '' as const } };
  await apiKeys.update(tx, id, change, { where: { revokedAt: { $exists: false } }, otherwise: revoked });
}

const KEYS_AT_ONCE = 1_000;

/**
 * Ends the keys whose secret a member knows, in the transaction of what ends his right to have any; the owners are told.
 * A key that somebody else has rotated since goes on, and the secret before that rotation ends. Call `forgetApiKeys`
 * after the commit.
 */
export async function revokeKeysOf(tx: Tx, userId: string, because: string): Promise<void> {
  const known: Filter<ApiKey> = { $or: [{ rotatedBy: userId }, { createdBy: userId }] };
  const found = await apiKeys.find(tx, { revokedAt: { $exists: false }, ...known }, { limit: KEYS_AT_ONCE });
  const own = found.filter((key) => (key.rotatedBy ?? key.createdBy) === userId);
  for (const { _id } of own) await endKey(tx, _id);
  for (const { _id, version, previousHash } of found.filter((key) => !own.includes(key))) {
    if (previousHash !== undefined) await apiKeys.update(tx, _id, { $unset: { previousHash: '', previousUntil: '' } }, { version });
  }
  if (own.length > 0) await noteSecurityEvent(tx, { type: 'security.api_key_revoked', userId, details: { because, keys: own.length } });
}

async function tellOfKey(tx: Tx, type: 'api_key_created' | 'api_key_rotated' | 'api_key_revoked', keyId: string): Promise<void> {
  await noteSecurityEvent(tx, { type: `security.${type}`, userId: tx.actor.id, details: { keyId } });
}

function revoked() {
  return conflict('api_key_revoked', 'This API key was revoked');
}

/** One page of the company's keys, newest first, revoked ones too. */
export async function listApiKeys(ctx: Ctx, request: PageRequest): Promise<Page<KnownApiKey>> {
  const page = await apiKeys.list(ctx, {}, request);
  return { data: await withUses(page.data), nextCursor: page.nextCursor };
}

/** One key without its text. */
export async function getApiKey(ctx: Ctx, id: string): Promise<KnownApiKey> {
  const row = await apiKeys.get(ctx, id);
  return (await withUses([row]))[0] ?? { row };
}

async function withUses(rows: Row<ApiKey>[]): Promise<KnownApiKey[]> {
  const uses = new Map((await apiKeyUses.find({ _id: { $in: rows.map((row) => row._id) } })).map((use) => [use._id, use.lastUsedAt]));
  return rows.map((row) => {
    const lastUsedAt = uses.get(row._id);
    return { row, ...(lastUsedAt ? { lastUsedAt } : {}) };
  });
}
