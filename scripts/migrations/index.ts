import type { Migration } from './migration.ts';
import { indexes } from './indexes.ts';
import { encryptKyc } from './migrate-encrypt-kyc.ts';
import { encryptOauth } from './migrate-encrypt-oauth.ts';
import { hashSessions } from './migrate-hash-sessions.ts';

/** Every migration in its order; the same names as `MIGRATION_NAMES`. */
export const migrations: readonly Migration[] = [indexes, encryptKyc, encryptOauth, hashSessions];
