import { defineCollection, type IndexSpec } from '../../platform/db/collection.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import type { KycStatus } from '../companies/index.ts';
import { maskAccount, maskName, maskPan } from './kyc.mask.rules.ts';

/** What a company proves; each has a state of its own. */
export const KYC_DOCUMENTS = ['pan', 'aadhaar', 'gstin', 'bankAccount'] as const;
export type KycDocument = (typeof KYC_DOCUMENTS)[number];

export const HOLDER_TYPES = ['individual', 'company', 'firm', 'huf', 'aop', 'boi', 'trust', 'local_authority', 'artificial_juridical', 'government'] as const;
export type HolderType = (typeof HOLDER_TYPES)[number];

/** What a stored file shows; `address` and `other` belong to no numbered document. */
export const FILE_KINDS = [...KYC_DOCUMENTS, 'address', 'other'] as const;
export type FileKind = (typeof FILE_KINDS)[number];

export const MAX_ADDRESSES = 10;
export const MAX_FILES = 20;
export const MAX_CONSENTS = 20;

export interface PanRecord {
  number: string;
  name: string;
  /** `YYYY-MM-DD`: of birth, or of incorporation. */
  dateOfBirth?: string;
}

export type PanMask = Pick<PanRecord, 'number' | 'name'>;

export interface BankRecord {
  accountNumber: string;
  ifsc: string;
  holderName: string;
}

/** How far the outside proof of a document is; evidence for the reviewer, who decides. */
export type CheckState = 'pending' | 'matched' | 'mismatched' | 'name_differs' | 'needs_check' | 'unavailable' | 'not_checked';

export interface ProviderCheck {
  state: CheckState;
  /** Who said so: the name of the provider. */
  provider: string;
  /** What it means, without any value of the document. */
  note?: string;
  at: Date;
}

export interface DocumentState {
  status: KycStatus;
  /** Grows when another value is saved: a result for an earlier value is recognised by it. */
  revision: number;
  savedAt: Date;
  /** The version of the KYC from which on this value stands in it: who has read an earlier one has not seen it. */
  savedVersion?: number;
  /** Another value took the place of one that waited for its review, and nobody has decided since. */
  replaced?: boolean;
  check: ProviderCheck;
  /** Why a reviewer refused it or asks for more. */
  reason?: string;
  decidedAt?: Date;
  verifiedUntil?: Date;
}

export type Documents = Partial<Record<KycDocument, DocumentState>>;

export interface KycAddress {
  kind: 'registered' | 'business' | 'residence';
  city: string;
  state: string;
  pincode: string;
}

export interface KycFile {
  id: string;
  kind: FileKind;
  contentType: string;
  sizeBytes: number;
  /** The stored bytes, sealed under the company's key and this file's id. */
  fileId: string;
  uploadedAt: Date;
  uploadedBy: string;
}

/**
 * What one company has proved of itself: one row a company, without `memberId`. Rows with one are what further members had
 * proved of themselves: the former product kept one KYC a person, and nothing of it is lost or unseen by the reviewers.
 */
export interface Kyc {
  memberId?: string;
  status: KycStatus;
  statusChangedAt: Date;
  submittedAt?: Date;
  /** The earliest end of a verification. */
  expiresAt?: Date;
  holderType?: HolderType;
  pan?: Sealed<PanRecord, PanMask>;
  gstin?: Sealed<string, string>;
  bankAccount?: Sealed<BankRecord, BankRecord>;
  /** The number itself is in the vault, if anywhere. */
  aadhaar?: { reference: string; lastFour: string };
  addresses: KycAddress[];
  /** Street lines of `addresses`, in the same order. */
  addressLines?: Sealed<string[]>;
  documents: Documents;
  files: KycFile[];
}

/** Of all rows of a company, the one that is nobody's own. */
export const COMPANY_OWN = { memberId: null } as const;

const ONE_OF_THE_COMPANY: readonly IndexSpec[] = [
  { keys: { companyId: 1 }, unique: true, partial: COMPANY_OWN, name: 'companyId_own' },
  { keys: { companyId: 1, memberId: 1 } },
];

