import { createHmac } from 'node:crypto';
import { gathered } from './batch.ts';
import { now, nowMs } from './clock.ts';
import type { AnswerRecorder, StoredAnswer } from './context.ts';
import { AlreadyAnswered, answerRow, openAnswer, type AnswerRow } from './db/answers.ts';
import { machineRows } from './db/machine-rows.ts';
import { declareSealedRows } from './db/renew-rows.ts';
import { AppError, conflict, invalidFields } from './errors.ts';
import { runtime } from './runtime.ts';

const KEY = /^[\x21-\x7e]{1,255}$/;
const WAIT_MS = 5_000;

const answers = machineRows<AnswerRow>('idempotency', [{ keys: { expireAt: 1 }, expireAfterSeconds: 0 }]);

declareSealedRows({ collection: 'idempotency', path: 'body' });

/** Look-ups of one moment share one command: under load the read costs a fraction of itself. */
const lookUp = gathered<string, AnswerRow | undefined>(256, async (keys) => {
  const found = await answers.find({ _id: { $in: keys } });
  const byKey = new Map(found.map((row) => [row._id, row]));
  return keys.map((key) => byKey.get(key));
});

const storeRefusal = gathered<AnswerRow, void>(256, async (rows) => {
  await answers.insertNew(rows);
  return rows.map(() => undefined);
});

/** Requests of this process that are at work under a key; the value settles when the first has answered. */
const running = new Map<string, Promise<void>>();

/** 400 unless the header is 1 to 255 visible characters. */
export function assertIdempotencyKey(key: string): void {
  if (!KEY.test(key)) throw invalidFields([{ path: 'Idempotency-Key', message: 'Send 1 to 255 visible ASCII characters' }]);
}

/** What another body under the same key is known by. Keyed: bodies hold passwords and phones, which a plain hash would let anybody guess. */
export function hashOfRequest(body: Buffer | string): string {
  return createHmac('sha256', runtime().config.tokenPepper ?? '').update('dakiya.request|').update(body).digest('base64url');
}

/** The stored answer for this key, or undefined; 409 `idempotency_key_reused` when it was given for another body. */
export async function storedAnswer(key: string, requestHash: string): Promise<StoredAnswer | undefined> {
  const row = await lookUp(key);
  if (!row) return undefined;
  if (row.expireAt.getTime() <= nowMs()) {
    // The server sweeps once a minute; until then the old row would stand in the way of a new answer.
    await answers.remove({ _id: key, expireAt: { $lte: now() } });
    return undefined;
  }
  if (row.requestHash !== requestHash) {
    throw conflict('idempotency_key_reused', 'This Idempotency-Key was used with another request; send a new key');
  }
  return openAnswer(row);
}

/**
 * For routes that read the body themselves: sets the request's hash now that it is known, and leaves with the earlier
 * answer when the key has one (409 `idempotency_key_reused` when that was for another body). Nothing without a key.
 */
export async function replayOnceHashed(answer: AnswerRecorder | undefined, requestHash: string): Promise<void> {
  if (!answer) return;
  answer.requestHash = requestHash;
  if (await storedAnswer(answer.key, requestHash)) throw new AlreadyAnswered();
}

/**
 * Lets one request at a time work under a key in this process: answers a release function, or undefined after waiting
 * for the earlier one to end. After 5 s of waiting: 409 `request_in_progress`. Other processes are held off by the
 * unique key that commits with the effect.
 */
export async function claim(key: string): Promise<(() => void) | undefined> {
  const earlier = running.get(key);
  if (earlier) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), WAIT_MS);
    });
    const outcome = await Promise.race([earlier, late]);
    clearTimeout(timer);
    if (outcome === 'late') throw conflict('request_in_progress', 'The first request with this Idempotency-Key is still running');
    return undefined;
  }
  let release = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    release = resolve;
  });
  running.set(key, done);
  return () => {
    running.delete(key);
    release();
  };
}

const REPLAYED_KINDS = new Set(['conflict', 'not_found', 'invalid', 'stale']);

/** What may be otherwise a moment later with the same request. */
const NOT_REPLAYED = new Set(['request_in_progress', 'idempotency_key_reused', 'sealed_value_unreadable']);

/** True for refusals that business rules decided: they are stored and replayed; 5xx, 503, 401 and 403 are not. */
export function isStorableRefusal(error: unknown): error is AppError {
  return error instanceof AppError && REPLAYED_KINDS.has(error.kind) && !NOT_REPLAYED.has(error.code);
}

/** Stores a refusal by a write of its own; an answer that is there already stays. */
export async function storeAnswer(key: string, requestHash: string, companyId: string, answer: StoredAnswer): Promise<void> {
  await storeRefusal(await answerRow({ ...answer, key, requestHash, companyId }, nowMs()));
}

