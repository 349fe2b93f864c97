import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';

/** An address that may not call until `until`. Rows belong to the platform. */
export interface BlockedAddress {
  /** As limits count it: IPv4 whole, of IPv6 the first 64 bits. */
  address: string;
  kind: 'automatic' | 'manual';
  reason: string;
  until: Date;
}

export const blockedAddresses = defineCollection<BlockedAddress>({
  name: 'blocked_addresses',
  rowName: 'blocked_address',
  privacy: 'none',
  fields: {
    address: { type: String, required: true, maxlength: 50 },
    kind: { type: String, required: true, enum: ['automatic', 'manual'] },
    reason: { type: String, required: true, maxlength: 500 },
    until: { type: Date, required: true },
  },
  indexes: [
    { keys: { companyId: 1, address: 1 }, unique: true },
    { keys: { until: 1 }, expireAfterSeconds: 0 },
  ],
});

/** Refusals of one address within a window; all processes count in one row. */
interface AddressRefusals {
  _id: string;
  count: number;
  windowEndsAt: Date;
}

export const addressRefusals = machineRows<AddressRefusals>('address_refusals', [{ keys: { windowEndsAt: 1 }, expireAfterSeconds: 0 }]);
