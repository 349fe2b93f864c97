import { now } from '../../platform/clock.ts';
import type { OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { present } from '../../platform/present.ts';
import { AADHAAR_CONSENT } from './kyc.consent.rules.ts';
import { COMPANY_OWN, kycs, vault, type Kyc, type KycDocument, type ProviderCheck } from './kyc.model.ts';
import { askProvider, configuredKycProvider, type KycProvider, type ProviderAnswer, type ProviderCall } from './kyc.provider.ts';
import { compareNames } from './kyc.rules.ts';
import { findKyc } from './kyc.steps.ts';

export interface Verification {
  document: KycDocument;
  /** Of the value that was saved when the question arose. */
  revision: number;
}

const NOTES: Readonly<Record<'down' | 'rate_limited' | 'timeout', string>> = {
  down: 'The provider fails',
  rate_limited: 'The provider asks for fewer calls',
  timeout: 'The provider did not answer in time',
};

/**
 * Asks the provider about one saved value and notes what it says. Throws while there is no answer, so that the job tries
 * again; after the last try the check is `unavailable` and the reviewer decides without it. A value that was replaced
 * meanwhile gets no result.
 */
export async function verifyDocument(ctx: OutsideTx, verification: Verification, run: { attempt: number; lastTry: boolean }): Promise<void> {
  const provider = configuredKycProvider();
  const row = await findKyc(ctx);
  if (!row || !waits(row, verification)) return;
  const question = await questionOf(ctx, row, verification.document);
  if (!question) return;
  const answer: ProviderAnswer = provider ? await askProvider(run.attempt, (call) => question(provider, call)) : { ok: false, fault: 'down' };
  if (!answer.ok && !run.lastTry) throw new Error(NOTES[answer.fault]);
  const state = answer.ok ? answer.verdict : 'unavailable';
  const note = answer.ok ? answer.note : NOTES[answer.fault];
  await noteResult(ctx, verification, present({ state, provider: provider?.name ?? 'none', at: now(), note }));
}

function waits(row: Row<Kyc>, { document, revision }: Verification): boolean {
  const state = row.documents[document];
  return state?.revision === revision && state.check.state === 'pending';
}

type Question = (provider: KycProvider, call: ProviderCall) => Promise<ProviderAnswer>;

async function questionOf(ctx: OutsideTx, row: Row<Kyc>, document: KycDocument): Promise<Question | undefined> {
  if (document === 'aadhaar') {
    const number = (await vault.findOne(ctx, COMPANY_OWN))?.number?.reveal();
    return number === undefined ? undefined : (provider, call) => provider.verifyAadhaar({ number, consentVersion: AADHAAR_CONSENT.version }, call);
  }
  if (document === 'pan') {
    const { pan, holderType = 'individual' } = row;
    return pan && ((provider, call) => provider.verifyPan({ ...pan.reveal(), holderType }, call));
  }
  if (document === 'gstin') {
    const { gstin, pan } = row;
    return gstin && ((provider, call) => provider.verifyGstin(present({ number: gstin.reveal(), pan: pan?.opened()?.number }), call));
  }
  const { bankAccount } = row;
  return bankAccount && ((provider, call) => provider.verifyBankAccount(bankAccount.reveal(), call));
}

/** The second transaction of the question: guarded on the value that was asked about. */
async function noteResult(ctx: OutsideTx, verification: Verification, check: ProviderCheck): Promise<void> {
  const { document } = verification;
  await withTransaction(ctx, async (ctx) => {
    const row = await findKyc(ctx);
    const state = row?.documents[document];
    if (!row || !state || !waits(row, verification)) return;
    const note = [state.check.note, check.note, document === 'bankAccount' ? holderNote(row) : undefined].filter((one) => one !== undefined).join('. ');
    // What we doubted ourselves when it was saved (an unknown branch) stays to be looked at.
    const found = check.state === 'matched' && state.check.note !== undefined ? 'needs_check' : check.state;
    const documents = { ...row.documents, [document]: { ...state, check: { ...check, state: found, ...(note === '' ? {} : { note }) } } };
    await kycs.update(ctx, row._id, { $set: { documents } }, { version: row.version });
    if (document !== 'aadhaar') return;
    const entry = await vault.findOne(ctx, COMPANY_OWN);
    if (!entry) return;
    const { state: result, provider, at } = check;
    await vault.update(ctx, entry._id, { $set: { verification: { state: result, provider, at } }, ...(entry.keep ? {} : { $unset: { number: '' } }) }, { version: entry.version });
  });
}

/** An account in another name than the PAN's is evidence too. */
function holderNote({ pan, bankAccount }: Row<Kyc>): string | undefined {
  if (!pan || !bankAccount) return undefined;
  const [holder, account] = [pan.opened(), bankAccount.opened()];
  if (!holder || !account) return 'The names cannot be compared: a saved value cannot be read any more';
  const compared = compareNames(holder.name, account.holderName);
  if (compared === 'same') return undefined;
  return compared === 'similar' ? 'The holder of the account and the name on the PAN are similar' : 'The holder of the account is another one than the name on the PAN';
}