export const kycs = defineCollection<Kyc>({
  name: 'kycs',
  rowName: 'kyc',
  fields: {
    memberId: { type: String },
    status: { type: String, required: true, enum: ['not_started', 'in_progress', 'submitted', 'verified', 'rejected', 'needs_action'] },
    statusChangedAt: { type: Date, required: true },
    submittedAt: { type: Date },
    expiresAt: { type: Date },
    holderType: { type: String, enum: HOLDER_TYPES },
    aadhaar: { type: Object },
    addresses: { type: [Object], required: true },
    documents: { type: Object, required: true },
    files: { type: [Object], required: true },
  },
  sealed: {
    pan: { mask: ({ number, name }: PanRecord) => ({ number: maskPan(number), name: maskName(name) }), search: { pan: ({ number }: PanRecord) => number } },
    gstin: { mask: 'gstin', search: 'exact' },
    bankAccount: {
      mask: ({ accountNumber, ifsc, holderName }: BankRecord) => ({ accountNumber: maskAccount(accountNumber), ifsc, holderName: maskName(holderName) }),
      search: { bankAccount: ({ accountNumber, ifsc }: BankRecord) => `${ifsc}|${accountNumber}` },
    },
    addressLines: { mask: (lines: string[]) => lines.map(maskName) },
  },
  personal: { 'documents.*.reason': null, 'aadhaar.lastFour': 'XXXX' },
  bounds: { addresses: MAX_ADDRESSES, files: MAX_FILES },
  listed: false,
  indexes: [
    ...ONE_OF_THE_COMPANY,
    { keys: { status: 1, statusChangedAt: 1, _id: 1 } },
    { keys: { statusChangedAt: 1, _id: 1 } },
    { keys: { 'files.fileId': 1 } },
    { keys: { expiresAt: 1 }, partial: { expiresAt: { $exists: true } } },
  ],
});

/** A consent as it was given: to which words, when, by whom, and from where (a keyed hash). */
export interface Consent {
  version: string;
  at: Date;
  userId: string;
  addressHash: string;
}

/** The only place where an Aadhaar number may be, under a key of its own. */
export interface VaultEntry {
  /** Whose, when it belongs to the KYC of a member. */
  memberId?: string;
  lastFour: string;
  /** True: the number stays. False: it is removed as soon as the check has ended. */
  keep: boolean;
  number?: Sealed<string>;
  consents: Consent[];
  verification?: { state: CheckState; provider: string; at: Date };
}

export const vault = defineCollection<VaultEntry>({
  name: 'aadhaar_vault',
  rowName: 'vault_entry',
  fields: {
    memberId: { type: String },
    lastFour: { type: String, required: true, match: /^(?:\d{4}|XXXX)$/ },
    keep: { type: Boolean, required: true },
    consents: { type: [Object], required: true },
    verification: { type: Object },
  },
  sealed: { number: { key: 'aadhaar', mask: (number: string) => `XXXX XXXX ${number.slice(-4)}` } },
  personal: { lastFour: 'XXXX' },
  bounds: { consents: MAX_CONSENTS },
  listed: false,
  indexes: [...ONE_OF_THE_COMPANY, { keys: { keep: 1, updatedAt: 1 } }],
});

/** One step of one document, kept for ever. */
export interface KycEvent {
  /** Of whose KYC, when it is not the company's. */
  memberId?: string;
  document: KycDocument;
  event: string;
  from: KycStatus;
  to: KycStatus;
  reason?: string;
  byKind: string;
  byId: string;
}

export const kycEvents = defineCollection<KycEvent>({
  name: 'kyc_events',
  rowName: 'kyc_event',
  fields: {
    memberId: { type: String },
    document: { type: String, required: true, enum: KYC_DOCUMENTS },
    event: { type: String, required: true },
    from: { type: String, required: true },
    to: { type: String, required: true },
    reason: { type: String, maxlength: 500 },
    byKind: { type: String, required: true },
    byId: { type: String, required: true },
  },
  personal: { reason: null },
  // These rows are themselves the record of what happened.
  audited: false,
});

/** Somebody saw a value or a file in clear. */
export interface KycReveal {
  /** A document's name, or `file`. */
  what: string;
  fileId?: string;
  reason: string;
  byKind: string;
  byId: string;
}

export const kycReveals = defineCollection<KycReveal>({
  name: 'kyc_reveals',
  rowName: 'kyc_reveal',
  fields: {
    what: { type: String, required: true },
    fileId: { type: String },
    reason: { type: String, required: true, maxlength: 200 },
    byKind: { type: String, required: true },
    byId: { type: String, required: true },
  },
  personal: { reason: '[erased]' },
});
