import { defineCollection } from '../../platform/db/collection.ts';
import type { Sealed } from '../../platform/db/sealed.ts';

/** A company's access to its own shop, as the former product kept it; the store connections take it over. */
export interface Integration {
  platform: string;
  shop: string;
  scopes: string[];
  accessToken?: Sealed<string>;
}

export const integrations = defineCollection<Integration>({
  name: 'integrations',
  rowName: 'integration',
  fields: {
    platform: { type: String, required: true },
    shop: { type: String, required: true },
    scopes: { type: [String], required: true },
  },
  sealed: { accessToken: { mask: 'none' } },
  bounds: { scopes: 50 },
});

/** What an outside provider gave us for a user: only ever used in the user's own name. */
export interface OauthGrant {
  userId: string;
  provider: string;
  accessToken?: Sealed<string>;
  refreshToken?: Sealed<string>;
}

export const oauthGrants = defineCollection<OauthGrant>({
  name: 'oauth_grants',
  rowName: 'oauth_grant',
  fields: { userId: { type: String, required: true }, provider: { type: String, required: true } },
  sealed: { accessToken: { mask: 'none' }, refreshToken: { mask: 'none' } },
  listed: false,
  indexes: [{ keys: { companyId: 1, userId: 1, provider: 1 }, unique: true }],
});
