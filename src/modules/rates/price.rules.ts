import { invalid } from '../../platform/errors.ts';
import { applyBp, formatRupees } from '../../platform/money.ts';
import type { Zone, ZoneOverride } from './zone.rules.ts';

export type PaisePerZone = Record<Zone, number>;

/** Price of each started step between the tier before and `uptoGrams` (null: without end). */
export interface RateTier {
  uptoGrams: number | null;
  stepGrams: number;
  paise: PaisePerZone;
}

export type RtoRate = { kind: 'percent'; bp: number } | { kind: 'table'; tiers: RateTier[] };

/** A rate card as the API shows it, without id and version. */
export interface RateCardTerms {
  name: string;
  courier: string;
  service: string;
  mode: 'surface' | 'air';
  /** Cubic millimetres per gram of volumetric weight. */
  divisor: number;
  minGrams: number;
  maxGrams: number;
  maxCodPaise: number;
  tiers: RateTier[];
  rto: RtoRate;
  fuelBp: number;
  cod: { flatPaise: number; bp: number };
  codRefundOnRto: boolean;
  oda: { flatPaise: number; perKgPaise: number };
  gstBp: number;
  days?: Record<Zone, number>;
  zoneRules?: ZoneOverride[];
}

export type Direction = 'forward' | 'rto' | 'reverse';

/** Weight in grams and outer size in millimetres, positive integers. */
export interface ParcelSize {
  weightGrams: number;
  lengthMm: number;
  breadthMm: number;
  heightMm: number;
}

export interface PriceInput extends ParcelSize {
  zone: Zone;
  paymentMethod: 'prepaid' | 'cod';
  codPaise: number;
  direction: Direction;
  /** True when the origin or the destination is out of the courier's delivery area. */
  oda: boolean;
  supply: 'intra' | 'inter';
}

export type PriceLineCode = 'freight' | 'fuel' | 'oda' | 'cod' | 'igst' | 'cgst' | 'sgst' | 'codRefund';

export interface PriceLine {
  code: PriceLineCode;
  amountPaise: number;
  why: string;
}

/**
 * `taxablePaise` is freight, fuel, ODA and COD charge, `totalPaise` adds the tax. What an RTO gives back of an
 * earlier COD charge is `codRefundPaise` (and a negative line) and is no part of either.
 */
export interface Price {
  volumetricGrams: number;
  chargeableGrams: number;
  lines: PriceLine[];
  taxablePaise: number;
  totalPaise: number;
  codRefundPaise: number;
}

/** Exact for safe integers: n - n % d divides without a rest, where n / d alone may round. */
function ceilDiv(n: number, d: number): number {
  const rest = n % d;
  return (n - rest) / d + (rest > 0 ? 1 : 0);
}

function safe(value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw invalid('amount_too_large', 'The weight, size or amount is too large to be priced exactly');
}

function rupees(paise: number): string {
  return `Rs ${formatRupees(paise)}`;
}

function percent(bp: number): string {
  return `${bp / 100} %`;
}

/** ceil(length * breadth * height / divisor): cubic millimetres by the card's divisor are grams, a started gram counts. */
export function volumetricGrams(size: ParcelSize, divisor: number): number {
  const area = safe(size.lengthMm * size.breadthMm);
  const volume = area * size.heightMm;
  if (Number.isSafeInteger(volume)) return ceilDiv(volume, divisor);
  return safe(Number((BigInt(area) * BigInt(size.heightMm) + BigInt(divisor) - 1n) / BigInt(divisor)));
}

/** The weight that is paid for: the largest of dead weight, volumetric weight and the card's minimum. */
export function chargeableGrams(card: RateCardTerms, size: ParcelSize): number {
  return Math.max(size.weightGrams, volumetricGrams(size, card.divisor), card.minGrams);
}

interface TierCharge {
  paise: number;
  words: string;
}

/** Sum over tiers of started steps times the zone's price; cumulative, so it never falls as the weight grows. */
function tierCharge(tiers: readonly RateTier[], grams: number, zone: Zone): TierCharge {
  let lower = 0;
  let paise = 0;
  const words: string[] = [];
  for (const tier of tiers) {
    if (grams <= lower) break;
    const upper = Math.min(grams, tier.uptoGrams ?? grams);
    const steps = ceilDiv(upper - lower, tier.stepGrams);
    paise = safe(paise + safe(steps * tier.paise[zone]));
    const part = lower === 0 ? `${upper} g` : `next ${upper - lower} g`;
    words.push(`${part} in ${tier.stepGrams} g steps: ${steps} × ${rupees(tier.paise[zone])}`);
    lower = upper;
  }
  return { paise, words: words.join(', ') };
}

function freightOf(card: RateCardTerms, grams: number, input: PriceInput): TierCharge {
  if (input.direction === 'rto' && card.rto.kind === 'table') return tierCharge(card.rto.tiers, grams, input.zone);
  const forward = tierCharge(card.tiers, grams, input.zone);
  if (input.direction !== 'rto' || card.rto.kind !== 'percent') return forward;
  const words = `${percent(card.rto.bp)} of the forward freight ${rupees(forward.paise)} (${forward.words})`;
  return { paise: safe(applyBp(forward.paise, card.rto.bp)), words };
}

