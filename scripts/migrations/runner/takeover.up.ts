import mongoose from 'mongoose';
import { storedRows } from '../../../src/platform/db/collection.ts';
import { LEGACY_ROW, noteDone, type MigrationRow } from '../../../src/platform/db/migration-state.ts';
import { insertExactly, makeDigest, rawBatches } from '../../../src/platform/db/raw.ts';
import { declaredNames, prepareSchema, readSchema, restoreSchema } from '../../../src/platform/db/schema.ts';
import { database } from '../../../src/platform/db/connect.ts';
import { MigrationError, type Run } from '../migration.ts';
import { backupStore, type BackupStore, type Chunk } from './backup-store.ts';
import { legacyReader, type LegacyField, type LegacyReader } from './legacy-values.ts';
import { beginStep, inBatch, noteStep } from './steps.ts';
import { assertReadable, planUp } from './takeover.check.ts';
import { backUp, idOf, indexLookups, stepRow, total } from './takeover.shared.ts';
import type { Help, LegacyDoc, OurRow, Part, Plain, Takeover } from './takeover.types.ts';

const { BSON } = mongoose.mongo;
const ROUNDS = 5;

/** Takes every row up: check, backup, batches with checkpoints, verification; goes on where a killed runner was. */
export async function up(spec: Takeover, run: Run, before: MigrationRow): Promise<object> {
  const store = backupStore(`${spec.name}/up`);
  const resumes = before.state === 'running';
  const plan = resumes && before.phase !== 'backup' ? undefined : await planUp(spec, run);
  if (plan) assertReadable(spec, run, plan);
  const row = await beginStep(spec.name, run, { state: 'running', phase: 'backup' });
  if (row.phase === 'backup') {
    const digests = await backUp(spec.sources, LEGACY_ROW, { store, run });
    const before = await readSchema(spec.sources);
    await noteStep(spec.name, run, { phase: 'convert', digests, before, rows: total(digests), progress: {} });
  }
  const begun = await stepRow(spec);
  // The former product's unique indexes know nothing of our rows.
  if (Object.values(begun.digests ?? {}).some((d) => d.rows > 0)) await restoreSchema(spec.sources, {});
  await indexLookups(spec, true);
  await convertAll(spec, run, store);
  await indexLookups(spec, false);
  await putBack(spec, run);
  await prepareSchema({ only: spec.targets });
  await verifyUp(spec, run);
  const { digests } = begun;
  await noteDone(spec.name, { rows: total(digests ?? {}) });
  return { rows: total(digests ?? {}), digests };
}

/** Takes up piece after piece; rows that somebody wrote meanwhile are kept and taken up in further rounds. */
async function convertAll(spec: Takeover, run: Run, store: BackupStore): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const collection of spec.sources) await convertCollection(spec, { run, store, collection });
    const late = (await Promise.all(spec.sources.map((name) => database().collection(name).countDocuments(LEGACY_ROW)))).reduce((a, b) => a + b, 0);
    if (late === 0) return;
    run.note('rows_written_meanwhile', { migration: spec.name, rows: late });
    const plan = await planUp(spec, run);
    assertReadable(spec, run, plan);
    for (const collection of spec.sources) if ((plan.rows[collection] ?? 0) > 0) await store.add(collection, LEGACY_ROW, run.config.migrationBatchRows, () => undefined);
  }
  throw new MigrationError(`Something else keeps writing rows to ${spec.sources.join(', ')}: stop it, then run the same command again. What was taken up is safe`);
}

async function convertCollection(spec: Takeover, part: Part): Promise<void> {
  const { run, store, collection } = part;
  const chunks = await store.chunks(collection);
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  const seen = (await stepRow(spec)).progress?.[collection] ?? 0;
  const reader = legacyReader(run.config.legacyEncryptionSecret);
  const help: Help = { reader, run, value: (doc, field) => valueOf(collection, doc, { reader, run, field }) };
  let done = chunks.filter(({ seq }) => seq <= seen).reduce((sum, chunk) => sum + chunk.rows, 0);
  for await (const { chunk, docs } of readAhead(chunks.filter(({ seq }) => seq > seen), store)) {
    const made = await sealedRows(await spec.convert(collection, docs, help));
    await inBatch(async (session) => {
      await noteStep(spec.name, run, { [`progress.${collection}`]: chunk.seq }, session);
      const ids = docs.map(({ _id }) => _id);
      const gone = await database().collection(collection).deleteMany({ _id: { $in: ids } }, { session });
      if (gone.deletedCount !== ids.length) throw new MigrationError(`Rows of ${collection} were removed while they were taken up; run the same command again`);
      for (const [target, ours] of Object.entries(made)) await insertVerified(target, ours, session);
    });
    done += chunk.rows;
    run.step('convert', collection, done, rows);
  }
}

function valueOf(collection: string, doc: LegacyDoc, { reader, run, field }: { reader: LegacyReader; run: Run; field: LegacyField }): string | undefined {
  const { value, fault } = reader.read(doc, field);
  if (fault === undefined || run.dropUnreadable) return value;
  throw new MigrationError(`${collection} ${doc._id.toHexString()}: ${field.path} ${fault}. What was taken up before it is safe; correct the row, or add --drop-unreadable, and run the same command again`);
}

