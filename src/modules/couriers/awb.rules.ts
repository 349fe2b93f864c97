const SERIAL_DIGITS = 10;

/** The greatest serial number of a prefix. */
export const MAX_AWB_SERIAL = 10 ** SERIAL_DIGITS - 1;

/** Serial numbers `from` to `to`, both included. */
export interface AwbBlock {
  from: number;
  to: number;
}

/** An AWB in the form we store: upper case, without spaces and hyphens. Accepts any courier's numbers. */
export function awbText(text: string): string {
  return text.replace(/[\s-]+/g, '').toUpperCase();
}

/** True for what can be some courier's AWB after `awbText`: 5 to 40 letters and digits. */
export function isAwbText(text: string): boolean {
  return /^[A-Z0-9]{5,40}$/.test(text);
}

/**
 * One of our own numbers: prefix of 2–4 letters, ten digits, and their Luhn check digit (ISO/IEC 7812-1 annex B),
 * which finds every wrong digit and every swap of neighbours but 09/90. Throws a RangeError for other input.
 */
export function awbFromSerial(prefix: string, serial: number): string {
  if (!/^[A-Z]{2,4}$/.test(prefix)) throw new RangeError('An AWB prefix is 2 to 4 capital letters');
  if (!Number.isInteger(serial) || serial < 0 || serial > MAX_AWB_SERIAL) {
    throw new RangeError(`An AWB serial is a whole number from 0 to ${MAX_AWB_SERIAL}`);
  }
  const digits = serial.toString().padStart(SERIAL_DIGITS, '0');
  return `${prefix}${digits}${luhnDigit(digits)}`;
}

/** Prefix and serial of one of our own numbers, or undefined for another form or a wrong check digit. */
export function parseAwb(text: string): { prefix: string; serial: number } | undefined {
  const match = /^([A-Z]{2,4})(\d{10})(\d)$/.exec(awbText(text));
  const [, prefix, digits, check] = match ?? [];
  if (prefix === undefined || digits === undefined || luhnDigit(digits) !== Number(check)) return undefined;
  return { prefix, serial: Number(digits) };
}

/** The check digit (0–9) that makes `digits` + check pass the Luhn test. */
export function luhnDigit(digits: string): number {
  let sum = 0;
  for (let place = 0; place < digits.length; place += 1) {
    const digit = Number(digits[digits.length - 1 - place]);
    const doubled = place % 2 === 0 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return (10 - (sum % 10)) % 10;
}

/** The block of `size` serials from `next` on, shorter at the end of the series; undefined when that is used up. */
export function blockFrom(next: number, size: number): AwbBlock | undefined {
  if (!Number.isInteger(size) || size < 1) throw new RangeError('A block holds at least one number');
  return next > MAX_AWB_SERIAL ? undefined : { from: next, to: Math.min(next + size - 1, MAX_AWB_SERIAL) };
}

/** How many numbers a block holds. */
export function blockSize(block: AwbBlock): number {
  return block.to - block.from + 1;
}

/** Takes up to `count` serials off the front of a block; `rest` is undefined when nothing is left. */
export function takeFromBlock(block: AwbBlock, count: number): { serials: number[]; rest: AwbBlock | undefined } {
  const taken = Math.min(count, blockSize(block));
  const serials = Array.from({ length: taken }, (_, index) => block.from + index);
  const from = block.from + taken;
  return { serials, rest: from > block.to ? undefined : { from, to: block.to } };
}
