import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { present } from '../../platform/present.ts';
import { field, shape } from '../../platform/route.ts';
import type { KycStatus } from '../companies/index.ts';
import { AADHAAR_CONSENT } from './kyc.consent.rules.ts';
import { KYC_DOCUMENTS, type Kyc, type KycAddress, type KycDocument, type KycFile } from './kyc.model.ts';
import { missingToSubmit } from './kyc.rules.ts';
import type { QueuedKyc, ReviewedKyc } from './kyc.review.service.ts';

interface DocumentView {
  status: string;
  number?: string;
  name?: string;
  holderType?: string;
  ifsc?: string;
  holderName?: string;
  reason?: string;
  check?: { state: string; provider: string; note?: string; at: string };
  savedAt?: string;
  decidedAt?: string;
  verifiedUntil?: string;
}

interface FileView {
  id: string;
  document: string;
  contentType: string;
  sizeBytes: number;
  uploadedAt: string;
}

export interface KycView {
  id: string | null;
  status: string;
  documents: Record<KycDocument, DocumentView>;
  addresses: (KycAddress & { lines: string })[];
  files: FileView[];
  missing: string[];
  aadhaarConsent: { version: string; text: string };
  submittedAt?: string;
  version: number;
}

/** A stored file as it is listed; where its bytes are is nobody's business. */
export function fileView({ id, kind, contentType, sizeBytes, uploadedAt }: KycFile): FileView {
  return { id, document: kind, contentType, sizeBytes, uploadedAt: uploadedAt.toISOString() };
}

function documentView(row: Row<Kyc>, document: KycDocument): DocumentView {
  const state = row.documents[document];
  if (!state) return { status: 'not_started' };
  const { status, check, reason, savedAt, decidedAt, verifiedUntil } = state;
  return present({
    status,
    ...masksOf(row, document),
    reason,
    check: present({ state: check.state, provider: check.provider, note: check.note, at: check.at.toISOString() }),
    savedAt: savedAt.toISOString(),
    decidedAt: decidedAt?.toISOString(),
    verifiedUntil: verifiedUntil?.toISOString(),
  });
}

/** Masks only: what is sealed stays sealed here. */
function masksOf(row: Row<Kyc>, document: KycDocument): Partial<DocumentView> {
  switch (document) {
    case 'pan':
      return present({ number: row.pan?.mask.number, name: row.pan?.mask.name, holderType: row.holderType });
    case 'gstin':
      return present({ number: row.gstin?.mask });
    case 'bankAccount':
      return present({ number: row.bankAccount?.mask.accountNumber, ifsc: row.bankAccount?.mask.ifsc, holderName: row.bankAccount?.mask.holderName });
    case 'aadhaar':
      return row.aadhaar ? { number: `XXXX XXXX ${row.aadhaar.lastFour}` } : {};
  }
}

/** A KYC with masks; one that has not begun looks empty. */
export function kycView(row: Row<Kyc> | undefined): KycView {
  const base = { aadhaarConsent: { ...AADHAAR_CONSENT }, missing: missingToSubmit(row?.documents ?? {}).missing };
  if (!row) {
    const documents = Object.fromEntries(KYC_DOCUMENTS.map((document) => [document, { status: 'not_started' }])) as KycView['documents'];
    return { id: null, status: 'not_started', documents, addresses: [], files: [], ...base, version: 0 };
  }
  const lines = (row.addressLines?.mask ?? []) as string[];
  return present({
    id: row._id,
    status: row.status,
    documents: Object.fromEntries(KYC_DOCUMENTS.map((document) => [document, documentView(row, document)])) as KycView['documents'],
    addresses: row.addresses.map((address, i) => ({ ...address, lines: lines[i] ?? '' })),
    files: row.files.map(fileView),
    ...base,
    submittedAt: row.submittedAt?.toISOString(),
    version: row.version,
  });
}

const time = () => field.isoTime();

const documentShape = shape<DocumentView>({
  status: Joi.string().required(),
  number: Joi.string(),
  name: Joi.string(),
  holderType: Joi.string(),
  ifsc: Joi.string(),
  holderName: Joi.string(),
  reason: Joi.string(),
  check: Joi.object({ state: Joi.string().required(), provider: Joi.string().required(), note: Joi.string(), at: time().required() }),
  savedAt: time(),
  decidedAt: time(),
  verifiedUntil: time(),
});

export const fileShape = shape<FileView>({
  id: field.id().required(),
  document: Joi.string().required(),
  contentType: Joi.string().required(),
  sizeBytes: Joi.number().integer().min(0).required(),
  uploadedAt: time().required(),
});

const kycKeys = {
  id: field.id().allow(null).required(),
  status: Joi.string().required(),
  documents: shape<KycView['documents']>({
    pan: documentShape.required(),
    aadhaar: documentShape.required(),
    gstin: documentShape.required(),
    bankAccount: documentShape.required(),
  }).required(),
  addresses: Joi.array()
    .items(
      Joi.object({
        kind: Joi.string().required(),
        city: Joi.string().required(),
        state: Joi.string().required(),
        pincode: Joi.string().required(),
        lines: Joi.string().allow('').required(),
      }),
    )
    .required(),
  files: Joi.array().items(fileShape).required(),
  missing: Joi.array().items(Joi.string()).required(),
  aadhaarConsent: Joi.object({ version: Joi.string().required(), text: Joi.string().required() }).required(),
  submittedAt: time(),
  version: field.version().required(),
};

export const kycShape = shape<KycView>(kycKeys);

interface QueuedView extends KycView {
  /** Whose, when it is of a former member and not the company's own. */
  memberId?: string;
  companyId: string;
  companyName: string;
  statusChangedAt: string;
}

/** A KYC as reviewers see it in their queue. */
export function queuedView({ kyc, company }: QueuedKyc): QueuedView {
  return present({ ...kycView(kyc), memberId: kyc.memberId, companyId: kyc.companyId, companyName: company?.name ?? '', statusChangedAt: kyc.statusChangedAt.toISOString() });
}

const queuedKeys = { memberId: field.id(), companyId: field.id().required(), companyName: Joi.string().allow('').required(), statusChangedAt: time().required() };
export const queuedShape: Joi.ObjectSchema<QueuedView> = kycShape.append<QueuedView>(queuedKeys);

interface EventView {
  at: string;
  document: string;
  event: string;
  from: KycStatus;
  to: KycStatus;
  reason?: string;
  byKind: string;
  byId: string;
}

type ReviewedView = QueuedView & { history: EventView[] };

/** One KYC with its history, newest first. */
export function reviewedView({ kyc, company, history }: ReviewedKyc): ReviewedView {
  return {
    ...queuedView({ kyc, company }),
    history: history.map(({ createdAt, document, event, from, to, reason, byKind, byId }) => present({ at: createdAt.toISOString(), document, event, from, to, reason, byKind, byId })),
  };
}

export const reviewedShape: Joi.ObjectSchema<ReviewedView> = queuedShape.append<ReviewedView>({
  history: Joi.array()
    .items(
      Joi.object({
        at: time().required(),
        document: Joi.string().required(),
        event: Joi.string().required(),
        from: Joi.string().required(),
        to: Joi.string().required(),
        reason: Joi.string(),
        byKind: Joi.string().required(),
        byId: Joi.string().required(),
      }),
    )
    .required(),
});
