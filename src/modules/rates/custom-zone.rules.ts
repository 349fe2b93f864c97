import { makeFaults, type Faults } from '../../platform/faults.ts';
import { parsePincode } from '../../platform/identifiers.ts';
import type { CustomZone, ZonePolygon } from './rate.model.ts';
import { isSlug } from './rate-card.rules.ts';

/** Bounds of one custom zone, and how many a company may have. */
export const ZONE_LIMITS = {
  zones: 200,
  postalCodes: 10_000,
  carriers: 100,
  serviceTypes: 50,
  rings: 20,
  positions: 2_000,
} as const;

/** A change of a zone; null takes the zone letter or the polygon away. */
export type ZoneChange = Partial<Omit<CustomZone, 'zone' | 'geographicalBoundaries'>> & {
  zone?: CustomZone['zone'] | null;
  geographicalBoundaries?: ZonePolygon | null;
};

/** What MongoDB's 2dsphere index asks of a ring, as far as it can be said per position. */
function ringFaults(faults: Faults, path: string, ring: readonly [number, number][]): void {
  const [first, last] = [ring[0], ring.at(-1)];
  if (ring.length < 4) faults.add(path, 'A ring needs at least 4 positions');
  else if (first?.[0] !== last?.[0] || first?.[1] !== last?.[1]) faults.add(path, 'The last position must equal the first');
  ring.forEach(([longitude, latitude], at) => {
    if (Math.abs(longitude) > 180 || Math.abs(latitude) > 90) {
      faults.add(`${path}.${at}`, 'A position is [longitude from -180 to 180, latitude from -90 to 90]');
    }
  });
}

function readList(path: string, texts: readonly string[], read: (text: string, at: string) => string): string[] {
  return [...new Set(texts.map((text, at) => read(text, `${path}.${at}`)))];
}

/** The fields of a zone as they are stored: names trimmed, lists without repeats; 400 naming every fault. */
export function readZone<T extends ZoneChange>(input: T): T {
  const faults = makeFaults();
  const slug = (text: string, at: string): string => {
    const compact = text.trim().toLowerCase();
    if (!isSlug(compact)) faults.add(at, 'Use 1 to 64 lower-case letters, digits, dots, hyphens or underscores');
    return compact;
  };
  const read: T = { ...input };
  if (input.name !== undefined) {
    read.name = input.name.trim();
    if (read.name === '') faults.add('name', 'must not be empty');
  }
  if (input.postalCodes) {
    read.postalCodes = readList('postalCodes', input.postalCodes, (text, at) => faults.take(at, parsePincode(text)));
  }
  if (input.carriers) read.carriers = readList('carriers', input.carriers, slug);
  if (input.serviceTypes) read.serviceTypes = readList('serviceTypes', input.serviceTypes, slug);
  input.geographicalBoundaries?.coordinates.forEach((ring, at) => {
    ringFaults(faults, `geographicalBoundaries.coordinates.${at}`, ring);
  });
  faults.throwIfAny();
  return read;
}