/** The pieces with their rows; the next one is read while one is written, and never more than one waits. */
async function* readAhead(chunks: readonly Chunk[], store: BackupStore): AsyncGenerator<{ chunk: Chunk; docs: LegacyDoc[] }> {
  const read = (chunk: Chunk | undefined): Promise<LegacyDoc[]> => {
    const docs = chunk ? unchanged(chunk, store) : Promise.resolve([]);
    docs.catch(() => undefined);
    return docs;
  };
  let next = read(chunks[0]);
  for (const [i, chunk] of chunks.entries()) {
    const docs = await next;
    next = read(chunks[i + 1]);
    yield { chunk, docs };
  }
}

/** The rows of a piece as they are in the database; refuses when one was changed after the backup was taken. */
async function unchanged(chunk: Chunk, store: BackupStore): Promise<LegacyDoc[]> {
  const { collection } = chunk;
  const range = { _id: { $gte: chunk.first, $lte: chunk.last } };
  const stored: Buffer[] = [];
  for await (const batch of rawBatches(database().collection(collection).find(range as never, { raw: true, sort: { _id: 1 }, batchSize: 2000 }))) stored.push(...batch);
  const digest = makeDigest();
  stored.forEach(digest.add);
  if (digest.end().sha256 === chunk.sha256) return stored.map((bytes) => BSON.deserialize(bytes) as LegacyDoc);
  const now = new Map(stored.map((bytes) => [idOf(bytes), bytes]));
  const kept = await store.read(chunk);
  const other = kept.find((bytes) => !now.get(idOf(bytes))?.equals(bytes));
  if (other) throw new MigrationError(`${collection} ${idOf(other)} was changed or removed after the backup was taken: something else writes to this database. Stop it; what was taken up is safe. Then undo and begin again: npm run dakiya -- migrate down`);
  return kept.map((bytes) => BSON.deserialize(bytes) as LegacyDoc);
}

/** Rows as they are stored. */
export async function sealedRows(made: Record<string, OurRow[]>): Promise<Record<string, Plain[]>> {
  const sealed: Record<string, Plain[]> = {};
  const declared = new Set(declaredNames());
  for (const [target, rows] of Object.entries(made)) {
    if (!declared.has(target)) throw new Error(`${target} is not declared`);
    // Machine rows have no door, and nothing to seal.
    sealed[target] = target === 'sessions' ? rows : await storedRows(target, rows);
  }
  return sealed;
}

/** Writes rows and reads them back in the same transaction: what differs takes the batch with it. */
async function insertVerified(collection: string, made: readonly Plain[], session: mongoose.mongo.ClientSession): Promise<void> {
  if (made.length === 0) return;
  // Ids are hexadecimal, so the server's order of them is ours.
  const rows = [...made].sort((a, b) => (String(a['_id']) < String(b['_id']) ? -1 : 1));
  const ids = rows.map((row) => String(row['_id']));
  const target = database().collection<{ _id: string }>(collection);
  if (collection === 'sessions') await target.deleteMany({ _id: { $in: ids } }, { session });
  await target.insertMany(rows as never, { session });
  let [seen, found] = [0, 0];
  for await (const batch of rawBatches(target.find({ _id: { $in: ids } }, { raw: true, session, sort: { _id: 1 }, batchSize: 2000 }) as unknown as mongoose.mongo.FindCursor)) {
    for (const bytes of batch) {
      if (bytes.equals(BSON.serialize(rows[seen] ?? {}, { ignoreUndefined: true }))) found += 1;
      seen += 1;
    }
  }
  if (found !== ids.length) throw new MigrationError(`${ids.length - found} rows of ${collection} read back other than they were written; the batch was not kept`);
}

/** Rows of ours that an earlier way back put aside come back, unless a row with their id was taken up. */
async function putBack(spec: Takeover, run: Run): Promise<void> {
  const aside = backupStore(`${spec.name}/down`);
  if (!(await aside.exists())) return;
  let count = 0;
  for (const collection of spec.targets) {
    for (const chunk of await aside.chunks(collection)) {
      const documents = await aside.read(chunk);
      const ids = documents.map(idOf);
      const present = new Set((await database().collection<{ _id: string }>(collection).find({ _id: { $in: ids } }, { projection: { _id: 1 } }).toArray()).map((d) => d._id));
      const missing = documents.filter((_, i) => !present.has(ids[i] ?? ''));
      if (missing.length > 0) await insertExactly(database(), collection, missing);
      count += missing.length;
    }
  }
  if (count > 0) run.note('put_back', { migration: spec.name, rows: count });
}

/** Counts, and the server's own validators over every row. */
async function verifyUp(spec: Takeover, run: Run): Promise<void> {
  for (const collection of spec.targets) {
    const left = await database().collection(collection).countDocuments(LEGACY_ROW);
    if (left > 0) throw new MigrationError(`${left} rows of ${collection} were not taken up; run the same command again`);
    const { validator } = (await readSchema([collection]))[collection] ?? {};
    const bad = validator ? await database().collection(collection).findOne({ $nor: [validator] }, { projection: { _id: 1 } }) : null;
    if (bad) throw new MigrationError(`${collection} ${String(bad._id)} breaks the rules of its collection after it was taken up`);
    run.step('verify', collection, 1, 1);
  }
}
