import { now, nowMs } from '../../platform/clock.ts';
import type { Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { invalid, type AppError } from '../../platform/errors.ts';
import { everywhere } from './access.queries.ts';
import { kit } from './identity.kit.ts';
import { oneTimeTokens, type OneTimeToken, type TokenKind } from './user.model.ts';

const KEEP_TOKENS_MS = 7 * 86_400_000;

interface NewToken extends Pick<OneTimeToken, 'purpose' | 'userId' | 'role' | 'locationIds'> {
  email: string;
}

/** Stores a new one-time token and answers its secret, for a mail. */
export async function mintToken(tx: Tx, token: NewToken, seconds: number): Promise<{ secret: string; row: Row<OneTimeToken> }> {
  const { token: secret, hash } = kit().tokens.mint(token.purpose);
  const expiresAt = new Date(nowMs() + seconds * 1000);
  const row = await oneTimeTokens.insert(tx, { ...token, email: seal(token.email), hash, expiresAt, purgeAt: new Date(expiresAt.getTime() + KEEP_TOKENS_MS) });
  return { secret, row };
}

/** The live token behind a mailed secret, in whatever company; 400 `token_invalid` for any other text. */
export async function findToken(purpose: TokenKind, secret: string): Promise<Row<OneTimeToken>> {
  const row = await oneTimeTokens.findOne(everywhere('mailed link'), { hash: kit().tokens.hash(purpose, secret) });
  if (!row || row.purpose !== purpose || row.usedAt || row.expiresAt <= now()) throw tokenInvalid();
  return row;
}

/** Uses a token up with the caller's transaction: of many at once one succeeds, the others get 400 `token_invalid`. */
export async function useToken(tx: Tx, token: Row<OneTimeToken>): Promise<void> {
  const where = { usedAt: { $exists: false }, expiresAt: { $gt: now() } };
  await oneTimeTokens.update(tx, token._id, { $set: { usedAt: now() } }, { where, otherwise: tokenInvalid });
}

/** Uses up the user's other live tokens of a purpose, so that one link that worked ends the rest. */
export async function useOthers(tx: Tx, userId: string, purpose: TokenKind): Promise<void> {
  const others = { userId, purpose, usedAt: { $exists: false }, expiresAt: { $gt: now() } };
  for (const other of await oneTimeTokens.find(tx, others, { limit: 100 })) await useToken(tx, other);
}

/** The refusal of a mailed secret, which never says why. */
export function tokenInvalid(): AppError {
  return invalid('token_invalid', 'This link is not valid, was used already, or has ended; ask for a new one');
}
