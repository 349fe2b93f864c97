import { nowMs } from './clock.ts';
import type { MachineRows } from './db/machine-rows.ts';
import { runtime } from './runtime.ts';

/** How long rows of one kind are kept, and how the old ones go. Kinds whose end is known when they are written have a TTL index instead. */
export interface Retention {
  name: string;
  /** From the settings; 0 keeps them for ever. */
  days(): number;
  /** Removes some that are older than `before`, at most about `most`; answers how many, so that fewer than `most` means the end. */
  sweep(before: Date, most: number): Promise<number>;
}

const DAY_MS = 86_400_000;
const BATCH = 1_000;
/** One sweep ends after this many batches of one kind; the next one goes on. */
const MAX_BATCHES = 500;

let registered: readonly Retention[] = [];

/** Says what this process sweeps; called once at start, because modules do not know each other's. */
export function registerRetention(all: readonly Retention[]): void {
  registered = all;
}

/** Removes what is older than its settings allow, in bounded batches; answers how many rows of each kind went. */
export async function sweepRetention(): Promise<Record<string, number>> {
  const removed: Record<string, number> = {};
  for (const kind of registered) {
    const days = kind.days();
    if (days === 0) continue;
    const before = new Date(nowMs() - days * DAY_MS);
    let total = 0;
    for (let batch = 0; batch < MAX_BATCHES; batch += 1) {
      const n = await kind.sweep(before, BATCH);
      total += n;
      if (n < BATCH) break;
    }
    removed[kind.name] = total;
    if (total > 0) runtime().log.info('retention.swept', { kind: kind.name, count: total, before });
  }
  return removed;
}

/** Removes at most `most` rows that match; for the usual `sweep`. */
export async function removeSome<R extends { _id: string }>(rows: MachineRows<R>, filter: Parameters<MachineRows<R>['find']>[0], most: number): Promise<number> {
  const ids = (await rows.find(filter, { limit: most, fields: ['_id'] })).map((row) => row._id);
  return ids.length === 0 ? 0 : rows.remove({ _id: { $in: ids } } as Parameters<MachineRows<R>['remove']>[0]);
}
