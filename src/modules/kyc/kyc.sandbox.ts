import { setTimeout as delay } from 'node:timers/promises';
import { panOfGstin } from '../../platform/identifiers.ts';
import type { KycProvider, ProviderAnswer, ProviderCall } from './kyc.provider.ts';

const SLOW_MS = 250;
const FAILS_AT_FIRST = 2;

type Play = (call: ProviderCall) => ProviderAnswer | Promise<ProviderAnswer>;

const matched: ProviderAnswer = { ok: true, verdict: 'matched' };

/** What the four digits of a number make the sandbox do; any other digits match. docs/api/kyc.md lists them. */
const PLAYS: Readonly<Record<string, Play>> = {
  '9001': () => ({ ok: true, verdict: 'mismatched', note: 'The issuer knows no such number' }),
  '9002': () => ({ ok: true, verdict: 'name_differs', note: 'The number exists under another name' }),
  '9003': async ({ signal }) => ((await waited(SLOW_MS, signal)) ? matched : { ok: false, fault: 'timeout' }),
  '9004': ({ attempt }) => (attempt > FAILS_AT_FIRST ? matched : { ok: false, fault: 'down' }),
  '9005': () => ({ ok: false, fault: 'down' }),
  '9006': ({ attempt }) => (attempt > 1 ? matched : { ok: false, fault: 'rate_limited' }),
  '9007': async ({ signal }) => {
    await waited(3_600_000, signal);
    return { ok: false, fault: 'timeout' };
  },
  '9008': () => ({ ok: true, verdict: 'needs_check', note: 'The issuer could not say for certain' }),
};

async function play(digits: string, name: string, call: ProviderCall): Promise<ProviderAnswer> {
  const found = PLAYS[digits];
  if (found) return found(call);
  return /\bmismatch\b/i.test(name) ? { ok: true, verdict: 'name_differs', note: 'The number exists under another name' } : matched;
}

function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  return delay(ms, true, { signal }).catch(() => false);
}

/**
 * A provider that asks nobody: the four digits of a PAN (also inside a GSTIN), the first four of an Aadhaar number and
 * the last four of an account number decide what it plays, and a name with the word `Mismatch` never fits.
 */
export const sandboxProvider: KycProvider = {
  name: 'sandbox',
  verifyPan: ({ number, name }, call) => play(number.slice(5, 9), name, call),
  verifyGstin: ({ number }, call) => play(panOfGstin(number).slice(5, 9), '', call),
  verifyBankAccount: ({ accountNumber, holderName }, call) => play(accountNumber.slice(-4), holderName, call),
  verifyAadhaar: ({ number }, call) => play(number.slice(0, 4), '', call),
};
