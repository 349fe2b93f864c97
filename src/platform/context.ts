import type { Permission } from './permissions.ts';

/** The company id under which the platform's own rows live (staff, default rate cards, reference data). */
export const PLATFORM_COMPANY_ID = '000000000000000000000000';

export type ActorKind = 'user' | 'operator' | 'apiKey' | 'courier' | 'system' | 'anonymous';

/** Who asks. `locationIds` limits a member to some locations; undefined means all of the company's. */
export interface Actor {
  readonly kind: ActorKind;
  readonly id: string;
  readonly role?: string;
  readonly sessionId?: string;
  readonly permissions: ReadonlySet<Permission>;
  readonly locationIds?: readonly string[];
}

/** The answer of an idempotent request: made from the command's result, stored in the command's own transaction. */
export interface AnswerRecorder {
  readonly key: string;
  /** Of the body; a route that reads its own stream sets it when the stream has been read (`replayOnceHashed`). */
  requestHash: string;
  /** Renders the row that replays this result; must be pure, it runs once per attempt. */
  render(result: unknown): StoredAnswer;
}

/** What a replay needs: status, the body as text, and the few headers that belong to it. */
export interface StoredAnswer {
  readonly status: number;
  readonly body: string;
  readonly etag?: string;
}

/** Whether the caller still waits. */
export interface Caller {
  /** True once the connection was closed before its answer. */
  readonly gone: boolean;
  /** The same for what takes a signal, such as `fetch`; made only when it is asked for. */
  signal(): AbortSignal;
}

/** Marks contexts inside a transaction, for the compiler and at run time. */
export const insideTransaction: unique symbol = Symbol('insideTransaction');

/** Who asks, for which company, in which request. Enough to read. */
export interface Ctx {
  readonly actor: Actor;
  readonly companyId: string;
  readonly requestId: string;
  readonly caller?: Caller;
  readonly answer?: AnswerRecorder;
  /** Set only by `acrossCompanies` and `beforeSignIn`: reads are then not limited to one company. */
  readonly across?: string;
}

/** A Ctx that certainly has no session: what a command takes, so transactions cannot nest. */
export type OutsideTx = Ctx & { readonly [insideTransaction]?: never };

/** The part of a Tx that business code sees; only `withTransaction` makes one (class TxHandle in db/tx.ts). */
export interface InsideTx extends Ctx {
  readonly [insideTransaction]: true;
}

export type { Tx } from './db/tx.ts';

/** The context of a request whose sender is known. */
export function requestCtx(actor: Actor, companyId: string, requestId: string, caller?: Caller): OutsideTx {
  return { actor, companyId, requestId, caller };
}

const NOBODY: ReadonlySet<Permission> = new Set();

/** The context of schedules, jobs and event consumers; `reason` is what the audit log shows as the actor. */
export function systemCtx(reason: string, companyId: string, requestId = `sys-${reason}`): OutsideTx {
  return { actor: { kind: 'system', id: reason, permissions: NOBODY }, companyId, requestId };
}

/** The context of a request before anybody has signed in: may look users up by e-mail or token, in any company. */
export function beforeSignIn(requestId: string, caller?: Caller): OutsideTx {
  return {
    actor: { kind: 'anonymous', id: 'anonymous', permissions: NOBODY },
    companyId: PLATFORM_COMPANY_ID,
    requestId,
    caller,
    across: 'before sign-in',
  };
}

/** Reads of staff or the machinery over all companies; `reason` says why. Writes still need `inCompany`. */
export function acrossCompanies(ctx: Ctx, reason: string): OutsideTx {
  return { actor: ctx.actor, companyId: ctx.companyId, requestId: ctx.requestId, caller: ctx.caller, across: reason };
}

/** The same asker, acting inside one named company (staff decisions, registration, consumers). */
export function inCompany(ctx: Ctx, companyId: string): OutsideTx {
  return { actor: ctx.actor, companyId, requestId: ctx.requestId, caller: ctx.caller, answer: ctx.answer };
}
