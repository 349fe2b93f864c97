import { defineCollection } from '../../platform/db/collection.ts';
import type { PincodeRow } from './pincode.rules.ts';

/** A pincode that staff has added to the shipped list, or put in the place of its row there. */
export interface AddedPincode extends Omit<PincodeRow, 'districts'> {
  districts: string[];
}

/** Not audited row by row: the list is one thing, and its own row is audited with every change of it. */
export const pincodes = defineCollection<AddedPincode>({
  name: 'pincodes',
  rowName: 'pincode',
  audited: false,
  fields: {
    pincode: { type: String, required: true, match: /^[1-9]\d{5}$/ },
    state: { type: String, maxlength: 100 },
    districts: { type: [String], required: true },
  },
  bounds: { districts: 50 },
  indexes: [{ keys: { pincode: 1 }, unique: true }],
});

/** The one row that is touched with every change of added pincodes: it is what other processes hear of. */
export interface PincodeList {
  list: string;
  /** How many rows were written, in all. */
  written: number;
}

export const pincodeLists = defineCollection<PincodeList>({
  name: 'pincode_lists',
  rowName: 'pincode_list',
  fields: { list: { type: String, required: true }, written: { type: Number, required: true, min: 0 } },
  indexes: [{ keys: { list: 1 }, unique: true }],
});
