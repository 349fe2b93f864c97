import { AlreadyAnswered } from './db/answers.ts';
import { BatchConflict } from './db/collection.bulk.ts';
import { AppError, unavailable } from './errors.ts';
import { pause } from './pause.ts';

/** One request in a lane. */
export interface LaneItem<A> {
  companyId: string;
  input: A;
  signal?: AbortSignal;
}

/** What became of one request of a batch: its result, or its own refusal. */
export type Outcome<B> = { ok: true; value: B } | { ok: false; error: unknown };

export interface LaneOptions<A, B> {
  name: string;
  lanes: number;
  /** 1 turns grouping off: the same code, one request a transaction. */
  maxBatch: number;
  maxQueue: number;
  /**
   * Decides and commits a batch in one transaction. Throws when the batch as a whole failed; the lane then tries again
   * or splits it, so one bad request never hurts its neighbours.
   */
  execute(batch: readonly LaneItem<A>[]): Promise<Outcome<B>[]>;
  onBatch?: (size: number, queued: number) => void;
}

export interface Lane<A, B> {
  /** Answers after the commit; 503 `busy` when the queue is full or the lane is closing. */
  submit(item: LaneItem<A>): Promise<B>;
  queued(): number;
  /** Finishes what is queued and refuses new requests. */
  drain(): Promise<void>;
}

interface Waiting<A, B> {
  item: LaneItem<A>;
  resolve: (value: B) => void;
  reject: (error: unknown) => void;
}

const BATCH_TRIES = 3;
const SINGLE_TRIES = 40;

/**
 * Group commit: companies are hashed over a few lanes; each takes what queued while its last batch was on its way, in
 * turns between companies, and commits it in one transaction. No timer. Correctness stays in the database's guards.
 */
export function makeLane<A, B>(options: LaneOptions<A, B>): Lane<A, B> {
  const lanes = Array.from({ length: options.lanes }, () => oneLane(options));
  let closing = false;
  const queued = (): number => lanes.reduce((n, lane) => n + lane.queued(), 0);
  return {
    submit(item) {
      if (closing) return Promise.reject(unavailable('shutting_down', 'The service is shutting down; try again', 1));
      if (queued() >= options.maxQueue) return Promise.reject(unavailable('busy', 'Too many requests are waiting; try again', 1));
      const lane = lanes[hash(item.companyId) % lanes.length];
      if (!lane) throw new Error('A lane group has at least one lane');
      return lane.submit(item);
    },
    queued,
    async drain() {
      closing = true;
      await Promise.all(lanes.map((lane) => lane.idle()));
    },
  };
}

function hash(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}

function oneLane<A, B>(options: LaneOptions<A, B>) {
  const byCompany = new Map<string, Waiting<A, B>[]>();
  let count = 0;
  let pumping: Promise<void> | undefined;

  const take = (): Waiting<A, B>[] => {
    const batch: Waiting<A, B>[] = [];
    while (batch.length < options.maxBatch && count > 0) {
      for (const [companyId, queue] of byCompany) {
        const next = queue.shift();
        if (queue.length === 0) byCompany.delete(companyId);
        if (!next) continue;
        count -= 1;
        if (next.item.signal?.aborted) next.reject(unavailable('caller_gave_up', 'The caller closed the connection', 1));
        else batch.push(next);
        if (batch.length >= options.maxBatch) break;
      }
    }
    return batch;
  };

  const pump = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    while (count > 0) {
      const batch = take();
      if (batch.length === 0) continue;
      options.onBatch?.(batch.length, count);
      await settle(options, batch);
    }
    // Cleared in the same turn as the last look at the queue, so that nobody who comes now is left waiting.
    pumping = undefined;
  };

  return {
    submit(item: LaneItem<A>): Promise<B> {
      return new Promise<B>((resolve, reject) => {
        const queue = byCompany.get(item.companyId) ?? [];
        queue.push({ item, resolve, reject });
        byCompany.set(item.companyId, queue);
        count += 1;
        pumping ??= pump();
      });
    },
    queued: () => count,
    async idle() {
      while (pumping) await pumping;
    },
  };
}

/** Runs a batch to the end: whole, then again after a conflict, then one by one. Every waiting caller is answered. */
async function settle<A, B>(options: LaneOptions<A, B>, batch: Waiting<A, B>[]): Promise<void> {
  const single = batch.length === 1;
  const tries = single ? SINGLE_TRIES : BATCH_TRIES;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const outcomes = await options.execute(batch.map((w) => w.item));
      batch.forEach((w, i) => {
        const outcome = outcomes[i];
        if (outcome?.ok) w.resolve(outcome.value);
        else w.reject(outcome ? outcome.error : new Error(`${options.name}: a request of the batch has no outcome`));
      });
      return;
    } catch (error) {
      const again = error instanceof BatchConflict && attempt < tries;
      if (again) {
        await pause(Math.random() * Math.min(50, 2 ** attempt));
        continue;
      }
      if (single) {
        batch[0]?.reject(error instanceof BatchConflict ? unavailable('busy', 'Too many changes at once; try again', 1, error) : error);
        return;
      }
      if (isOverload(error)) {
        for (const w of batch) w.reject(error);
        return;
      }
      for (const w of batch) await settle(options, [w]);
      return;
    }
  }
}

/** A database that is away or too busy will not serve the same requests one by one either. */
function isOverload(error: unknown): boolean {
  return error instanceof AppError && error.kind === 'unavailable' && !(error.cause instanceof AlreadyAnswered);
}
