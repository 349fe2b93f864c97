import { defineCollection } from '../../platform/db/collection.ts';
import { ZONE_LIMITS } from './custom-zone.rules.ts';
import type { ServiceabilityRow } from './option.rules.ts';
import type { RateCardTerms } from './price.rules.ts';
import { RATE_CARD_LIMITS } from './rate-card.rules.ts';
import { ZONES, type Zone } from './zone.rules.ts';

export const RATE_CARD_STATUSES = ['draft', 'active', 'retired'] as const;
export type RateCardStatus = (typeof RATE_CARD_STATUSES)[number];

/** One version of a rate card; all versions share `cardKey`. Once `usedAt` is set its terms never change again. */
export interface RateCard extends RateCardTerms {
  cardKey: string;
  /** Grows with every change of terms, over all rows of a `cardKey`. */
  cardVersion: number;
  status: RateCardStatus;
  /** When the first shipment or saved quote was priced by it. */
  usedAt?: Date;
  /** Set instead of a removal; an archived card is retired and no longer shown. */
  archivedAt?: Date;
}

const integer = { type: Number, required: true, min: 0 };

export const rateCards = defineCollection<RateCard>({
  name: 'rate_cards',
  rowName: 'rate_card',
  scope: 'shared',
  fields: {
    cardKey: { type: String, required: true },
    cardVersion: { type: Number, required: true, min: 1 },
    status: { type: String, required: true, enum: RATE_CARD_STATUSES },
    usedAt: { type: Date },
    archivedAt: { type: Date },
    name: { type: String, required: true, maxlength: 200 },
    courier: { type: String, required: true },
    service: { type: String, required: true },
    mode: { type: String, required: true, enum: ['surface', 'air'] },
    divisor: integer,
    minGrams: integer,
    maxGrams: integer,
    maxCodPaise: integer,
    tiers: { type: [Object], required: true },
    rto: { type: Object, required: true },
    fuelBp: integer,
    cod: { type: Object, required: true },
    codRefundOnRto: { type: Boolean, required: true },
    oda: { type: Object, required: true },
    gstBp: integer,
    days: { type: Object },
    zoneRules: { type: [Object], default: undefined },
  },
  bounds: { tiers: RATE_CARD_LIMITS.tiers, zoneRules: RATE_CARD_LIMITS.zoneRules, 'rto.tiers': RATE_CARD_LIMITS.tiers },
  indexes: [
    { keys: { companyId: 1, courier: 1, service: 1 }, unique: true, partial: { status: 'active' }, name: 'one_active' },
    { keys: { companyId: 1, cardKey: 1, cardVersion: -1 }, unique: true },
  ],
});

/** GeoJSON: rings of [longitude, latitude], each closed. */
export interface ZonePolygon {
  type: 'Polygon';
  coordinates: [number, number][][];
}

/** A named area of a company. With a zone letter it re-prices the cards of the same company that it fits. */
export interface CustomZone {
  name: string;
  zone?: Zone;
  postalCodes: string[];
  /** Couriers and services it is for; empty means all. */
  carriers: string[];
  serviceTypes: string[];
  geographicalBoundaries?: ZonePolygon;
}

export const zones = defineCollection<CustomZone>({
  name: 'zones',
  rowName: 'zone',
  scope: 'shared',
  fields: {
    name: { type: String, required: true, maxlength: 200 },
    zone: { type: String, enum: ZONES },
    postalCodes: { type: [String], required: true },
    carriers: { type: [String], required: true },
    serviceTypes: { type: [String], required: true },
    geographicalBoundaries: { type: Object },
  },
  bounds: { postalCodes: ZONE_LIMITS.postalCodes, carriers: ZONE_LIMITS.carriers, serviceTypes: ZONE_LIMITS.serviceTypes },
  indexes: [
    { keys: { companyId: 1, name: 1 }, unique: true },
    { keys: { geographicalBoundaries: '2dsphere' } },
  ],
});

export interface Serviceability extends ServiceabilityRow {
  courier: string;
}

/** Not audited row by row: a courier's list is one thing, and its coverage row is audited with every change of it. */
export const serviceability = defineCollection<Serviceability>({
  name: 'serviceability',
  rowName: 'serviceability',
  audited: false,
  fields: {
    courier: { type: String, required: true },
    pincode: { type: String, required: true, match: /^[1-9]\d{5}$/ },
    prepaid: { type: Boolean, required: true },
    cod: { type: Boolean, required: true },
    pickup: { type: Boolean, required: true },
    reverse: { type: Boolean, required: true },
    oda: { type: Boolean, required: true },
    sortCode: { type: String, maxlength: 30 },
  },
  indexes: [{ keys: { pincode: 1, courier: 1 }, unique: true }],
});

/** A courier that has serviceability rows. */
export interface CourierCoverage {
  courier: string;
  /** True when its rows are exceptions only: it serves all other known pincodes, none of them ODA. */
  servesUnlisted: boolean;
}

export const courierCoverage = defineCollection<CourierCoverage>({
  name: 'courier_coverage',
  rowName: 'courier_coverage',
  fields: { courier: { type: String, required: true }, servesUnlisted: { type: Boolean, required: true } },
  indexes: [{ keys: { courier: 1 }, unique: true }],
});
