import type mongoose from 'mongoose';
import { rawBatches } from '../../src/platform/db/raw.ts';

/** In which raw collections texts stand, in any letter case and in any byte of any field; development's mailbox is what it says. */
export async function leaks(db: mongoose.mongo.Db, canaries: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
    if (name === 'mailbox') continue;
    const text = (await rawText(db, name)).toLowerCase();
    for (const canary of canaries) if (text.includes(canary.toLowerCase())) found.add(`${name}: ${canary}`);
  }
  return [...found];
}

/** Every byte of a collection, a character each: JSON would show binary fields in base64. */
export async function rawText(db: mongoose.mongo.Db, collection: string): Promise<string> {
  let text = '';
  for await (const batch of rawBatches(db.collection(collection).find({}, { raw: true }))) text += Buffer.concat(batch).toString('latin1');
  return text;
}
