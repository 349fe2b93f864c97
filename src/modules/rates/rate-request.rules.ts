import { makeFaults, type Faults } from '../../platform/faults.ts';
import { parsePincode } from '../../platform/identifiers.ts';
import type { RateRequest } from './option.rules.ts';
import type { Pincode } from '../pincodes/index.ts';
import type { Direction, ParcelSize } from './price.rules.ts';

export interface GeoPoint {
  longitude: number;
  latitude: number;
}

/** What prices are asked for; the filters narrow the rate cards that are looked at. */
export interface QuoteRequest extends ParcelSize {
  originPincode: string;
  destinationPincode: string;
  paymentMethod: 'prepaid' | 'cod';
  codPaise?: number;
  /** Kept with a saved quote; no price depends on it. */
  declaredValuePaise?: number;
  /** Default forward. */
  direction?: Direction;
  rateCardId?: string;
  courier?: string;
  service?: string;
  /** Overrides the tax rule, for a what-if. */
  supply?: 'intra' | 'inter';
  /** Where the destination is, for custom zones with a polygon. */
  destinationPoint?: GeoPoint;
}

/** A request whose pincodes are known; what is left to decide is the supply. */
export interface ReadRequest {
  parcel: Omit<RateRequest, 'supply'>;
  origin: Pincode;
  destination: Pincode;
}

type Lookup = (pincode: string) => Pincode | undefined;

function readPincode(faults: Faults, path: string, text: string, lookup: Lookup): Pincode {
  const pincode = faults.take(path, parsePincode(text));
  const found = lookup(pincode);
  if (pincode !== '' && !found) faults.add(path, 'This pincode is not known');
  return found ?? { pincode, state: '', districts: [], inferred: false };
}

/** The request with compact, known pincodes; 400 naming each pincode that is none or is unknown, and COD without an amount. */
export function readRateRequest(input: QuoteRequest, lookup: Lookup): ReadRequest {
  const faults = makeFaults();
  const origin = readPincode(faults, 'originPincode', input.originPincode, lookup);
  const destination = readPincode(faults, 'destinationPincode', input.destinationPincode, lookup);
  const direction = input.direction ?? 'forward';
  const { paymentMethod, weightGrams, lengthMm, breadthMm, heightMm, codPaise } = input;
  if (paymentMethod === 'cod' && codPaise === undefined && direction !== 'reverse') {
    faults.add('codPaise', 'is required for cash on delivery: the amount to collect');
  }
  faults.throwIfAny();
  const parcel = {
    ...{ originPincode: origin.pincode, destinationPincode: destination.pincode, paymentMethod, direction },
    ...{ weightGrams, lengthMm, breadthMm, heightMm },
    codPaise: paymentMethod === 'cod' ? (codPaise ?? 0) : 0,
  };
  return { parcel, origin, destination };
}
