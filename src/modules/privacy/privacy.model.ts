import { defineCollection } from '../../platform/db/collection.ts';
import type { Sealed } from '../../platform/db/sealed.ts';
import type { CustomerKeys } from '../../platform/privacy.ts';
import type { CompanyStatus } from '../companies/index.ts';

/** One erasure: of a customer's data, or of a company. It says how far it is, so that a job that was cut off goes on. */
export interface Erasure {
  kind: 'customer' | 'company';
  /** `waiting`: for the end of the time in which a company may take it back. */
  state: 'waiting' | 'running' | 'done' | 'cancelled';
  /** On a company's that was not taken back: there is one at most, so that taking it back leaves none to run. */
  standing?: true;
  /** What was written by who asked; it may name people. */
  reason: Sealed<string>;
  requestedBy: string;
  dueAt: Date;
  finishedAt?: Date;
  /** Whom it is about; removed when it is done. */
  customer?: Sealed<CustomerKeys>;
  /** How many rows of each kind were erased. */
  counts: Record<string, number>;
  /** What the company was before its account was closed for this; set until its keys are destroyed or it is that again. */
  statusBefore?: CompanyStatus;
  /** Up to where a company's rows are erased. */
  at?: { collection: string; after: string };
}

export const erasures = defineCollection<Erasure>({
  name: 'erasures',
  rowName: 'erasure',
  fields: {
    kind: { type: String, required: true, enum: ['customer', 'company'] },
    state: { type: String, required: true, enum: ['waiting', 'running', 'done', 'cancelled'] },
    standing: { type: Boolean },
    requestedBy: { type: String, required: true },
    dueAt: { type: Date, required: true },
    finishedAt: { type: Date },
    counts: { type: Object, required: true },
    statusBefore: { type: String },
    at: { type: Object },
  },
  // Not under the company's key, which the erasure of a company destroys.
  sealed: { customer: { mask: 'none', key: 'system' }, reason: { mask: 'none', key: 'system', required: true } },
  indexes: [
    { keys: { companyId: 1, kind: 1, state: 1 } },
    { keys: { companyId: 1, standing: 1 }, unique: true, partial: { standing: { $exists: true } } },
  ],
});
