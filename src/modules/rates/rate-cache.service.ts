import { monotonicMs } from '../../platform/clock.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { makeWatch, type CommittedChange } from '../../platform/db/watch.ts';
import { makeVersionedCache, type VersionedCache } from '../../platform/versioned-cache.ts';
import { ownCompany } from '../companies/index.ts';
import { ZONE_LIMITS } from './custom-zone.rules.ts';
import type { ServiceabilityRow } from './option.rules.ts';
import type { RateCardTerms } from './price.rules.ts';
import { pickTerms } from './rate-card-input.rules.ts';
import { courierCoverage, rateCards, serviceability, zones, type CustomZone, type RateCard, type Serviceability } from './rate.model.ts';
import type { CompiledOverride } from './zone.rules.ts';
import { compileOverrides, compileZone, joinOverrides } from './zone.rules.ts';

/** A rate card made ready for pricing. */
export interface ReadyCard {
  id: string;
  /** The company that owns it; the platform's for default cards. */
  companyId: string;
  cardVersion: number;
  used: boolean;
  terms: RateCardTerms;
  overrides: readonly CompiledOverride[];
}

interface ReadyZone extends Pick<CustomZone, 'carriers' | 'serviceTypes'> {
  override: CompiledOverride;
}

interface OwnersCards {
  cards: readonly ReadyCard[];
  zones: readonly ReadyZone[];
}

interface Coverage {
  servesUnlisted: ReadonlyMap<string, boolean>;
  /** All rows by pincode, when they are few. */
  whole?: ReadonlyMap<string, readonly ServiceabilityRowOf[]>;
  /** Else the rows of the pincodes asked for; they live as long as this coverage, which every change of rows touches. */
  rowsAt: VersionedCache<string, readonly ServiceabilityRowOf[]>;
}

export type ServiceabilityRowOf = ServiceabilityRow & { courier: string };

const COMPANIES = 'companies';
const MAX_COMPANIES = 1_000;
const MAX_PINCODES = 20_000;
const FEW_ROWS = 5_000;
const BROKEN_TTL_MS = 1_000;

const watch = makeWatch({
  collections: [rateCards.name, zones.name, courierCoverage.name, COMPANIES],
  onChange,
  onGap: forgetAll,
});
const usableFor = (): number => (watch.live() ? Infinity : BROKEN_TTL_MS);
const options = { now: monotonicMs, usableForMs: usableFor };

const cards = makeVersionedCache<string, OwnersCards>({ ...options, max: MAX_COMPANIES, load: loadCards });
const taxStates = makeVersionedCache<string, string | undefined>({ ...options, max: MAX_COMPANIES * 10, load: loadTaxState });
const coverage = makeVersionedCache<'all', Coverage>({ ...options, max: 1, load: loadCoverage });

/** True for a custom zone that is for this courier and service; empty lists mean all. */
export function zoneFits(zone: Pick<CustomZone, 'carriers' | 'serviceTypes'>, courier: string, service: string): boolean {
  if (zone.carriers.length > 0 && !zone.carriers.includes(courier)) return false;
  return zone.serviceTypes.length === 0 || zone.serviceTypes.includes(service);
}

function ready(row: Row<RateCard>, ownZones: readonly ReadyZone[]): ReadyCard {
  const terms = pickTerms(row);
  const fitting = ownZones.filter((zone) => zoneFits(zone, row.courier, row.service)).map(({ override }) => override);
  return {
    id: row._id,
    companyId: row.companyId,
    cardVersion: row.cardVersion,
    used: row.usedAt !== undefined,
    terms,
    overrides: joinOverrides(compileOverrides(terms.zoneRules), fitting),
  };
}

async function loadCards(companyId: string): Promise<{ value: OwnersCards; versions: Map<string, number> }> {
  const ctx = systemCtx('rate cache', companyId);
  const fields = ['name', 'zone', 'postalCodes', 'carriers', 'serviceTypes', 'version'] as const;
  const [cardRows, zoneRows] = await Promise.all([
    rateCards.find(ctx, { companyId, status: 'active' }),
    zones.find(ctx, { companyId }, { fields, sort: { createdAt: 1, _id: 1 }, limit: ZONE_LIMITS.zones }),
  ]);
  const ownZones = zoneRows.flatMap(({ name, zone, postalCodes, carriers, serviceTypes }): ReadyZone[] =>
    zone && postalCodes.length > 0 ? [{ carriers, serviceTypes, override: compileZone(zone, name, postalCodes) }] : [],
  );
  const versions = new Map([...cardRows, ...zoneRows].map((row) => [row._id, row.version]));
  return { value: { cards: cardRows.map((row) => ready(row, ownZones)), zones: ownZones }, versions };
}

