import type { StoredAnswer } from '../context.ts';

/** A stored answer of an idempotent request; `_id` is company|route|key. */
export interface AnswerRow extends StoredAnswer {
  _id: string;
  requestHash: string;
  companyId: string;
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
export function answerRow(a: StoredAnswer & { key: string; requestHash: string; companyId: string }, atMs: number): AnswerRow {
  const { key, ...rest } = a;
  return { _id: key, ...rest, expireAt: new Date(atMs + answerSettings.ttlSeconds * 1000) };
}
