/** The named migrations in their order; scripts/migrations holds their work. */
export const MIGRATION_NAMES = ['indexes', 'migrate-encrypt-kyc', 'migrate-encrypt-oauth', 'migrate-hash-sessions'] as const;
export type MigrationName = (typeof MIGRATION_NAMES)[number];
