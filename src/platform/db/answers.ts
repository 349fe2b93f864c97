import type mongoose from 'mongoose';
import type { StoredAnswer } from '../context.ts';
import { AppError } from '../errors.ts';
import type { KeyOwner, KeyPurpose } from './keyring.ts';
import { openText, type Place } from './sealed.ts';
import { bytesOf, openBytes, sealBytes } from './sealed-bytes.ts';

/** A stored answer of an idempotent request; `_id` is company|route|key. */
export interface AnswerRow extends Omit<StoredAnswer, 'body'> {
  _id: string;
  /** Sealed, for it holds what the answer told: as bytes, which are a quarter shorter; as text in rows of before. Empty for an empty body. */
  body: Buffer | mongoose.mongo.Binary | string;
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
  return { status, body: await openBody({ companyId, purpose: key }, placeOf(_id), body), ...(etag === undefined ? {} : { etag }) };
}

async function openBody(owner: KeyOwner, place: Place, body: AnswerRow['body']): Promise<string> {
  if (typeof body === 'string') return body === '' ? '' : openText(owner, place, body);
  return (await openBytes(owner, place, bytesOf(body))).toString('utf8');
}

async function sealBody({ key: id, body, companyId }: { key: string; body: string; companyId: string }): Promise<Pick<AnswerRow, 'body' | 'key'>> {
  if (body === '') return { body };
  const clear = Buffer.from(body, 'utf8');
  try {
    return { body: await sealBytes({ companyId, purpose: 'company' }, placeOf(id), clear) };
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'data_erased')) throw error;
    return { body: await sealBytes({ companyId, purpose: 'system' }, placeOf(id), clear), key: 'system' };
  }
}

function placeOf(id: string): Place {
  return { collection: 'idempotency', id, path: 'body' };
}