async function loadTaxState(companyId: string): Promise<{ value: string | undefined; versions: Map<string, number> }> {
  const { _id, version, gstin, gstinState, stateCode } = await ownCompany(systemCtx('rate cache', companyId));
  return { value: gstinState ?? gstin?.slice(0, 2) ?? stateCode, versions: new Map([[_id, version]]) };
}

function byPincode(rows: readonly Serviceability[]): Map<string, ServiceabilityRowOf[]> {
  const found = new Map<string, ServiceabilityRowOf[]>();
  for (const { courier, pincode, prepaid, cod, pickup, reverse, oda, sortCode } of rows) {
    const row = { courier, pincode, prepaid, cod, pickup, reverse, oda, ...(sortCode === undefined ? {} : { sortCode }) };
    const others = found.get(pincode);
    if (others) others.push(row);
    else found.set(pincode, [row]);
  }
  return found;
}

async function loadCoverage(): Promise<{ value: Coverage; versions: Map<string, number> }> {
  const ctx = systemCtx('rate cache', PLATFORM_COMPANY_ID);
  const couriers = await courierCoverage.find(ctx, {});
  const rows = await serviceability.find(ctx, {}, { limit: FEW_ROWS + 1 });
  const servesUnlisted = new Map(couriers.map((row) => [row.courier, row.servesUnlisted]));
  return {
    value: {
      servesUnlisted,
      ...(rows.length <= FEW_ROWS && { whole: byPincode(rows) }),
      rowsAt: makeVersionedCache({ ...options, max: MAX_PINCODES, load: loadRowsAt }),
    },
    versions: new Map(couriers.map((row) => [row._id, row.version])),
  };
}

async function loadRowsAt(pincode: string): Promise<{ value: readonly ServiceabilityRowOf[]; versions: Map<string, number> }> {
  const rows = await serviceability.find(systemCtx('rate cache', PLATFORM_COMPANY_ID), { pincode });
  return { value: byPincode(rows).get(pincode) ?? [], versions: new Map() };
}

/** The active cards of a company and, for couriers and services that it has no card for, the platform's. */
export async function activeCards(companyId: string): Promise<readonly ReadyCard[]> {
  const own = (await cards.get(companyId)).cards;
  if (companyId === PLATFORM_COMPANY_ID) return own;
  const defaults = (await cards.get(PLATFORM_COMPANY_ID)).cards;
  if (own.length === 0) return defaults;
  const taken = new Set(own.map(({ terms }) => `${terms.courier}:${terms.service}`));
  return [...own, ...defaults.filter(({ terms }) => !taken.has(`${terms.courier}:${terms.service}`))];
}

/** Any card of a company or the platform, active or not, made ready; for prices by an earlier or a draft version. */
export async function readyCard(row: Row<RateCard>): Promise<ReadyCard> {
  return ready(row, (await cards.get(row.companyId)).zones);
}

/** GST state code of a company: of its GSTIN, else of its registered address; undefined when neither is known. */
export async function taxStateOf(companyId: string): Promise<string | undefined> {
  return taxStates.get(companyId);
}

/** Every courier that has serviceability rows, and whether it serves pincodes without a row all the same. */
export async function couriersWithRows(): Promise<ReadonlyMap<string, boolean>> {
  return (await coverage.get('all')).servesUnlisted;
}

/** What each courier with a row for this pincode offers there. */
export async function serviceabilityAt(pincode: string): Promise<readonly ServiceabilityRowOf[]> {
  const { whole, rowsAt } = await coverage.get('all');
  return whole ? (whole.get(pincode) ?? []) : rowsAt.get(pincode);
}

/** True when this version of a card is known to be used already; false means: ask the database. */
export function isKnownUsed(companyId: string, rateCardId: string, cardVersion?: number): boolean {
  return [companyId, PLATFORM_COMPANY_ID].some((owner) =>
    cards.peek(owner)?.cards.some((card) => card.used && card.id === rateCardId && card.cardVersion === (cardVersion ?? card.cardVersion)),
  );
}

function forgetAll(): void {
  cards.clear();
  taxStates.clear();
  coverage.clear();
}

/** A card that is neither known here nor active now changes no price; a zone that is not known here is new. */
function cardsAreStale(change: CommittedChange): boolean {
  const { collection, row } = change;
  return collection === zones.name || !row || row['status'] === 'active';
}

function onChange(change: CommittedChange): void {
  const { collection, rowId, companyId } = change;
  if (collection === COMPANIES) taxStates.heard(change, { key: rowId, ifUnknown: true });
  else if (collection === courierCoverage.name) coverage.heard(change, { key: 'all', ifUnknown: true });
  else if (change.removed && companyId === undefined) cards.heard(change, {});
  else if (companyId !== undefined) cards.heard(change, { key: companyId, ifUnknown: cardsAreStale(change) });
}

/**
 * Keeps the caches right until the returned function is called: changes of this process are heard at once, those of
 * others within milliseconds. Without it, or while the database cannot be listened to, entries live for one second.
 */
export const watchRates = watch.start;
