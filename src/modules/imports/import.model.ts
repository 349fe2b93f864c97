import { defineCollection } from '../../platform/db/collection.ts';

export const IMPORT_KINDS = ['orders', 'products', 'pincodes', 'serviceability', 'remittance'] as const;
export type ImportKind = (typeof IMPORT_KINDS)[number];

export const IMPORT_MODES = ['all_or_nothing', 'skip_invalid'] as const;
export type ImportMode = (typeof IMPORT_MODES)[number];

/** `rejected`: the file or, in all-or-nothing, one of its records cannot be taken. `failed`: our side gave up. */
export const IMPORT_STATUSES = ['queued', 'running', 'completed', 'rejected', 'failed'] as const;
export type ImportStatus = (typeof IMPORT_STATUSES)[number];

/** `rows` are data rows of the file, `records` what they make together (an order takes one row or more). */
export interface ImportCounts {
  rows: number;
  records: number;
  imported: number;
  invalid: number;
  duplicates: number;
}

/** One uploaded file and how far it has come; `counts.records` is also where a killed run goes on. */
export interface Import {
  kind: ImportKind;
  mode: ImportMode;
  status: ImportStatus;
  counts: ImportCounts;
  /** 0 to 1. */
  progress: number;
  fileName: string;
  fileId: string;
  sizeBytes: number;
  sha256: string;
  /** Kind and hash; absent when the upload was forced. Unique in the company. */
  fileKey?: string;
  /** Serviceability only: whose table it is; the sandbox's when absent. */
  courier?: string;
  /** Why the file as a whole was rejected, or that our side failed. */
  reason?: string;
  /** Records with faults that are listed in errors.csv. */
  listed: number;
  startedAt?: Date;
  finishedAt?: Date;
}

export const imports = defineCollection<Import>({
  name: 'imports',
  rowName: 'import',
  fields: {
    kind: { type: String, required: true, enum: IMPORT_KINDS },
    mode: { type: String, required: true, enum: IMPORT_MODES },
    status: { type: String, required: true, enum: IMPORT_STATUSES },
    counts: { type: Object, required: true },
    progress: { type: Number, required: true, min: 0, max: 1 },
    fileName: { type: String, maxlength: 200 },
    fileId: { type: String, required: true },
    sizeBytes: { type: Number, required: true, min: 0 },
    sha256: { type: String, required: true },
    fileKey: { type: String },
    courier: { type: String, maxlength: 100 },
    reason: { type: String, maxlength: 1000 },
    listed: { type: Number, required: true, min: 0 },
    startedAt: { type: Date },
    finishedAt: { type: Date },
  },
  personal: { fileName: null },
  indexes: [
    { keys: { companyId: 1, fileKey: 1 }, unique: true, partial: { fileKey: { $exists: true } } },
    { keys: { companyId: 1, sha256: 1, kind: 1 } },
    { keys: { status: 1, fileId: 1 } },
  ],
});

/** One fault of a record as errors.csv lists it; `line` and `record` when it is not in the record's first row. */
export interface ListedFault {
  field: string;
  message: string;
  line?: number;
  record?: number;
}

/** A record of the file that was not imported. */
export interface ImportFault {
  importId: string;
  record: number;
  line: number;
  faults: ListedFault[];
}

export const FAULT_BOUNDS = { faults: 250 } as const;

/** Not audited: each row is itself the record of what happened to one record of a file. */
export const importFaults = defineCollection<ImportFault>({
  name: 'import_faults',
  rowName: 'import_fault',
  fields: {
    importId: { type: String, required: true },
    record: { type: Number, required: true },
    line: { type: Number, required: true },
    faults: { type: [Object], required: true },
  },
  bounds: FAULT_BOUNDS,
  audited: false,
  indexes: [{ keys: { companyId: 1, importId: 1, record: 1 }, unique: true }],
});

/** How many faulty records one import lists; the others are only counted. */
export const MAX_LISTED = 100_000;

export const NO_COUNTS: ImportCounts = { rows: 0, records: 0, imported: 0, invalid: 0, duplicates: 0 };
