import { crc32, deflateSync } from 'node:zlib';
import { gstinCheckCharacter, hasVerhoeffCheck } from '../../src/platform/identifiers.ts';

/** A small whole PDF; `extra` goes into its catalogue. */
export function pdf(extra = ''): Buffer {
  return Buffer.from(`%PDF-1.4\n1 0 obj\n<< /Type /Catalog ${extra} >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n`, 'latin1');
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  crc.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, crc]);
}

/** A picture of one pixel; `comment` goes into a text chunk. */
export function png(comment?: Buffer): Buffer {
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
  const text = comment ? [chunk('tEXt', Buffer.concat([Buffer.from('Comment\0', 'latin1'), comment]))] : [];
  const parts = [chunk('IHDR', header), ...text, chunk('IDAT', deflateSync(Buffer.from([0, 0]))), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), ...parts]);
}

/** The frame of a JPEG: markers and a few bytes of scan. */
export function jpeg(): Buffer {
  return Buffer.from('ffd8ffe000104a46494600010100000100010000ffdb00040001ffda0002aabbccddffd9', 'hex');
}

/** A valid PAN of an individual with these four digits. */
export function panOf(digits: string, letters = 'ABC'): string {
  return `${letters}PE${digits}F`;
}

/** The GSTIN of a PAN in a state. */
export function gstinOf(pan: string, state = '07'): string {
  const first = `${state}${pan}1Z`;
  return first + gstinCheckCharacter(first);
}

/** A valid Aadhaar number that begins so. */
export function aadhaarOf(first11: string): string {
  for (let digit = 0; digit < 10; digit += 1) if (hasVerhoeffCheck(`${first11}${digit}`)) return `${first11}${digit}`;
  throw new Error('No check digit fits');
}
