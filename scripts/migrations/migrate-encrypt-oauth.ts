import { randomBytes } from 'node:crypto';
import { seal } from '../../src/platform/db/sealed.ts';
import { database } from '../../src/platform/db/connect.ts';
import type { RowFault } from './migration.ts';
import type { LegacyField } from './runner/legacy-values.ts';
import { ourTimes, text } from './runner/rows.ts';
import { takeover, type Help, type LegacyDoc, type OurRow, type Takeover } from './runner/takeover.ts';

const GOOGLE_ACCESS: LegacyField = { path: 'oauth.google.accessToken' };
const GOOGLE_REFRESH: LegacyField = { path: 'oauth.google.refreshToken' };
const SHOP: LegacyField = { path: 'accessToken' };
const ROLES = new Set(['owner', 'admin', 'operations', 'finance', 'viewer']);

/** Also what the benchmark compares with a plain rewrite of the same rows. */
export const oauthTakeover: Takeover = {
  name: 'migrate-encrypt-oauth',
  reason: 'Tokens of Google accounts and shops stood in clear or in cipher text under one key; they are sealed under the key of their company.',
  sources: ['users', 'integrations'],
  targets: ['users', 'oauth_grants', 'integrations'],
  fields: { users: [GOOGLE_ACCESS, GOOGLE_REFRESH], integrations: [SHOP] },
  unique: { users: { path: 'email', max: 254, index: { name: 'users.email', scope: 'platform', form: 'email' } } },
  inspect: inspectOwner,
  convert: (collection, docs, help) => (collection === 'users' ? convertUsers(docs, help) : Promise.resolve({ integrations: docs.map((doc) => integrationRow(doc, help)) })),
};

export const encryptOauth = takeover(oauthTakeover);

function inspectOwner(collection: string, doc: LegacyDoc): RowFault[] {
  const fault = (field: string, why: string): RowFault => ({ collection, id: doc._id.toHexString(), field, why });
  const faults = /^[0-9a-f]{24}$/.test(String(doc['companyId'])) ? [] : [fault('companyId', 'names no company')];
  if (collection === 'users' && !/^[^\s@]+@[^\s@]+$/.test(text(doc['email'], 254))) faults.push(fault('email', 'is no e-mail address'));
  return faults;
}

async function convertUsers(docs: readonly LegacyDoc[], help: Help): Promise<Record<string, OurRow[]>> {
  const ids = docs.map((doc) => String(doc['companyId']));
  const companies = await database().collection<{ _id: string; kycStatus: string }>('companies').find({ _id: { $in: ids } }, { projection: { kycStatus: 1 } }).toArray();
  const kyc = new Map(companies.map((c) => [c._id, c.kycStatus]));
  const users: OurRow[] = [];
  const grants: OurRow[] = [];
  for (const doc of docs) {
    users.push(userRow(doc, kyc.get(String(doc['companyId'])) ?? 'not_started'));
    const [accessToken, refreshToken] = [help.value(doc, GOOGLE_ACCESS), help.value(doc, GOOGLE_REFRESH)];
    if (accessToken === undefined && refreshToken === undefined) continue;
    grants.push({
      _id: doc._id.toHexString(),
      companyId: String(doc['companyId']),
      version: 1,
      userId: doc._id.toHexString(),
      provider: 'google',
      ...(accessToken === undefined ? {} : { accessToken: seal(accessToken) }),
      ...(refreshToken === undefined ? {} : { refreshToken: seal(refreshToken) }),
      ...ourTimes(doc),
    });
  }
  return { users, oauth_grants: grants };
}

/** Roles we do not know may only look; a mailed reset makes the password and proves the address. */
function userRow(doc: LegacyDoc, kycStatus: string): OurRow {
  const role = String(doc['role']);
  const times = ourTimes(doc);
  const email = text(doc['email'], 254).toLowerCase();
  return {
    _id: doc._id.toHexString(),
    companyId: String(doc['companyId']),
    version: 1,
    email: seal(email),
    name: seal(text(doc['name'], 200) || email),
    role: ROLES.has(role) ? role : 'viewer',
    status: 'active',
    passwordHash: unusableHash(),
    passwordSetAt: times.createdAt,
    epoch: 0,
    minEpoch: 0,
    ...(role === 'owner' ? { kycStatus } : {}),
    ...times,
  };
}

/** No password fits it, and refusing takes as long as any wrong password: a sign-in tells nothing of where a user came from. */
function unusableHash(): string {
  const part = (bytes: number): string => randomBytes(bytes).toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$m=19456,t=2,p=1$${part(16)}$${part(32)}`;
}

function integrationRow(doc: LegacyDoc, help: Help): OurRow {
  const accessToken = help.value(doc, SHOP);
  const scopes = Array.isArray(doc['scopes']) ? (doc['scopes'] as unknown[]).filter((s): s is string => typeof s === 'string').slice(0, 50) : [];
  return {
    _id: doc._id.toHexString(),
    companyId: String(doc['companyId']),
    version: 1,
    platform: text(doc['platform'], 50) || 'unknown',
    shop: text(doc['shop'], 300) || 'unknown',
    scopes,
    ...(accessToken === undefined ? {} : { accessToken: seal(accessToken) }),
    ...ourTimes(doc),
  };
}
