import type mongoose from 'mongoose';
import type { Config } from '../../src/config.ts';
import { declaredNames } from '../../src/platform/db/schema.ts';
import { kycTakeover } from '../../scripts/migrations/migrate-encrypt-kyc.ts';
import { oauthTakeover } from '../../scripts/migrations/migrate-encrypt-oauth.ts';
import { sessionsTakeover } from '../../scripts/migrations/migrate-hash-sessions.ts';
import { legacyReader } from '../../scripts/migrations/runner/legacy-values.ts';
import type { Help, LegacyDoc, Takeover } from '../../scripts/migrations/runner/takeover.ts';
import { sealedRows } from '../../scripts/migrations/runner/takeover.up.ts';

const BATCH = 1_000;

/** Every takeover in its order. */
export const takeovers: readonly Takeover[] = [kycTakeover, oauthTakeover, sessionsTakeover];

/**
 * The plain rewrite that a migration is measured against: read in batches, convert and seal exactly like the migration,
 * write and delete unordered in bulk with majority and journal. No backup, no checkpoint, no transaction, no verification.
 */
export async function rawRewrite(db: mongoose.mongo.Db, { sources, convert }: Takeover, config: Config): Promise<void> {
  const reader = legacyReader(config.legacyEncryptionSecret);
  const help = { reader, run: { config } as Help['run'], value: (doc, field) => reader.read(doc, field).value } satisfies Help;
  for (const source of sources) {
    const cursor = db.collection(source).find({ _id: { $type: 'objectId' } }, { sort: { _id: 1 }, batchSize: BATCH });
    const next = async (): Promise<LegacyDoc[]> => ((await cursor.hasNext()) ? (cursor.readBufferedDocuments() as LegacyDoc[]) : []);
    for (let docs = await next(); docs.length > 0; ) {
      const made = await sealedRows(await convert(source, docs, help));
      // The next batch is on its way while this one is written.
      const [following] = await Promise.all([next(), replace(db, source, docs, made)]);
      docs = following;
    }
  }
}

async function replace(db: mongoose.mongo.Db, source: string, docs: readonly LegacyDoc[], made: Record<string, Record<string, unknown>[]>): Promise<void> {
  const gone = db.collection(source).bulkWrite([{ deleteMany: { filter: { _id: { $in: docs.map(({ _id }) => _id) } } } }], { ordered: false });
  const kept = Object.entries(made).map(async ([target, rows]) => {
    if (rows.length === 0) return;
    // A session may take the slot of an older one.
    const write = target === 'sessions' ? rows.map((row) => ({ replaceOne: { filter: { _id: row['_id'] }, replacement: row, upsert: true } })) : rows.map((document) => ({ insertOne: { document } }));
    await db.collection(target).bulkWrite(write as never, { ordered: false });
  });
  await Promise.all([gone, ...kept]);
}

/** The collections that both ways fill, for counting. */
export const targets = [...new Set(takeovers.flatMap((t) => t.targets))].filter((name) => declaredNames().includes(name));
