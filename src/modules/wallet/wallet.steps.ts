import type { Tx } from '../../platform/context.ts';
import type { BulkChange, Row } from '../../platform/db/collection.ts';
import { runtime } from '../../platform/runtime.ts';
import { ledgerEntries, wallets, type EntryLine, type LedgerEntry, type Wallet } from './wallet.model.ts';
import { canHold, changeOf, EMPTY_WALLET, entryOf, insufficientBalance, type Movement } from './wallet.rules.ts';

/** A movement and on whose behalf it is made; lanes carry many companies in one transaction. */
interface Posting {
  tx: Tx;
  movement: Movement;
}

export interface HoldItem {
  tx: Tx;
  shipmentId: string;
  orderId: string;
  awb?: string;
  amountPaise: number;
  cause: string;
  /** The price lines behind the amount. */
  lines: readonly EntryLine[];
}

export interface HoldEndItem {
  tx: Tx;
  shipmentId: string;
  cause: string;
  /** When the AWB was not known at the hold. */
  awb?: string;
}

export interface RtoItem {
  tx: Tx;
  shipmentId: string;
  awb: string;
  orderId: string;
  amountPaise: number;
  /** The COD fee that the card gives back on RTO; 0 for none. */
  refundPaise: number;
  cause: string;
}

export interface CodDueItem {
  tx: Tx;
  shipmentId: string;
  awb: string;
  orderId: string;
  amountPaise: number;
  deliveredAt: Date;
}

/**
 * Reserves the price of new shipments: all of them, or `BatchConflict` when any company has less available than its
 * items need (decide with `canHold` before). 409 `ledger_entry_exists` for a shipment that has had a hold.
 */
export async function holdForShipments(tx: Tx, items: readonly HoldItem[]): Promise<void> {
  const postings = items.map(({ tx: own, shipmentId, orderId, awb, amountPaise, cause, lines }): Posting => ({
    tx: own,
    movement: { kind: 'hold', key: `hold:${shipmentId}`, amountPaise, cause, shipmentId, orderId, awb, lines },
  }));
  await post(tx, postings, { guarded: true });
}

/** Gives holds back (cancelled bookings); a hold that has ended, or never was, is left as it is. */
export async function releaseHolds(tx: Tx, items: readonly HoldEndItem[]): Promise<void> {
  await endHolds(tx, items, 'release');
}

/** Turns holds into charges (first pickup scan); a hold that has ended is left as it is, so repeats do nothing. */
export async function chargeHolds(tx: Tx, items: readonly HoldEndItem[]): Promise<void> {
  await endHolds(tx, items, 'charge');
}

async function endHolds(tx: Tx, items: readonly HoldEndItem[], kind: 'release' | 'charge'): Promise<void> {
  const known = await entriesByKey(items, ({ shipmentId }) => [`hold:${shipmentId}`, `hold_end:${shipmentId}`]);
  const postings: Posting[] = [];
  for (const { tx: own, shipmentId, cause, awb } of onePerShipment(items)) {
    const hold = known.get(`${own.companyId}|hold:${shipmentId}`);
    if (!hold && kind === 'charge') runtime().log.warn('wallet.charge_without_hold', { requestId: own.requestId, shipmentId });
    if (!hold || known.has(`${own.companyId}|hold_end:${shipmentId}`)) continue;
    // One key for both ends: a hold can be given back or charged, never both, whatever runs at the same time.
    const key = `hold_end:${shipmentId}`;
    const { orderId, lines } = hold;
    const amountPaise = hold.heldChangePaise;
    postings.push({ tx: own, movement: { kind, key, amountPaise, cause, shipmentId, orderId, awb: awb ?? hold.awb, lines: kind === 'charge' ? lines : undefined } });
  }
  await post(tx, postings);
}

/**
 * Charges the way back, and gives back the COD fee where the card says so. It is a debt: charged also when the balance
 * does not suffice, so what is available may become negative. Once per shipment; repeats do nothing.
 */
