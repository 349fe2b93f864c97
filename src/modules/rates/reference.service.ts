import { PLATFORM_COMPANY_ID, type OutsideTx, type Tx, inCompany } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { newId } from '../../platform/ids.ts';
import { loadDefaultRateCards, loadZoneData } from './reference-data.ts';
import type { RateCardTerms } from './price.rules.ts';
import { courierCoverage, rateCards, zones } from './rate.model.ts';
import { storeServiceability } from './serviceability.service.ts';
import { ZONES, type ZoneData } from './zone.rules.ts';

const SANDBOX = 'sandbox';

/** The sandbox courier's coverage row commits with all the rest, so it tells that everything is there. */
async function isInstalled(ctx: OutsideTx | Tx): Promise<boolean> {
  return (await courierCoverage.findOne(ctx, { courier: SANDBOX }, { fields: ['_id'] })) !== undefined;
}

async function install(tx: Tx, cards: readonly RateCardTerms[], zoneData: ZoneData): Promise<void> {
  for (const terms of cards) {
    const _id = newId();
    await rateCards.insert(tx, { _id, ...terms, cardKey: _id, cardVersion: 1, status: 'active' });
  }
  for (const zone of ZONES) {
    await zones.insert(tx, { name: `Zone ${zone}: ${zoneData.names[zone]}`, zone, postalCodes: [], carriers: [], serviceTypes: [] });
  }
  const everything = { prepaid: true, cod: true, pickup: true, reverse: true, oda: true };
  const rows = zoneData.odaPincodes.map((pincode) => ({ pincode, ...everything }));
  await storeServiceability(tx, SANDBOX, rows, true);
}

/**
 * The platform's default rate cards, the names of the default zones, and the sandbox courier's five ODA pincodes (it
 * serves all others too). One read when they are there; what staff changed later stays as it is. Two processes that
 * start at once install them once.
 */
export async function installReferenceData(ctx: OutsideTx): Promise<void> {
  const platform = inCompany(ctx, PLATFORM_COMPANY_ID);
  if (await isInstalled(platform)) return;
  const [cards, zoneData] = await Promise.all([loadDefaultRateCards(), loadZoneData()]);
  try {
    await withTransaction(platform, async (ctx) => {
      if (!(await isInstalled(ctx))) await install(ctx, cards, zoneData);
    });
  } catch (error) {
    if (!(await isInstalled(platform))) throw error;
  }
}
