import { prepareSchema, declaredNames, readSchema, restoreSchema, schemaFingerprint, type SchemaOf } from '../../src/platform/db/schema.ts';
import { legacyCollections, migrationRows, noteDone } from '../../src/platform/db/migration-state.ts';
import { now } from '../../src/platform/clock.ts';
import { database } from '../../src/platform/db/connect.ts';
import { MigrationError, type Migration } from './migration.ts';
import { beginStep, noteStep } from './runner/steps.ts';

/** Creates every declared collection, validator and index. */
export const indexes: Migration = {
  name: 'indexes',
  reason: 'Every hot query walks along an index, and the server refuses rows that break the rules of their collection, whoever writes them.',
  touches: ['every declared collection; those with rows of the former product wait for the migration that takes them up'],
  up: {
    plan: async () => ({ rows: { 'collections, validators and indexes': (await prepareSchema({ dryRun: true, except: await legacyCollections() })).length }, faults: [] }),
    async run(run) {
      const begun = await beginStep('indexes', run, { state: 'running', phase: 'create' });
      if (begun['before'] === undefined) await noteStep('indexes', run, { before: await readSchema(declaredNames()) });
      const made = await prepareSchema({ except: await legacyCollections() });
      run.step('create', 'indexes', made.length, made.length);
      await noteDone('indexes', { fingerprint: schemaFingerprint(), rows: made.length });
      return { made: made.length };
    },
  },
  down: {
    plan: async () => ({ rows: { collections: Object.keys(await readSchema(declaredNames())).length }, faults: [] }),
    async run(run) {
      const row = await beginStep('indexes', run, { state: 'undoing', phase: 'drop' });
      const before = (row['before'] ?? {}) as Record<string, SchemaOf>;
      const names = Object.keys(await readSchema(declaredNames()));
      await restoreSchema(names, before);
      for (const name of names) {
        // A collection with rows stays: dropping indexes never drops data.
        if (!(name in before) && (await database().collection(name).findOne({}, { projection: { _id: 1 } })) === null) await database().collection(name).drop();
      }
      run.step('drop', 'indexes', names.length, names.length);
      const done = await migrationRows().updateOne({ _id: 'indexes', owner: run.owner }, { $set: { state: 'undone', finishedAt: now() }, $unset: { owner: '', phase: '', progress: '', before: '', fingerprint: '', rows: '' } });
      if (done.matchedCount !== 1) throw new MigrationError('Another runner has taken indexes over, so this one stopped');
      return { collections: names.length };
    },
  },
};