export async function chargeRto(tx: Tx, items: readonly RtoItem[]): Promise<void> {
  const known = await entriesByKey(items, ({ shipmentId }) => [`rto_freight:${shipmentId}`, `cod_refund:${shipmentId}`]);
  const postings: Posting[] = [];
  for (const { tx: own, shipmentId, awb, orderId, amountPaise, refundPaise, cause } of onePerShipment(items)) {
    const parts = [
      { kind: 'rto_freight' as const, amountPaise },
      { kind: 'cod_refund' as const, amountPaise: refundPaise },
    ];
    for (const part of parts) {
      const key = `${part.kind}:${shipmentId}`;
      if (part.amountPaise === 0 || known.has(`${own.companyId}|${key}`)) continue;
      postings.push({ tx: own, movement: { ...part, key, cause, shipmentId, orderId, awb } });
    }
  }
  await post(tx, postings);
}

/** Notes cash that the courier has collected for the company; again only after it was reversed. It is not part of the balance. */
export async function noteCodDue(tx: Tx, items: readonly CodDueItem[]): Promise<void> {
  const postings: Posting[] = [];
  for (const { item, round, due } of await codRounds(onePerShipment(items))) {
    if (due) continue;
    const { tx: own, shipmentId, awb, orderId, amountPaise, deliveredAt } = item;
    const key = codKey('cod_due', shipmentId, round);
    postings.push({ tx: own, movement: { kind: 'cod_due', key, amountPaise, cause: 'Cash collected on delivery', shipmentId, orderId, awb, deliveredAt } });
  }
  await post(tx, postings);
}

/** Takes a COD due back (the delivery was no delivery); only when there is one that stands. */
export async function reverseCodDue(tx: Tx, items: readonly HoldEndItem[]): Promise<void> {
  const postings: Posting[] = [];
  for (const { item, round, due } of await codRounds(onePerShipment(items))) {
    if (!due) continue;
    const { orderId, awb, amountPaise } = due;
    const { tx: own, shipmentId, cause } = item;
    postings.push({ tx: own, movement: { kind: 'cod_reversed', key: codKey('cod_reversed', shipmentId, round), amountPaise, cause, shipmentId, orderId, awb } });
  }
  await post(tx, postings);
}

interface CodRound<I> {
  item: I;
  round: number;
  /** The due that stands, not reversed. */
  due: Row<LedgerEntry> | undefined;
}

/** A delivery may be corrected and told again: each due and its reversal are a round, of which only the last is open. */
async function codRounds<I extends { tx: Tx; shipmentId: string }>(items: readonly I[]): Promise<CodRound<I>[]> {
  const found: CodRound<I>[] = [];
  let pending = items;
  for (let round = 1; pending.length > 0; round += 1) {
    const known = await entriesByKey(pending, ({ shipmentId }) => [codKey('cod_due', shipmentId, round), codKey('cod_reversed', shipmentId, round)]);
    const of = (item: I, kind: CodKind) => known.get(`${item.tx.companyId}|${codKey(kind, item.shipmentId, round)}`);
    found.push(...pending.filter((item) => !of(item, 'cod_reversed')).map((item) => ({ item, round, due: of(item, 'cod_due') })));
    pending = pending.filter((item) => of(item, 'cod_reversed'));
  }
  return found;
}

type CodKind = 'cod_due' | 'cod_reversed';

function codKey(kind: CodKind, shipmentId: string, round: number): string {
  return round === 1 ? `${kind}:${shipmentId}` : `${kind}:${shipmentId}:${round}`;
}

export interface Credit {
  amountPaise: number;
  cause: string;
  /** The payment behind it: it then is a top-up, at most one per payment. */
  paymentId?: string;
  /** Without a payment: what may be credited once only. */
  key?: string;
}

/** Adds money: a top-up when a payment is named, else a credit of ours. 409 `ledger_entry_exists` the second time. */
export async function creditWallet(tx: Tx, { amountPaise, cause, paymentId, key }: Credit): Promise<void> {
  const movement: Movement =
    paymentId === undefined
      ? { kind: 'credit', amountPaise, cause, key: key === undefined ? undefined : `credit:${key}` }
      : { kind: 'topup', amountPaise, cause, paymentId, key: `topup:${paymentId}` };
  await post(tx, [{ tx, movement }]);
}

