import type { AddressBlock, AddressBlocks } from '../../platform/address-gate.ts';
import { now, nowMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, inCompany, systemCtx, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import { followChanges } from '../../platform/db/change-feed.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, notFound } from '../../platform/errors.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { addressRefusals, blockedAddresses, type BlockedAddress } from './address.model.ts';
import { parseAddress } from './address.rules.ts';

/** More automatic blocks than this are not made: who has as many addresses is not stopped by the next one. */
const MAX_HELD = 10_000;
const OWN = systemCtx('limits', PLATFORM_COMPANY_ID);

interface Held extends AddressBlock {
  id: string;
}
const held = new Map<string, Held>();
const keyOfId = new Map<string, string>();

function hold(row: Row<BlockedAddress>): void {
  if (held.size >= MAX_HELD && !held.has(row.address)) dropEnded();
  if (held.size >= MAX_HELD && row.kind === 'automatic') return;
  held.set(row.address, { id: row._id, automatic: row.kind === 'automatic', untilMs: row.until.getTime() });
  keyOfId.set(row._id, row.address);
}

function release(id: string): void {
  const key = keyOfId.get(id);
  keyOfId.delete(id);
  if (key !== undefined && held.get(key)?.id === id) held.delete(key);
}

function dropEnded(): void {
  for (const { id, untilMs } of [...held.values()]) if (untilMs <= nowMs()) release(id);
}

/** The blocks as this process knows them: its own at once, those of others within about a second. */
export const addressBlocks: AddressBlocks = {
  find(key) {
    const found = held.get(key);
    return found && found.untilMs > nowMs() ? found : undefined;
  },
  async count(key) {
    // Who is not blocked any more for want of room would write a row a call.
    if (held.size >= MAX_HELD) return 0;
    const windowEndsAt = new Date(nowMs() + runtime().config.rateLimitBlockWindowSeconds * 1_000);
    const over = { $lte: [{ $ifNull: ['$windowEndsAt', new Date(0)] }, now()] };
    const counted = { count: { $cond: [over, 1, { $add: ['$count', 1] }] }, windowEndsAt: { $cond: [over, windowEndsAt, '$windowEndsAt'] } };
    const row = await addressRefusals.change({ _id: key }, [{ $set: counted }] as never, { upsert: true });
    return row?.count ?? 0;
  },
  async add(key, requestId) {
    if (addressBlocks.find(key) || held.size >= MAX_HELD) return;
    const until = new Date(nowMs() + runtime().config.rateLimitBlockSeconds * 1_000);
    const ctx = systemCtx('limits', PLATFORM_COMPANY_ID, requestId);
    await putBlock(ctx, { address: key, kind: 'automatic', reason: 'Kept hitting limits without sign-in', until }).catch((error: unknown) => {
      // Another process was first.
      if (!(error instanceof AppError)) throw error;
    });
  },
};

/** Follows the blocks of all processes; the answer stops it. */
export async function followBlocks(): Promise<() => Promise<void>> {
  return followChanges<Row<BlockedAddress>>({
    collection: 'blocked_addresses',
    match: {},
    async onOpen() {
      const live = await blockedAddresses.find(OWN, { until: { $gt: now() } }, { limit: MAX_HELD });
      held.clear();
      keyOfId.clear();
      for (const row of live) hold(row);
    },
    onChange({ id, row }) {
      if (row) hold(row);
      else release(id);
    },
  });
}

export interface BlockRequest {
  address: string;
  reason: string;
  seconds?: number;
}

/** Blocks an address, for as long as an automatic block unless told; a block that it has is replaced. */
export async function blockAddress(ctx: OutsideTx, { address, reason, seconds }: BlockRequest): Promise<Row<BlockedAddress>> {
  const until = new Date(nowMs() + (seconds ?? runtime().config.rateLimitBlockSeconds) * 1_000);
  return putBlock(ctx, { address: parseAddress(address), kind: 'manual', reason: reason.trim() || reason, until });
}

async function putBlock(ctx: OutsideTx, block: BlockedAddress): Promise<Row<BlockedAddress>> {
  const row = await withTransaction(inCompany(ctx, PLATFORM_COMPANY_ID), async (ctx) => {
    const present = await blockedAddresses.findOne(ctx, { address: block.address });
    const { kind, address } = block;
    const put = present ? await blockedAddresses.update(ctx, present._id, { $set: { ...block } }, { version: present.version }) : await blockedAddresses.insert(ctx, block);
    await noteSecurityEvent(ctx, { type: 'security.address_blocked', address, details: { kind, until: block.until.toISOString() } });
    return put;
  });
  hold(row);
  return row;
}

/** One page of the blocks that hold, newest first. */
export async function listBlocks(ctx: Ctx, request: PageRequest): Promise<Page<Row<BlockedAddress>>> {
  return blockedAddresses.list(inCompany(ctx, PLATFORM_COMPANY_ID), { until: { $gt: now() } }, request);
}

/** Lifts the block with this id; 404 when there is none. */
export async function unblock(ctx: OutsideTx, id: string): Promise<void> {
  await lift(ctx, async (tx) => blockedAddresses.get(tx, id));
}

/** Lifts the block of an address; 404 when there is none. */
export async function unblockAddress(ctx: OutsideTx, address: string): Promise<void> {
  const key = parseAddress(address);
  await lift(ctx, async (tx) => blockedAddresses.findOne(tx, { address: key }));
}

async function lift(ctx: OutsideTx, find: (tx: Tx) => Promise<Row<BlockedAddress> | undefined>): Promise<void> {
  const lifted = await withTransaction(inCompany(ctx, PLATFORM_COMPANY_ID), async (ctx) => {
    const row = await find(ctx);
    if (!row) throw notFound('blocked_address');
    await blockedAddresses.remove(ctx, row._id, { version: row.version });
    await noteSecurityEvent(ctx, { type: 'security.address_unblocked', address: row.address });
    return row;
  });
  release(lifted._id);
}
