import { formatRupees } from '../../platform/money.ts';
import type { Pincode } from '../pincodes/index.ts';
import type { Direction, ParcelSize, Price, PriceLine, RateCardTerms } from './price.rules.ts';
import { chargeableGrams, priceShipment } from './price.rules.ts';
import type { Zone, ZoneAnswer, ZoneOverrides, ZoneRules } from './zone.rules.ts';
import { zoneOf } from './zone.rules.ts';

/** What a courier offers at one pincode. */
export interface ServiceabilityRow {
  pincode: string;
  prepaid: boolean;
  cod: boolean;
  pickup: boolean;
  reverse: boolean;
  oda: boolean;
  sortCode?: string;
}

/**
 * What is known of a courier at the two ends of a parcel. `servesUnlisted` is true for a courier without any rows
 * (it serves every known pincode, none of them ODA) or one whose rows are only its exceptions.
 */
export interface Coverage {
  servesUnlisted: boolean;
  origin?: ServiceabilityRow;
  destination?: ServiceabilityRow;
}

/** A parcel to be priced; `codPaise` counts for COD only. */
export interface RateRequest extends ParcelSize {
  originPincode: string;
  destinationPincode: string;
  paymentMethod: 'prepaid' | 'cod';
  codPaise: number;
  direction: Direction;
  supply: 'intra' | 'inter';
}

export interface RateCandidate {
  card: RateCardTerms;
  rateCardId: string;
  rateCardVersion: number;
  coverage: Coverage;
  overrides?: ZoneOverrides;
  /** How well the courier does, 0–100; higher is better, undefined is unknown. */
  courierScore?: number;
}

export interface RateOption {
  optionId: string;
  courier: string;
  service: string;
  rateCardId: string;
  rateCardVersion: number;
  zone: Zone;
  zoneReason: string;
  volumetricGrams: number;
  chargeableGrams: number;
  taxablePaise: number;
  totalPaise: number;
  lines: PriceLine[];
  estimatedDays: number | null;
  rank: number;
  reasons: string[];
}

export interface NotServiceable {
  courier: string;
  service: string;
  reason: string;
}

/** The two ends as the pincode table knows them; undefined for a pincode that it does not know. */
export interface Route {
  origin: Pincode | undefined;
  destination: Pincode | undefined;
  rules: ZoneRules;
}

/** The part of a request that decides whether a courier serves its two ends. */
export type Journey = Pick<RateRequest, 'originPincode' | 'destinationPincode' | 'paymentMethod' | 'direction'>;

/** Null when the courier serves both ends in the way that is asked for, else a sentence naming what it lacks there. */
export function pincodeRefusal(request: Journey, coverage: Coverage): string | null {
  const { origin, destination, servesUnlisted } = coverage;
  const from = `the origin pincode ${request.originPincode}`;
  const to = `the destination pincode ${request.destinationPincode}`;
  if (!origin && !servesUnlisted) return `The courier does not serve ${from}`;
  if (!destination && !servesUnlisted) return `The courier does not serve ${to}`;
  if (request.direction === 'rto') return null;
  if (request.direction === 'reverse') {
    return origin && !origin.reverse ? `No reverse pickup at ${from}` : null;
  }
  if (origin && !origin.pickup) return `No pickup at ${from}`;
  if (request.paymentMethod === 'cod') {
    return destination && !destination.cod ? `No cash on delivery at ${to}` : null;
  }
  return destination && !destination.prepaid ? `No prepaid delivery at ${to}` : null;
}

/**
 * Null when the courier takes this parcel on this card, else a sentence naming the condition that failed. An RTO is
 * already with the courier, so only its weight and that both ends are served count.
 */
export function serviceabilityRefusal(card: RateCardTerms, request: RateRequest, coverage: Coverage): string | null {
  const refusal = pincodeRefusal(request, coverage);
  if (refusal) return refusal;
  const grams = chargeableGrams(card, request);
  if (grams > card.maxGrams) return `Chargeable weight ${grams} g is over this service's limit of ${card.maxGrams} g`;
  if (request.direction === 'forward' && request.paymentMethod === 'cod' && request.codPaise > card.maxCodPaise) {
    const limit = formatRupees(card.maxCodPaise);
    return `Cash on delivery of Rs ${formatRupees(request.codPaise)} is over this service's limit of Rs ${limit}`;
  }
  return null;
}

/** The id of an option: the same card and version always give the same id. */
export function optionIdOf(option: Pick<RateOption, 'courier' | 'service' | 'rateCardId' | 'rateCardVersion'>): string {
  return `${option.courier}:${option.service}:${option.rateCardId}:${option.rateCardVersion}`;
}

