import { defineCollection } from '../../platform/db/collection.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import type { Role } from '../../platform/permissions.ts';

export type UserStatus = 'active' | 'disabled';

/** A person who signs in: a member of one company, or our staff under the platform's own id. */
export interface User {
  /** Lower case; unique over all companies, and found before any of them is known. */
  email: Sealed<string, string>;
  name: Sealed<string, string>;
  phone?: Sealed<string, string>;
  role: Role;
  /** Limits a member to these locations; absent means all. */
  locationIds?: string[];
  status: UserStatus;
  /** Absent for who signs in with Google only. */
  passwordHash?: string;
  passwordSetAt: Date;
  emailVerifiedAt?: Date;
  /** What the KYC of the own company says; on owners only. */
  kycStatus?: string;
  /** Since when a second factor is asked for; its secret is in `mfa_factors`. */
  mfaEnabledAt?: Date;
  /** When staff last lifted a lock-out of this user. */
  unlockedAt?: Date;
  /** Grows when role, locations or status change; access tokens carry the epoch they were issued under. */
  epoch: number;
  /** Sessions and access tokens of an earlier epoch are dead. */
  minEpoch: number;
}

/** Well-formed, and the hash of nothing anybody knows. */
const NO_PASSWORD = `$argon2id$v=19$m=19456,t=2,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;

export const users = defineCollection<User>({
  name: 'users',
  rowName: 'user',
  fields: {
    role: { type: String, required: true, enum: ['owner', 'admin', 'operations', 'finance', 'viewer', 'operator', 'platform_admin'] },
    locationIds: { type: [String], default: undefined },
    status: { type: String, required: true, enum: ['active', 'disabled'] },
    passwordHash: { type: String },
    passwordSetAt: { type: Date, required: true },
    emailVerifiedAt: { type: Date },
    kycStatus: { type: String },
    mfaEnabledAt: { type: Date },
    unlockedAt: { type: Date },
    epoch: { type: Number, required: true },
    minEpoch: { type: Number, required: true },
  },
  sealed: {
    email: { required: true, mask: 'email', search: { email: { of: (email: string) => email, scope: 'platform', form: 'email' } } },
    name: { required: true, mask: 'name' },
    phone: { mask: 'phone' },
  },
  personal: { passwordHash: NO_PASSWORD },
  bounds: { locationIds: 200 },
  indexes: [
    { keys: { 'blind.email': 1 }, unique: true, partial: { 'blind.email': { $exists: true } } },
    { keys: { companyId: 1, role: 1, _id: 1 } },
    // Only users with a history are loaded into every process; nearly all have epoch 0.
    { keys: { epoch: 1 }, partial: { epoch: { $gt: 0 } } },
  ],
});

export type TokenKind = 'verifyEmail' | 'changeEmail' | 'resetPassword' | 'invitation';

/** A secret of a mailed link, kept as its HMAC; works once and until `expiresAt`. */
export interface OneTimeToken {
  purpose: TokenKind;
  hash: string;
  expiresAt: Date;
  usedAt?: Date;
  /** The user it was made for; absent on invitations. */
  userId?: string;
  /** The address that the link was sent to. */
  email: Sealed<string, string>;
  role?: Role;
  locationIds?: string[];
  /** The server removes the row some days after its end. */
  purgeAt: Date;
}

export const oneTimeTokens = defineCollection<OneTimeToken>({
  name: 'one_time_tokens',
  rowName: 'token',
  fields: {
    purpose: { type: String, required: true, enum: ['verifyEmail', 'changeEmail', 'resetPassword', 'invitation'] },
    hash: { type: String, required: true },
    expiresAt: { type: Date, required: true },
    usedAt: { type: Date },
    userId: { type: String },
    role: { type: String },
    locationIds: { type: [String], default: undefined },
    purgeAt: { type: Date, required: true },
  },
  sealed: { email: { required: true, mask: 'email' } },
  privacy: 'none',
  bounds: { locationIds: 200 },
  listed: false,
  indexes: [
    { keys: { hash: 1 }, unique: true },
    { keys: { companyId: 1, purpose: 1, createdAt: -1, _id: -1 } },
    { keys: { userId: 1, purpose: 1 }, partial: { userId: { $exists: true } } },
    { keys: { purgeAt: 1 }, expireAfterSeconds: 0 },
  ],
});
