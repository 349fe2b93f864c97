import type { Module } from '../../platform/module.ts';
import { pincodeTable } from './pincode.service.ts';

export { loadPincodeTable } from './pincode.data.ts';
export { lookupPincode, parseKnownPincode, stateName, type KnownPincode, type Pincode } from './pincode.rules.ts';
export { knownPincodes, lookupPin, pincodeTable } from './pincode.service.ts';

export const pincodesModule: Module = {
  name: 'pincodes',
  async start() {
    await pincodeTable();
    return () => Promise.resolve();
  },
};
