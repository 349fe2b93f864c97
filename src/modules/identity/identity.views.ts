import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { field, shape } from '../../platform/route.ts';
import { companyShape, companyView, type CompanyView } from '../companies/index.ts';
import type { KnownApiKey, MintedApiKey } from './api-key.service.ts';
import type { ApiKey } from './api-key.model.ts';
import type { SessionSlot } from './session.model.ts';
import type { TokenPair } from './session.service.ts';
import type { SignedIn } from './sign-in.service.ts';
import type { OneTimeToken, User } from './user.model.ts';

export interface UserView {
  id: string;
  companyId: string;
  name: string;
  email: string;
  phone?: string;
  role: string;
  locationIds?: string[];
  status: string;
  emailVerified: boolean;
  mfaEnabled: boolean;
  version: number;
  createdAt: string;
}

/** A person as the company, and he himself, sees him. */
export function userView(row: Row<User>): UserView {
  return {
    id: row._id,
    companyId: row.companyId,
    name: row.name.shown(),
    email: row.email.shown(),
    ...(row.phone === undefined ? {} : { phone: row.phone.shown() }),
    role: row.role,
    ...(row.locationIds === undefined ? {} : { locationIds: row.locationIds }),
    status: row.status,
    emailVerified: row.emailVerifiedAt !== undefined,
    mfaEnabled: row.mfaEnabledAt !== undefined,
    version: row.version,
    createdAt: row.createdAt.toISOString(),
  };
}

