import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
import { declareSealedRows } from '../../platform/db/renew-rows.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import type { SessionForm } from './cookie.service.ts';

/** A Google account that signs in as a user. */
export interface GoogleLink {
  userId: string;
  /** HMAC of issuer and subject: finds the link without saying whose account it is. */
  subjectHash: string;
  accessToken: Sealed<string>;
  refreshToken?: Sealed<string>;
}

export const googleLinks = defineCollection<GoogleLink>({
  name: 'google_links',
  rowName: 'google_link',
  listed: false,
  fields: { userId: { type: String, required: true }, subjectHash: { type: String, required: true } },
  sealed: { accessToken: { mask: 'none', required: true }, refreshToken: { mask: 'none' } },
  indexes: [{ keys: { subjectHash: 1 }, unique: true }, { keys: { userId: 1 } }],
});

/**
 * What Google gave the former product for a user. His first sign-in here turns it into a link, when it proves to be of the
 * same Google account; the former product kept no subject.
 */
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

/** A sign-in with Google that is under way; `_id` is the HMAC of its state, or of the ticket for what is still missing. */
export interface OauthState {
  _id: string;
  kind: 'state' | 'ticket';
  form: SessionForm;
  /** Of tickets: who Google says it is, sealed. */
  sealed?: string;
  expireAt: Date;
}

export const oauthStates = machineRows<OauthState>('oauth_states', [{ keys: { expireAt: 1 }, expireAfterSeconds: 0 }]);
declareSealedRows({ collection: 'oauth_states', path: 'sealed' });
