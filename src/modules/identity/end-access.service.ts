import { now } from '../../platform/clock.ts';
import type { OutsideTx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { apiKeys } from './api-key.model.ts';
import { revokeApiKey } from './api-key.service.ts';
import { sessions } from './session.model.ts';
import { endCompanySessions } from './staff.service.ts';
import { oneTimeTokens, users } from './user.model.ts';

/** Ends every way into the ctx's company for good: users, their sessions (and where these came from), API keys, mailed links. May be repeated. */
export async function endCompanyAccess(ctx: OutsideTx): Promise<void> {
  await endCompanySessions(ctx);
  for await (const { _id, version } of users.each(ctx, { status: 'active' }, { fields: ['version'] })) {
    await withTransaction(ctx, async (ctx) => users.update(ctx, _id, { $set: { status: 'disabled' } }, { version }));
  }
  for await (const { _id } of apiKeys.each(ctx, { revokedAt: { $exists: false } }, { fields: ['_id'] })) await revokeApiKey(ctx, _id);
  const at = now();
  for await (const { _id, version } of oneTimeTokens.each(ctx, { usedAt: { $exists: false } }, { fields: ['version'] })) {
    await withTransaction(ctx, async (ctx) => oneTimeTokens.update(ctx, _id, { $set: { usedAt: at } }, { version }));
  }
  await sessions.changeAll({ companyId: ctx.companyId }, { $unset: { address: '', userAgent: '' } });
}
