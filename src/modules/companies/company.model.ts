import { defineCollection } from '../../platform/db/collection.ts';

export type CompanyStatus = 'active' | 'suspended' | 'closed';
export type KycStatus = 'not_started' | 'in_progress' | 'submitted' | 'verified' | 'rejected' | 'needs_action';

/** A merchant's account. Its row's `_id` is its own `companyId`. */
export interface Company {
  name: string;
  email: string;
  /** Absent for a company that was taken up from the former product. */
  phone?: string;
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
    email: { type: String, required: true },
    phone: { type: String },
    status: { type: String, required: true, enum: ['active', 'suspended', 'closed'] },
    statusReason: { type: String, maxlength: 500 },
    statusChangedAt: { type: Date },
    kycStatus: { type: String, required: true, enum: ['not_started', 'in_progress', 'submitted', 'verified', 'rejected', 'needs_action'] },
    stateCode: { type: String, match: /^\d{2}$/ },
    gstin: { type: String },
    gstinState: { type: String, match: /^\d{2}$/ },
    emailVerifiedAt: { type: Date },
  },
  personal: { name: '[erased]', email: (id) => `erased-${id}@erased.invalid`, phone: '[erased]', gstin: null, statusReason: null },
  indexes: [{ keys: { status: 1, _id: 1 } }, { keys: { kycStatus: 1, _id: 1 } }],
});

/** A place that holds stock and where couriers pick up. */
export interface Location {
  name: string;
  contactName: string;
  phone: string;
  line1: string;
  line2?: string;
  city: string;
  state: string;
  pincode: string;
  gstin?: string;
  /** Set instead of a removal, because stock and shipments refer to it. */
  archivedAt?: Date;
}

export const locations = defineCollection<Location>({
  name: 'locations',
  rowName: 'location',
  fields: {
    name: { type: String, required: true },
    contactName: { type: String, required: true },
    phone: { type: String, required: true },
    line1: { type: String, required: true },
    line2: { type: String },
    city: { type: String, required: true },
    state: { type: String, required: true },
    pincode: { type: String, required: true, match: /^[1-9]\d{5}$/ },
    gstin: { type: String },
    archivedAt: { type: Date },
  },
  personal: { name: '[erased]', contactName: '[erased]', phone: '[erased]', line1: '[erased]', line2: null, gstin: null },
});
