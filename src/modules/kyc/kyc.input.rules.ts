import { makeFaults } from '../../platform/faults.ts';
import { panHolder, panOfGstin, parseAadhaar, parseBankAccount, parseGstin, parseIfsc, parsePan, parsePincode } from '../../platform/identifiers.ts';
import { findState } from '../../platform/identifiers.states.ts';
import { present } from '../../platform/present.ts';
import type { IfscTable } from './ifsc.rules.ts';
import { FILE_KINDS, MAX_ADDRESSES, type BankRecord, type FileKind, type HolderType, type KycAddress, type PanRecord } from './kyc.model.ts';

export interface PanInput {
  number: string;
  name: string;
  holderType: HolderType;
  dateOfBirth?: string;
}

export interface BankInput {
  accountNumber: string;
  accountNumberConfirm?: string;
  ifsc: string;
  holderName: string;
}

export interface AddressInput extends KycAddress {
  line1: string;
  line2?: string;
}

/** What the fourth letter of a PAN says, in the words of this API. */
const HOLDER_OF_LETTER: Readonly<Record<string, HolderType>> = {
  person: 'individual',
  company: 'company',
  firm: 'firm',
  hindu_undivided_family: 'huf',
  association: 'aop',
  body_of_individuals: 'boi',
  trust: 'trust',
  krish_trust: 'trust',
  local_authority: 'local_authority',
  artificial_juridical_person: 'artificial_juridical',
  government: 'government',
};

/** A PAN as it is stored; 400 naming every fault: its form, its fourth letter against the kind of holder, name, date. */
export function normalizePan(input: PanInput, today: Date): PanRecord {
  const faults = makeFaults();
  const number = faults.take('number', parsePan(input.number));
  if (number !== '' && HOLDER_OF_LETTER[panHolder(number) ?? ''] !== input.holderType) {
    faults.add('number', 'The fourth letter of this PAN belongs to another kind of holder than holderType says');
  }
  const name = personName('name', input.name, faults);
  const { dateOfBirth } = input;
  if (dateOfBirth !== undefined && !isPastDate(dateOfBirth, today)) faults.add('dateOfBirth', 'must be a date in the past, as YYYY-MM-DD');
  faults.throwIfAny();
  return present({ number, name, dateOfBirth });
}

/** An Aadhaar number as it is stored; 400 for its form or without consent. */
export function normalizeAadhaar(input: { number: string; consent: boolean }): string {
  const faults = makeFaults();
  const number = faults.take('number', parseAadhaar(input.number));
  if (!input.consent) faults.add('consent', 'must be true: without consent the number may not be taken');
  faults.throwIfAny();
  return number;
}

/** A GSTIN as it is stored; 400 for its form, or when the PAN inside is not the PAN of this KYC. */
export function normalizeGstin(number: string, pan: string | undefined): string {
  const faults = makeFaults();
  const gstin = faults.take('number', parseGstin(number));
  if (gstin !== '' && pan !== undefined && panOfGstin(gstin) !== pan) faults.add('number', 'The PAN inside this GSTIN is not the PAN of this KYC');
  faults.throwIfAny();
  return gstin;
}

/** A bank account as it is stored, and whether its branch is known; 400 naming every fault, an unknown bank included. */
export function normalizeBank(input: BankInput, table: IfscTable): { record: BankRecord; branchKnown: boolean } {
  const faults = makeFaults();
  const accountNumber = faults.take('accountNumber', parseBankAccount(input.accountNumber));
  const again = input.accountNumberConfirm === undefined ? undefined : parseBankAccount(input.accountNumberConfirm);
  if (again && (!again.ok || again.value !== accountNumber)) faults.add('accountNumberConfirm', 'The two account numbers are not the same');
  const ifsc = faults.take('ifsc', parseIfsc(input.ifsc));
  const known = ifsc === '' ? undefined : table.look(ifsc);
  if (known?.bank === false) faults.add('ifsc', 'No bank has the first four letters of this IFSC');
  const holderName = personName('holderName', input.holderName, faults);
  faults.throwIfAny();
  return { record: { accountNumber, ifsc, holderName }, branchKnown: known?.branch === true };
}

/** Addresses as they are stored: facts in clear, street lines apart; 400 naming every fault, 11 addresses included. */
export function normalizeAddresses(input: readonly AddressInput[]): { addresses: KycAddress[]; lines: string[] } {
  const faults = makeFaults();
  if (input.length > MAX_ADDRESSES) faults.add('addresses', `must have ${MAX_ADDRESSES} items at most`);
  const addresses = input.map(({ kind, city, state, pincode }, i) => {
    const known = findState(state);
    if (!known) faults.add(`addresses.${i}.state`, 'is no state or union territory');
    if (city.trim() === '') faults.add(`addresses.${i}.city`, 'must not be empty');
    return { kind, city: city.trim(), state: known?.name ?? '', pincode: faults.take(`addresses.${i}.pincode`, parsePincode(pincode)) };
  });
  const lines = input.map(({ line1, line2 }, i) => {
    if (line1.trim() === '') faults.add(`addresses.${i}.line1`, 'must not be empty');
    return [line1, line2 ?? ''].map((line) => line.trim()).filter((line) => line !== '').join('\n');
  });
  faults.throwIfAny();
  return { addresses, lines };
}

/** A reason as it is kept: trimmed, within its bounds; 400 naming `reason`. */
export function normalizeReason(reason: string | undefined, { min, max }: { min: number; max: number }): string {
  const faults = makeFaults();
  const trimmed = (reason ?? '').trim();
  if (trimmed.length < min) faults.add('reason', min === 1 ? 'is required' : `must have ${min} characters at least`);
  if (trimmed.length > max) faults.add('reason', `must have ${max} characters at most`);
  faults.throwIfAny();
  return trimmed;
}

/** What an upload says it shows: `document`, or `type` as another name of the same field; `other` without either. */
export function fileKindOf(fields: Partial<Record<string, string>>, fault: (path: string, message: string) => void): FileKind {
  const path = fields['document'] === undefined && fields['type'] !== undefined ? 'type' : 'document';
  const given = (fields[path] ?? 'other').trim();
  const kind = FILE_KINDS.find((one) => one === given);
  if (kind === undefined) fault(path, `must be one of ${FILE_KINDS.join(', ')}`);
  return kind ?? 'other';
}

function personName(path: string, given: string, faults: ReturnType<typeof makeFaults>): string {
  const name = given.normalize('NFC').replace(/\s+/g, ' ').trim();
  if (name === '' || !/\p{L}/u.test(name)) faults.add(path, 'must have letters');
  else if (name.length > 200) faults.add(path, 'must have 200 characters at most');
  return name;
}

function isPastDate(text: string, today: Date): boolean {
  if (!/^(?:19|20)\d{2}-\d{2}-\d{2}$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text) && date < today;
}
