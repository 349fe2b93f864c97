import { fileTypeFromBuffer } from 'file-type';
import { AppError, invalidFields } from '../../platform/errors.ts';

/** What may be uploaded, and how its name ends when it is saved. */
export const FILE_TYPES: Readonly<Record<string, string>> = { 'application/pdf': 'pdf', 'image/jpeg': 'jpg', 'image/png': 'png' };

/**
 * Beginnings of pages and scripts: a picture or PDF that holds one is made to be taken for something else. Long enough
 * that compressed pictures do not hold them by chance (`<svg` alone would be in one of a hundred files of 5 MiB).
 */
const PAGES = /<(?:script|html|svg|iframe|body|!doctype)[\s>/]|<\?php/i;
const ZIP_END = Buffer.from('504b0506', 'hex');
/** A ZIP's end record and its longest comment. */
const ZIP_TAIL = 65_557;
/** Readers of PDF take a header that begins within so many bytes. */
const PDF_HEAD = 1_024;
/** They look for the end mark so near the end. */
const PDF_TAIL = 1_024;
/**
 * Things in a PDF that act instead of showing. Names inside compressed objects are not seen: the scanner's part. `/JS` is
 * too short to look for, and does nothing without one of these.
 */
const PDF_ACTIONS = /\/(?:JavaScript|Launch|EmbeddedFiles?|RichMedia|Rendition|XFA|SubmitForm|ImportData|GoToR|GoToE)[\s()<>[\]/%]/;

/**
 * The type of a file by its bytes, whatever its name and header say. Refuses 400 an empty file, 415 `unsupported_file`
 * any other type, and a file that is two things at once: bytes after a picture's end, a page, archive or PDF inside it,
 * a PDF that acts.
 */
export async function judgeFile(bytes: Buffer): Promise<string> {
  if (bytes.length === 0) throw invalidFields([{ path: 'file', message: 'must not be empty' }]);
  const found = (await fileTypeFromBuffer(bytes))?.mime ?? '';
  if (FILE_TYPES[found] === undefined) throw refuse('The file is no PDF, JPEG or PNG');
  const fault = bothThings(bytes) ?? (found === 'application/pdf' ? pdfFault(bytes) : found === 'image/png' ? pngFault(bytes) : jpegFault(bytes));
  if (fault !== undefined) throw refuse(fault);
  return found;
}

function refuse(message: string): AppError {
  return new AppError('unsupported_type', 'unsupported_file', message, { fields: [{ path: 'file', message: 'must be a plain PDF, JPEG or PNG' }] });
}

function bothThings(bytes: Buffer): string | undefined {
  if (bytes.subarray(-ZIP_TAIL).includes(ZIP_END)) return 'The file is an archive as well';
  return PAGES.test(bytes.toString('latin1')) ? 'The file holds a web page or script' : undefined;
}

function pdfFault(bytes: Buffer): string | undefined {
  if (!bytes.toString('latin1', 0, 8).startsWith('%PDF-')) return 'The PDF does not begin at its first byte';
  if (!bytes.subarray(-PDF_TAIL).includes('%%EOF')) return 'The PDF is cut off';
  // `#4a` in a name is the letter J.
  const names = bytes.toString('latin1').replace(/#([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return PDF_ACTIONS.test(names) ? 'The PDF has scripts, attachments or forms that act' : undefined;
}

function pdfInside(bytes: Buffer): boolean {
  return bytes.subarray(0, PDF_HEAD + 8).includes('%PDF-');
}

/** Walks the chunks to IEND, after which nothing may come. */
function pngFault(bytes: Buffer): string | undefined {
  if (pdfInside(bytes)) return 'The picture is a PDF as well';
  for (let at = 8; at + 12 <= bytes.length; ) {
    const next = at + 12 + bytes.readUInt32BE(at);
    if (bytes.toString('latin1', at + 4, at + 8) === 'IEND') return next === bytes.length ? undefined : 'Something follows the end of the picture';
    at = next;
  }
  return 'The picture is cut off';
}

const [SOS, EOI] = [0xda, 0xd9];

/** Walks the segments to the end of the picture; a few zero bytes of padding are usual behind it. */
function jpegFault(bytes: Buffer): string | undefined {
  if (pdfInside(bytes)) return 'The picture is a PDF as well';
  for (let at = 2; at + 4 <= bytes.length; ) {
    if (bytes[at] !== 0xff) return 'The picture is damaged';
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1;
    } else if (marker === SOS) {
      return afterPicture(bytes, at);
    } else {
      at += 2 + bytes.readUInt16BE(at + 2);
    }
  }
  return 'The picture is cut off';
}

function afterPicture(bytes: Buffer, scan: number): string | undefined {
  const end = bytes.indexOf(Buffer.from([0xff, EOI]), scan);
  if (end < 0) return 'The picture is cut off';
  // Phones put a second, whole JPEG behind the first (depth, motion still); anything else does not belong there.
  const rest = bytes.subarray(end + 2);
  const plain = rest.every((byte) => byte === 0) || bytes.subarray(-2).equals(Buffer.from([0xff, EOI]));
  return plain ? undefined : 'Something follows the end of the picture';
}
