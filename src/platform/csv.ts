import { Readable } from 'node:stream';

/** Some spreadsheets read the wide forms of East Asian keyboards as the narrow ones. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

/** One CSV cell: quoted where needed, and never a formula for the spreadsheet that opens it. */
export function csvCell(value: unknown): string {
  const text = value === undefined || value === null ? '' : String(value);
  const safe = typeof value === 'string' && FORMULA.test(text) ? `'${text}` : text;
  // A semicolon or tab parts cells where the comma is the decimal sign.
  return /[",;\r\n\t]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** One CSV row with its line end. */
export function csvRow(values: readonly unknown[]): string {
  return `${values.map(csvCell).join(',')}\r\n`;
}

/** Pieces of a CSV as a stream. Header and first rows are made before anything is sent, so that a refusal still has its status. */
export async function csvStream(pieces: AsyncGenerator<string>): Promise<Readable> {
  const header = await pieces.next();
  const first = await pieces.next();
  const all = async function* (): AsyncGenerator<string> {
    for (const piece of [header, first]) if (piece.done !== true) yield piece.value;
    yield* pieces;
  };
  return Readable.from(all());
}
