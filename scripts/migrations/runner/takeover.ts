import mongoose from 'mongoose';
import { now } from '../../../src/platform/clock.ts';
import { declaredNames, prepareSchema, readSchema, restoreSchema, type SchemaOf } from '../../../src/platform/db/schema.ts';
import { LEGACY_ROW, migrationRows, noteDone, type MigrationName, type MigrationRow } from '../../../src/platform/db/migration-state.ts';
import { storedRows } from '../../../src/platform/db/collection.ts';
import { digestOf, insertExactly, makeDigest, rawBatches, type Digest } from '../../../src/platform/db/raw.ts';
import { MigrationError, type Migration, type Plan, type RowFault, type Run } from '../migration.ts';
import { backupStore, type BackupStore, type Chunk } from './backup-store.ts';
import { legacyReader, type LegacyField, type LegacyReader } from './legacy-values.ts';
import { beginStep, database, inBatch, noteStep } from './steps.ts';

const { BSON } = mongoose.mongo;
type Plain = Record<string, unknown>;

/** A row of the former product: its id is an ObjectId. */
export type LegacyDoc = Plain & { _id: mongoose.mongo.ObjectId };
/** A row of ours, whole but not sealed yet. */
export type OurRow = Plain & { _id: string; companyId: string };

/** What a takeover's functions get. */
export interface Help {
  reader: LegacyReader;
  run: Run;
  /** The value of a field; undefined when it has none, or cannot be read and shall be left behind. */
  value(doc: LegacyDoc, field: LegacyField): string | undefined;
}

/** A migration that takes up every row of the former product of some collections. */
export interface Takeover {
  name: MigrationName;
  reason: string;
  /** Collections with rows of the former product, in the order they are taken up. */
  sources: readonly string[];
  /** Every collection that gets rows. */
  targets: readonly string[];
  fields: Readonly<Record<string, readonly LegacyField[]>>;
  /** Fields that `convert` looks rows up by, as `collection.field`: without an index each batch would read everything. */
  lookups?: readonly string[];
  /** Further reasons why a row cannot be taken up. */
  inspect?(collection: string, doc: LegacyDoc): RowFault[];
  /** Our rows for some of theirs, by collection. Reads only. */
  convert(collection: string, docs: readonly LegacyDoc[], help: Help): Promise<Record<string, OurRow[]>>;
}

const OURS = { _id: { $type: 'string' } } as const;
const MOST_FAULTS = 20;
const ROUNDS = 5;

/** Makes the migration of a takeover: backup, batches with checkpoints, verification; and the way back. */
export function takeover(spec: Takeover): Migration {
  return {
    name: spec.name,
    reason: spec.reason,
    touches: [...new Set([...spec.sources, ...spec.targets])],
    up: { plan: (run) => planUp(spec, run), run: (run, row) => up(spec, run, row) },
    down: { plan: () => planDown(spec), run: (run, row) => down(spec, run, row) },
  };
}

async function planUp(spec: Takeover, run: Run): Promise<Plan> {
  const reader = legacyReader(run.config.legacyEncryptionSecret);
  const plan: Plan = { rows: {}, faults: [] };
  let [enciphered, failed] = [0, 0];
  for (const collection of spec.sources) {
    const total = await database().collection(collection).countDocuments(LEGACY_ROW);
    plan.rows[collection] = total;
    let done = 0;
    for await (const batch of rawBatches(legacyCursor(collection))) {
      for (const bytes of batch) {
        const doc = BSON.deserialize(bytes) as LegacyDoc;
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

/** Refuses unreadable rows before the first write, unless they shall be taken up without those fields. */
function assertReadable(spec: Takeover, run: Run, { faults }: Plan): void {
  const fatal = run.dropUnreadable ? faults.filter(({ collection, field }) => !spec.fields[collection]?.some((f) => f.path === field)) : faults;
  if (fatal.length === 0) return;
  const lines = fatal.slice(0, MOST_FAULTS).map(({ collection, id, field, why }) => `  ${collection} ${id}: ${field} ${why}`);
  const more = fatal.length > MOST_FAULTS ? [`  and ${fatal.length - MOST_FAULTS} more`] : [];
  throw new MigrationError(
    [
      `${fatal.length} values cannot be taken up by ${spec.name}:`,
      ...lines,
      ...more,
      'Nothing was written by this migration; the migrations before it are whole. Correct these rows in the database, or take them up',
      'without the fields that cannot be read (the sealed backup keeps them): npm run dakiya -- migrate up --drop-unreadable',
    ].join('\n'),
  );
}

async function up(spec: Takeover, run: Run, before: MigrationRow): Promise<object> {
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

/** Makes the indexes of the look-ups for as long as the step runs, and takes them away again. */
async function indexLookups({ lookups = [] }: Takeover, on: boolean): Promise<void> {
  for (const lookup of lookups) {
    const [collection = '', field = ''] = lookup.split('.');
    const name = `migration_${field}`;
    const there = (await readSchema([collection]))[collection]?.indexes ?? [];
    const own = there.some((index) => index['name'] === name);
    const usable = there.some((index) => Object.keys((index['key'] ?? {}) as object)[0] === field);
    if (on && !usable) await database().collection(collection).createIndex({ [field]: 1 }, { name });
    if (!on && own) await database().collection(collection).dropIndex(name);
  }
}

async function stepRow({ name }: Takeover): Promise<MigrationRow> {
  const row = await migrationRows().findOne({ _id: name });
  if (!row) throw new MigrationError(`The row of ${name} is gone`);
  return row;
}

function total(digests: Readonly<Record<string, Digest>>): number {
  return Object.values(digests).reduce((sum, { rows }) => sum + rows, 0);
}

/** Keeps the matching rows sealed, with their digests, before anything of them is touched. */
async function backUp(collections: readonly string[], filter: object, { store, run }: { store: BackupStore; run: Run }): Promise<Record<string, Digest>> {
  await store.reset();
  const digests: Record<string, Digest> = {};
  for (const collection of collections) {
    const rows = await database().collection(collection).countDocuments(filter);
    digests[collection] = await store.add(collection, filter, run.config.migrationBatchRows, (done) => run.step('backup', collection, done, rows));
  }
  return digests;
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

interface Part {
  run: Run;
  store: BackupStore;
  collection: string;
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

function idOf(bytes: Buffer): string {
  return String((BSON.deserialize(bytes) as { _id: unknown })._id);
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

async function planDown(spec: Takeover): Promise<Plan> {
  const row = await migrationRows().findOne({ _id: spec.name });
  return { rows: Object.fromEntries(Object.entries(row?.digests ?? {}).map(([name, d]) => [name, d.rows])), faults: [] };
}

/** Brings the former rows back byte for byte; our rows are kept sealed aside first. */
async function down(spec: Takeover, run: Run, before: MigrationRow): Promise<object> {
  const kept = backupStore(`${spec.name}/up`);
  if (total(before.digests ?? {}) === 0) {
    await noteUndone(spec, run);
    return { rows: 0 };
  }
  if (!(await kept.exists())) throw new MigrationError(`The backup of ${spec.name} was discarded, so it cannot be undone`);
  const row = await beginStep(spec.name, run, { state: 'undoing', phase: 'aside' });
  const aside = backupStore(`${spec.name}/down`);
  if (row.phase === 'aside') {
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
