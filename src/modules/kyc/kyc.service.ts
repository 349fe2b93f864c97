import { createHmac } from 'node:crypto';
import { now } from '../../platform/clock.ts';
import type { Ctx, OutsideTx, Tx } from '../../platform/context.ts';
import type { ChangeOf, Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { conflict } from '../../platform/errors.ts';
import { panOfGstin } from '../../platform/identifiers.ts';
import { newId } from '../../platform/ids.ts';
import { runtime } from '../../platform/runtime.ts';
import { loadIfscTable } from './ifsc.data.ts';
import { AADHAAR_CONSENT, keepsAadhaar } from './kyc.consent.rules.ts';
import { normalizeAadhaar, normalizeAddresses, normalizeBank, normalizeGstin, normalizePan, type AddressInput, type BankInput, type PanInput } from './kyc.input.rules.ts';
import { COMPANY_OWN, KYC_DOCUMENTS, MAX_CONSENTS, vault, type Consent, type Kyc, type KycDocument, type VaultEntry } from './kyc.model.ts';
import { missingToSubmit, statusOf } from './kyc.rules.ts';
import { changeKyc, findKyc, moveDocuments, type Move } from './kyc.steps.ts';

/** A company's KYC, or undefined before it has begun. */
export async function ownKyc(ctx: Ctx): Promise<Row<Kyc> | undefined> {
  return findKyc(ctx);
}

/**
 * Saves the PAN and asks the provider; a GSTIN of another PAN is then in doubt. The same value again changes nothing; in
 * the place of one that cannot be read any more every value is another one.
 */
export async function savePan(ctx: OutsideTx, input: PanInput): Promise<Row<Kyc>> {
  const record = normalizePan(input, now());
  return changeKyc(ctx, async (ctx, row) => {
    if (holds(row, 'pan', { ...record, holderType: row.holderType }, { ...row.pan?.opened(), holderType: input.holderType })) return row;
    const gstin = row.gstin?.opened();
    const doubt = gstin === undefined ? 'This GSTIN cannot be read any more; enter it again' : 'The PAN inside this GSTIN is not the PAN of this KYC';
    const doubtful = row.gstin && (gstin === undefined || panOfGstin(gstin) !== record.number);
    const moves: Move[] = [
      { document: 'pan', event: 'saved', newValue: {} },
      ...(doubtful ? [{ document: 'gstin' as const, event: 'questioned' as const, reason: doubt }] : []),
    ];
    return moveDocuments(ctx, row, moves, { $set: { pan: seal(record), holderType: input.holderType } });
  });
}

/** Saves the GSTIN and asks the provider. 400 when the PAN inside is not the saved one. */
export async function saveGstin(ctx: OutsideTx, number: string): Promise<Row<Kyc>> {
  normalizeGstin(number, undefined);
  return changeKyc(ctx, async (ctx, row) => {
    const gstin = normalizeGstin(number, row.pan?.opened()?.number);
    if (holds(row, 'gstin', gstin, row.gstin?.opened())) return row;
    return moveDocuments(ctx, row, [{ document: 'gstin', event: 'saved', newValue: {} }], { $set: { gstin: seal(gstin) } });
  });
}

/** Saves the bank account and asks the provider for a penny drop; an unknown branch is a note for the reviewer. */
export async function saveBankAccount(ctx: OutsideTx, input: BankInput): Promise<Row<Kyc>> {
  const { record, branchKnown } = normalizeBank(input, await loadIfscTable());
  const newValue = branchKnown ? {} : { note: 'The branch of this IFSC is not in our list' };
  return changeKyc(ctx, async (ctx, row) => {
    if (holds(row, 'bankAccount', record, row.bankAccount?.opened())) return row;
    return moveDocuments(ctx, row, [{ document: 'bankAccount', event: 'saved', newValue }], { $set: { bankAccount: seal(record) } });
  });
}

/** True when the same value stands there in a state that another saving would not help. */
function holds(row: Row<Kyc>, document: KycDocument, given: unknown, stored: unknown): boolean {
  const settled = ['in_progress', 'submitted', 'verified'].includes(statusOf(row.documents, document));
  return settled && same(given, stored);
}

function same(a: unknown, b: unknown): boolean {
  const sorted = (value: unknown): string =>
    JSON.stringify(typeof value === 'object' && value !== null ? Object.entries(value).filter(([, v]) => v !== undefined).sort(([x], [y]) => (x < y ? -1 : 1)) : value) ?? '';
  return sorted(a) === sorted(b);
}

/**
 * Takes an Aadhaar number with its consent. The KYC keeps a reference and the last four digits; the vault keeps the number
 * only until the check has ended, unless this company must keep it.
 */
export async function saveAadhaar(ctx: OutsideTx, input: { number: string; consent: boolean }, address: string): Promise<Row<Kyc>> {
  const number = normalizeAadhaar(input);
  const keep = keepsAadhaar(runtime().config.kycKeepAadhaarFor, ctx.companyId);
  return changeKyc(ctx, async (ctx, row) => {
    const reference = await putIntoVault(ctx, number, { keep, consent: consentOf(ctx, address) });
    return moveDocuments(ctx, row, [{ document: 'aadhaar', event: 'saved', newValue: {} }], { $set: { aadhaar: { reference, lastFour: number.slice(-4) } } });
  });
}

async function putIntoVault(tx: Tx, number: string, { keep, consent }: { keep: boolean; consent: Consent }): Promise<string> {
  const known = await vault.findOne(tx, COMPANY_OWN);
  const consents = [...(known?.consents ?? []), consent].slice(-MAX_CONSENTS);
  const entry: VaultEntry = { lastFour: number.slice(-4), keep, number: seal(number), consents };
  if (!known) return (await vault.insert(tx, { _id: newId(), ...entry }))._id;
  const change: ChangeOf<VaultEntry> = { $set: { ...entry }, $unset: { verification: '' } };
  return (await vault.update(tx, known._id, change, { version: known.version }))._id;
}

/** Where a consent came from is kept as a keyed hash: it can be compared, and tells nobody the address. */
function consentOf(ctx: Ctx, address: string): Consent {
  const pepper = runtime().config.tokenPepper ?? '';
  const addressHash = createHmac('sha256', pepper).update(`dakiya.consent|${address}`).digest('base64url');
  return { version: AADHAAR_CONSENT.version, at: now(), userId: ctx.actor.id, addressHash };
}

/** Replaces the addresses; at most ten. */
export async function saveAddresses(ctx: OutsideTx, input: readonly AddressInput[]): Promise<Row<Kyc>> {
  const { addresses, lines } = normalizeAddresses(input);
  return changeKyc(ctx, async (ctx, row) => moveDocuments(ctx, row, [], { $set: { addresses, addressLines: seal(lines) } }));
}

/**
 * Hands everything given to the reviewers. 409 `kyc_incomplete` naming the required documents that are missing and the
 * rejected ones that were not replaced. What is under review already stays so, and a repeat changes nothing.
 */
export async function submitKyc(ctx: OutsideTx): Promise<Row<Kyc>> {
  return changeKyc(ctx, async (ctx, row) => {
    const { missing, rejected } = missingToSubmit(row.documents);
    if (missing.length > 0 || rejected.length > 0) throw conflict('kyc_incomplete', 'Give the missing documents and replace the rejected ones first', { missing, rejected });
    const open = KYC_DOCUMENTS.filter((document) => ['in_progress', 'needs_action'].includes(statusOf(row.documents, document)));
    if (open.length === 0) return row;
    return moveDocuments(ctx, row, open.map((document) => ({ document, event: 'submitted' as const })));
  });
}
