import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { ENTRY_KINDS, type EntryKind, type LedgerEntry } from './wallet.model.ts';
import type { WalletBalance } from './wallet.rules.ts';
import { listEntries, ownWallet, statement, type EntryQuery } from './wallet.service.ts';

function walletView({ balancePaise, heldPaise, creditLimitPaise, availablePaise }: WalletBalance): WalletBalance {
  return { balancePaise, heldPaise, creditLimitPaise, availablePaise };
}

const walletShape = shape<WalletBalance>({
  balancePaise: field.signedPaise().required(),
  heldPaise: field.signedPaise().required(),
  creditLimitPaise: field.signedPaise().required(),
  availablePaise: field.signedPaise().required(),
});

interface EntryView {
  id: string;
  at: string;
  kind: EntryKind;
  amountPaise: number;
  balanceChangePaise: number;
  heldChangePaise: number;
  awb?: string;
  shipmentId?: string;
  orderId?: string;
  paymentId?: string;
  cause: string;
  lines?: { code: string; amountPaise: number }[];
}

function entryView(row: Row<LedgerEntry>): EntryView {
  const { kind, amountPaise, balanceChangePaise, heldChangePaise, awb, shipmentId, orderId, paymentId, cause, lines } = row;
  return {
    id: row._id,
    at: row.createdAt.toISOString(),
    kind,
    amountPaise,
    balanceChangePaise,
    heldChangePaise,
    ...(awb === undefined ? {} : { awb }),
    ...(shipmentId === undefined ? {} : { shipmentId }),
    ...(orderId === undefined ? {} : { orderId }),
    ...(paymentId === undefined ? {} : { paymentId }),
    cause,
    ...(lines ? { lines: lines.map(({ code, amountPaise: part }) => ({ code, amountPaise: part })) } : {}),
  };
}

const entryShape = shape<EntryView>({
  id: field.id().required(),
  at: field.isoTime().required(),
  kind: Joi.string().valid(...ENTRY_KINDS).required(),
  amountPaise: field.signedPaise().required(),
  balanceChangePaise: field.signedPaise().required(),
  heldChangePaise: field.signedPaise().required(),
  awb: Joi.string(),
  shipmentId: field.id(),
  orderId: field.id(),
  paymentId: field.id(),
  cause: Joi.string().required(),
  lines: Joi.array().items(Joi.object({ code: Joi.string().required(), amountPaise: field.signedPaise().required() })),
});

export const walletRoutes = [
  route({
    method: 'get',
    path: '/v1/wallet',
    summary: 'The wallet: balance, holds, credit limit, and what is available',
    description: 'availablePaise = balancePaise − heldPaise + creditLimitPaise. It is negative only through debts, such as RTO freight.',
    permission: 'wallet:read',
    response: walletShape,
    handle: (ctx) => ownWallet(ctx),
    view: walletView,
  }),
  route({
    method: 'get',
    path: '/v1/wallet/entries',
    summary: 'Ledger entries, newest first',
    description:
      'amountPaise is the effect on the balance; for hold and release, which leave the balance alone, the effect on what is ' +
      'available; for cod_due and cod_reversed, cash on its way, the amount itself. The balance is the sum of balanceChangePaise, ' +
      'the holds the sum of heldChangePaise.',
    permission: 'wallet:read',
    query: Joi.object<EntryQuery>({
      ...pageQueryKeys,
      kind: Joi.string().valid(...ENTRY_KINDS),
      awb: field.text(50),
      from: field.queryTime(),
      to: field.queryTime(),
    }),
    response: pageOf(entryShape),
    handle: (ctx, { query }) => listEntries(ctx, query),
    view: (page) => mapPage(page, entryView),
  }),
  route({
    method: 'get',
    path: '/v1/wallet/statement.csv',
    summary: 'The statement of a period: opening balance, entries with the balance after each, closing balance',
    permission: 'wallet:read',
    query: Joi.object<{ from?: Date; to?: Date }>({ from: field.queryTime(), to: field.queryTime() }),
    response: 'text/csv',
    handle: (ctx, { query }) => statement(ctx, query),
    view: (content) => ({ contentType: 'text/csv; charset=utf-8', filename: 'statement.csv', content }),
  }),
];
