import { monotonicMs } from '../../platform/clock.ts';
import { inCompany, PLATFORM_COMPANY_ID, systemCtx, type Tx } from '../../platform/context.ts';
import { makeWatch } from '../../platform/db/watch.ts';
import { parsePincode } from '../../platform/identifiers.ts';
import { makeVersionedCache, type Loaded } from '../../platform/versioned-cache.ts';
import { loadPincodeRows, loadPincodeTable } from './pincode.data.ts';
import { pincodeLists, pincodes, type AddedPincode } from './pincode.model.ts';
import { buildPincodeTable, lookupPincode, type KnownPincode, type Pincode, type PincodeTable } from './pincode.rules.ts';

const LIST = 'added';
const BROKEN_TTL_MS = 1_000;
/** India has fewer than 20,000 pincodes; far more than that is a mistake. */
const MAX_ADDED = 100_000;

const watch = makeWatch({
  collections: [pincodeLists.name],
  onChange: (change) => tables.heard(change, { key: 'all', ifUnknown: true }),
  onGap: () => tables.clear(),
});
const tables = makeVersionedCache<'all', PincodeTable>({
  max: 1,
  now: monotonicMs,
  usableForMs: () => (watch.live() ? Infinity : BROKEN_TTL_MS),
  load: loadTable,
});

/** The list is read before its rows: rows of a later change are then heard of once more, never missed. */
async function loadTable(): Promise<Loaded<PincodeTable>> {
  const ctx = systemCtx('pincodes', PLATFORM_COMPANY_ID);
  const list = await pincodeLists.findOne(ctx, { list: LIST });
  if (!list) return { value: await loadPincodeTable(), versions: new Map() };
  const added = new Map<string, AddedPincode>();
  for (const row of await pincodes.find(ctx, {}, { limit: MAX_ADDED })) added.set(row.pincode, row);
  const shipped = (await loadPincodeRows()).filter(({ pincode }) => !added.has(pincode));
  return { value: buildPincodeTable([...shipped, ...added.values()]), versions: new Map([[list._id, list.version]]) };
}

/** All pincodes: the shipped ones, and over them what staff has added. Kept until staff adds more. */
export async function pincodeTable(): Promise<PincodeTable> {
  return tables.get('all');
}

/** State and districts of a pincode in any usual spelling; undefined when it is none or is not known. */
export async function lookupPin(pincode: string): Promise<Pincode | undefined> {
  const parsed = parsePincode(pincode);
  return parsed.ok ? lookupPincode(await pincodeTable(), parsed.value) : undefined;
}

/** Says of a compact pincode whether India Post knows it, or its neighbourhood. */
export async function knownPincodes(): Promise<KnownPincode> {
  const table = await pincodeTable();
  return (pincode) => lookupPincode(table, pincode) !== undefined;
}

/** Adds pincodes under the platform, in the caller's transaction; one that is there gets the state and districts given. */
export async function storePincodes(tx: Tx, rows: readonly AddedPincode[]): Promise<void> {
  const platform = tx.for(inCompany(tx, PLATFORM_COMPANY_ID));
  const list = await pincodeLists.findOne(platform, { list: LIST });
  if (list) await pincodeLists.update(platform, list._id, { $set: { written: list.written + rows.length } }, { version: list.version });
  else await pincodeLists.insert(platform, { list: LIST, written: rows.length });
  await pincodes.changeMany(platform, rows.map(({ pincode, state, districts }) => ({ match: { pincode }, change: { $set: { state, districts } }, orInsert: {} })));
}

/** Keeps the table right until the returned function is called, whichever process adds pincodes. */
export const watchPincodes = watch.start;
