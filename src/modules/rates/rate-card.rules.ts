import { findState } from '../../platform/identifiers.states.ts';
import type { FieldFault } from '../../platform/errors.ts';
import type { RateCardTerms, RateTier } from './price.rules.ts';
import type { ZoneOverride } from './zone.rules.ts';
import { ZONES } from './zone.rules.ts';

/** Bounds of a rate card; prices within them stay exact integers up to its largest weight. */
export const RATE_CARD_LIMITS = {
  tiers: 1_000,
  zoneRules: 1_000,
  pincodesPerRule: 10_000,
  grams: 10_000_000,
  paise: 100_000_000,
  codPaise: 10_000_000_000,
  divisor: 1_000_000,
  days: 60,
} as const;

const MAX_BP = 10_000;
const MAX_RTO_BP = 20_000;
const SLUG = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

function integerFault(path: string, value: number, min: number, max: number): FieldFault[] {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return [];
  return [{ path, message: `Give a whole number from ${min} to ${max}` }];
}

function perZoneFaults(path: string, values: Record<string, number>, min: number, max: number): FieldFault[] {
  return ZONES.flatMap((zone) => {
    const value = values[zone];
    if (value === undefined) return [{ path: `${path}.${zone}`, message: `Zone ${zone} is missing` }];
    return integerFault(`${path}.${zone}`, value, min, max);
  });
}

function tierFaults(path: string, tiers: readonly RateTier[]): FieldFault[] {
  if (tiers.length === 0) return [{ path, message: 'At least one tier is needed' }];
  if (tiers.length > RATE_CARD_LIMITS.tiers) return [{ path, message: `At most ${RATE_CARD_LIMITS.tiers} tiers` }];
  return tiers.flatMap((tier, at) => {
    const faults = [
      ...integerFault(`${path}.${at}.stepGrams`, tier.stepGrams, 1, RATE_CARD_LIMITS.grams),
      ...perZoneFaults(`${path}.${at}.paise`, tier.paise, 0, RATE_CARD_LIMITS.paise),
    ];
    const uptoPath = `${path}.${at}.uptoGrams`;
    const last = at === tiers.length - 1;
    if (tier.uptoGrams === null) {
      return last ? faults : [...faults, { path: uptoPath, message: 'Only the last tier has no upper weight' }];
    }
    if (last) faults.push({ path: uptoPath, message: 'The last tier must be without an upper weight (null)' });
    faults.push(...integerFault(uptoPath, tier.uptoGrams, 1, RATE_CARD_LIMITS.grams));
    const before = at === 0 ? 0 : (tiers[at - 1]?.uptoGrams ?? 0);
    if (at > 0 && tier.uptoGrams <= before) {
      faults.push({ path: uptoPath, message: `Must be more than ${before}, the tier before` });
    }
    return faults;
  });
}

function listFaults(
  path: string,
  values: readonly string[] | undefined,
  isGood: (text: string) => boolean,
  what: string,
): FieldFault[] {
  if (values === undefined) return [];
  if (values.length === 0) return [{ path, message: 'Give at least one entry or leave the list out' }];
  const max = RATE_CARD_LIMITS.pincodesPerRule;
  if (values.length > max) return [{ path, message: `At most ${max} entries` }];
  return values.flatMap((text, at) => (isGood(text) ? [] : [{ path: `${path}.${at}`, message: what }]));
}

function overrideFaults(rule: ZoneOverride, at: number): FieldFault[] {
  const path = `zoneRules.${at}`;
  const isPin = (text: string): boolean => /^[1-9]\d{5}$/.test(text);
  const faults = [
    ...listFaults(`${path}.originPincodes`, rule.originPincodes, isPin, 'A pincode has six digits'),
    ...listFaults(`${path}.destinationPincodes`, rule.destinationPincodes, isPin, 'A pincode has six digits'),
    ...listFaults(
      `${path}.prefixes`,
      rule.prefixes,
      (text) => /^[1-9]\d{0,5}$/.test(text),
      'A prefix has 1 to 6 digits',
    ),
    ...listFaults(
      `${path}.states`,
      rule.states,
      (text) => findState(text) !== undefined,
      'This is not an Indian state',
    ),
  ];
  if (!ZONES.includes(rule.zone)) faults.push({ path: `${path}.zone`, message: 'A zone is one of A, B, C, D, E' });
  if (!rule.originPincodes && !rule.destinationPincodes && !rule.prefixes && !rule.states) {
    faults.push({ path, message: 'A zone rule needs pincodes, prefixes or states' });
  }
  return faults;
}

function zoneRuleFaults(rules: readonly ZoneOverride[] = []): FieldFault[] {
  const max = RATE_CARD_LIMITS.zoneRules;
  if (rules.length > max) return [{ path: 'zoneRules', message: `At most ${max} zone rules` }];
  return rules.flatMap(overrideFaults);
}

/** True for the name of a courier or service: 1 to 64 lower-case letters, digits and `._-`. */
export function isSlug(text: string): boolean {
  return SLUG.test(text);
}

function slugFaults(path: string, text: string): FieldFault[] {
  return isSlug(text)
    ? []
    : [{ path, message: 'Use 1 to 64 lower-case letters, digits, dots, hyphens or underscores' }];
}

/**
 * Every fault of a card that already has the right shape: bounds, tiers that ascend to an endless last one, a price
 * for each zone, zone rules that can match. An empty list means that any weight up to maxGrams has an exact price.
 */
export function rateCardFaults(card: RateCardTerms): FieldFault[] {
  const { grams, paise, codPaise, divisor, days } = RATE_CARD_LIMITS;
  const { rto } = card;
  const faults = [
    ...slugFaults('courier', card.courier),
    ...slugFaults('service', card.service),
    ...integerFault('divisor', card.divisor, 1, divisor),
    ...integerFault('minGrams', card.minGrams, 0, grams),
    ...integerFault('maxGrams', card.maxGrams, 1, grams),
    ...integerFault('maxCodPaise', card.maxCodPaise, 0, codPaise),
    ...tierFaults('tiers', card.tiers),
    ...(rto.kind === 'percent' ? integerFault('rto.bp', rto.bp, 0, MAX_RTO_BP) : tierFaults('rto.tiers', rto.tiers)),
    ...integerFault('fuelBp', card.fuelBp, 0, MAX_BP),
    ...integerFault('cod.flatPaise', card.cod.flatPaise, 0, paise),
    ...integerFault('cod.bp', card.cod.bp, 0, MAX_BP),
    ...integerFault('oda.flatPaise', card.oda.flatPaise, 0, paise),
    ...integerFault('oda.perKgPaise', card.oda.perKgPaise, 0, paise),
    ...integerFault('gstBp', card.gstBp, 0, MAX_BP),
    ...(card.days ? perZoneFaults('days', card.days, 0, days) : []),
    ...zoneRuleFaults(card.zoneRules),
  ];
  if (card.minGrams > card.maxGrams) faults.push({ path: 'minGrams', message: 'Must not be more than maxGrams' });
  if (card.gstBp % 2 === 1) {
    faults.push({ path: 'gstBp', message: 'Must be even, because CGST and SGST are half of it each' });
  }
  return faults;
}
