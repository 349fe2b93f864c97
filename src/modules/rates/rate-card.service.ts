import { now } from '../../platform/clock.ts';
import { inCompany, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, notFound, stale } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { isKnownUsed } from './rate-cache.service.ts';
import { pickTerms, readRateCard, type RateCardChange, type RateCardInput } from './rate-card-input.rules.ts';
import { rateCards, type RateCard, type RateCardStatus } from './rate.model.ts';

export interface RateCardQuery extends PageRequest {
  courier?: string;
  service?: string;
  status?: RateCardStatus;
}

const MAX_ACTIVE = 200;

/** One page of the company's own cards and the platform's, newest first, without archived ones. */
export async function listRateCards(ctx: Ctx, { courier, service, status, ...page }: RateCardQuery): Promise<Page<Row<RateCard>>> {
  const wish = { ...(courier !== undefined && { courier }), ...(service !== undefined && { service }), ...(status && { status }) };
  return rateCards.list(ctx, { archivedAt: { $exists: false }, ...wish }, page);
}

/** One version of a card, the company's own or the platform's; 404 when archived. */
export async function getRateCard(ctx: Ctx, id: string): Promise<Row<RateCard>> {
  const card = await rateCards.get(ctx, id);
  if (card.archivedAt) throw notFound('rate_card');
  return card;
}

/** A card of this very company in the version the caller saw; the platform's cards are not a company's to change. */
async function ownCard(tx: Tx, id: string, version: number): Promise<Row<RateCard>> {
  const card = await getRateCard(tx, id);
  if (card.companyId !== tx.companyId) throw notFound('rate_card');
  if (card.version !== version) throw stale('rate_card', card.version);
  return card;
}

/** Adds a card as a draft, version 1; it prices nothing by itself until it is activated. */
export async function addRateCard(ctx: OutsideTx, input: RateCardInput): Promise<Row<RateCard>> {
  const terms = readRateCard(input);
  return withTransaction(ctx, async (ctx) => {
    const _id = newId();
    return rateCards.insert(ctx, { _id, ...terms, cardKey: _id, cardVersion: 1, status: 'draft' });
  });
}

async function nextCardVersion(tx: Tx, cardKey: string): Promise<number> {
  const latest = await rateCards.findOne(tx, { companyId: tx.companyId, cardKey }, { sort: { cardVersion: -1 }, fields: ['cardVersion'] });
  return (latest?.cardVersion ?? 0) + 1;
}

/**
 * Changes a card's terms under the version the caller saw; each change has a card version of its own, so an option
 * that was quoted by the terms before is known to be outdated. A draft or active card that nothing was priced by yet
 * changes in place. A used or retired one stays as it is: the answer is a new draft with the same `cardKey`, which
 * prices nothing until it is activated.
 */
export async function changeRateCard(ctx: OutsideTx, id: string, change: RateCardChange, version: number): Promise<Row<RateCard>> {
  return withTransaction(ctx, async (ctx) => {
    const card = await ownCard(ctx, id, version);
    const terms = readRateCard({ ...pickTerms(card), ...change });
    const cardVersion = await nextCardVersion(ctx, card.cardKey);
    if (card.usedAt || card.status === 'retired') {
      return rateCards.insert(ctx, { ...terms, cardKey: card.cardKey, cardVersion, status: 'draft' });
    }
    return rateCards.update(ctx, id, { $set: { ...terms, cardVersion } }, { version });
  });
}

/**
 * Makes this version the one that prices its courier and service for the company; the one before is retired with it.
 * A retired version may come back. 409 `too_many_rate_cards` above 200 active cards.
 */
export async function activateRateCard(ctx: OutsideTx, id: string, version: number): Promise<Row<RateCard>> {
  return withTransaction(ctx, async (ctx) => {
    const card = await ownCard(ctx, id, version);
    if (card.status === 'active') return card;
    const { courier, service } = card;
    const before = await rateCards.findOne(ctx, { companyId: ctx.companyId, courier, service, status: 'active' });
    if (before) await rateCards.update(ctx, before._id, { $set: { status: 'retired' } }, { version: before.version });
    else if ((await rateCards.count(ctx, { companyId: ctx.companyId, status: 'active' }, MAX_ACTIVE)) >= MAX_ACTIVE) {
      throw conflict('too_many_rate_cards', `A company may have ${MAX_ACTIVE} active rate cards; retire one first`);
    }
    return rateCards.update(ctx, id, { $set: { status: 'active' } }, { version });
  });
}

/** Takes a card that nothing was priced by out of sight and out of use; a used one is 409 `rate_card_used`. */
export async function archiveRateCard(ctx: OutsideTx, id: string, version: number): Promise<Row<RateCard>> {
  return withTransaction(ctx, async (ctx) => {
    const card = await ownCard(ctx, id, version);
    if (card.usedAt) throw conflict('rate_card_used', 'Shipments or quotes were priced by this rate card; it stays. Activate another version instead');
    return rateCards.update(ctx, id, { $set: { status: 'retired', archivedAt: now() } }, { version });
  });
}

/**
 * Notes, in the transaction of a booking or saved quote, that a card has priced something, so that its terms never
 * change again; later uses write nothing. 409 `rate_card_changed` when it no longer has the given card version.
 */
export async function markCardUsed(tx: Tx, rateCardId: string, rateCardVersion?: number): Promise<void> {
  if (isKnownUsed(tx.companyId, rateCardId, rateCardVersion)) return;
  const card = await rateCards.get(tx, rateCardId);
  if (card.archivedAt || card.cardVersion !== (rateCardVersion ?? card.cardVersion)) {
    throw conflict('rate_card_changed', 'The rate card changed since this price was made; ask for the price again');
  }
  if (card.usedAt) return;
  const owner = tx.for(inCompany(tx, card.companyId));
  await rateCards.update(owner, card._id, { $set: { usedAt: now() } }, { version: card.version });
}
