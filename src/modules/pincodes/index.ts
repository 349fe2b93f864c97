import type { Module } from '../../platform/module.ts';
import { pincodeTable, watchPincodes } from './pincode.service.ts';

export { loadPincodeTable } from './pincode.data.ts';
export { lookupPincode, parseKnownPincode, stateName, type KnownPincode, type Pincode } from './pincode.rules.ts';
export { knownPincodes, lookupPin, pincodeTable, storePincodes } from './pincode.service.ts';

export const pincodesModule: Module = {
  name: 'pincodes',
  async start() {
    const stop = await watchPincodes();
    await pincodeTable();
    return stop;
  },
};
