import type { KeyOwner } from './keyring.ts';
import { UnreadableError } from './sealed.ts';
import { keyIdOfBytes, openBytes, sealBytes } from './sealed-bytes.ts';

const FRAME_BYTES = 262_144;
const MAX_FRAME_BYTES = FRAME_BYTES + 1_024;
const LENGTH_BYTES = 4;

/** Whose file it is, and its id: its bytes open in no other file. */
export interface SealedFile {
  owner: KeyOwner;
  id: string;
}

/** A stream sealed piece by piece: each is bound to its number, and the last says that it is, so nothing can be cut off or swapped. */
export async function* sealedFrames({ owner, id }: SealedFile, source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  let count = 0;
  const frame = async (clear: Buffer, end: boolean): Promise<Buffer> => {
    const sealed = await sealBytes(owner, placeOf(id, count, end), clear);
    count += 1;
    return Buffer.concat([lengthOf(sealed), sealed]);
  };
  for await (const chunk of source) {
    waiting.push(chunk);
    size += chunk.length;
    if (size < FRAME_BYTES) continue;
    const all = Buffer.concat(waiting, size);
    let at = 0;
    for (; all.length - at >= FRAME_BYTES; at += FRAME_BYTES) yield await frame(all.subarray(at, at + FRAME_BYTES), false);
    waiting = [all.subarray(at)];
    size = all.length - at;
  }
  yield await frame(Buffer.concat(waiting, size), true);
}

/** What `sealedFrames` sealed; throws UnreadableError where it was changed, and at its end when that is missing. */
export async function* openedFrames({ owner, id }: SealedFile, source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const { sealed, count, end } of frames(source)) yield await openBytes(owner, placeOf(id, count, end), sealed);
}

/** Adds the ids of all keys that the pieces name, unopened; none when it does not begin as a sealed stream does. Throws UnreadableError where it ends too early. */
export async function keysOfFrames(source: AsyncIterable<Buffer>, ids: Set<string>): Promise<void> {
  for await (const { sealed } of frames(source)) {
    const id = keyIdOfBytes(sealed);
    if (id === '' && ids.size === 0) return;
    ids.add(id);
  }
}

/** The same stream with every piece sealed anew by its owner's newest key; not a byte longer or shorter. */
export async function* renewedFrames({ owner, id }: SealedFile, source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const { sealed, count, end } of frames(source)) {
    const place = placeOf(id, count, end);
    const anew = await sealBytes(owner, place, await openBytes(owner, place, sealed));
    if (anew.length !== sealed.length) throw new Error('A piece of a file changed its length');
    yield Buffer.concat([lengthOf(anew), anew]);
  }
}

interface Frame {
  sealed: Buffer;
  count: number;
  end: boolean;
}

async function* frames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0);
  let count = 0;
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    // One frame always waits, because only the last one is sealed as the last.
    for (let length = frameLength(rest); rest.length > LENGTH_BYTES + length; length = frameLength(rest)) {
      yield { sealed: rest.subarray(LENGTH_BYTES, LENGTH_BYTES + length), count, end: false };
      count += 1;
      rest = rest.subarray(LENGTH_BYTES + length);
    }
  }
  if (rest.length !== LENGTH_BYTES + frameLength(rest)) throw new UnreadableError();
  yield { sealed: rest.subarray(LENGTH_BYTES), count, end: true };
}

function lengthOf(sealed: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(sealed.length);
  return length;
}

function frameLength(bytes: Buffer): number {
  if (bytes.length < LENGTH_BYTES) return MAX_FRAME_BYTES;
  const length = bytes.readUInt32BE(0);
  if (length > MAX_FRAME_BYTES) throw new UnreadableError();
  return length;
}

function placeOf(id: string, count: number, end: boolean): { collection: string; id: string; path: string } {
  return { collection: 'uploads', id, path: `content.${count}${end ? '.end' : ''}` };
}
