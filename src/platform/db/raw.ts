import { createHash } from 'node:crypto';
import mongoose from 'mongoose';

type Db = mongoose.mongo.Db;
type Session = mongoose.mongo.ClientSession;
type Plain = Record<string, unknown>;

const { BSON } = mongoose.mongo;
const KEEP = { promoteValues: false, promoteLongs: false, promoteBuffers: false, bsonRegExp: true } as const;
const [TYPE_DOCUMENT, TYPE_ARRAY] = [0x03, 0x04];
/** Well under the 48 MB of one message, whatever the rows. */
const COMMAND_BYTES = 8_000_000;
const COMMAND_ROWS = 1_000;

/** A document that cannot be written back byte for byte: kinds of values that no driver writes any more, repeated keys. */
export class InexactDocument extends Error {
  constructor() {
    super('A document holds values that cannot be written back byte for byte');
    this.name = 'InexactDocument';
  }
}

/** Documents as the bytes the server keeps, in batches. */
export async function* rawBatches(cursor: mongoose.mongo.FindCursor): AsyncGenerator<Buffer[]> {
  try {
    while (await cursor.hasNext()) {
      yield (cursor.readBufferedDocuments() as unknown as Uint8Array[]).map((d) => Buffer.from(d.buffer, d.byteOffset, d.byteLength));
    }
  } finally {
    await cursor.close();
  }
}

/** How many documents, and the SHA-256 over their bytes in the order given. */
export interface Digest {
  rows: number;
  sha256: string;
}

/** Adds documents one by one; the order counts. */
export function makeDigest(): { add(document: Uint8Array): void; end(): Digest } {
  const hash = createHash('sha256');
  let rows = 0;
  return {
    add(document) {
      hash.update(document);
      rows += 1;
    },
    end: () => ({ rows, sha256: hash.digest('hex') }),
  };
}

/** The digest of some documents of a collection in the order of their ids. */
export async function digestOf(db: Db, collection: string, filter: object = {}): Promise<Digest> {
  const digest = makeDigest();
  for await (const batch of rawBatches(db.collection(collection).find(filter, { raw: true, sort: { _id: 1 } }))) batch.forEach(digest.add);
  return digest.end();
}

/** A document that serialises to exactly these bytes; throws InexactDocument when there is none. */
export function exactDocument(bytes: Uint8Array): Plain | Map<string, unknown> {
  for (const read of [() => BSON.deserialize(bytes, KEEP), () => orderedDocument(Buffer.from(bytes))]) {
    const document = read() as Plain;
    if (Buffer.from(bytes).equals(BSON.serialize(document, { ignoreUndefined: true }))) return document;
  }
  throw new InexactDocument();
}

/** Inserts documents as they were, past the validator and in few commands. */
export async function insertExactly(db: Db, collection: string, documents: readonly Uint8Array[], session?: Session): Promise<void> {
  for (let at = 0; at < documents.length; ) {
    const batch: unknown[] = [];
    for (let bytes = 0; at < documents.length && batch.length < COMMAND_ROWS && bytes < COMMAND_BYTES; at += 1) {
      const document = documents[at] ?? new Uint8Array();
      bytes += document.length;
      batch.push(exactDocument(document));
    }
    const reply = await db.command({ insert: collection, documents: batch, ordered: true, bypassDocumentValidation: true }, session ? { session } : {});
    const [fault] = (reply['writeErrors'] ?? []) as { code: number; errmsg: string }[];
    if (fault) throw new mongoose.mongo.MongoServerError({ message: `insert into ${collection}: code ${fault.code}`, code: fault.code });
  }
}

/** Objects put number-like keys first, maps keep the order that was written. */
function orderedDocument(bytes: Buffer): Map<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const { type, key, from, to } of elementsOf(bytes)) {
    const inner = bytes.subarray(from, to);
    if (type === TYPE_DOCUMENT) fields.set(key, orderedDocument(inner));
    else if (type === TYPE_ARRAY) fields.set(key, [...orderedDocument(inner).values()]);
    else fields.set(key, scalar(type, inner));
  }
  return fields;
}

function scalar(type: number, value: Buffer): unknown {
  const document = Buffer.alloc(4 + 3 + value.length + 1);
  document.writeInt32LE(document.length, 0);
  document.set([type, 0x76, 0], 4);
  document.set(value, 7);
  return (BSON.deserialize(document, KEEP) as Plain)['v'];
}

function* elementsOf(bytes: Buffer): Generator<{ type: number; key: string; from: number; to: number }> {
  for (let at = 4; at < bytes.length - 1; ) {
    const type = bytes.readUInt8(at);
    const end = bytes.indexOf(0, at + 1);
    const key = bytes.toString('utf8', at + 1, end);
    const from = end + 1;
    at = from + sizeOf(type, bytes, from);
    yield { type, key, from, to: at };
  }
}

const FIXED: Readonly<Record<number, number>> = { 0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0a: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0xff: 0, 0x7f: 0 };

function sizeOf(type: number, bytes: Buffer, at: number): number {
  const fixed = FIXED[type];
  if (fixed !== undefined) return fixed;
  if (type === TYPE_DOCUMENT || type === TYPE_ARRAY || type === 0x0f) return bytes.readInt32LE(at);
  if (type === 0x02 || type === 0x0d || type === 0x0e) return 4 + bytes.readInt32LE(at);
  if (type === 0x05) return 5 + bytes.readInt32LE(at);
  if (type === 0x0b) return bytes.indexOf(0, bytes.indexOf(0, at) + 1) + 1 - at;
  throw new InexactDocument();
}
