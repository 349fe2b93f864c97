import { PLATFORM_COMPANY_ID, type OutsideTx } from '../../platform/context.ts';
import { runtime } from '../../platform/runtime.ts';
import { lookupPincode, pincodeTable } from '../pincodes/index.ts';
import type { NotServiceable, RateCandidate, RateOption, RateRequest } from './option.rules.ts';
import { parseOptionId, quoteOptions } from './option.rules.ts';
import { loadZoneData } from './reference-data.ts';
import { activeCards, readyCard, taxStateOf, zoneFits, type ReadyCard } from './rate-cache.service.ts';
import { getRateCard } from './rate-card.service.ts';
import { readRateRequest, type QuoteRequest } from './rate-request.rules.ts';
import { coverageBetween } from './serviceability.service.ts';
import { zonesAt, type AreaZone } from './zone.service.ts';
import { compileZones, type ZoneRules } from './zone.rules.ts';

export interface Quote {
  options: RateOption[];
  notServiceable: NotServiceable[];
}

let defaultZones: Promise<ZoneRules> | undefined;

/** The default zone rules of the reference data, read once per process. */
export function zoneRules(): Promise<ZoneRules> {
  defaultZones ??= loadZoneData()
    .then(compileZones)
    .catch((cause: unknown) => {
      defaultZones = undefined;
      throw cause;
    });
  return defaultZones;
}

async function supplyFor(ctx: OutsideTx, request: QuoteRequest): Promise<RateRequest['supply']> {
  if (request.supply) return request.supply;
  return (await taxStateOf(ctx.companyId)) === runtime().config.platformGstState ? 'intra' : 'inter';
}

async function cardsFor(ctx: OutsideTx, request: QuoteRequest): Promise<readonly ReadyCard[]> {
  const active = await activeCards(ctx.companyId);
  const { rateCardId, courier, service } = request;
  let chosen = active;
  if (rateCardId !== undefined) {
    const known = active.find(({ id }) => id === rateCardId);
    chosen = [known ?? (await readyCard(await getRateCard(ctx, rateCardId)))];
  }
  if (courier === undefined && service === undefined) return chosen;
  return chosen.filter(({ terms }) => terms.courier === (courier ?? terms.courier) && terms.service === (service ?? terms.service));
}

/** The newest area of the card's own company that is for its courier and service. */
function areaFor({ companyId, terms }: ReadyCard, areas: readonly AreaZone[]): { zone: NonNullable<AreaZone['zone']>; name: string } | undefined {
  for (const area of areas) {
    const { zone, name } = area;
    if (zone && area.companyId === companyId && zoneFits(area, terms.courier, terms.service)) return { zone, name };
  }
  return undefined;
}

/**
 * Ranked options and, with the reason, what is not serviceable, for the company's active cards and the platform's
 * defaults; nothing is stored. A card given by id is priced whatever its status, for what-ifs and weight disputes.
 * Custom zones change the zone for cards of their own company only. 400 for unknown pincodes, 404 for a foreign card.
 */
export async function quoteFor(ctx: OutsideTx, request: QuoteRequest): Promise<Quote> {
  const [pincodes, rules] = [await pincodeTable(), await zoneRules()];
  const { parcel, origin, destination } = readRateRequest(request, (pincode) => lookupPincode(pincodes, pincode));
  const cards = await cardsFor(ctx, request);
  const coverageOf = await coverageBetween(parcel.originPincode, parcel.destinationPincode);
  const areas = request.destinationPoint ? await zonesAt(ctx, request.destinationPoint) : [];
  const candidates = cards.map((card): RateCandidate => {
    const polygon = areaFor(card, areas);
    const overridden = card.overrides.length > 0 || polygon !== undefined;
    return {
      card: card.terms,
      rateCardId: card.id,
      rateCardVersion: card.cardVersion,
      coverage: coverageOf(card.terms.courier),
      ...(overridden && { overrides: { rules: card.overrides, ...(polygon && { polygon }) } }),
    };
  });
  return quoteOptions({ ...parcel, supply: await supplyFor(ctx, request) }, { origin, destination, rules }, candidates);
}

/** What to price: an option that was quoted, a courier with or without a service, or (neither) the first ranked. */
export type PriceRequest = Omit<QuoteRequest, 'rateCardId' | 'supply'> & { optionId?: string };

export type PriceRefusalCode = 'option_unknown' | 'option_outdated' | 'no_rate_card' | 'not_serviceable';

export interface PricedOption {
  ok: true;
  option: RateOption;
  /** Whose card it is: a company's own price list, or the platform's. */
  cardOwner: 'platform' | 'company';
  /** All that was offered, to keep the ranking and the reasons with the choice. */
  quote: Quote;
}

export type PriceAnswer = PricedOption | { ok: false; code: PriceRefusalCode; reason: string };

interface Wish {
  courier?: string;
  service?: string;
  optionId?: string;
}

function refusalFor(quote: Quote, { courier, service, optionId }: Wish): PriceAnswer {
  const why = quote.notServiceable.find(
    (other) => (courier === undefined || other.courier === courier) && (service === undefined || other.service === service),
  );
  if (why) return { ok: false, code: 'not_serviceable', reason: `${why.courier} ${why.service}: ${why.reason}` };
  if (optionId !== undefined) {
    return { ok: false, code: 'option_outdated', reason: 'The rate card of this option changed since it was quoted; ask for rates again' };
  }
  return { ok: false, code: 'no_rate_card', reason: 'There is no active rate card for this courier and service' };
}

/**
 * The price of one option by the cards that are active now, for a booking: the option asked for, the first ranked of
 * a courier (and service), or the first ranked of all; else why not. Mark its card used in the booking's transaction.
 */
export async function priceOption(ctx: OutsideTx, { optionId, courier, service, ...request }: PriceRequest): Promise<PriceAnswer> {
  const named = optionId === undefined ? undefined : parseOptionId(optionId);
  if (optionId !== undefined && !named) return { ok: false, code: 'option_unknown', reason: 'This is no optionId of a rates answer' };
  const quote = await quoteFor(ctx, request);
  const wish: Wish = named ? { courier: named.courier, service: named.service, optionId } : { courier, service };
  const option = quote.options.find(
    (other) =>
      (optionId === undefined || other.optionId === optionId) &&
      (wish.courier === undefined || other.courier === wish.courier) &&
      (wish.service === undefined || other.service === wish.service),
  );
  if (!option) return refusalFor(quote, wish);
  const card = (await activeCards(ctx.companyId)).find(({ id }) => id === option.rateCardId);
  return { ok: true, option, cardOwner: card?.companyId === PLATFORM_COMPANY_ID ? 'platform' : 'company', quote };
}
