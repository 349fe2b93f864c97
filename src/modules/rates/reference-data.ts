import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { referenceDataDir } from '../../platform/reference-data.ts';
import type { RateCardTerms } from './price.rules.ts';
import type { ZoneData } from './zone.rules.ts';

async function readReference(file: string): Promise<unknown> {
  return JSON.parse(await readFile(join(await referenceDataDir(), file), 'utf8'));
}

/** The default zones: city groups, special states and the ODA pincodes. */
export async function loadZoneData(): Promise<ZoneData> {
  return (await readReference('zones.json')) as ZoneData;
}

/** The platform's default rate cards, all of the sandbox courier. */
export async function loadDefaultRateCards(): Promise<RateCardTerms[]> {
  return ((await readReference('rate-cards.json')) as { cards: RateCardTerms[] }).cards;
}
