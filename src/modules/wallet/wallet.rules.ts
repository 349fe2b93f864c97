import { conflict, type AppError } from '../../platform/errors.ts';
import { present } from '../../platform/present.ts';
import { isPaise } from '../../platform/money.ts';
import type { EntryKind, EntryLine, Leg, LedgerEntry } from './wallet.model.ts';

export interface WalletBalance {
  balancePaise: number;
  heldPaise: number;
  creditLimitPaise: number;
  /** balance − held + credit limit. */
  availablePaise: number;
}

/** The wallet of a company that has had no money yet. */
export const EMPTY_WALLET: WalletBalance = { balancePaise: 0, heldPaise: 0, creditLimitPaise: 0, availablePaise: 0 };

/** True when a hold of this amount stays within balance − held + credit limit; a hold of nothing always does. */
export function canHold(balance: Pick<WalletBalance, 'availablePaise'>, amountPaise: number): boolean {
  return amountPaise === 0 || balance.availablePaise >= amountPaise;
}

/** 409 `insufficient_balance` with what there is and what it takes. */
export function insufficientBalance(balance: Pick<WalletBalance, 'availablePaise'>, neededPaise: number): AppError {
  const { availablePaise } = balance;
  return conflict('insufficient_balance', 'The wallet does not have enough; top it up first', { availablePaise, neededPaise });
}

/** What an event means for the money, before it is written. */
export interface Movement {
  kind: EntryKind;
  amountPaise: number;
  cause: string;
  key?: string | undefined;
  shipmentId?: string | undefined;
  orderId?: string | undefined;
  awb?: string | undefined;
  paymentId?: string | undefined;
  lines?: readonly EntryLine[] | undefined;
  deliveredAt?: Date | undefined;
}

type EntryFields = Omit<LedgerEntry, 'actorKind' | 'actorId'>;

/** The two legs of each kind for a positive amount: who has more, who has less. */
const LEGS: Readonly<Record<EntryKind, readonly [plus: Leg['account'], minus: Leg['account']] | undefined>> = {
  topup: ['wallet', 'provider'],
  topup_refund: ['provider', 'wallet'],
  credit: ['wallet', 'platform_credit'],
  adjustment: ['wallet', 'platform_credit'],
  credit_limit: undefined,
  hold: ['held', 'wallet'],
  release: ['wallet', 'held'],
  charge: ['platform_revenue', 'held'],
  rto_freight: ['platform_revenue', 'wallet'],
  cod_refund: ['wallet', 'platform_revenue'],
  cod_due: ['cod_payable', 'courier_receivable'],
  cod_reversed: ['courier_receivable', 'cod_payable'],
};

/** Kinds that the statement shows with a minus for a positive amount. */
const TAKES: ReadonlySet<EntryKind> = new Set(['topup_refund', 'hold', 'charge', 'rto_freight', 'cod_reversed']);
/** Kinds whose amount may have either sign. */
const SIGNED: ReadonlySet<EntryKind> = new Set(['adjustment', 'credit_limit']);

/** The ledger entry of a movement: two legs that sum to zero and what they change. Throws for anything but whole paise. */
export function entryOf(movement: Movement): EntryFields {
  const { kind, amountPaise, cause, lines, ...refs } = movement;
  if (!isPaise(amountPaise)) throw new Error(`A ${kind} must be a whole number of paise`);
  if (amountPaise < 0 && !SIGNED.has(kind)) throw new Error(`A ${kind} cannot be negative`);
  const sides = LEGS[kind];
  const legs: Leg[] = sides
    ? [
        { account: sides[0], amountPaise },
        { account: sides[1], amountPaise: minus(amountPaise) },
      ]
    : [];
  const heldChangePaise = sumOf(legs, 'held');
  return {
    kind,
    amountPaise: TAKES.has(kind) ? minus(amountPaise) : amountPaise,
    balanceChangePaise: sumOf(legs, 'wallet') + heldChangePaise,
    heldChangePaise,
    creditLimitChangePaise: kind === 'credit_limit' ? amountPaise : 0,
    legs,
    cause: cause.slice(0, 300),
    ...present(refs),
    ...(lines === undefined || lines.length === 0 ? {} : { lines: lines.map(({ code, amountPaise: part }) => ({ code, amountPaise: part })) }),
  };
}

/** −0 would be stored and shown as such. */
function minus(amountPaise: number): number {
  return amountPaise === 0 ? 0 : -amountPaise;
}

function sumOf(legs: readonly Leg[], account: Leg['account']): number {
  return legs.reduce((sum, leg) => (leg.account === account ? sum + leg.amountPaise : sum), 0);
}

/** What some entries change in a wallet's sums. */
export interface WalletChange extends WalletBalance {
  entries: number;
}

/** The sums over entries; `availablePaise` is balance − held + credit limit of the change. */
export function changeOf(entries: readonly Pick<LedgerEntry, 'balanceChangePaise' | 'heldChangePaise' | 'creditLimitChangePaise'>[]): WalletChange {
  const change = { balancePaise: 0, heldPaise: 0, creditLimitPaise: 0, availablePaise: 0, entries: entries.length };
  for (const entry of entries) {
    change.balancePaise += entry.balanceChangePaise;
    change.heldPaise += entry.heldChangePaise;
    change.creditLimitPaise += entry.creditLimitChangePaise;
    change.availablePaise += entry.balanceChangePaise - entry.heldChangePaise + entry.creditLimitChangePaise;
  }
  return change;
}
