import { defineCollection } from '../../platform/db/collection.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
import type { Scope } from '../../platform/permissions.ts';

/** A key for machines, kept as its HMAC. Its scopes are its permissions; it belongs to the company, not to a person. */
export interface ApiKey {
  name: string;
  scopes: Scope[];
  hash: string;
  /** The secret before the last rotation, good until `previousUntil`. */
  previousHash?: string;
  previousUntil?: Date;
  expiresAt?: Date;
  limitPerMinute?: number;
  createdBy: string;
  /** Who got the secret of the last rotation, and so knows it. */
  rotatedBy?: string;
  revokedAt?: Date;
}

export const apiKeys = defineCollection<ApiKey>({
  name: 'api_keys',
  rowName: 'api_key',
  fields: {
    name: { type: String, required: true, maxlength: 100 },
    scopes: { type: [String], required: true },
    hash: { type: String, required: true },
    previousHash: { type: String },
    previousUntil: { type: Date },
    expiresAt: { type: Date },
    limitPerMinute: { type: Number },
    createdBy: { type: String, required: true },
    rotatedBy: { type: String },
    revokedAt: { type: Date },
  },
  personal: { name: '[erased]' },
  bounds: { scopes: 64 },
});

interface ApiKeyUse {
  _id: string;
  lastUsedAt: Date;
}

/** When a key was last used, to the minute. */
export const apiKeyUses = machineRows<ApiKeyUse>('api_key_uses');
