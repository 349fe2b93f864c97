import { AsyncLocalStorage } from 'node:async_hooks';
import type mongoose from 'mongoose';
import { insideTransaction, type Actor, type AnswerRecorder, type Caller, type Ctx, type InsideTx, type StoredAnswer } from '../context.ts';

type ClientSession = mongoose.mongo.ClientSession;

/** One change of one stored row, as the audit log keeps it: names of fields, never their values. */
export interface Change {
  collection: string;
  rowId: string;
  action: 'insert' | 'update' | 'delete' | 'read';
  fields: readonly string[];
  actorKind: string;
  actorId: string;
  companyId: string;
  requestId: string;
}

/** Something that happened, told to subscribers after the commit. `key` orders events that belong together. */
export interface DomainEvent {
  type: string;
  key: string;
  payload: Record<string, unknown>;
}

/** A piece of background work that exists only if the transaction that asked for it commits. */
export interface JobRequest {
  name: string;
  payload: Record<string, unknown>;
  runAt?: Date;
  /** At most one open job per (name, dedupeKey). */
  dedupeKey?: string;
}

/** What one attempt of one transaction has gathered; born again with each attempt. */
export interface TxState {
  readonly session: ClientSession;
  open: boolean;
  /** The first error of a command in this transaction: it ends the transaction, even when the body catches it. */
  failed?: unknown;
  readonly changes: Change[];
  readonly events: (DomainEvent & { companyId: string; requestId: string })[];
  readonly jobs: (JobRequest & { companyId: string; requestId: string })[];
  readonly answers: (StoredAnswer & { key: string; requestHash: string; companyId: string; recorder: AnswerRecorder })[];
}

const states = new WeakMap<Tx, TxState>();

/** Answers that have committed: a command with several transactions stores its answer with the first one only. */
const committedAnswers = new WeakSet<AnswerRecorder>();

let flows: AsyncLocalStorage<TxState> | undefined;

/**
 * From now on this process sees a door that is used without the session while a transaction is open in the same flow of
 * calls. For tests: what it finds is a fault of the program, and to follow every promise costs an order 5 % of its CPU.
 */
export function watchFlows(): void {
  flows ??= new AsyncLocalStorage<TxState>();
}

/** The transaction that this flow of calls is in, where flows are watched. */
export const openTransaction = {
  run: <T>(state: TxState, work: () => T): T => (flows ? flows.run(state, work) : work()),
  current: (): TxState | undefined => flows?.getStore(),
  exit: (work: () => void): void => (flows ? flows.exit(work) : work()),
};

/**
 * A Ctx inside an open transaction. A class with private state, so a copy by spreading is not one, neither for the
 * compiler nor at run time. Made by `withTransaction` only.
 */
export class Tx implements InsideTx {
  readonly [insideTransaction] = true as const;
  readonly actor: Actor;
  readonly companyId: string;
  readonly requestId: string;
  readonly caller?: Caller;
  readonly answer?: AnswerRecorder;
  readonly #brand = true;

  private constructor(ctx: Ctx, state: TxState) {
    this.actor = ctx.actor;
    this.companyId = ctx.companyId;
    this.requestId = ctx.requestId;
    this.caller = ctx.caller;
    this.answer = ctx.answer;
    states.set(this, state);
    Object.freeze(this);
  }

  /** The only maker; called by `withTransaction`. */
  static begin(ctx: Ctx, state: TxState): Tx {
    return new Tx(ctx, state);
  }

  static isTx(value: unknown): value is Tx {
    return typeof value === 'object' && value !== null && #brand in value;
  }

  /** The same transaction for another asker: own actor, company, audit rows, events and stored answer (lanes). */
  for(ctx: Ctx): Tx {
    return new Tx(ctx, stateOf(this));
  }

  /** Tells subscribers after the commit, at least once. */
  emit(event: DomainEvent): void {
    stateOf(this).events.push({ ...event, companyId: this.companyId, requestId: this.requestId });
  }

  /** Asks for background work that exists only if this transaction commits. */
  enqueue(job: JobRequest): void {
    stateOf(this).jobs.push({ ...job, companyId: this.companyId, requestId: this.requestId });
  }

  /** Stores the answer of this asker's idempotent request with the transaction. `withTransaction` does it for its own ctx. */
  answerWith(result: unknown): void {
    const { answer: recorder, companyId } = this;
    if (!recorder || committedAnswers.has(recorder)) return;
    const { key, requestHash } = recorder;
    stateOf(this).answers.push({ ...recorder.render(result), key, requestHash, companyId, recorder });
  }
}

/** Notes in the audit log that somebody looked at what is not his own, with the transaction. */
export function noteRead(tx: Tx, { collection, rowId, fields }: Pick<Change, 'collection' | 'rowId' | 'fields'>): void {
  const { actor, companyId, requestId } = tx;
  stateOf(tx).changes.push({ collection, rowId, action: 'read', fields, actorKind: actor.kind, actorId: actor.id, companyId, requestId });
}

/** Notes that these answers are stored, so that later transactions of the same commands leave them alone. */
export function noteCommitted(state: TxState): void {
  for (const { recorder } of state.answers) committedAnswers.add(recorder);
}

/**
 * Runs one command of a transaction. Its error ends the transaction: the server has aborted it, or half of a bulk is
 * done, so going on after a catch throws the same error again instead of meeting NoSuchTransaction until the deadline.
 */
export async function inTransaction<T>(tx: Tx, work: (session: ClientSession) => Promise<T>): Promise<T> {
  const state = stateOf(tx);
  try {
    return await work(state.session);
  } catch (error) {
    state.failed ??= error;
    throw error;
  }
}

/**
 * The state of a Tx that is still open; throws for a copy, a forgery, or one whose transaction has ended, and again the
 * error that has ended it.
 */
export function stateOf(tx: Tx): TxState {
  const state = Tx.isTx(tx) ? states.get(tx) : undefined;
  if (!state) throw new Error('Not a transaction context: a Tx cannot be copied or made by hand');
  if (!state.open) throw new Error('This transaction has ended: its Tx was kept and used afterwards');
  if (state.failed !== undefined) throw state.failed;
  return state;
}

/**
 * The session a read or write of `ctx` must use: the transaction's, or none. Throws when a transaction is open in this
 * flow of calls and `ctx` is not its Tx (a captured outer ctx would silently work outside the transaction).
 */
export function sessionFor(ctx: Ctx): ClientSession | undefined {
  const open = openTransaction.current();
  if (Tx.isTx(ctx)) {
    const state = stateOf(ctx);
    if (open && open.open && open !== state) throw new Error('A Tx of another transaction was used inside this one');
    return state.session;
  }
  if (insideTransaction in ctx) throw new Error('Not a transaction context: a Tx cannot be copied or made by hand');
  if (open?.open) throw new Error('The outer ctx was used inside a transaction: use the Tx that the body was given');
  return undefined;
}
