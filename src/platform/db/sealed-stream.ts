import type { KeyOwner } from './keyring.ts';
import { UnreadableError } from './sealed.ts';
import { openBytes, sealBytes } from './sealed-bytes.ts';

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
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(sealed.length);
    return Buffer.concat([length, sealed]);
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
  let rest: Buffer = Buffer.alloc(0);
  let count = 0;
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    // One frame always waits, because only the last one is sealed as the last.
    for (let length = frameLength(rest); rest.length > LENGTH_BYTES + length; length = frameLength(rest)) {
      yield await openBytes(owner, placeOf(id, count, false), rest.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      count += 1;
      rest = rest.subarray(LENGTH_BYTES + length);
    }
  }
  if (rest.length !== LENGTH_BYTES + frameLength(rest)) throw new UnreadableError();
  yield await openBytes(owner, placeOf(id, count, true), rest.subarray(LENGTH_BYTES));
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
