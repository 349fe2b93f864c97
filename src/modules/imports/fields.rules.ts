import { parsePhoneNumberFromString } from 'libphonenumber-js/mobile';
import { parseRupees } from '../../platform/money.ts';
import { stateName } from './states.rules.ts';

/** One thing wrong with one field of one row. The message says what to do and never repeats the value. */
export interface FieldFault {
  field: string;
  message: string;
  /** Where it is when that is not the first row of the record. */
  line?: number;
  record?: number;
}

/** What a known pincode tells; `state` may be empty where the reference data has none. */
export type KnownPincode = (pincode: string) => { state: string } | undefined;

/** Lengths that imported text may have, in characters. */
export const TEXT_LIMITS = {
  externalId: 100,
  customerName: 120,
  email: 254,
  addressLine: 200,
  city: 100,
  sku: 64,
  itemName: 200,
  couponCode: 64,
  tag: 50,
  tags: 50,
  notes: 2000,
  lines: 200,
} as const;

/** Takes faults of one record; readers of a field add to it and answer undefined. */
export interface FaultList {
  readonly all: FieldFault[];
  add(field: string, message: string): undefined;
}

/** An empty list; with `at` every fault carries that row's position. */
export function faultList(all: FieldFault[] = [], at?: { line: number; record: number }): FaultList {
  return {
    all,
    add(field, message) {
      all.push({ field, message, ...(at && { line: at.line, record: at.record }) });
      return undefined;
    },
  };
}

/** Text on one line: line breaks of a multi-line cell become `joint`, runs of spaces one space. */
export function oneLine(text: string, joint = ' '): string {
  if (!/[\s\u00a0]{2}|[\r\n\t\u00a0]/.test(text)) return text.trim();
  return text
    .trim()
    .replace(/[,;\s]*[\r\n]+\s*/g, joint)
    .replace(/[\s\u00a0]+/g, ' ');
}

/** Required or optional text up to a length; faults when it is missing or longer. */
export function readText(
  faults: FaultList,
  field: string,
  text: string,
  rule: { max: number; required?: boolean },
): string | undefined {
  if (text === '') return rule.required ? faults.add(field, 'is required') : undefined;
  return text.length > rule.max ? faults.add(field, `must be at most ${rule.max} characters`) : text;
}

// Digits of the Indian scripts stand in runs of ten that start at x6; Arabic and full-width ones start at x0.
function asciiDigits(text: string): string {
  return text.replace(/\P{ASCII}/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    if (!/\p{Nd}/u.test(char)) return char;
    if (code >> 4 === 0x66 || code >> 4 === 0x6f || code >> 4 === 0xff1) return String(code & 0xf);
    return code >= 0x966 && code < 0xd70 ? String((code & 0xf) - 6) : char;
  });
}

const PHONE_FILLING = /[\s().\-\u00a0\u200b-\u200f\u2010-\u2015\u202a-\u202e]/g;
const INDIAN_FORM = /^(?:(?:\+|00)?91)?0?([6-9]\d{9})$/;

/**
 * An Indian mobile number in any usual written form as E.164 (`+919800806360`), or undefined. Landlines are undefined.
 * Every ten digits from 9 on are a mobile; 6, 7 and 8 are shared with landlines (080 Bengaluru), so the library decides.
 */
