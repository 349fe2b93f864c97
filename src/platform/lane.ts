import { AsyncResource } from 'node:async_hooks';
import { AlreadyAnswered } from './db/answers.ts';
import { BatchConflict } from './db/collection.bulk.ts';
import type { Caller } from './context.ts';
import { AppError, unavailable } from './errors.ts';
import { nextTurn, pause } from './pause.ts';

/** One request in a lane. */
export interface LaneItem<A> {
  companyId: string;
  input: A;
  caller?: Caller;
}

/** What became of one request of a batch: its result, or its own refusal. */
export type Outcome<B> = { ok: true; value: B } | { ok: false; error: unknown };

/** What helps a batch along. */
export interface LaneAid<R> {
  /** What `prepare` made for this batch while the one before it was being committed; on its first try only. */
  ahead?: R;
  /** Told when little but the commit is left to do: the lane then prepares the next batch. */
  nearlyDone(): void;
}

export interface LaneOptions<A, B, R = never> {
  name: string;
  lanes: number;
  /** 1 turns grouping off: the same code, one request a transaction. */
  maxBatch: number;
  maxQueue: number;
  /**
   * Decides and commits a batch in one transaction. Throws when the batch as a whole failed; the lane then tries again
   * or splits it, so one bad request never hurts its neighbours.
   */
  execute(batch: readonly LaneItem<A>[], aid: LaneAid<R>): Promise<Outcome<B>[]>;
  /** Reads and decides for the next batch, or leaves it. It may be old by then, so `execute` must guard what it writes of it. */
  prepare?(batch: readonly LaneItem<A>[]): Promise<R | undefined>;
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
 * turns between companies, and commits it in one transaction. No timer. Correctness stays in the database's guards, so a
 * batch may be prepared while the one before it commits.
 */
export function makeLane<A, B, R = never>(options: LaneOptions<A, B, R>): Lane<A, B> {
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

interface Next<A, B, R> {
  batch: Waiting<A, B>[];
  ahead?: Promise<R | undefined>;
}

function oneLane<A, B, R>(options: LaneOptions<A, B, R>) {
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
        if (next.item.caller?.gone) next.reject(unavailable('caller_gave_up', 'The caller closed the connection', 1));
        else batch.push(next);
        if (batch.length >= options.maxBatch) break;
      }
    }
    return batch;
  };

  const pump = async (): Promise<void> => {
    await nextTurn();
    let next: Next<A, B, R> | undefined;
    // Bound to this flow of calls: it is told inside of a transaction, and reads outside of it.
    const nearlyDone = AsyncResource.bind((): void => {
      if (next || !options.prepare || count === 0) return;
      const batch = take();
      // What fails here is done again, and told, when the batch's turn has come.
      if (batch.length > 0) next = { batch, ahead: options.prepare(batch.map((w) => w.item)).catch(() => undefined) };
    });
    while (next || count > 0) {
      const { batch, ahead } = next ?? { batch: take() };
      next = undefined;
      if (batch.length === 0) continue;
      options.onBatch?.(batch.length, count);
      await settle(options, batch, { ahead: await ahead, nearlyDone });
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
      await nextTurn();
    },
  };
}

/** Runs a batch to the end: whole, then again after a conflict, then one by one. Every waiting caller is answered. */
async function settle<A, B, R>(options: LaneOptions<A, B, R>, batch: Waiting<A, B>[], { ahead, nearlyDone }: LaneAid<R>): Promise<void> {
  const single = batch.length === 1;
  const tries = single ? SINGLE_TRIES : BATCH_TRIES;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const aid = attempt === 1 && ahead !== undefined ? { ahead, nearlyDone } : { nearlyDone };
      const outcomes = await options.execute(batch.map((w) => w.item), aid);
      const answers = batch.map((waiting, i) => ({ waiting, outcome: outcomes[i] ?? missing(options.name) }));
      // In a later turn: the next batch's first command is under way before the callers' answers are made.
      void nextTurn().then(() => answers.forEach(answer));
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
      for (const w of batch) await settle(options, [w], { nearlyDone });
      return;
    }
  }
}

function answer<A, B>({ waiting, outcome }: { waiting: Waiting<A, B>; outcome: Outcome<B> }): void {
  if (outcome.ok) waiting.resolve(outcome.value);
  else waiting.reject(outcome.error);
}

function missing(lane: string): Outcome<never> {
  return { ok: false, error: new Error(`${lane}: a request of the batch has no outcome`) };
}

/** A database that is away or too busy will not serve the same requests one by one either. */
function isOverload(error: unknown): boolean {
  return error instanceof AppError && error.kind === 'unavailable' && !(error.cause instanceof AlreadyAnswered);
}
