import { inCompany, PLATFORM_COMPANY_ID, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { invalidFields } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { parsePincode } from '../../platform/identifiers.ts';
import { lookupPin, type Pincode } from '../pincodes/index.ts';
import { pincodeRefusal, type Coverage, type Journey, type ServiceabilityRow } from './option.rules.ts';
import { activeCards, couriersWithRows, serviceabilityAt } from './rate-cache.service.ts';
import { courierCoverage, serviceability } from './rate.model.ts';

/** Most rows of one call. */
export const MAX_ROWS = 5_000;

export interface CourierAt extends Omit<ServiceabilityRow, 'pincode'> {
  courier: string;
}

export interface PincodeServiceability extends Omit<Pincode, 'districts'> {
  districts: string[];
  couriers: CourierAt[];
}

/** What couriers know of two pincodes, asked per courier: two look-ups, however many couriers there are. */
export async function coverageBetween(origin: string, destination: string): Promise<(courier: string) => Coverage> {
  const withRows = await couriersWithRows();
  const [from, to] = [await serviceabilityAt(origin), await serviceabilityAt(destination)];
  return (courier) => {
    const [start, end] = [from.find((row) => row.courier === courier), to.find((row) => row.courier === courier)];
    const servesUnlisted = withRows.get(courier) ?? true;
    return { servesUnlisted, ...(start && { origin: start }), ...(end && { destination: end }) };
  };
}

/** Null when the courier serves this journey, else a sentence naming the condition that failed; no card is asked. */
export async function isServiceable(courier: string, journey: Journey): Promise<string | null> {
  const coverageOf = await coverageBetween(journey.originPincode, journey.destinationPincode);
  return pincodeRefusal(journey, coverageOf(courier));
}

/** What every courier with cards or rows offers at a pincode; 400 for one that is not known. */
export async function serviceabilityOf(ctx: Ctx, text: string): Promise<PincodeServiceability> {
  const found = await lookupPin(text);
  if (!found) throw invalidFields([{ path: 'pincode', message: 'This pincode is not known' }]);
  const withRows = await couriersWithRows();
  const cards = await activeCards(ctx.companyId);
  const rows = new Map((await serviceabilityAt(found.pincode)).map((row) => [row.courier, row]));
  const names = [...new Set([...cards.map(({ terms }) => terms.courier), ...withRows.keys()])].sort();
  const couriers = names.map((courier): CourierAt => {
    const row = rows.get(courier);
    if (row) {
      const { pincode: _pincode, ...offered } = row;
      return offered;
    }
    const unlisted = withRows.get(courier) ?? true;
    return { courier, prepaid: unlisted, cod: unlisted, pickup: unlisted, reverse: unlisted, oda: false };
  });
  return { ...found, districts: [...found.districts], couriers };
}

/** Compact pincodes, sort codes trimmed; 400 naming each row that is wrong or comes twice. */
function readRows(rows: readonly ServiceabilityRow[]): ServiceabilityRow[] {
  const faults = makeFaults();
  const seen = new Set<string>();
  const read = rows.map(({ sortCode, ...row }, at) => {
    const pincode = faults.take(`rows.${at}.pincode`, parsePincode(row.pincode));
    if (pincode !== '' && seen.has(pincode)) faults.add(`rows.${at}.pincode`, 'This pincode is in the list twice');
    seen.add(pincode);
    const code = sortCode?.trim();
    return { ...row, pincode, ...(code && { sortCode: code }) };
  });
  faults.throwIfAny();
  return read;
}

/** Touched with every change of rows: it is what other processes hear of, and makes two writers of one courier wait. */
async function touchCoverage(tx: Tx, courier: string, servesUnlisted: boolean | undefined): Promise<boolean> {
  const found = await courierCoverage.findOne(tx, { courier });
  if (!found) {
    const born = await courierCoverage.insert(tx, { courier, servesUnlisted: servesUnlisted ?? false });
    return born.servesUnlisted;
  }
  const change = { $set: { servesUnlisted: servesUnlisted ?? found.servesUnlisted } };
  return (await courierCoverage.update(tx, found._id, change, { version: found.version })).servesUnlisted;
}

/**
 * Stores rows of a courier under the platform, in the caller's transaction: rows with the same pincode are replaced,
 * others stay. Without `servesUnlisted` it stays as it is; a courier that had no rows then serves its listed pincodes only.
 */
export async function storeServiceability(
  tx: Tx,
  courier: string,
  rows: readonly ServiceabilityRow[],
  servesUnlisted?: boolean,
): Promise<{ servesUnlisted: boolean }> {
  const platform = tx.for(inCompany(tx, PLATFORM_COMPANY_ID));
  const serves = await touchCoverage(platform, courier, servesUnlisted);
  const changes = rows.map(({ pincode, sortCode, ...flags }) => ({
    match: { courier, pincode },
    change: { $set: { ...flags, ...(sortCode !== undefined && { sortCode }) }, ...(sortCode === undefined && { $unset: { sortCode: true as const } }) },
    orInsert: {},
  }));
  await serviceability.changeMany(platform, changes);
  return { servesUnlisted: serves };
}

/** Adds or replaces at most 5,000 rows of a courier at once; 400 naming each faulty row. */
export async function putServiceability(
  ctx: OutsideTx,
  courier: string,
  input: { rows: readonly ServiceabilityRow[]; servesUnlisted?: boolean },
): Promise<{ courier: string; servesUnlisted: boolean; rows: number }> {
  const rows = readRows(input.rows);
  return withTransaction(ctx, async (ctx) => {
    const { servesUnlisted } = await storeServiceability(ctx, courier, rows, input.servesUnlisted);
    return { courier, servesUnlisted, rows: rows.length };
  });
}
