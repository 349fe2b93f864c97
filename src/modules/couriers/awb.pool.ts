import { now, nowMs } from '../../platform/clock.ts';
import { conflict } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { runtime } from '../../platform/runtime.ts';
import { awbFromSerial, blockFrom, MAX_AWB_SERIAL } from './awb.rules.ts';
import { awbRows } from './courier.model.ts';

/** Which of these numbers are on shipments already; given by the module that stores shipments. */
export type UsedAwbs = (courier: string, awbs: readonly string[]) => Promise<ReadonlySet<string>>;

interface Leased {
  id: string;
  leaseUntilMs: number;
  serials: number[];
}

const LEASE_MS = 600_000;
/** A block is not used in its last moments, so that a booking under way ends before somebody else may take it over. */
const MARGIN_MS = 30_000;
const FIRST_SERIAL = 1;

const owner = newId();
const held = new Map<string, Leased>();
const leasing = new Map<string, Promise<void>>();

/**
 * `count` AWBs of a courier whose numbers we give, from blocks leased outside any transaction. A number is used once:
 * the unique index on shipments decides. What a killed or failed process has not used comes back when its lease ends,
 * because the block's row stays until all its serials are found on shipments.
 */
export async function takeAwbs(series: { courier: string; prefix: string; used: UsedAwbs }, count: number): Promise<string[]> {
  const awbs: string[] = [];
  while (awbs.length < count) {
    const block = held.get(series.courier);
    if (!block || block.serials.length === 0 || block.leaseUntilMs - MARGIN_MS <= nowMs()) {
      await leaseOnce(series, count - awbs.length);
      continue;
    }
    for (const serial of block.serials.splice(0, count - awbs.length)) awbs.push(awbFromSerial(series.prefix, serial));
  }
  return awbs;
}

/** Forgets this process's block, after one of its numbers turned out to be taken; its row comes back with its lease. */
export function dropAwbs(courier: string): void {
  held.delete(courier);
}

/** Gives the blocks of this process back, so that another one may use their free numbers at once. */
export async function returnAwbs(): Promise<void> {
  const blocks = [...held.values()];
  held.clear();
  for (const { id } of blocks) await awbRows.change({ _id: id, owner }, { $set: { leaseUntil: new Date(0) } });
}

async function leaseOnce(series: { courier: string; prefix: string; used: UsedAwbs }, wanted: number): Promise<void> {
  let running = leasing.get(series.courier);
  if (!running) {
    running = lease(series, wanted).finally(() => leasing.delete(series.courier));
    leasing.set(series.courier, running);
  }
  await running;
}

async function lease(series: { courier: string; prefix: string; used: UsedAwbs }, wanted: number): Promise<void> {
  const { courier } = series;
  held.set(courier, (await takeOver(series)) ?? (await newBlock(courier, wanted)));
}

/** Abandoned and used-up blocks: their free serials, oldest first; a block without any is done with. */
async function takeOver({ courier, prefix, used }: { courier: string; prefix: string; used: UsedAwbs }): Promise<Leased | undefined> {
  for (;;) {
    const leaseUntil = new Date(nowMs() + LEASE_MS);
    const mine = await awbRows.change({ awbCourier: courier, leaseUntil: { $lt: now() } }, { $set: { owner, leaseUntil } }, { sort: { leaseUntil: 1 } });
    if (!mine || mine.from === undefined || mine.to === undefined) return undefined;
    const first = mine.from;
    const serials = Array.from({ length: mine.to - first + 1 }, (_, i) => first + i);
    const taken = await used(courier, serials.map((serial) => awbFromSerial(prefix, serial)));
    const free = serials.filter((serial) => !taken.has(awbFromSerial(prefix, serial)));
    if (free.length > 0) return { id: mine._id, leaseUntilMs: leaseUntil.getTime(), serials: free };
    // Only a block that the series has passed may go: without its row its serials would be given out again.
    await passBlock(courier, mine.to);
    await awbRows.remove({ _id: mine._id, owner });
  }
}

/** The block's row is the claim, so a process killed between two commands here loses no number. */
async function newBlock(courier: string, wanted: number): Promise<Leased> {
  const size = Math.max(wanted, runtime().config.awbBlockSize);
  for (let next = (await awbRows.findOne({ _id: seriesId(courier) }))?.next ?? FIRST_SERIAL; ; ) {
    const block = blockFrom(next, size);
    if (!block) throw conflict('awb_series_used_up', `The ${courier} series of ${MAX_AWB_SERIAL} numbers is used up`);
    const { from, to } = block;
    const leaseUntil = new Date(nowMs() + LEASE_MS);
    const id = `${seriesId(courier)}:${from}`;
    const claimed = await awbRows.insertNew([{ _id: id, awbCourier: courier, from, to, owner, leaseUntil }]);
    if (claimed.size === 1) {
      await passBlock(courier, to);
      return { id, leaseUntilMs: leaseUntil.getTime(), serials: Array.from({ length: to - from + 1 }, (_, i) => from + i) };
    }
    const other = await awbRows.findOne({ _id: id });
    next = Math.max((await awbRows.findOne({ _id: seriesId(courier) }))?.next ?? next, (other?.to ?? next) + 1);
  }
}

function seriesId(courier: string): string {
  return `awb:${courier}`;
}

async function passBlock(courier: string, to: number): Promise<void> {
  await awbRows.change({ _id: seriesId(courier) }, { $max: { next: to + 1 } }, { upsert: true });
}