export const userShape = shape<UserView>({
  id: field.id().required(),
  companyId: field.id().required(),
  name: Joi.string().required(),
  email: Joi.string().required(),
  phone: Joi.string(),
  role: Joi.string().required(),
  locationIds: Joi.array().items(field.id()),
  status: Joi.string().required(),
  emailVerified: Joi.boolean().required(),
  mfaEnabled: Joi.boolean().required(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
});

/** Access and refresh token, without what else belongs to the session. */
export function tokenView({ accessToken, expiresIn, refreshToken }: TokenPair): TokenPair {
  return { accessToken, expiresIn, refreshToken };
}

/** Tokens in the form that was asked for: `refreshToken`, or a cookie and `csrfToken`. */
export interface FormedTokens {
  accessToken: string;
  expiresIn: number;
  refreshToken?: string;
  csrfToken?: string;
}

const tokenKeys = {
  accessToken: Joi.string().required(),
  expiresIn: field.count(1, 86_400).required(),
  refreshToken: Joi.string(),
  csrfToken: Joi.string(),
};

export const tokenShape = shape<FormedTokens>(tokenKeys);

export interface SignedInView extends TokenPair {
  deviceToken: string;
  user: UserView;
  company: CompanyView | null;
}

/** The answer of every sign-in; our staff have no company. */
export function signedInView(signedIn: SignedIn): SignedInView {
  const { deviceToken, user, company } = signedIn;
  return { ...tokenView(signedIn), deviceToken, user: userView(user), company: company ? companyView(company) : null };
}

export const signedInShape = Joi.object<FormedTokens & Omit<SignedInView, 'refreshToken'>>({
  ...tokenKeys,
  deviceToken: Joi.string().required(),
  user: userShape.required(),
  company: companyShape.allow(null).required(),
});

export interface SessionView {
  id: string;
  createdAt: string;
  lastUsedAt: string;
  expiresAt: string;
  address: string;
  userAgent: string;
  current: boolean;
}

/** A session in its owner's list; `expiresAt` is when it ends without further use. */
export function sessionView(row: SessionSlot & { current: boolean }): SessionView {
  const end = Math.min(row.idleExpiresAt?.getTime() ?? 0, row.absoluteExpiresAt?.getTime() ?? 0);
  return {
    id: row.sessionId ?? '',
    createdAt: (row.startedAt ?? row.lastUsedAt).toISOString(),
    lastUsedAt: row.lastUsedAt.toISOString(),
    expiresAt: new Date(end).toISOString(),
    address: row.address ?? '',
    userAgent: row.userAgent ?? '',
    current: row.current,
  };
}

export const sessionShape = shape<SessionView>({
  id: field.id().required(),
  createdAt: field.isoTime().required(),
  lastUsedAt: field.isoTime().required(),
  expiresAt: field.isoTime().required(),
  address: Joi.string().allow('').required(),
  userAgent: Joi.string().allow('').required(),
  current: Joi.boolean().required(),
});

export interface StaffSessionView extends Omit<SessionView, 'current'> {
  userId: string;
  companyId: string;
}

/** A session as our staff see it. */
export function staffSessionView(row: SessionSlot): StaffSessionView {
  const { id, createdAt, lastUsedAt, expiresAt, address, userAgent } = sessionView({ ...row, current: false });
  return { id, userId: row.userId, companyId: row.companyId, createdAt, lastUsedAt, expiresAt, address, userAgent };
}

export const staffSessionShape = shape<StaffSessionView>({
  id: field.id().required(),
  userId: field.id().required(),
  companyId: field.id().required(),
  createdAt: field.isoTime().required(),
  lastUsedAt: field.isoTime().required(),
  expiresAt: field.isoTime().required(),
  address: Joi.string().allow('').required(),
  userAgent: Joi.string().allow('').required(),
});

export interface InvitationView {
  id: string;
  email: string;
  role: string;
  locationIds?: string[];
  expiresAt: string;
  createdAt: string;
}

/** An invitation without its secret, which is in the mail only. */
export function invitationView(row: Row<OneTimeToken>): InvitationView {
  return {
    id: row._id,
    email: row.email.shown(),
    role: row.role ?? '',
    ...(row.locationIds === undefined ? {} : { locationIds: row.locationIds }),
    expiresAt: row.expiresAt.toISOString(),
    createdAt: row.createdAt.toISOString(),
  };
}

export const invitationShape = shape<InvitationView>({
  id: field.id().required(),
  email: Joi.string().required(),
  role: Joi.string().required(),
  locationIds: Joi.array().items(field.id()),
  expiresAt: field.isoTime().required(),
  createdAt: field.isoTime().required(),
});

export interface ApiKeyView {
  id: string;
  name: string;
  scopes: string[];
  expiresAt?: string;
  limitPerMinute?: number;
  lastUsedAt?: string;
  previousValidUntil?: string;
  revokedAt?: string;
  version: number;
  createdAt: string;
}

function optionalTimes(row: Row<ApiKey>): Pick<ApiKeyView, 'expiresAt' | 'previousValidUntil' | 'revokedAt'> {
  return {
    ...(row.expiresAt ? { expiresAt: row.expiresAt.toISOString() } : {}),
    ...(row.previousUntil ? { previousValidUntil: row.previousUntil.toISOString() } : {}),
    ...(row.revokedAt ? { revokedAt: row.revokedAt.toISOString() } : {}),
  };
}

/** An API key without its text. */
export function apiKeyView({ row, lastUsedAt }: KnownApiKey): ApiKeyView {
  return {
    id: row._id,
    name: row.name,
    scopes: [...row.scopes],
    ...optionalTimes(row),
    ...(row.limitPerMinute === undefined ? {} : { limitPerMinute: row.limitPerMinute }),
    ...(lastUsedAt ? { lastUsedAt: lastUsedAt.toISOString() } : {}),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
  };
}

const apiKeyKeys = {
  id: field.id().required(),
  name: Joi.string().required(),
  scopes: Joi.array().items(Joi.string()).required(),
  expiresAt: field.isoTime(),
  limitPerMinute: field.count(1, 100_000),
  lastUsedAt: field.isoTime(),
  previousValidUntil: field.isoTime(),
  revokedAt: field.isoTime(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
};

export const apiKeyShape = shape<ApiKeyView>(apiKeyKeys);

/** An API key with its text: the only answer that ever shows it. */
export function mintedKeyView({ row, key }: MintedApiKey): ApiKeyView & { key: string } {
  return { ...apiKeyView({ row }), key };
}

export const mintedKeyShape = shape<ApiKeyView & { key: string }>({ ...apiKeyKeys, key: Joi.string().required() });
