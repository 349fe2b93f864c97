import { now } from '../../src/platform/clock.ts';
import { makeTokens } from '../../src/platform/tokens.ts';
import { database } from '../../src/platform/db/connect.ts';
import { MigrationError } from './migration.ts';
import { text, when } from './runner/rows.ts';
import { takeover, type Help, type LegacyDoc, type OurRow, type Takeover } from './runner/takeover.ts';

interface Slot extends OurRow {
  userId: string;
  slot: number;
  lastUsedAt: Date;
}

/** Also what the benchmark compares with a plain rewrite of the same rows. */
export const sessionsTakeover: Takeover = {
  name: 'migrate-hash-sessions',
  reason: 'Refresh tokens stood in clear, so a copy of the database was a copy of every session; only their hashes stay.',
  sources: ['sessions'],
  targets: ['sessions'],
  fields: { sessions: [{ path: 'refreshToken' }] },
  lookups: ['sessions.userId'],
  convert: convertSessions,
};

/** A hash does not lead back: the way back takes the clear tokens from the sealed backup, without which the sessions end. */
export const hashSessions = takeover(sessionsTakeover);

/**
 * Live sessions go on in a slot of their user, the latest used ones when there are more than slots. Their idle and
 * absolute ends count from now and never pass the end that they had.
 */
async function convertSessions(_collection: string, docs: readonly LegacyDoc[], help: Help): Promise<Record<string, OurRow[]>> {
  const { tokenPepper, sessionMax } = help.run.config;
  if (tokenPepper === undefined) throw new MigrationError('TOKEN_PEPPER is not set');
  const tokens = makeTokens(tokenPepper);
  const userIds = [...new Set(docs.map((doc) => String(doc['userId'])))];
  const [users, taken] = await Promise.all([
    database().collection<{ _id: string; companyId: string }>('users').find({ _id: { $in: userIds } }, { projection: { companyId: 1 } }).toArray(),
    database().collection<Slot>('sessions').find({ _id: { $type: 'string' }, userId: { $in: userIds } } as never).toArray(),
  ]);
  const companyOf = new Map(users.map((user) => [user._id, user.companyId]));
  const slots = new Map<string, Slot[]>();
  for (const slot of taken) slots.set(slot.userId, [...(slots.get(slot.userId) ?? []), slot]);
  const made = new Map<string, Slot>();
  for (const doc of docs) {
    const userId = String(doc['userId']);
    const companyId = companyOf.get(userId);
    const token = help.value(doc, { path: 'refreshToken' });
    const endsAt = when(doc['expiresAt'], doc);
    if (companyId === undefined || token === undefined || doc['isActive'] !== true || endsAt <= now()) continue;
    const own = slots.get(userId) ?? [];
    const lastUsedAt = when(doc['lastActivity'], doc);
    const slot = freeSlot(own, sessionMax, lastUsedAt);
    if (slot === undefined) continue;
    const hash = tokens.hash('refresh', token);
    const row = { ...slotRow(doc, { userId, companyId, slot, lastUsedAt }), sid: tokens.newRefresh().sid, hash, formerHash: hash, ...ends(endsAt, help) };
    slots.set(userId, [...own.filter((s) => s.slot !== slot), row]);
    made.set(row._id, row);
  }
  return { sessions: [...made.values()] };
}

/** A slot that nobody has, else that of a session used less lately. */
function freeSlot(own: readonly Slot[], slots: number, lastUsedAt: Date): number | undefined {
  const used = new Set(own.map(({ slot }) => slot));
  for (let slot = 0; slot < slots; slot += 1) if (!used.has(slot)) return slot;
  const [oldest] = [...own].sort((a, b) => a.lastUsedAt.getTime() - b.lastUsedAt.getTime());
  return oldest && oldest.lastUsedAt < lastUsedAt ? oldest.slot : undefined;
}

function slotRow(doc: LegacyDoc, { userId, companyId, slot, lastUsedAt }: { userId: string; companyId: string; slot: number; lastUsedAt: Date }): Slot {
  return {
    _id: `${userId}:${slot}`,
    userId,
    companyId,
    slot,
    live: true,
    lastUsedAt,
    sessionId: doc._id.toHexString(),
    gen: 0,
    startedAt: when(doc['createdAt'], doc),
    epoch: 0,
    address: text(doc['ip'], 64),
    userAgent: text(doc['userAgent'], 300),
  };
}

function ends(endsAt: Date, { run }: Help): { idleExpiresAt: Date; absoluteExpiresAt: Date } {
  const within = (seconds: number): Date => new Date(Math.min(endsAt.getTime(), now().getTime() + seconds * 1000));
  return { idleExpiresAt: within(run.config.sessionIdleSeconds), absoluteExpiresAt: within(run.config.sessionAbsoluteSeconds) };
}
