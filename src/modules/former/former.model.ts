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
