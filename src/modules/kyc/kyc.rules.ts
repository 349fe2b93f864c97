import type { KycStatus } from '../companies/index.ts';
import { KYC_DOCUMENTS, type DocumentState, type Documents, type KycDocument } from './kyc.model.ts';

/** What can happen to a document. `withdrawn` and `expired` take a verification back; `questioned` is our own doubt. */
export type DocumentEvent = 'saved' | 'submitted' | 'verified' | 'rejected' | 'needs_action' | 'withdrawn' | 'expired' | 'questioned';

/** What a reviewer may say. */
export const DECISIONS = ['verified', 'rejected', 'needs_action'] as const;
export type Decision = (typeof DECISIONS)[number];

/** The documents without which nothing is verified; the others count as soon as they are given. */
export const REQUIRED_DOCUMENTS: readonly KycDocument[] = ['pan', 'bankAccount'];

/** The life of one document; what is not named here is refused. */
const STEPS: Readonly<Record<KycStatus, Partial<Record<DocumentEvent, KycStatus>>>> = {
  not_started: { saved: 'in_progress' },
  in_progress: { saved: 'in_progress', submitted: 'submitted', questioned: 'needs_action' },
  submitted: { saved: 'in_progress', submitted: 'submitted', verified: 'verified', rejected: 'rejected', needs_action: 'needs_action', questioned: 'needs_action' },
  verified: { saved: 'in_progress', submitted: 'verified', withdrawn: 'needs_action', expired: 'needs_action', questioned: 'needs_action' },
  rejected: { saved: 'in_progress', questioned: 'rejected' },
  needs_action: { saved: 'in_progress', submitted: 'submitted', questioned: 'needs_action' },
};

/** The state after an event, or undefined when it cannot happen in this state. */
export function nextStatus(from: KycStatus, event: DocumentEvent): KycStatus | undefined {
  return STEPS[from][event];
}

/** The status of a document that may not be there yet. */
export function statusOf(documents: Documents, document: KycDocument): KycStatus {
  return documents[document]?.status ?? 'not_started';
}

/**
 * What the documents make of the whole. A company that is verified stays so while a further, optional document waits
 * for its review: adding a GSTIN must not stop its parcels.
 */
export function overallStatus(documents: Documents, current: KycStatus, begun = false): KycStatus {
  const given = KYC_DOCUMENTS.filter((document) => documents[document] !== undefined);
  const states = given.map((document) => statusOf(documents, document));
  if (given.length === 0) return begun ? 'in_progress' : 'not_started';
  if (states.includes('rejected')) return 'rejected';
  if (states.includes('needs_action')) return 'needs_action';
  const required = REQUIRED_DOCUMENTS.map((document) => statusOf(documents, document));
  const proved = required.every((status) => status === 'verified');
  if (proved && (current === 'verified' || states.every((status) => status === 'verified'))) return 'verified';
  const complete = required.every((status) => status === 'submitted' || status === 'verified');
  return complete && states.every((status) => status === 'submitted' || status === 'verified') ? 'submitted' : 'in_progress';
}

/** What keeps a KYC from being submitted: required documents that are missing, and rejected ones that were not replaced. */
export function missingToSubmit(documents: Documents): { missing: KycDocument[]; rejected: KycDocument[] } {
  return {
    missing: REQUIRED_DOCUMENTS.filter((document) => documents[document] === undefined),
    rejected: KYC_DOCUMENTS.filter((document) => statusOf(documents, document) === 'rejected'),
  };
}

/** The first time at which a verification ends. */
export function firstExpiry(documents: Documents): Date | undefined {
  const times = KYC_DOCUMENTS.flatMap((document) => verifiedUntil(documents[document]));
  return times.sort((a, b) => a.getTime() - b.getTime())[0];
}

/** The documents whose verification has ended by this time. */
export function expiredDocuments(documents: Documents, at: Date): KycDocument[] {
  return KYC_DOCUMENTS.filter((document) => verifiedUntil(documents[document]).some((until) => until <= at));
}

function verifiedUntil(state: DocumentState | undefined): Date[] {
  return state?.status === 'verified' && state.verifiedUntil ? [state.verifiedUntil] : [];
}

/** How two spellings of a name compare: the same words in any order, some shared (initials count), or none. */
export function compareNames(a: string, b: string): 'same' | 'similar' | 'different' {
  const [left, right] = [wordsOf(a), wordsOf(b)];
  if (left.length === 0 || right.length === 0) return 'different';
  if ([...left].sort().join(' ') === [...right].sort().join(' ')) return 'same';
  const [few, many] = left.length <= right.length ? [left, right] : [right, left];
  const shared = few.filter((word) => many.some((other) => other === word || (word.length === 1 && other.startsWith(word)) || (other.length === 1 && word.startsWith(other))));
  const whole = shared.some((word) => word.length > 1);
  return whole && shared.length * 2 >= few.length ? 'similar' : 'different';
}

const TITLES = new Set(['MR', 'MRS', 'MS', 'DR', 'SHRI', 'SMT', 'M', 'S', 'PVT', 'PRIVATE', 'LTD', 'LIMITED', 'LLP', 'AND', 'CO', 'COMPANY']);

function wordsOf(name: string): string[] {
  const words = name
    .normalize('NFKC')
    .toUpperCase()
    .split(/[^\p{L}\p{M}\p{N}]+/u)
    .filter((word) => word !== '');
  const plain = words.filter((word) => !TITLES.has(word));
  return plain.length > 0 ? plain : words;
}
