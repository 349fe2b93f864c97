import mongoose from 'mongoose';
import { now } from '../../../src/platform/clock.ts';
import { LEGACY_ROW, migrationRows, type MigrationRow } from '../../../src/platform/db/migration-state.ts';
import { digestOf, insertExactly, makeDigest } from '../../../src/platform/db/raw.ts';
import { restoreSchema, type SchemaOf } from '../../../src/platform/db/schema.ts';
import { database } from '../../../src/platform/db/connect.ts';
import { MigrationError, type Plan, type Run } from '../migration.ts';
import { backupStore } from './backup-store.ts';
import { beginStep, inBatch, noteStep } from './steps.ts';
import { backUp, indexLookups, stepRow, total } from './takeover.shared.ts';
import type { LegacyDoc, Part, Takeover } from './takeover.types.ts';

const { BSON } = mongoose.mongo;
const OURS = { _id: { $type: 'string' } } as const;

/** What the way back would bring back. */
export async function planDown(spec: Takeover): Promise<Plan> {
  const row = await migrationRows().findOne({ _id: spec.name });
  return { rows: Object.fromEntries(Object.entries(row?.digests ?? {}).map(([name, d]) => [name, d.rows])), faults: [] };
}

/** Brings the former rows back byte for byte; our rows are kept sealed aside first. */
export async function down(spec: Takeover, run: Run, before: MigrationRow): Promise<object> {
  const kept = backupStore(`${spec.name}/up`);
  if (total(before.digests ?? {}) === 0) {
    await noteUndone(spec, run);
    return { rows: 0 };
  }
  if (!(await kept.exists())) throw new MigrationError(`The backup of ${spec.name} was discarded, so it cannot be undone`);
  const row = await beginStep(spec.name, run, { state: 'undoing', phase: 'aside' });
  const aside = backupStore(`${spec.name}/down`);
  if (row.phase === 'aside') {
    await assertWhole(spec, before, { store: kept, run });
    const put = await backUp(spec.targets, OURS, { store: aside, run });
    run.note('kept_aside', { migration: spec.name, rows: total(put) });
    await noteStep(spec.name, run, { phase: 'restore', progress: {} });
  }
  await indexLookups(spec, false);
  await restoreSchema([...new Set([...spec.sources, ...spec.targets])], {});
  for (const collection of spec.sources) await restoreCollection(spec, { run, store: kept, collection });
  for (const collection of spec.targets) await database().collection(collection).deleteMany(OURS);
  await restoreSchema(spec.sources, (before['before'] ?? {}) as Record<string, SchemaOf>);
  for (const [collection, { rows, sha256 }] of Object.entries(before.digests ?? {})) {
    const is = await digestOf(database(), collection, LEGACY_ROW);
    const late = (await kept.chunks(collection)).reduce((sum, chunk) => sum + chunk.rows, 0) - rows;
    if (late === 0 && before.state !== 'running' && is.sha256 !== sha256) throw new MigrationError(`${collection} differs from its backup after it was brought back (${is.rows} rows, ${rows} were kept)`);
    run.step('verify', collection, is.rows, is.rows);
  }
  await noteUndone(spec, run);
  return { rows: total(before.digests ?? {}), digests: before.digests };
}

/** Refuses, before anything is written, a way back on a backup of which something was lost, moved or changed. */
async function assertWhole({ name, sources }: Takeover, { digests = {} }: MigrationRow, { store, run }: Omit<Part, 'collection'>): Promise<void> {
  for (const collection of sources) {
    const wanted = digests[collection];
    const digest = makeDigest();
    let [seq, rows] = [0, 0];
    for (const chunk of await store.chunks(collection)) {
      seq += 1;
      if (chunk.seq !== seq) throw new MigrationError(`A piece of the backup of ${name} is missing (${collection} ${seq}); nothing was written`);
      for (const document of await store.read(chunk)) {
        // Behind them stand rows that were written while the step ran.
        if (rows < (wanted?.rows ?? 0)) digest.add(document);
        rows += 1;
      }
      run.step('check', collection, rows, Math.max(rows, wanted?.rows ?? 0));
    }
    if (wanted && digest.end().sha256 !== wanted.sha256) throw new MigrationError(`The backup of ${collection} is not what ${name} kept (${Math.min(rows, wanted.rows)} of ${wanted.rows} rows are there); nothing was written`);
  }
}

async function noteUndone(spec: Takeover, run: Run): Promise<void> {
  const row = await beginStep(spec.name, run, { state: 'undoing', phase: 'end' });
  await migrationRows().updateOne({ _id: row._id, owner: run.owner }, { $set: { state: 'undone', finishedAt: now() }, $unset: { owner: '', phase: '', progress: '', digests: '', rows: '', before: '' } });
}

async function restoreCollection(spec: Takeover, { run, store, collection }: Part): Promise<void> {
  const chunks = await store.chunks(collection);
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  const seen = (await stepRow(spec)).progress?.[collection] ?? 0;
  let done = 0;
  for (const chunk of chunks) {
    done += chunk.rows;
    if (chunk.seq <= seen) continue;
    const documents = await store.read(chunk);
    await inBatch(async (session) => {
      await noteStep(spec.name, run, { [`progress.${collection}`]: chunk.seq }, session);
      // A half-done way up left some of them where they were.
      const ids = documents.map((bytes) => (BSON.deserialize(bytes) as LegacyDoc)._id);
      const present = new Set((await database().collection(collection).find({ _id: { $in: ids } }, { projection: { _id: 1 }, session }).toArray()).map((d) => String(d._id)));
      await insertExactly(database(), collection, documents.filter((_, i) => !present.has(String(ids[i]))), session);
    });
    run.step('restore', collection, done, rows);
  }
}
