import type { StoredAnswer } from '../context.ts';
import { AppError } from '../errors.ts';
import type { KeyPurpose } from './keyring.ts';
import { openText, sealText, type Place } from './sealed.ts';

/** A stored answer of an idempotent request; `_id` is company|route|key, `body` sealed: it holds what the answer told. */
export interface AnswerRow extends StoredAnswer {
  _id: string;
  requestHash: string;
  companyId: string;
  /** Set when it is not the company's own key: the answer of an erasure outlives that one. */
  key?: KeyPurpose;
  expireAt: Date;
}

export const answerSettings = { ttlSeconds: 86_400 };

/** Thrown by a transaction whose idempotency key was answered meanwhile, by another process or an earlier attempt. */
export class AlreadyAnswered extends Error {
  constructor() {
    super('This idempotency key has an answer already');
    this.name = 'AlreadyAnswered';
  }
}

/** The row to store for one answer. */
export async function answerRow(a: StoredAnswer & { key: string; requestHash: string; companyId: string }, atMs: number): Promise<AnswerRow> {
  const { key, ...rest } = a;
  const sealed = await sealBody(a);
  return { _id: key, ...rest, ...sealed, expireAt: new Date(atMs + answerSettings.ttlSeconds * 1000) };
}

/** What the row replays; 409 `data_erased` once its company is erased. */
export async function openAnswer({ _id, status, body, etag, companyId, key = 'company' }: AnswerRow): Promise<StoredAnswer> {
  const clear = body === '' ? '' : await openText({ companyId, purpose: key }, placeOf(_id), body);
  return { status, body: clear, ...(etag === undefined ? {} : { etag }) };
}

async function sealBody({ key: id, body, companyId }: { key: string; body: string; companyId: string }): Promise<Pick<AnswerRow, 'body' | 'key'>> {
  if (body === '') return { body };
  try {
    return { body: await sealText({ companyId, purpose: 'company' }, placeOf(id), body) };
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'data_erased')) throw error;
    return { body: await sealText({ companyId, purpose: 'system' }, placeOf(id), body), key: 'system' };
  }
}

function placeOf(id: string): Place {
  return { collection: 'idempotency', id, path: 'body' };
}
