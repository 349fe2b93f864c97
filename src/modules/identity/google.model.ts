import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
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
