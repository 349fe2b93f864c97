import { machineRows } from '../../platform/db/machine-rows.ts';

/**
 * A slot for one session of one user. There are as many rows as sessions are allowed, so the cap needs no counting.
 * Secrets are kept as HMACs only.
 */
export interface SessionSlot {
  /** `<userId>:<slot>`. */
  _id: string;
  userId: string;
  companyId: string;
  slot: number;
  live: boolean;
  lastUsedAt: Date;
  /** What lists and revocations call the session; another one after every sign-in. */
  sessionId?: string;
  /** The family name in refresh and access tokens. */
  sid?: string;
  gen?: number;
  hash?: string;
  prevHash?: string;
  /** On a session of the former product: the hash of its token, until the slot is taken anew. */
  formerHash?: string;
  rotatedAt?: Date;
  startedAt?: Date;
  idleExpiresAt?: Date;
  absoluteExpiresAt?: Date;
  /** The user's epoch at sign-in. */
  epoch?: number;
  address?: string;
  userAgent?: string;
  /** When the person last proved who he is in this session: by signing in, or by the password again. */
  provedAt?: Date;
  /** The owner was told by mail of a sign-in from this address with this program. */
  told?: boolean;
  endedBecause?: string;
  /** Families that ended lately; kept as long as one of their access tokens could live. */
  ended?: { sid: string; at: Date }[];
  endedAt?: Date;
  /** Counts endings, so that followers of changes see each. */
  endings?: number;
}

export const sessions = machineRows<SessionSlot>('sessions', [
  { keys: { userId: 1, live: -1, lastUsedAt: 1 } },
  { keys: { live: 1, lastUsedAt: -1, _id: -1 } },
  { keys: { sid: 1 }, unique: true, partial: { sid: { $exists: true } } },
  { keys: { formerHash: 1 }, partial: { formerHash: { $exists: true } } },
  { keys: { endedAt: 1 }, partial: { endedAt: { $exists: true } } },
]);

/** Failed sign-ins of one account, one address or one device within a window. */
export interface ThrottleRow {
  _id: string;
  count: number;
  windowEndsAt: Date;
  lockedUntil?: Date;
  /** On accounts and devices: the next attempt is not judged before. */
  waitUntil?: Date;
  /** On addresses: the account keys that failed there lately, so that an unlock of one frees its address too. */
  accounts?: string[];
  expireAt: Date;
}

export const throttles = machineRows<ThrottleRow>('throttles', [
  { keys: { accounts: 1 }, partial: { accounts: { $exists: true } } },
  { keys: { expireAt: 1 }, expireAfterSeconds: 0 },
]);
