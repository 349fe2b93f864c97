export type LogFields = Readonly<Record<string, unknown>>;

/** A value may say itself what a log shows of it (a sealed value: `[sealed]`) under this key. */
export const LOG_AS: unique symbol = Symbol.for('dakiya.logAs');

const HIDDEN = '[hidden]';
const MAX_DEPTH = 6;
const MAX_ITEMS = 50;
const MAX_TEXT = 2_000;
const MAX_STACK = 4_000;

/** Whole names (lower case, without `_` and `-`) whose values never appear. */
const SECRET_NAMES = new Set([
  'authorization', 'proxyauthorization', 'cookie', 'setcookie', 'pan', 'pannumber', 'aadhaar', 'aadhaarnumber', 'gstin', 'ifsc',
  'accountnumber', 'bankaccount', 'dateofbirth', 'name', 'customername', 'contactname', 'holdername', 'fullname', 'firstname',
  'lastname', 'line1', 'line2', 'addressline1', 'addressline2', 'customer', 'shippingaddress', 'billingaddress', 'credentials',
  'privatekey', 'pepper', 'signature', 'csrf', 'mobile', 'documents', 'passphrase', 'pin', 'cvv', 'totp',
]);
const SECRET_ENDINGS = /(?:password|passwd|secret|token|apikey|phone|email|otp|encryptionkey|encryptionkeys|blindindexkey|recoverykeys)s?$/;

const decided = new Map<string, boolean>();

/** True for a key whose value is secret or personal; remembered per spelling, for keys are few. */
function isSecretKey(key: string): boolean {
  const known = decided.get(key);
  if (known !== undefined) return known;
  const plain = key.toLowerCase().replace(/[^a-z0-9]/g, '');
  const secret = SECRET_NAMES.has(plain) || SECRET_ENDINGS.test(plain);
  if (decided.size < 5_000) decided.set(key, secret);
  return secret;
}

const TOKENS = /(?:dk_live_|rt2\.|eyJ[\w-]{8,}\.|\b(?:Bearer|Basic)\s+)[\w.~+/=-]+/g;
const PAN = /[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]/g;
const EMAIL = /[^\s"'<>(),:;=@]{1,64}@[^\s"'<>(),:;=@]{1,255}/g;
const URL_PASSWORD = /:\/\/[^\s/@]{1,200}@/g;
const LONG_DIGITS = /(?:\+91[\s-]?)?(?<!\d)\d(?:[\s-]?\d){9,17}(?!\d)/g;

/** Text without e-mail addresses, tokens, PANs and passwords in addresses; of free text (errors) without phone and account numbers too. */
function scrubbed(text: string, freeText: boolean): string {
  let clean = text;
  if (clean.includes('@')) clean = clean.replace(URL_PASSWORD, '://[hidden]@').replace(EMAIL, (found) => (found.startsWith('[hidden]@') ? found : HIDDEN));
  if (clean.length >= 10) clean = clean.replace(PAN, HIDDEN);
  if (clean.length >= 12) clean = clean.replace(TOKENS, HIDDEN);
  return freeText ? clean.replace(LONG_DIGITS, HIDDEN) : clean;
}

function boundedText(text: string, freeText: boolean, max = MAX_TEXT): string {
  const clean = scrubbed(text.length > max ? text.slice(0, max) : text, freeText);
  return text.length > max ? `${clean}… (${text.length} characters)` : clean;
}

/** Free text (an error's message) as a log may show it: no addresses, tokens, or long numbers, and bounded. */
export function cleanText(text: string): string {
  return boundedText(text, true);
}

/**
 * The JSON of one flat object: the head, which wins, then `base`, then `fields`, which win over it; nothing secret, deep or
 * long in them. Text is put to text: an object that gets its keys one by one costs four times as much as the rest.
 */
export function cleanedJson(head: LogFields, base: LogFields | undefined, fields: LogFields | undefined): string {
  const text = JSON.stringify(head).slice(0, -1);
  const baseText = base ? members(base, (key) => key in head || (fields !== undefined && key in fields)) : '';
  return `${text}${baseText}${fields ? members(fields, (key) => key in head) : ''}}`;
}

function members(fields: LogFields, isShadowed: (key: string) => boolean): string {
  let text = '';
  let count = 0;
  for (const key in fields) {
    if (isShadowed(key)) continue;
    if ((count += 1) > MAX_ITEMS) break;
    const json = JSON.stringify(fieldValue(key, fields[key], 0)) as string | undefined;
    if (json !== undefined) text += `,${JSON.stringify(key)}:${json}`;
  }
  return text;
}

function fieldValue(key: string, value: unknown, depth: number): unknown {
  if (value === undefined || value === null) return value;
  return isSecretKey(key) ? HIDDEN : cleanValue(value, depth);
}

function cleanValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return boundedText(value, false);
    case 'number':
    case 'boolean':
      return value;
    case 'bigint':
      return value.toString();
    case 'object':
      return value === null ? null : cleanObject(value, depth);
    default:
      return undefined;
  }
}

function cleanObject(value: object, depth: number): unknown {
  if (LOG_AS in value) return String(value[LOG_AS]);
  if (value instanceof Error) return cleanError(value, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Map || value instanceof Set) return `[${value.size} entries]`;
  if (depth >= MAX_DEPTH) return Array.isArray(value) ? '[array]' : '[object]';
  if ('toJSON' in value && typeof value.toJSON === 'function') return cleanJson(value.toJSON(), depth);
  return cleanJson(value, depth);
}

function cleanJson(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return cleanValue(value, depth);
  if (Array.isArray(value)) {
    const items: unknown[] = value.slice(0, MAX_ITEMS).map((item: unknown) => cleanValue(item, depth + 1));
    return value.length > MAX_ITEMS ? [...items, `… ${value.length - MAX_ITEMS} more`] : items;
  }
  const result: Record<string, unknown> = {};
  let count = 0;
  for (const [key, item] of Object.entries(value)) {
    if ((count += 1) > MAX_ITEMS) {
      result['…'] = 'more';
      break;
    }
    result[key] = fieldValue(key, item, depth + 1);
  }
  return result;
}

/** Of an error only what is known to be safe: other properties (a driver's `keyValue`, a request) carry values. */
function cleanError(error: Error, depth: number): unknown {
  if (depth >= MAX_DEPTH) return boundedText(error.name, false);
  const code: unknown = 'code' in error ? error.code : undefined;
  const details: unknown = 'details' in error ? error.details : undefined;
  const parts: unknown = 'errors' in error && Array.isArray(error.errors) ? error.errors.slice(0, 5) : undefined;
  return {
    type: error.name,
    message: boundedText(error.message, true),
    code: typeof code === 'string' || typeof code === 'number' ? cleanValue(code, depth) : undefined,
    details: details === undefined ? undefined : cleanValue(details, depth + 1),
    stack: boundedText(error.stack ?? '', true, MAX_STACK),
    cause: error.cause === undefined ? undefined : cleanCause(error.cause, depth + 1),
    errors: parts === undefined ? undefined : cleanValue(parts, depth + 1),
  };
}

function cleanCause(cause: unknown, depth: number): unknown {
  return typeof cause === 'string' ? boundedText(cause, true) : cleanValue(cause, depth);
}
