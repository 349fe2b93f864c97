import { parsePincode } from '../../platform/identifiers.ts';
import { loadPincodeTable } from './pincode.data.ts';
import { lookupPincode, type KnownPincode, type Pincode, type PincodeTable } from './pincode.rules.ts';

let table: PincodeTable | undefined;

/** The shipped pincode table; read at the first call, kept for good. */
export async function pincodeTable(): Promise<PincodeTable> {
  table ??= await loadPincodeTable();
  return table;
}

/** State and districts of a pincode in any usual spelling; undefined when it is none or is not known. */
export async function lookupPin(pincode: string): Promise<Pincode | undefined> {
  const parsed = parsePincode(pincode);
  return parsed.ok ? lookupPincode(await pincodeTable(), parsed.value) : undefined;
}

/** Says of a compact pincode whether India Post knows it, or its neighbourhood. */
export async function knownPincodes(): Promise<KnownPincode> {
  const pincodes = await pincodeTable();
  return (pincode) => lookupPincode(pincodes, pincode) !== undefined;
}
