import mongoose from 'mongoose';
import { LEGACY_ROW } from '../../../src/platform/db/migration-state.ts';
import { rawBatches } from '../../../src/platform/db/raw.ts';
import { database } from '../../../src/platform/db/connect.ts';
import { MigrationError, type Plan, type RowFault, type Run } from '../migration.ts';
import { legacyReader } from './legacy-values.ts';
import type { LegacyDoc, Takeover } from './takeover.types.ts';
import { findTwins } from './takeover.unique.ts';

const MOST_FAULTS = 20;

/** Reads every row: how many there are and which cannot be taken up; throws when the secret is not the one they were written with. */
export async function planUp(spec: Takeover, run: Run): Promise<Plan> {
  const reader = legacyReader(run.config.legacyEncryptionSecret);
  const plan: Plan = { rows: {}, faults: [] };
  let [enciphered, failed] = [0, 0];
  for (const collection of spec.sources) {
    const total = await database().collection(collection).countDocuments(LEGACY_ROW);
    plan.rows[collection] = total;
    let done = 0;
    for await (const batch of rawBatches(legacyCursor(collection))) {
      for (const bytes of batch) {
        const doc = mongoose.mongo.BSON.deserialize(bytes) as LegacyDoc;
        for (const field of spec.fields[collection] ?? []) {
          const read = reader.read(doc, field);
          enciphered += read.enciphered ? 1 : 0;
          if (read.fault === undefined) continue;
          failed += read.enciphered ? 1 : 0;
          plan.faults.push({ collection, id: doc._id.toHexString(), field: field.path, why: read.fault });
        }
        plan.faults.push(...(spec.inspect?.(collection, doc) ?? []));
      }
      done += batch.length;
      run.step('check', collection, done, total);
      if (enciphered >= 50 && failed * 2 > enciphered) break;
    }
  }
  if (failed > 0 && failed * 2 > enciphered) throw new MigrationError(wrongSecret(spec, run, { enciphered, failed }));
  plan.faults.push(...(await findTwins(spec)));
  return plan;
}

function legacyCursor(collection: string): mongoose.mongo.FindCursor {
  return database().collection(collection).find(LEGACY_ROW, { raw: true, sort: { _id: 1 }, batchSize: 1000 });
}

function wrongSecret({ name, sources }: Takeover, { config }: Run, { enciphered, failed }: { enciphered: number; failed: number }): string {
  const where = sources.join(', ');
  if (config.legacyEncryptionSecret === undefined) return `LEGACY_ENCRYPTION_SECRET is not set, and ${where} hold enciphered values. Nothing was written by ${name}; set it to the former product's secret and run the command again`;
  return `LEGACY_ENCRYPTION_SECRET is not the secret that ${where} were written with: ${failed} of the first ${enciphered} enciphered values do not open. Nothing was written by ${name}`;
}

/** Refuses rows of which only one can be taken up, before the first write of the first migration: no choice of ours could be undone. */
export async function assertAlone(spec: Takeover): Promise<void> {
  const faults = await findTwins(spec);
  if (faults.length === 0) return;
  const what = `${faults.length} rows cannot be taken up by ${spec.name} beside others:`;
  throw new MigrationError([what, ...listed(faults), 'This run has written nothing; migrations that ended earlier are whole. Then run the same command again.'].join('\n'));
}

function listed(faults: readonly RowFault[]): string[] {
  const lines = faults.slice(0, MOST_FAULTS).map(({ collection, id, field, why }) => `  ${collection} ${id}: ${field} ${why}`);
  return faults.length > MOST_FAULTS ? [...lines, `  and ${faults.length - MOST_FAULTS} more`] : lines;
}

/** Refuses unreadable rows before the first write, unless they shall be taken up without those fields. */
export function assertReadable(spec: Takeover, run: Run, { faults }: Plan): void {
  const fatal = run.dropUnreadable ? faults.filter(({ collection, field }) => !spec.fields[collection]?.some((f) => f.path === field)) : faults;
  if (fatal.length === 0) return;
  throw new MigrationError(
    [
      `${fatal.length} values cannot be taken up by ${spec.name}:`,
      ...listed(fatal),
      'Nothing was written by this migration; the migrations before it are whole. Correct these rows in the database, or take them up',
      'without the fields that cannot be read (the sealed backup keeps them): npm run dakiya -- migrate up --drop-unreadable',
    ].join('\n'),
  );
}
