import { invalidFields, type FieldFault } from '../../platform/errors.ts';
import type { RateCardTerms, RateTier } from './price.rules.ts';
import { rateCardFaults } from './rate-card.rules.ts';

/** The RTO terms as they come in: which of the two belongs to the kind is asked by the rules. */
export interface RtoInput {
  kind: 'percent' | 'table';
  bp?: number;
  tiers?: RateTier[];
}

export type RateCardInput = Omit<RateCardTerms, 'rto'> & { rto: RtoInput };

/** What a change of a card may touch: courier and service are what a card is for, so they stay. */
export type RateCardChange = Partial<Omit<RateCardInput, 'courier' | 'service'>>;

function rtoFaults({ kind, bp, tiers }: RtoInput): FieldFault[] {
  if (kind === 'percent') {
    const faults = bp === undefined ? [{ path: 'rto.bp', message: 'is required for the kind percent' }] : [];
    return tiers ? [...faults, { path: 'rto.tiers', message: 'does not belong to the kind percent' }] : faults;
  }
  const faults = tiers ? [] : [{ path: 'rto.tiers', message: 'is required for the kind table' }];
  return bp === undefined ? faults : [...faults, { path: 'rto.bp', message: 'does not belong to the kind table' }];
}

/** The terms in `rate_cards` rows and requests, without anything else that stands beside them. */
export function pickTerms(row: RateCardTerms): RateCardTerms {
  const { name, courier, service, mode, divisor, minGrams, maxGrams, maxCodPaise, tiers, rto, fuelBp, cod } = row;
  const { codRefundOnRto, oda, gstBp, days, zoneRules } = row;
  return {
    ...{ name, courier, service, mode, divisor, minGrams, maxGrams, maxCodPaise, tiers, rto, fuelBp, cod },
    ...{ codRefundOnRto, oda, gstBp },
    ...(days && { days }),
    ...(zoneRules && { zoneRules }),
  };
}

/** A card's terms as they are stored; 400 naming every fault at once. */
export function readRateCard(input: RateCardInput): RateCardTerms {
  const { kind, bp = 0, tiers = [] } = input.rto;
  const terms = pickTerms({
    ...input,
    name: input.name.trim(),
    courier: input.courier.trim().toLowerCase(),
    service: input.service.trim().toLowerCase(),
    rto: kind === 'percent' ? { kind, bp } : { kind, tiers },
  });
  const wrong = rtoFaults(input.rto);
  const told = new Set(wrong.map(({ path }) => path));
  const faults = [...wrong, ...rateCardFaults(terms).filter(({ path }) => !told.has(path))];
  if (terms.name === '') faults.unshift({ path: 'name', message: 'must not be empty' });
  if (faults.length > 0) throw invalidFields(faults);
  return terms;
}
