import { defineCollection } from '../../platform/db/collection.ts';

/** A company's wallet: kept sums over its ledger entries, so that a guard can hold in the database. */
export interface Wallet {
  /** Money of the company here, holds included. Negative is a debt. */
  balancePaise: number;
  /** The part of the balance that booked and not yet picked up shipments have reserved. */
  heldPaise: number;
  creditLimitPaise: number;
  /** balance − held + credit limit: what a booking may still hold. Negative only through debts such as RTO freight. */
  availablePaise: number;
  /** How many ledger entries the sums above are made of. */
  entries: number;
}

export const wallets = defineCollection<Wallet>({
  name: 'wallets',
  rowName: 'wallet',
  fields: {
    balancePaise: { type: Number, required: true },
    heldPaise: { type: Number, required: true },
    creditLimitPaise: { type: Number, required: true },
    availablePaise: { type: Number, required: true },
    entries: { type: Number, required: true },
  },
  indexes: [{ keys: { companyId: 1 }, unique: true, name: 'one_per_company' }],
  // Every change comes with a ledger entry, which says who, when, how much and why.
  audited: false,
});

export const ENTRY_KINDS = [
  'topup',
  'topup_refund',
  'credit',
  'adjustment',
  'credit_limit',
  'hold',
  'release',
  'charge',
  'rto_freight',
  'cod_refund',
  'cod_due',
  'cod_reversed',
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

/** `wallet` is the company's free money and `held` its reserved money; the others are the far side of a posting. */
export type Account = 'wallet' | 'held' | 'platform_revenue' | 'platform_credit' | 'provider' | 'cod_payable' | 'courier_receivable';

export interface Leg {
  account: Account;
  /** Plus: the account has more. */
  amountPaise: number;
}

/** One price line that an amount is made of. */
export interface EntryLine {
  code: string;
  amountPaise: number;
}

/** One business event about a company's money; its legs sum to zero. Never changed, never removed. */
export interface LedgerEntry {
  kind: EntryKind;
  /** What the statement shows: the effect on the balance; of hold and release the effect on what is available. */
  amountPaise: number;
  balanceChangePaise: number;
  heldChangePaise: number;
  creditLimitChangePaise: number;
  legs: Leg[];
  /** What may happen only once per company, such as `hold:<shipmentId>`. */
  key?: string;
  shipmentId?: string;
  orderId?: string;
  awb?: string;
  paymentId?: string;
  cause: string;
  lines?: EntryLine[];
  /** Of COD dues: when the parcel was delivered. */
  deliveredAt?: Date;
  actorKind: string;
  actorId: string;
}

export const ledgerEntries = defineCollection<LedgerEntry>({
  name: 'ledger_entries',
  rowName: 'ledger_entry',
  fields: {
    kind: { type: String, required: true, enum: ENTRY_KINDS },
    amountPaise: { type: Number, required: true },
    balanceChangePaise: { type: Number, required: true },
    heldChangePaise: { type: Number, required: true },
    creditLimitChangePaise: { type: Number, required: true },
    legs: { type: [{ _id: false, account: { type: String, required: true }, amountPaise: { type: Number, required: true } }], required: true },
    key: { type: String },
    shipmentId: { type: String },
    orderId: { type: String },
    awb: { type: String },
    paymentId: { type: String },
    cause: { type: String, required: true, maxlength: 300 },
    lines: { type: [{ _id: false, code: { type: String, required: true }, amountPaise: { type: Number, required: true } }], default: undefined },
    deliveredAt: { type: Date },
    actorKind: { type: String, required: true },
    actorId: { type: String, required: true },
  },
  indexes: [
    { keys: { companyId: 1, key: 1 }, unique: true, partial: { key: { $exists: true } }, name: 'once' },
    { keys: { companyId: 1, kind: 1, createdAt: -1, _id: -1 } },
    { keys: { companyId: 1, awb: 1, createdAt: -1, _id: -1 }, partial: { awb: { $exists: true } } },
    { keys: { paymentId: 1 }, partial: { paymentId: { $exists: true } } },
  ],
  bounds: { legs: 4, lines: 20 },
  // The entries are themselves the record of who moved which money and why.
  audited: false,
});
