import { loadPincodeTable } from './pincode-data.ts';
import { lookupPincode } from './pincode.rules.ts';

export { loadPincodeTable } from './pincode-data.ts';
export { lookupPincode } from './pincode.rules.ts';

/** Says of a pincode whether India Post knows it, or its neighbourhood. */
export async function knownPincodes(): Promise<(pincode: string) => boolean> {
  const table = await loadPincodeTable();
  return (pincode) => lookupPincode(table, pincode) !== undefined;
}