export function parseIndianMobile(text: string): string | undefined {
  const plain = asciiDigits(text.trim().replace(/^'/, ''));
  const digits = INDIAN_FORM.exec(plain.replace(/\.0$/, '').replace(PHONE_FILLING, ''))?.[1];
  if (digits?.startsWith('9')) return `+91${digits}`;
  const parsed = parsePhoneNumberFromString(digits ?? plain, { defaultCountry: 'IN', extract: false });
  return parsed?.country === 'IN' && parsed.ext === undefined && parsed.isValid() ? parsed.number : undefined;
}

/** Required Indian mobile number as E.164. */
export function readPhone(faults: FaultList, field: string, text: string): string | undefined {
  if (text === '') return faults.add(field, 'is required');
  const phone = parseIndianMobile(text);
  if (phone !== undefined) return phone;
  if (/^\d(?:\.\d+)?e\+\d+$/i.test(text)) {
    return faults.add(field, 'has lost digits to a spreadsheet (E+ notation); format the column as text');
  }
  return faults.add(field, 'must be one Indian mobile number; landlines and foreign numbers cannot be called by couriers');
}

/** Optional e-mail address. */
export function readEmail(faults: FaultList, field: string, text: string): string | undefined {
  if (text === '') return undefined;
  if (text.length <= TEXT_LIMITS.email && /^[^\s@,;<>"]+@[^\s@,;<>"]+\.[^\s@.,;<>"]{2,}$/.test(text)) return text;
  return faults.add(field, 'must be one e-mail address');
}

/** Six digits, with the apostrophe or the space that spreadsheets and people put in, or undefined. */
export function parsePincode(text: string): string | undefined {
  const digits = text.trim().replace(/^'/, '').replace(/\.0$/, '').replace(/^(\d{3})[\s-](\d{3})$/, '$1$2');
  return /^[1-9]\d{5}$/.test(digits) ? digits : undefined;
}

/** Whole number between bounds; `required` faults when it is missing. */
export function readWhole(
  faults: FaultList,
  field: string,
  text: string,
  rule: { min: number; max: number; required?: boolean },
): number | undefined {
  if (text === '') return rule.required ? faults.add(field, 'is required') : undefined;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= rule.min && value <= rule.max) return value;
  return faults.add(field, `must be a whole number from ${rule.min} to ${rule.max}`);
}

/** Rupees in text as paise; `required` faults when it is missing. */
export function readRupees(faults: FaultList, field: string, text: string, required = false): number | undefined {
  if (text === '') return required ? faults.add(field, 'is required') : undefined;
  return parseRupees(text) ?? faults.add(field, 'must be an amount in rupees such as 1299.00, not negative');
}

/** Pincode and state together: the pincode must be known, a missing state is the pincode's. */
export function readPlace(
  faults: FaultList,
  fields: { pincode: string; state: string },
  texts: { pincode: string; state: string },
  known: KnownPincode,
): { pincode: string; state: string } | undefined {
  const pincode = parsePincode(texts.pincode);
  if (pincode === undefined) faults.add(fields.pincode, texts.pincode === '' ? 'is required' : 'must be six digits');
  const place = pincode === undefined ? undefined : known(pincode);
  if (pincode !== undefined && place === undefined) faults.add(fields.pincode, 'is not a known pincode');
  const state = stateName(texts.state === '' ? (place?.state ?? '') : texts.state);
  if (texts.state !== '' && state === undefined) faults.add(fields.state, 'is not an Indian state or its code');
  else if (state === undefined && place !== undefined) faults.add(fields.state, 'is required: the pincode has none');
  return pincode === undefined || place === undefined || state === undefined ? undefined : { pincode, state };
}

/** Optional yes/no in the usual words. */
export function readFlag(faults: FaultList, field: string, text: string): boolean | undefined {
  if (text === '') return undefined;
  if (/^(?:y|yes|true|1)$/i.test(text)) return true;
  if (/^(?:n|no|false|0)$/i.test(text)) return false;
  return faults.add(field, 'must be yes or no');
}

/** Labels separated by `separator`, trimmed, without repeats; faults when one is too long or there are too many. */
export function readTags(faults: FaultList, field: string, text: string, separator: ';' | ','): string[] {
  if (text === '') return [];
  const tags = [...new Set(text.split(separator).map((tag) => oneLine(tag)))].filter((tag) => tag !== '');
  if (tags.length > TEXT_LIMITS.tags) faults.add(field, `must be at most ${TEXT_LIMITS.tags} tags`);
  if (tags.some((tag) => tag.length > TEXT_LIMITS.tag)) {
    faults.add(field, `a tag must be at most ${TEXT_LIMITS.tag} characters`);
  }
  return tags;
}
