import { Readable } from 'node:stream';
import { now } from '../../platform/clock.ts';
import type { Ctx } from '../../platform/context.ts';
import { csvRow } from '../../platform/csv.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { forbidden, unavailable } from '../../platform/errors.ts';
import { assertRange, type Page, type PageRequest } from '../../platform/pagination.ts';
import { pause } from '../../platform/pause.ts';
import { ledgerEntries, wallets, type EntryKind, type LedgerEntry } from './wallet.model.ts';
import { EMPTY_WALLET, type WalletBalance } from './wallet.rules.ts';

/** The balances of several companies in one read; a company without a wallet has zeros. The ctx comes from `acrossCompanies`. */
export async function readWallets(ctx: Ctx, companyIds: readonly string[]): Promise<Map<string, WalletBalance>> {
  const rows = await wallets.find(ctx, { companyId: { $in: companyIds } });
  const found = new Map<string, WalletBalance>(companyIds.map((id) => [id, EMPTY_WALLET]));
  for (const { companyId, balancePaise, heldPaise, creditLimitPaise, availablePaise } of rows) {
    found.set(companyId, { balancePaise, heldPaise, creditLimitPaise, availablePaise });
  }
  return found;
}

/** The company's own wallet; zeros before its first money. */
export async function ownWallet(ctx: Ctx): Promise<WalletBalance> {
  return (await wallets.findOne(ctx, {})) ?? EMPTY_WALLET;
}

export interface EntryQuery extends PageRequest {
  kind?: EntryKind;
  awb?: string;
  from?: Date;
  to?: Date;
}

/** The ledger is the whole company's: a member limited to some locations may not read of the others' parcels in it. */
function assertWholeCompany({ actor }: Ctx): void {
  if (actor.locationIds) throw forbidden('forbidden', 'The ledger is the whole company’s, and you work for some locations only');
}

/** One page of the company's ledger entries, newest first; 400 when `from` is after `to`, 403 for a member limited to locations. */
export async function listEntries(ctx: Ctx, query: EntryQuery): Promise<Page<Row<LedgerEntry>>> {
  assertWholeCompany(ctx);
  const { kind, awb, from, to } = query;
  assertRange(query);
  const filter: Filter<LedgerEntry> = {
    ...(kind === undefined ? {} : { kind }),
    ...(awb === undefined ? {} : { awb: { $eq: awb.trim().toUpperCase(), $exists: true } }),
    ...within(from, to),
  };
  return ledgerEntries.list(ctx, filter, query);
}

function within(from: Date | undefined, to: Date | undefined): Filter<LedgerEntry> {
  if (!from && !to) return {};
  return { createdAt: { ...(from ? { $gte: from } : {}), ...(to ? { $lte: to } : {}) } };
}

/** What each kind of entry has moved, in all: how often, the balance's change and the held money's change, and COD owed. */
export async function entrySums(ctx: Ctx): Promise<{ kind: EntryKind; count: number; balancePaise: number; heldPaise: number; codPaise: number }[]> {
  const sums = new Map<EntryKind, { kind: EntryKind; count: number; balancePaise: number; heldPaise: number; codPaise: number }>();
  for await (const { kind, legs } of ledgerEntries.each(ctx, {}, { fields: ['kind', 'legs'] })) {
    const sum = sums.get(kind) ?? { kind, count: 0, balancePaise: 0, heldPaise: 0, codPaise: 0 };
    sum.count += 1;
    for (const { account, amountPaise } of legs) {
      if (account === 'wallet') sum.balancePaise += amountPaise;
      if (account === 'held') sum.heldPaise += amountPaise;
      if (account === 'cod_payable') sum.codPaise += amountPaise;
    }
    sums.set(kind, sum);
  }
  return [...sums.values()];
}

const COLUMNS = ['at', 'kind', 'amountPaise', 'balanceChangePaise', 'heldChangePaise', 'balancePaise', 'awb', 'orderId', 'shipmentId', 'paymentId', 'cause'];

/**
 * The statement of a period as CSV, oldest first: an opening line, the entries with the balance after each, a closing
 * line. opening + all balance changes = closing. Both ends of the period belong to it; refusals
 * as of `listEntries`.
 */
export async function statement(ctx: Ctx, range: { from?: Date; to?: Date }): Promise<Readable> {
  assertWholeCompany(ctx);
  assertRange(range);
  const to = range.to ?? now();
  const openingPaise = range.from ? await balanceBefore(ctx, range.from) : 0;
  return Readable.from(statementLines(ctx, { from: range.from, to }, openingPaise));
}

async function* statementLines(ctx: Ctx, { from, to }: { from: Date | undefined; to: Date }, openingPaise: number): AsyncGenerator<string> {
  const edge = (at: Date | undefined, kind: string, paise: number): string => csvRow([at?.toISOString() ?? '', kind, '', '', '', paise, '', '', '', '', '']);
  yield csvRow(COLUMNS);
  yield edge(from, 'opening', openingPaise);
  let balancePaise = openingPaise;
  for await (const entry of ledgerEntries.each(ctx, within(from, to), { sort: { createdAt: 1, _id: 1 } })) {
    balancePaise += entry.balanceChangePaise;
    const { kind, amountPaise, balanceChangePaise, heldChangePaise, awb, orderId, shipmentId, paymentId, cause } = entry;
    const money = [amountPaise, balanceChangePaise, heldChangePaise, balancePaise];
    yield csvRow([entry.createdAt.toISOString(), kind, ...money, awb ?? '', orderId ?? '', shipmentId ?? '', paymentId ?? '', cause]);
  }
  yield edge(to, 'closing', balancePaise);
}

async function balanceBefore(ctx: Ctx, at: Date): Promise<number> {
  const [sum] = await ledgerEntries.aggregate<{ paise: number }>(ctx, [
    { $match: { createdAt: { $lt: at } } },
    { $group: { _id: null, paise: { $sum: '$balanceChangePaise' } } },
  ]);
  return sum?.paise ?? 0;
}

const CONFLICT_TRIES = 20;

/** Runs a command that moves a wallet outside a lane again when it met a changed one; 503 `busy` when that goes on. */
export async function againOnConflict<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof BatchConflict)) throw error;
      if (attempt >= CONFLICT_TRIES) throw unavailable('busy', 'Too many changes at once; try again', 1, error);
      await pause(Math.random() * Math.min(50, 2 ** attempt));
    }
  }
}

/** Every top-up entry of the companies that the ctx reads; for the payments' checks. */
export async function* eachTopup(ctx: Ctx): AsyncIterable<{ companyId: string; paymentId: string; amountPaise: number }> {
  for await (const { companyId, paymentId, amountPaise } of ledgerEntries.each(ctx, { paymentId: { $exists: true }, kind: 'topup' })) {
    yield { companyId, paymentId: paymentId ?? '', amountPaise };
  }
}
