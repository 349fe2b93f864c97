import type { OutsideTx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, notFound } from '../../platform/errors.ts';
import { present } from '../../platform/present.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { normalizeReason } from './kyc.input.rules.ts';
import { kycReveals, vault, type Kyc, type KycDocument } from './kyc.model.ts';
import { findKyc } from './kyc.steps.ts';

/** A document in clear. */
export interface Revealed {
  field: KycDocument;
  value: string;
  name?: string;
  dateOfBirth?: string;
  ifsc?: string;
  holderName?: string;
}

const REASON = { min: 3, max: 200 };

/**
 * Shows one document of the own KYC in clear and notes who saw it and why, in the same transaction: no value without its
 * row. 404 `kyc_document_not_found` when it was not given, 409 `not_kept` for an Aadhaar number that is not kept.
 */
export async function revealDocument(ctx: OutsideTx, { field, reason: given }: { field: KycDocument; reason: string }, address: string): Promise<Revealed> {
  const reason = normalizeReason(given, REASON);
  return withTransaction(ctx, async (ctx) => {
    const revealed = await clearOf(ctx, await findKyc(ctx), field);
    await kycReveals.insert(ctx, { what: field, reason, byKind: ctx.actor.kind, byId: ctx.actor.id });
    await noteSecurityEvent(ctx, { type: 'security.reveal', userId: ctx.actor.id, address, details: { field } });
    return revealed;
  });
}

async function clearOf(tx: Tx, row: Row<Kyc> | undefined, field: KycDocument): Promise<Revealed> {
  const missing = notFound('kyc_document');
  switch (field) {
    case 'pan': {
      if (!row?.pan) throw missing;
      const { number, name, dateOfBirth } = row.pan.reveal();
      return present({ field, value: number, name, dateOfBirth });
    }
    case 'gstin':
      if (!row?.gstin) throw missing;
      return { field, value: row.gstin.reveal() };
    case 'bankAccount': {
      if (!row?.bankAccount) throw missing;
      const { accountNumber, ifsc, holderName } = row.bankAccount.reveal();
      return { field, value: accountNumber, ifsc, holderName };
    }
    case 'aadhaar': {
      if (!row?.aadhaar) throw missing;
      const entry = await vault.findOne(tx, { _id: row.aadhaar.reference });
      if (!entry?.keep || !entry.number) throw conflict('not_kept', 'Only the last four digits of this Aadhaar number are kept');
      return { field, value: entry.number.reveal() };
    }
  }
}
