import { now, nowMs } from '../../platform/clock.ts';
import type { Ctx, OutsideTx, Tx } from '../../platform/context.ts';
import type { ChangeOf, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { ownCompany, setKycStatus } from '../companies/index.ts';
import { contactsOf, noteKyc, peopleOfKyc } from '../identity/index.ts';
import { queueMail } from '../notifications/index.ts';
import { statusMail } from './kyc.mail.rules.ts';
import { COMPANY_OWN, kycEvents, kycs, type DocumentState, type Documents, type Kyc, type KycDocument } from './kyc.model.ts';
import { configuredKycProvider } from './kyc.provider.ts';
import { firstExpiry, nextStatus, overallStatus, statusOf, type DocumentEvent } from './kyc.rules.ts';

/** The job that asks the provider. */
export const VERIFY_DOCUMENT = 'kyc.verify';

const DAY_MS = 86_400_000;

/** One document that moves, why, and whether the merchant must hear of it by mail. */
export interface Move {
  document: KycDocument;
  event: DocumentEvent;
  reason?: string;
  /** Another value was saved: the provider is asked anew. */
  newValue?: { note?: string };
}

/** The KYC of this ctx's company, when it has begun. */
export async function findKyc(ctx: Ctx): Promise<Row<Kyc> | undefined> {
  return kycs.findOne(ctx, COMPANY_OWN);
}

/** Runs a change of the own KYC, which it begins when there is none; of two beginners at once the second goes on with the first's row. */
export async function changeKyc<T>(ctx: OutsideTx, change: (ctx: Tx, row: Row<Kyc>) => Promise<T>): Promise<T> {
  const run = (): Promise<T> => withTransaction(ctx, async (ctx) => change(ctx, (await findKyc(ctx)) ?? (await beginKyc(ctx))));
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'kyc_exists')) throw error;
    return run();
  }
}

function beginKyc(tx: Tx): Promise<Row<Kyc>> {
  return kycs.insert(tx, { _id: tx.companyId, status: 'not_started', statusChangedAt: now(), addresses: [], documents: {}, files: [] });
}

/**
 * Moves documents by the table of states, stores `fields` with them, and carries the new whole to the company and its
 * owners, with history, mail and jobs: one transaction, the caller's. 409 `document_not_reviewable` for a step that the
 * table does not have.
 */
export async function moveDocuments(tx: Tx, row: Row<Kyc>, moves: readonly Move[], fields: ChangeOf<Kyc> = {}): Promise<Row<Kyc>> {
  const documents: Documents = { ...row.documents };
  for (const move of moves) documents[move.document] = moved(row, documents, move);
  const { files = row.files, addresses = row.addresses } = fields.$set ?? {};
  const status = overallStatus(documents, row.status, files.length + addresses.length > 0);
  const expiresAt = firstExpiry(documents);
  const changed = status !== row.status;
  const stored = await kycs.update(
    tx,
    row._id,
    {
      ...fields,
      $set: { ...fields.$set, documents, status, ...(changed ? { statusChangedAt: now() } : {}), ...(status === 'submitted' && changed ? { submittedAt: now() } : {}), ...(expiresAt ? { expiresAt } : {}) },
      $unset: { ...fields.$unset, ...(expiresAt || !row.expiresAt ? {} : { expiresAt: '' as const }) },
    },
    { version: row.version },
  );
  for (const move of moves) await record(tx, row, stored, move);
  await carry(tx, row, stored, moves);
  return stored;
}

function moved(row: Row<Kyc>, documents: Documents, { document, event, reason, newValue }: Move): DocumentState {
  const before = documents[document];
  const status = nextStatus(statusOf(documents, document), event);
  if (status === undefined) throw notReviewable(document, statusOf(documents, document));
  const { kycExpiryDays } = runtime().config;
  const kept: DocumentState = before ?? { status, revision: 0, savedAt: now(), check: freshCheck() };
  const { reason: _reason, verifiedUntil: _until, replaced: wasReplaced, ...facts } = kept;
  const decided = event === 'verified' || event === 'rejected' || event === 'needs_action' || event === 'withdrawn' || event === 'expired';
  const replaced = !decided && (wasReplaced === true || (event === 'saved' && before?.status === 'submitted'));
  const until = status === 'verified' ? (event === 'verified' ? (kycExpiryDays > 0 ? new Date(nowMs() + kycExpiryDays * DAY_MS) : undefined) : kept.verifiedUntil) : undefined;
  return {
    ...facts,
    status,
    ...(newValue ? { revision: kept.revision + 1, savedAt: now(), savedVersion: row.version + 1, check: freshCheck(newValue.note) } : {}),
    ...(replaced ? { replaced } : {}),
    ...(decided ? { decidedAt: now() } : {}),
    ...(reason === undefined || reason === '' ? {} : { reason }),
    ...(until ? { verifiedUntil: until } : {}),
  };
}

function freshCheck(note?: string): DocumentState['check'] {
  const provider = configuredKycProvider();
  return { state: provider ? 'pending' : 'not_checked', provider: provider?.name ?? 'none', at: now(), ...(note === undefined ? {} : { note }) };
}

/** 409: this step is not possible in the document's state. */
export function notReviewable(document: KycDocument, status: string): AppError {
  return conflict('document_not_reviewable', `A document that is ${status.replaceAll('_', ' ')} cannot take this step`, { document, status });
}

async function record(tx: Tx, before: Row<Kyc>, after: Row<Kyc>, { document, event, reason, newValue }: Move): Promise<void> {
  const [from, to] = [statusOf(before.documents, document), statusOf(after.documents, document)];
  const { memberId } = before;
  await kycEvents.insert(tx, { ...(memberId === undefined ? {} : { memberId }), document, event, from, to, byKind: tx.actor.kind, byId: tx.actor.id, ...(reason === undefined || reason === '' ? {} : { reason }) });
  const state = after.documents[document];
  if (newValue && state?.check.state === 'pending') tx.enqueue({ name: VERIFY_DOCUMENT, payload: { document, revision: state.revision } });
}

/** The whole goes to the company and its owners, or to the member it is of; what a reviewer or time has decided also by mail. */
async function carry(tx: Tx, before: Row<Kyc>, after: Row<Kyc>, moves: readonly Move[]): Promise<void> {
  const people = await peopleOfKyc(tx, after.memberId);
  if (before.status !== after.status) await noteKyc(tx, people, after.status);
  if (after.memberId === undefined) await carryToCompany(tx, before, after);
  const told = moves.filter(({ event }) => event !== 'saved' && event !== 'submitted');
  if (told.length === 0) return;
  const company = await ownCompany(tx);
  const lines = told.map(({ document, reason }) => ({ document, status: statusOf(after.documents, document), reason: reason ?? '' }));
  for (const { email, name } of contactsOf(people)) await queueMail(tx, statusMail({ to: email, name, company: company.name, overall: after.status, lines }));
}

async function carryToCompany(tx: Tx, before: Row<Kyc>, after: Row<Kyc>): Promise<void> {
  // The mask begins with the state; that of an erased GSTIN does not.
  const gstinState = statusOf(after.documents, 'gstin') === 'verified' ? /^\d{2}/.exec(after.gstin?.mask ?? '')?.[0] : undefined;
  await setKycStatus(tx, { status: after.status, gstinState });
  if (before.status !== after.status) tx.emit({ type: 'kyc.status_changed', key: tx.companyId, payload: { from: before.status, to: after.status } });
}
