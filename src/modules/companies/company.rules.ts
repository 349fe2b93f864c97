import { parseGstin, parseMobile } from '../../platform/identifiers.ts';
import { makeFaults } from '../../platform/faults.ts';
import { parseKnownPincode, type KnownPincode } from '../pincodes/index.ts';
import { seal, type Sealed } from '../../platform/db/sealed.ts';
import { SEALED_OF_PLACE, type Location, type Place, type SealedPlace } from './company.model.ts';

const SEALED: ReadonlySet<string> = new Set(SEALED_OF_PLACE);

/** A place, or a change of one, with its personal parts sealed. */
export function sealPlace<T extends Partial<Place>>(place: T): SealedPlace<T> {
  return Object.fromEntries(Object.entries(place).map(([key, value]) => [key, SEALED.has(key) ? seal(value) : value])) as SealedPlace<T>;
}

/** A location in clear. */
export function placeOf(location: Location): Place {
  return readPlace(location, (sealed) => sealed.reveal());
}

/** A location for eyes: of what does not open any more, its mask. */
export function placeShown(location: Location): Place {
  return readPlace(location, (sealed) => sealed.shown());
}

function readPlace({ name, contactName, phone, line1, line2, city, state, pincode, gstin }: Location, read: (sealed: Sealed<string, string>) => string): Place {
  return {
    name,
    contactName: read(contactName),
    phone: read(phone),
    line1: read(line1),
    ...(line2 === undefined ? {} : { line2: read(line2) }),
    city,
    state,
    pincode,
    ...(gstin === undefined ? {} : { gstin: read(gstin) }),
  };
}

/** A location as it is stored: phone E.164, GSTIN upper case, texts trimmed, its pincode a known one; 400 naming every faulty field. */
export function normalizeLocation<T extends Partial<Place>>(input: T, known: KnownPincode): T {
  const faults = makeFaults();
  const result: Record<string, string> = {};
  for (const [key, value] of Object.entries(input)) {
    if (typeof value !== 'string') continue;
    result[key] = value.trim();
    if (result[key] === '') faults.add(key, 'must not be empty');
  }
  if (input.phone !== undefined) result['phone'] = faults.take('phone', parseMobile(input.phone));
  if (input.pincode !== undefined) result['pincode'] = faults.take('pincode', parseKnownPincode(input.pincode, known));
  if (input.gstin !== undefined) result['gstin'] = faults.take('gstin', parseGstin(input.gstin));
  faults.throwIfAny();
  return result as T;
}

/** The reason of a staff decision, trimmed; 400 when nothing is left. */
export function normalizeReason(reason: string): string {
  const faults = makeFaults();
  const trimmed = reason.trim();
  if (trimmed === '') faults.add('reason', 'must not be empty');
  faults.throwIfAny();
  return trimmed;
}

/** Matches names that begin with this text, in any case; the text means itself, never a pattern. */
export function namePrefix(text: string): RegExp {
  return new RegExp(`^${text.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`, 'i');
}
