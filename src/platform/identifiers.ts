import { parsePhoneNumberFromString } from 'libphonenumber-js/mobile';

/** The compact form of an identifier, or a sentence that says what is wrong and never repeats the value. */
export type Parsed = { ok: true; value: string } | { ok: false; problem: string };

const MAX_INPUT = 64;
const BASE36 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const PAN = /^[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]$/;

const PAN_HOLDERS: Readonly<Record<string, string>> = {
  A: 'association',
  B: 'body_of_individuals',
  C: 'company',
  F: 'firm',
  G: 'government',
  H: 'hindu_undivided_family',
  J: 'artificial_juridical_person',
  K: 'krish_trust',
  L: 'local_authority',
  P: 'person',
  T: 'trust',
};

function accept(value: string): Parsed {
  return { ok: true, value };
}

function refuse(problem: string): Parsed {
  return { ok: false, problem };
}

/** Full-width forms folded, upper-cased, without white space, hyphens and a spreadsheet's leading apostrophe. */
function compact(text: string): string {
  if (text.length > MAX_INPUT) return '';
  return text
    .normalize('NFKC')
    .replace(/[a-z]+/g, (letters) => letters.toUpperCase())
    .replace(/[\s\p{Pd}\p{Cf}]/gu, '')
    .replace(/^['’]/, '');
}

/** A PAN: five letters (the fourth names the kind of holder), four digits other than 0000, a letter. */
export function parsePan(text: string): Parsed {
  const value = compact(text);
  if (!/^[A-Z]{5}\d{4}[A-Z]$/.test(value)) return refuse('A PAN has five letters, four digits and a letter');
  if (!PAN.test(value)) return refuse('The fourth letter of this PAN names no kind of holder');
  if (value.slice(5, 9) === '0000') return refuse('The four digits of a PAN cannot all be zero');
  return accept(value);
}

/** The kind of holder that the fourth letter of a compact PAN names (`person`, `company`, `firm` …), if any. */
export function panHolder(pan: string): string | undefined {
  return PAN_HOLDERS[pan.charAt(3)];
}

/** The product of the Verhoeff scheme: composition in the dihedral group of order ten. */
function dihedral(a: number, b: number): number {
  if (a < 5) return b < 5 ? (a + b) % 5 : 5 + ((a + b) % 5);
  return b < 5 ? 5 + ((a - b) % 5) : (a - b + 5) % 5;
}

/** Verhoeff's permutation (Verhoeff 1969), applied once for each place counted from the right. */
const VERHOEFF_STEP = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];

/** True when the last of these digits is the Verhoeff check digit of the others. */
export function hasVerhoeffCheck(digits: string): boolean {
  let sum = 0;
  for (let place = 0; place < digits.length; place++) {
    let digit = Number(digits.charAt(digits.length - 1 - place));
    for (let turn = 0; turn < place % 8; turn++) digit = VERHOEFF_STEP[digit] ?? 0;
    sum = dihedral(sum, digit);
  }
  return sum === 0;
}

/** An Aadhaar number: twelve digits, the first 2–9, no palindrome, Verhoeff check digit. */
export function parseAadhaar(text: string): Parsed {
  const value = compact(text);
  if (!/^\d{12}$/.test(value)) return refuse('An Aadhaar number has twelve digits');
  if (!/^[2-9]/.test(value)) return refuse('An Aadhaar number starts with a digit from 2 to 9');
  if (value === [...value].reverse().join('')) return refuse('An Aadhaar number never reads the same backwards');
  if (!hasVerhoeffCheck(value)) {
    return refuse('The check digit of this Aadhaar number does not match; look for a typing error');
  }
  return accept(value);
}

/** The only form in which an Aadhaar number is shown: `XXXX XXXX 1234`. */
export function maskAadhaar(aadhaar: string): string {
  return `XXXX XXXX ${aadhaar.slice(-4)}`;
}

/** The check character of the first fourteen characters of a GSTIN: weights 1, 2, 1, 2 … in base 36. */
export function gstinCheckCharacter(first14: string): string {
  let sum = 0;
  for (let place = 0; place < 14; place++) {
    const product = BASE36.indexOf(first14.charAt(place)) * (place % 2 === 0 ? 1 : 2);
    sum += Math.floor(product / 36) + (product % 36);
  }
  return BASE36.charAt((36 - (sum % 36)) % 36);
}

/** A GSTIN: state code 01–38 or 97, a PAN, entity 1–9 or A–Z, `Z`, check character. */
export function parseGstin(text: string): Parsed {
  const value = compact(text);
  if (!/^\d{2}[A-Z]{5}\d{4}[A-Z][1-9A-Z]Z[0-9A-Z]$/.test(value)) {
    return refuse(
      'A GSTIN has fifteen characters: two digits for the state, the PAN, the entity, Z and a check character',
    );
  }
  const state = Number(value.slice(0, 2));
  if (!((state >= 1 && state <= 38) || state === 97)) {
    return refuse('The first two digits of this GSTIN are no state code');
  }
  if (!parsePan(value.slice(2, 12)).ok) return refuse('The PAN inside this GSTIN is not valid');
  if (gstinCheckCharacter(value) !== value.charAt(14)) {
    return refuse('The check character of this GSTIN does not match; look for a typing error');
  }
  return accept(value);
}

/** The PAN inside a compact GSTIN. */
export function panOfGstin(gstin: string): string {
  return gstin.slice(2, 12);
}

/** An IFSC: four letters of the bank, a zero, six characters of the branch. Whether the branch exists is not asked. */
export function parseIfsc(text: string): Parsed {
  const value = compact(text);
  if (/^[A-Z]{4}0[A-Z0-9]{6}$/.test(value)) return accept(value);
  return refuse('An IFSC has four letters, a zero and six letters or digits');
}

/** A bank account number: 9–18 digits, kept as text because leading zeros count. */
export function parseBankAccount(text: string): Parsed {
  const value = compact(text);
  return /^\d{9,18}$/.test(value) ? accept(value) : refuse('A bank account number has 9 to 18 digits');
}

const USUAL_MOBILE = /^(?:\+?91|0)?(9\d{9})$/;

/**
 * A mobile number in any usual Indian form (or another country's with `+`) as E.164; landlines, two numbers in one
 * field and numbers with an extension are refused.
 */
export function parseMobile(text: string): Parsed {
  const problem = 'This is not a mobile number; give ten digits, or + and the country code for another country';
  if (text.length > MAX_INPUT) return refuse(problem);
  // Every Indian number that begins with 9 is a mobile: the usual case needs no library (0.5 µs instead of 30).
  const usual = USUAL_MOBILE.exec(text.replace(/[\s-]/g, ''))?.[1];
  if (usual !== undefined) return accept(`+91${usual}`);
  const cleaned = text
    .normalize('NFKC')
    .replace(/\p{Cf}/gu, '')
    .trim()
    .replace(/^['’]\s*/, '')
    .replace(/^\(\s*(\+\d{1,3})\s*\)/, '$1 ')
    .replace(/^0{1,2}91(?=[\s-]*[6-9](?:[\s-]*\d){9}$)/, '+91');
  if (!/^\+?[\d\s().\p{Pd}]+$/u.test(cleaned)) return refuse(problem);
  const number = parsePhoneNumberFromString(cleaned, { defaultCountry: 'IN', extract: false });
  return number?.isValid() ? accept(number.number) : refuse(problem);
}

/** A pincode by its shape: six digits, the first not zero. Whether it exists is asked of the pincode table. */
export function parsePincode(text: string): Parsed {
  const value = compact(text);
  return /^[1-9]\d{5}$/.test(value) ? accept(value) : refuse('A pincode has six digits and does not start with zero');
}

/** An HSN code: 4, 6 or 8 digits. */
export function parseHsn(text: string): Parsed {
  const value = compact(text);
  return /^(?:\d{4}|\d{6}|\d{8})$/.test(value) ? accept(value) : refuse('An HSN code has 4, 6 or 8 digits');
}

/** A vehicle registration number, of a state's series or the BH series. */
export function parseVehicle(text: string): Parsed {
  const value = compact(text);
  const known = /^[A-Z]{2}\d{1,2}[A-Z]{0,3}\d{4}$/.test(value) || /^\d{2}BH\d{4}[A-Z]{1,2}$/.test(value);
  return known
    ? accept(value)
    : refuse('A vehicle number has the state letters, district digits, series and four digits');
}

/** An e-way bill number: twelve digits. */
export function parseEwayBill(text: string): Parsed {
  const value = compact(text);
  return /^\d{12}$/.test(value) ? accept(value) : refuse('An e-way bill number has twelve digits');
}
