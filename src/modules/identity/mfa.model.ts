import { defineCollection } from '../../platform/db/collection.ts';
import type { Sealed } from '../../platform/db/sealed.ts';

/** The second factor of one user; `_id` is the user's id. */
export interface MfaFactor {
  /** The TOTP secret in base32. */
  secret: Sealed<string>;
  /** Set by the first right code; before that it asks nobody for anything. */
  confirmedAt?: Date;
  /** The latest 30 s step whose code has signed in: that one and those before are spent. */
  lastStep: number;
  /** HMACs of the recovery keys that are left. */
  recoveryHashes: string[];
}

export const mfaFactors = defineCollection<MfaFactor>({
  name: 'mfa_factors',
  rowName: 'mfa_factor',
  listed: false,
  fields: {
    confirmedAt: { type: Date },
    lastStep: { type: Number, required: true },
    recoveryHashes: { type: [String], required: true },
  },
  sealed: { secret: { mask: 'none', required: true } },
  bounds: { recoveryHashes: 10 },
});
