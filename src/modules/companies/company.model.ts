import { defineCollection } from '../../platform/db/collection.ts';
import type { Sealed } from '../../platform/db/sealed.ts';

export type CompanyStatus = 'active' | 'suspended' | 'closed';
export type KycStatus = 'not_started' | 'in_progress' | 'submitted' | 'verified' | 'rejected' | 'needs_action';

/** A merchant's account. Its row's `_id` is its own `companyId`. */
export interface Company {
  name: string;
  email: Sealed<string, string>;
  /** Absent for a company that was taken up from the former product. */
  phone?: Sealed<string, string>;
  status: CompanyStatus;
  /** Why our staff last changed the status, and when; shown to staff only. */
  statusReason?: string;
  statusChangedAt?: Date;
  kycStatus: KycStatus;
  /** GST state code of the registered address, two digits; decides intra- or inter-state tax without a GSTIN. */
  stateCode?: string;
  gstin?: string;
  /** The state of the verified GSTIN; decides the tax before everything else. */
  gstinState?: string;
  /** Set when an owner has proved an e-mail address; without it nothing can be booked and no money received. */
  emailVerifiedAt?: Date;
}

export const companies = defineCollection<Company>({
  name: 'companies',
  rowName: 'company',
  fields: {
    name: { type: String, required: true, maxlength: 200 },
    status: { type: String, required: true, enum: ['active', 'suspended', 'closed'] },
    statusReason: { type: String, maxlength: 500 },
    statusChangedAt: { type: Date },
    kycStatus: { type: String, required: true, enum: ['not_started', 'in_progress', 'submitted', 'verified', 'rejected', 'needs_action'] },
    stateCode: { type: String, match: /^\d{2}$/ },
    gstin: { type: String },
    gstinState: { type: String, match: /^\d{2}$/ },
    emailVerifiedAt: { type: Date },
  },
  sealed: { email: { required: true, mask: 'email' }, phone: { mask: 'phone' } },
  personal: { name: '[erased]', gstin: null, statusReason: null },
  indexes: [{ keys: { status: 1, _id: 1 } }, { keys: { kycStatus: 1, _id: 1 } }],
});

/** A place that holds stock and where couriers pick up, as it is told us and shown. */
export interface Place {
  name: string;
  contactName: string;
  phone: string;
  line1: string;
  line2?: string;
  city: string;
  state: string;
  pincode: string;
  gstin?: string;
}

/** What of a place is sealed: its name is the company's word for it, and prices need to know where it lies. */
export const SEALED_OF_PLACE = ['contactName', 'phone', 'line1', 'line2', 'gstin'] as const;
type SealedPart = (typeof SEALED_OF_PLACE)[number];

/** A place, or a change of one, with its personal parts sealed. */
export type SealedPlace<T extends Partial<Place> = Place> = { [K in keyof T]: K extends SealedPart ? Sealed<string, string> : T[K] };

/** A place as a company keeps it. */
export interface Location extends SealedPlace {
  /** Set instead of a removal, because stock and shipments refer to it. */
  archivedAt?: Date;
}

export const locations = defineCollection<Location>({
  name: 'locations',
  rowName: 'location',
  fields: {
    name: { type: String, required: true },
    city: { type: String, required: true },
    state: { type: String, required: true },
    pincode: { type: String, required: true, match: /^[1-9]\d{5}$/ },
    archivedAt: { type: Date },
  },
  sealed: {
    contactName: { required: true, mask: 'name' },
    phone: { required: true, mask: 'phone' },
    line1: { required: true, mask: 'street' },
    line2: { mask: 'street' },
    gstin: { mask: 'gstin' },
  },
  personal: { name: '[erased]' },
});
