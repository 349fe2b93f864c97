import { blindIndex } from '../../../src/platform/db/blind-index.ts';
import { database } from '../../../src/platform/db/connect.ts';
import { LEGACY_ROW } from '../../../src/platform/db/migration-state.ts';
import type { RowFault } from '../migration.ts';
import { at } from './legacy-values.ts';
import { text } from './rows.ts';
import type { LegacyDoc, Takeover, UniqueField } from './takeover.types.ts';

const AT_ONCE = 1_000;

/** Rows whose value must be theirs alone and is another row's too, among those that wait and those that are ours already. */
export async function findTwins({ unique = {} }: Takeover): Promise<RowFault[]> {
  const found = await Promise.all(Object.entries(unique).map(([collection, field]) => twinsIn(collection, field)));
  return found.flat();
}

async function twinsIn(collection: string, field: UniqueField): Promise<RowFault[]> {
  const first = new Map<string, string>();
  const faults: RowFault[] = [];
  const fault = (id: string, other: string): void => {
    const why = `is that of ${collection} ${other} too (letter case does not count): give one of the two another one, or remove the row that is not used`;
    faults.push({ collection, id, field: field.path, why });
  };
  let batch = new Map<string, string>();
  const compare = async (): Promise<void> => {
    for (const [key, owner] of await oursWith(collection, field, [...batch.keys()])) fault(batch.get(key) ?? '', owner);
    batch = new Map();
  };
  const rows = database().collection(collection).find(LEGACY_ROW, { sort: { _id: 1 }, batchSize: AT_ONCE, projection: { [field.path]: 1 } });
  for await (const doc of rows as AsyncIterable<LegacyDoc>) {
    const value = text(at(doc, field.path), field.max);
    if (value === '') continue;
    const [id, key] = [doc._id.toHexString(), keyOf(field, value)];
    const other = first.get(key);
    if (other === undefined) first.set(key, id);
    else fault(id, other);
    batch.set(key, id);
    if (batch.size >= AT_ONCE) await compare();
  }
  await compare();
  return faults;
}

/** What is compared is what the unique index will hold, so one spelling here is one there, and no value stays in memory. */
function keyOf({ index }: UniqueField, value: string): string {
  return blindIndex(index, '', value);
}

async function oursWith(collection: string, { index }: UniqueField, keys: readonly string[]): Promise<[string, string][]> {
  const path = `blind.${index.name.slice(index.name.indexOf('.') + 1)}`;
  const rows = database().collection<{ _id: string; blind: Record<string, string> }>(collection).find({ [path]: { $in: keys } } as never, { projection: { [path]: 1 } });
  return (await rows.toArray()).map(({ _id, blind }) => [Object.values(blind)[0] ?? '', _id]);
}
