import { runtime } from '../../platform/runtime.ts';
import type { CheckState, HolderType } from './kyc.model.ts';
import { sandboxProvider } from './kyc.sandbox.ts';

/** What the provider found; the name on its record never leaves it, only how it compares. */
export type Verdict = Extract<CheckState, 'matched' | 'mismatched' | 'name_differs' | 'needs_check'>;

/** An answer, or why there is none: then the call may be repeated. */
export type ProviderAnswer = { ok: true; verdict: Verdict; note?: string } | { ok: false; fault: 'down' | 'rate_limited' | 'timeout' };

export interface ProviderCall {
  /** 1 for the first try. */
  attempt: number;
  /** Aborted when the call takes too long. */
  signal: AbortSignal;
}

export interface PanQuestion {
  number: string;
  name: string;
  holderType: HolderType;
  dateOfBirth?: string;
}

export interface BankQuestion {
  accountNumber: string;
  ifsc: string;
  holderName: string;
}

export interface AadhaarQuestion {
  number: string;
  /** The words that the holder has agreed to; providers must be told. */
  consentVersion: string;
}

/** Whoever can prove a document: each question is safe to ask twice. Must never log what it is asked. */
export interface KycProvider {
  readonly name: string;
  verifyPan(question: PanQuestion, call: ProviderCall): Promise<ProviderAnswer>;
  verifyGstin(question: { number: string; pan?: string }, call: ProviderCall): Promise<ProviderAnswer>;
  /** A penny is dropped into the account, and the name that the bank gives back is compared. */
  verifyBankAccount(question: BankQuestion, call: ProviderCall): Promise<ProviderAnswer>;
  /** By the offline file or a one-time code; whichever the provider uses, it answers for this number. */
  verifyAadhaar(question: AadhaarQuestion, call: ProviderCall): Promise<ProviderAnswer>;
}

/** The provider of this process; none: reviewers then decide by the papers alone. */
export function configuredKycProvider(): KycProvider | undefined {
  return runtime().config.kycProvider === 'sandbox' ? sandboxProvider : undefined;
}

/** Asks under a time limit. Never throws for what the provider does. */
export async function askProvider(attempt: number, ask: (call: ProviderCall) => Promise<ProviderAnswer>): Promise<ProviderAnswer> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), runtime().config.kycProviderTimeoutMs);
  try {
    return await ask({ attempt, signal: abort.signal });
  } catch {
    // What a provider throws may repeat what it was asked.
    return { ok: false, fault: abort.signal.aborted ? 'timeout' : 'down' };
  } finally {
    clearTimeout(timer);
  }
}