/** The parts of an option id; undefined when it is none. */
export function parseOptionId(
  text: string,
): { courier: string; service: string; rateCardId: string; rateCardVersion: number } | undefined {
  const match = /^([a-z0-9._-]{1,64}):([a-z0-9._-]{1,64}):([0-9a-f]{24}):(\d{1,9})$/.exec(text);
  const [, courier, service, rateCardId, version] = match ?? [];
  if (!courier || !service || !rateCardId || !version) return undefined;
  return { courier, service, rateCardId, rateCardVersion: Number(version) };
}

type Unranked = Omit<RateOption, 'rank' | 'reasons'> & { courierScore?: number };

function byRank(a: Unranked, b: Unranked): number {
  return (
    a.totalPaise - b.totalPaise ||
    (a.estimatedDays ?? Number.MAX_SAFE_INTEGER) - (b.estimatedDays ?? Number.MAX_SAFE_INTEGER) ||
    (b.courierScore ?? -1) - (a.courierScore ?? -1) ||
    (a.optionId < b.optionId ? -1 : 1)
  );
}

function daysWords(days: number): string {
  return days === 1 ? '1 day' : `${days} days`;
}

function reasonsFor(option: Unranked, at: number, cheapest: Unranked, fastest: number): string[] {
  const extra = option.totalPaise - cheapest.totalPaise;
  const standing = at === 0 ? 'the cheapest' : 'the same as the cheapest';
  const price =
    extra === 0
      ? `Rs ${formatRupees(option.totalPaise)}, ${standing}`
      : `Rs ${formatRupees(extra)} more than the cheapest`;
  const days = option.estimatedDays;
  const reasons = [price];
  if (days === null) reasons.push('No promised delivery time');
  else reasons.push(`Promised in ${daysWords(days)}${days === fastest ? ', the fastest' : ''}`);
  if (option.courierScore !== undefined) reasons.push(`Courier score ${option.courierScore} of 100`);
  return reasons;
}

/** Options by price, then promised days (unknown last), then courier score, then id, each with its rank and reasons. */
export function rankOptions(options: readonly Unranked[]): RateOption[] {
  const sorted = [...options].sort(byRank);
  const [cheapest] = sorted;
  if (!cheapest) return [];
  const fastest = sorted.reduce(
    (best, { estimatedDays }) => Math.min(best, estimatedDays ?? best),
    Number.MAX_SAFE_INTEGER,
  );
  return sorted.map((option, at) => {
    const { courierScore: _score, ...shown } = option;
    return { ...shown, rank: at + 1, reasons: reasonsFor(option, at, cheapest, fastest) };
  });
}

function unrankedOption(request: RateRequest, candidate: RateCandidate, zone: ZoneAnswer): Unranked {
  const { card, rateCardId, rateCardVersion, coverage, courierScore } = candidate;
  const oda = Boolean(coverage.origin?.oda || coverage.destination?.oda);
  const price: Price = priceShipment(card, { ...request, zone: zone.zone, oda });
  const key = { courier: card.courier, service: card.service, rateCardId, rateCardVersion };
  return {
    optionId: optionIdOf(key),
    ...key,
    zone: zone.zone,
    zoneReason: zone.reason,
    volumetricGrams: price.volumetricGrams,
    chargeableGrams: price.chargeableGrams,
    taxablePaise: price.taxablePaise,
    totalPaise: price.totalPaise,
    lines: price.lines,
    estimatedDays: card.days?.[zone.zone] ?? null,
    ...(courierScore !== undefined && { courierScore }),
  };
}

/** Every candidate as a ranked option or, with the condition that failed, as not serviceable; no candidate is lost. */
export function quoteOptions(
  request: RateRequest,
  route: Route,
  candidates: readonly RateCandidate[],
): { options: RateOption[]; notServiceable: NotServiceable[] } {
  const { origin, destination, rules } = route;
  const unknown = !origin
    ? `The origin pincode ${request.originPincode} is not known`
    : `The destination pincode ${request.destinationPincode} is not known`;
  const usual = origin && destination && zoneOf(origin, destination, rules);
  const options: Unranked[] = [];
  const notServiceable: NotServiceable[] = [];
  for (const candidate of candidates) {
    const { card, coverage, overrides } = candidate;
    const refusal = usual ? serviceabilityRefusal(card, request, coverage) : unknown;
    if (refusal !== null || !usual) {
      notServiceable.push({ courier: card.courier, service: card.service, reason: refusal ?? unknown });
      continue;
    }
    const zone = overrides ? zoneOf(origin, destination, rules, overrides) : usual;
    options.push(unrankedOption(request, candidate, zone));
  }
  return { options: rankOptions(options), notServiceable };
}