/** Takes a refunded top-up out again; 409 `insufficient_balance` when it is held or spent. Once per refund. */
export async function takeBackTopup(tx: Tx, refund: { amountPaise: number; cause: string; paymentId: string; refundId: string }): Promise<void> {
  const { amountPaise, cause, paymentId, refundId } = refund;
  const balance = (await wallets.findOne(tx, {})) ?? EMPTY_WALLET;
  if (!canHold(balance, amountPaise)) throw insufficientBalance(balance, amountPaise);
  const movement: Movement = { kind: 'topup_refund', key: `topup_refund:${refundId}`, amountPaise, cause, paymentId };
  await post(tx, [{ tx, movement }], { guarded: true });
}

/** Opens a company's wallet with a credit limit; opened already, it stays as it is. Without it a wallet begins with its first entry. */
export async function openWallet(tx: Tx, creditLimitPaise: number): Promise<void> {
  if (await ledgerEntries.findOne(tx, { key: 'opened' }, { fields: ['key'] })) return;
  await post(tx, [{ tx, movement: { kind: 'credit_limit', key: 'opened', amountPaise: creditLimitPaise, cause: 'Wallet opened' } }]);
}

/** Stores the entries and moves the sums: one insert and one guarded bulk, hot rows last, merged and sorted. */
async function post(tx: Tx, postings: readonly Posting[], { guarded = false } = {}): Promise<void> {
  if (postings.length === 0) return;
  const items = postings.map(({ tx: own, movement }) => ({
    tx: own,
    doc: { ...entryOf(movement), actorKind: own.actor.kind, actorId: own.actor.id } satisfies LedgerEntry,
  }));
  await ledgerEntries.insertMany(tx, items);
  const byCompany = new Map<string, typeof items>();
  for (const item of items) byCompany.set(item.tx.companyId, [...(byCompany.get(item.tx.companyId) ?? []), item]);
  const sorted = [...byCompany].sort(([a], [b]) => (a < b ? -1 : 1));
  await wallets.changeMany(
    tx,
    sorted.flatMap(([companyId, own]) => (own[0] ? [walletChange(own[0].tx, companyId, own.map(({ doc }) => doc), guarded)] : [])),
  );
}

function walletChange(tx: Tx, companyId: string, entries: readonly LedgerEntry[], guarded: boolean): BulkChange<Wallet> {
  const change = changeOf(entries);
  const base: BulkChange<Wallet> = { tx, match: { companyId }, change: { $inc: { ...change } } };
  // Without a wallet there is nothing to take from, so only unguarded changes may make one.
  if (guarded && change.availablePaise < 0) return { ...base, where: { availablePaise: { $gte: -change.availablePaise } } };
  return { ...base, orInsert: {} };
}

/** The entries that items would repeat or build on: one read per company, since a Tx sees one company at a time. */
async function entriesByKey<I extends { tx: Tx }>(items: readonly I[], keysOf: (item: I) => string[]): Promise<Map<string, Row<LedgerEntry>>> {
  const byCompany = new Map<string, { tx: Tx; keys: string[] }>();
  for (const item of items) {
    const wanted = byCompany.get(item.tx.companyId) ?? { tx: item.tx, keys: [] };
    wanted.keys.push(...keysOf(item));
    byCompany.set(item.tx.companyId, wanted);
  }
  const found = new Map<string, Row<LedgerEntry>>();
  for (const [companyId, { tx, keys }] of byCompany) {
    // The $exists makes the partial index usable.
    const rows = await ledgerEntries.find(tx, { key: { $in: keys, $exists: true } });
    for (const row of rows) if (row.key !== undefined) found.set(`${companyId}|${row.key}`, row);
  }
  return found;
}

/** Two scans of one parcel in a batch ask for the same thing. */
function onePerShipment<I extends { tx: Tx; shipmentId: string }>(items: readonly I[]): I[] {
  const seen = new Set<string>();
  return items.filter(({ tx, shipmentId }) => {
    const key = `${tx.companyId}|${shipmentId}`;
    return !seen.has(key) && seen.add(key);
  });
}
