import type mongoose from 'mongoose';
import type { StoredAnswer } from '../context.ts';
import { connection } from './connect.ts';

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

/** The collection behind idempotency; written with the effect's transaction, or alone for refusals. */
export function answersCollection(): mongoose.mongo.Collection<AnswerRow> {
  const { db } = connection();
  if (!db) throw new Error('Not connected');
  return db.collection<AnswerRow>('idempotency');
}

/** The row to store for one answer. */
export function answerRow(a: StoredAnswer & { key: string; requestHash: string; companyId: string }, atMs: number): AnswerRow {
  const { key, ...rest } = a;
  return { _id: key, ...rest, expireAt: new Date(atMs + answerSettings.ttlSeconds * 1000) };
}