function weightWords(card: RateCardTerms, input: PriceInput, volumetric: number, grams: number): string {
  if (grams === input.weightGrams) return `${grams} g by weight`;
  if (grams === volumetric) {
    return `${grams} g by size (${input.lengthMm} × ${input.breadthMm} × ${input.heightMm} mm / ${card.divisor})`;
  }
  return `${grams} g, the minimum of this service`;
}

function odaLine(card: RateCardTerms, grams: number): PriceLine {
  const { flatPaise, perKgPaise } = card.oda;
  const kilos = ceilDiv(grams, 1000);
  const byWeight = safe(perKgPaise * kilos);
  const why =
    byWeight > flatPaise
      ? `Out of the courier's usual delivery area: ${kilos} kg × ${rupees(perKgPaise)}`
      : `Out of the courier's usual delivery area: flat ${rupees(flatPaise)}`;
  return { code: 'oda', amountPaise: Math.max(flatPaise, byWeight), why };
}

/** The charge for collecting `codPaise` on delivery: the flat amount or the percentage, whichever is more. */
export function codCharge(card: RateCardTerms, codPaise: number): number {
  return Math.max(card.cod.flatPaise, safe(applyBp(codPaise, card.cod.bp)));
}

function codLine(card: RateCardTerms, codPaise: number): PriceLine {
  const { flatPaise, bp } = card.cod;
  const amountPaise = codCharge(card, codPaise);
  const share = `${percent(bp)} of ${rupees(codPaise)}`;
  const why =
    amountPaise > flatPaise
      ? `${share}, more than ${rupees(flatPaise)}`
      : `${rupees(flatPaise)}, not less than ${share}`;
  return { code: 'cod', amountPaise, why: `Cash on delivery: ${why}` };
}

function taxLines(taxablePaise: number, gstBp: number, supply: PriceInput['supply']): PriceLine[] {
  const where = supply === 'inter' ? 'to another state' : 'within one state';
  const line = (code: 'igst' | 'cgst' | 'sgst', bp: number): PriceLine => ({
    code,
    amountPaise: safe(applyBp(taxablePaise, bp)),
    why: `${code.toUpperCase()} ${percent(bp)} of ${rupees(taxablePaise)}, supply ${where}`,
  });
  return supply === 'inter' ? [line('igst', gstBp)] : [line('cgst', gstBp / 2), line('sgst', gstBp / 2)];
}

function sum(lines: readonly PriceLine[]): number {
  return lines.reduce((total, { amountPaise }) => safe(total + amountPaise), 0);
}

function refundLine(card: RateCardTerms, input: PriceInput): PriceLine | undefined {
  if (input.direction !== 'rto' || input.paymentMethod !== 'cod' || !card.codRefundOnRto) return undefined;
  const charge = codCharge(card, input.codPaise);
  const tax = sum(taxLines(charge, card.gstBp, input.supply));
  const why = `Cash on delivery did not happen: its charge ${rupees(charge)} and the tax ${rupees(tax)} on it go back`;
  return { code: 'codRefund', amountPaise: -safe(charge + tax), why };
}

/**
 * The price of one parcel by one card, line by line, exact in integer paise; an RTO parcel uses the card's RTO terms,
 * a reverse parcel the forward terms without COD. Throws `amount_too_large` (400) beyond exact integers.
 * Source of the formulas: the worked cases in test/fixtures/rate-examples.jsonl.
 */
export function priceShipment(card: RateCardTerms, input: PriceInput): Price {
  const volumetric = volumetricGrams(input, card.divisor);
  const grams = Math.max(input.weightGrams, volumetric, card.minGrams);
  const freight = freightOf(card, grams, input);
  const lines: PriceLine[] = [
    {
      code: 'freight',
      amountPaise: freight.paise,
      why: `Zone ${input.zone}, ${weightWords(card, input, volumetric, grams)}; ${freight.words}`,
    },
  ];
  if (card.fuelBp > 0) {
    const why = `Fuel surcharge ${percent(card.fuelBp)} of ${rupees(freight.paise)}`;
    lines.push({ code: 'fuel', amountPaise: safe(applyBp(freight.paise, card.fuelBp)), why });
  }
  if (input.oda) lines.push(odaLine(card, grams));
  if (input.paymentMethod === 'cod' && input.direction === 'forward') lines.push(codLine(card, input.codPaise));
  const taxablePaise = sum(lines);
  lines.push(...taxLines(taxablePaise, card.gstBp, input.supply));
  const totalPaise = sum(lines);
  const refund = refundLine(card, input);
  if (refund) lines.push(refund);
  return {
    volumetricGrams: volumetric,
    chargeableGrams: grams,
    lines,
    taxablePaise,
    totalPaise,
    codRefundPaise: refund ? -refund.amountPaise : 0,
  };
}
