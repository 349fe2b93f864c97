import type { Pincode } from '../pincodes/index.ts';
import { stateName } from '../pincodes/index.ts';

export const ZONES = ['A', 'B', 'C', 'D', 'E'] as const;
export type Zone = (typeof ZONES)[number];

/** The shape of data/zones.json; the pincodes of a city group start with one of its prefixes (1–6 digits). */
export interface ZoneData {
  names: Record<Zone, string>;
  specialStates: string[];
  cityGroups: { name: string; metro: boolean; prefixes: string[] }[];
  odaPincodes: string[];
}

export interface CityGroup {
  readonly name: string;
  readonly metro: boolean;
}

/** ZoneData made ready for lookups. */
export interface ZoneRules {
  readonly specialStates: ReadonlySet<string>;
  readonly groupByPrefix: ReadonlyMap<string, CityGroup>;
  /** Lengths of the known prefixes, longest first. */
  readonly prefixLengths: readonly number[];
}

/** One exception of a rate card; every condition that is given must hold. `prefixes` and `states` are the destination's. */
export interface ZoneOverride {
  zone: Zone;
  originPincodes?: string[];
  destinationPincodes?: string[];
  prefixes?: string[];
  states?: string[];
}

/** What wins over the default rule: a card's exceptions, and the polygon zone that holds the destination, if any. */
export interface ZoneOverrides {
  readonly rules: readonly CompiledOverride[];
  readonly polygon?: { readonly zone: Zone; readonly name: string };
}

export interface CompiledOverride {
  readonly zone: Zone;
  /** 0 pin list, 1 prefix, 2 state: the narrower condition is asked first. */
  readonly kind: 0 | 1 | 2;
  readonly number: number;
  readonly origins?: ReadonlySet<string>;
  readonly destinations?: ReadonlySet<string>;
  readonly prefixes?: readonly string[];
  readonly states?: ReadonlySet<string>;
  /** Set when it comes from a custom zone and not from the card itself. */
  readonly zoneName?: string;
}

export interface ZoneAnswer {
  zone: Zone;
  reason: string;
}

/** Makes zone data ready for zoneOf; do it once, not per quote. */
export function compileZones(data: ZoneData): ZoneRules {
  const groupByPrefix = new Map<string, CityGroup>();
  for (const { name, metro, prefixes } of data.cityGroups) {
    const group = { name, metro };
    for (const prefix of prefixes) groupByPrefix.set(prefix, group);
  }
  const prefixLengths = [...new Set([...groupByPrefix.keys()].map((prefix) => prefix.length))].sort((a, b) => b - a);
  return { specialStates: new Set(data.specialStates.map(stateName)), groupByPrefix, prefixLengths };
}

/** Makes a card's zone exceptions ready for zoneOf: pin lists first, then prefixes, then states, each in their order. */
export function compileOverrides(overrides: readonly ZoneOverride[] = []): CompiledOverride[] {
  return overrides
    .map((rule, at): CompiledOverride => ({
      zone: rule.zone,
      kind: rule.originPincodes || rule.destinationPincodes ? 0 : rule.prefixes ? 1 : 2,
      number: at + 1,
      ...(rule.originPincodes && { origins: new Set(rule.originPincodes) }),
      ...(rule.destinationPincodes && { destinations: new Set(rule.destinationPincodes) }),
      ...(rule.prefixes && { prefixes: rule.prefixes }),
      ...(rule.states && { states: new Set(rule.states.map(stateName)) }),
    }))
    .sort((a, b) => a.kind - b.kind || a.number - b.number);
}

/** A custom zone's pincodes as an exception for parcels to them; they come after the pin lists of a card itself. */
export function compileZone(zone: Zone, zoneName: string, pincodes: readonly string[]): CompiledOverride {
  return { zone, kind: 0, number: 0, destinations: new Set(pincodes), zoneName };
}

/** A card's own exceptions and those of custom zones in one list, in the order in which zoneOf asks them. */
export function joinOverrides(own: readonly CompiledOverride[], zones: readonly CompiledOverride[]): CompiledOverride[] {
  return [...own.filter(({ kind }) => kind === 0), ...zones, ...own.filter(({ kind }) => kind !== 0)];
}

/** The city group of a pincode, by its longest known prefix. */
export function cityGroupOf(pincode: string, rules: ZoneRules): CityGroup | undefined {
  for (const length of rules.prefixLengths) {
    const group = rules.groupByPrefix.get(pincode.slice(0, length));
    if (group) return group;
  }
  return undefined;
}

function overrideMatches(rule: CompiledOverride, origin: Pincode, destination: Pincode): boolean {
  if (rule.origins && !rule.origins.has(origin.pincode)) return false;
  if (rule.destinations && !rule.destinations.has(destination.pincode)) return false;
  if (rule.prefixes && !rule.prefixes.some((prefix) => destination.pincode.startsWith(prefix))) return false;
  return !rule.states || rule.states.has(destination.state);
}

const OVERRIDE_WORDS = ['pincode list', 'pincode prefix', 'state'] as const;

function overridden(origin: Pincode, destination: Pincode, overrides: ZoneOverrides): ZoneAnswer | undefined {
  const match = overrides.rules.find((rule) => overrideMatches(rule, origin, destination));
  if (overrides.polygon && (!match || match.kind !== 0)) {
    const { zone, name } = overrides.polygon;
    return { zone, reason: `Zone ${zone} by the area "${name}"` };
  }
  if (!match) return undefined;
  if (match.zoneName !== undefined) {
    return { zone: match.zone, reason: `Zone ${match.zone} by the pincode list of the zone "${match.zoneName}"` };
  }
  const reason = `Zone ${match.zone} by rule ${match.number} of the rate card (${OVERRIDE_WORDS[match.kind]})`;
  return { zone: match.zone, reason };
}

function commonDistrict(origin: Pincode, destination: Pincode): string | undefined {
  if (origin.state !== destination.state) return undefined;
  return origin.districts.find((district) => destination.districts.includes(district));
}

/**
 * The zone of a parcel and why: a card's pin list, then a polygon, then its prefix and state rules, then the default
 * in the order A (same city), E (special states), B (same state), C (metro to metro), D. The default does not depend
 * on the direction. Source: zone rules of data/zones.json.
 */
export function zoneOf(origin: Pincode, destination: Pincode, rules: ZoneRules, overrides?: ZoneOverrides): ZoneAnswer {
  const custom = overrides && overridden(origin, destination, overrides);
  if (custom) return custom;
  const from = cityGroupOf(origin.pincode, rules);
  const to = cityGroupOf(destination.pincode, rules);
  if (from && from === to) return { zone: 'A', reason: `Same city: both pincodes are in ${from.name}` };
  if (!from && !to) {
    const district = commonDistrict(origin, destination);
    if (district) return { zone: 'A', reason: `Same district: both pincodes are in ${district}, ${origin.state}` };
    if (origin.pincode === destination.pincode) return { zone: 'A', reason: 'Both ends have the same pincode' };
  }
  const special = [destination.state, origin.state].find((state) => rules.specialStates.has(state));
  if (special) return { zone: 'E', reason: `${special} is a special state` };
  if (origin.state === destination.state) {
    return { zone: 'B', reason: `Same state: both pincodes are in ${origin.state}` };
  }
  if (from?.metro && to?.metro) return { zone: 'C', reason: `Metro to metro: ${from.name} to ${to.name}` };
  return {
    zone: 'D',
    reason: `${origin.state} to ${destination.state}: neither same city, same state nor metro to metro`,
  };
}
