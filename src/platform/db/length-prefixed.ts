/** Texts as bytes that no other list of texts gives: each behind its length; with `room` for more bytes after them. */
export function lengthPrefixed(parts: readonly string[], room = 0): Buffer {
  let size = room;
  for (const part of parts) size += 4 + Buffer.byteLength(part);
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    const length = bytes.write(part, at + 4);
    bytes.writeUInt32BE(length, at);
    at += 4 + length;
  }
  return bytes;
}
