import { linkRetention } from '../../platform/audit-chain.ts';
import { chainHeads, chainLinks } from '../../platform/audit-links.ts';
import { unpackRows } from '../../platform/db/audit-seal.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';
import { removeSome, type Retention } from '../../platform/retention.ts';
import { runtime } from '../../platform/runtime.ts';
import { auditRows } from './audit.model.ts';

const LINKS_A_STEP = 1_000;
const oldEvents = machineRows<{ _id: string; createdAt: Date }>('security_events');

/**
 * Audit rows go by whole links, the oldest first. The chain says so itself before any row is gone, so a sweep that was
 * killed is no breach, and nobody but the service can shorten the log.
 */
async function sweepAudit(before: Date, most: number): Promise<number> {
  const head = await chainHeads.findOne({ _id: 'head' });
  const [last] = await chainLinks.find({ kind: 'retention', upTo: { $exists: true } }, { sort: { _id: -1 }, limit: 1 });
  const oldest = await chainLinks.find({}, { sort: { _id: 1 }, limit: LINKS_A_STEP });
  const young = oldest.findIndex((link) => link.at >= before || link.seq >= (head?.seq ?? 0));
  const old = young === -1 ? oldest : oldest.slice(0, young);
  const upTo = old.at(-1);
  // The retention link of the last sweep alone is no reason for another one.
  if (!upTo || (old.length === 1 && old[0]?.kind === 'retention')) return 0;
  if ((last?.upTo ?? 0) < upTo.seq) await linkRetention(upTo);
  let removed = 0;
  for (const link of old) {
    const ids = unpackRows(link.rows).map((row) => row.id);
    if (ids.length > 0) removed += await auditRows.remove({ _id: { $in: ids } });
    await chainLinks.remove({ _id: link._id });
  }
  return old.length === LINKS_A_STEP ? Math.max(removed, most) : removed >= most ? most - 1 : removed;
}

export const auditRetention: readonly Retention[] = [
  { name: 'audit', days: () => runtime().config.retentionAuditDays, sweep: sweepAudit },
  {
    name: 'security_events',
    days: () => runtime().config.retentionSecurityEventsDays,
    sweep: (before, most) => removeSome(oldEvents, { createdAt: { $lt: before } }, most),
  },
];
