import { BoundedMap } from '../../platform/bounded-map.ts';
import { numberBlocks } from './order.model.ts';

interface Block {
  next: number;
  end: number;
}

const FIRST = 1001;
const SMALL = 20;
const LARGE = 200;
const MAX_COMPANIES = 5_000;

const blocks = new BoundedMap<string, Block>(MAX_COMPANIES);
const leasing = new Map<string, Promise<Block>>();

/**
 * `count` order numbers of a company, unique for ever, from blocks leased in MongoDB. A restart leaves a gap, which
 * order numbers may have. The first block is small, so that little shops count without large gaps.
 */
export async function takeOrderNumbers(companyId: string, count: number): Promise<string[]> {
  const numbers: string[] = [];
  while (numbers.length < count) {
    const block = blocks.get(companyId);
    if (!block || block.next >= block.end) {
      await leaseOnce(companyId, count - numbers.length, block !== undefined);
      continue;
    }
    numbers.push(`DK-${block.next}`);
    block.next += 1;
  }
  return numbers;
}

/** Forgets the leased numbers of a company, after one of them turned out to be taken. */
export function dropOrderNumbers(companyId: string): void {
  blocks.delete(companyId);
}

async function leaseOnce(companyId: string, wanted: number, again: boolean): Promise<void> {
  let running = leasing.get(companyId);
  if (!running) {
    running = lease(companyId, Math.max(wanted, again ? LARGE : SMALL)).finally(() => leasing.delete(companyId));
    leasing.set(companyId, running);
  }
  await running;
}

async function lease(companyId: string, size: number): Promise<Block> {
  const row = await numberBlocks.change({ _id: `order:${companyId}` }, { $inc: { next: size } }, { upsert: true });
  const end = FIRST + (row?.next ?? size);
  const block = { next: end - size, end };
  blocks.set(companyId, block);
  return block;
}
