import { acrossCompanies, PLATFORM_COMPANY_ID, requestCtx, systemCtx, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { isRtoDue, ordersTouched, priceWayBack, quotesOf, writeFolds } from '../shipments/index.ts';
import { chargeHolds, chargeRto, noteCodDue, reverseCodDue } from '../wallet/index.ts';
import { planNdrs, type Fold, type NdrPlan } from './effect.rules.ts';
import { ndrs } from './tracking.model.ts';

/** A courier's word for a cancellation becomes final after this; until then a late pickup scan may overtake it. */
const REPORTED_CANCEL_GRACE_MS = 86_400_000;

interface WayBack {
  fold: Fold;
  amountPaise: number;
  refundPaise: number;
}

/**
 * Commits folds of any number of companies in one transaction: shipments and orders under the versions that were read,
 * NDR rows, stock, wallet, events. Throws BatchConflict when anything changed meanwhile. What it needs is read before.
 */
export async function commitFolds(ctx: OutsideTx, folds: readonly Fold[]): Promise<void> {
  if (folds.length === 0) return;
  const everywhere = acrossCompanies(systemCtx('scans', PLATFORM_COMPANY_ID, ctx.requestId), 'scans of many companies are folded together');
  const writes = folds.map(({ before, state, effects }) => ({ before, state, pickedUp: effects.pickedUp }));
  const [orders, ndrPlan, ways] = await Promise.all([ordersTouched(everywhere, writes), readNdrPlan(everywhere, folds), readWaysBack(everywhere, folds)]);
  await withTransaction(systemCtx('scans', PLATFORM_COMPANY_ID, ctx.requestId), async (tx) => {
    const writerOf = writers(tx, ctx);
    await writeFolds(tx, writes.map((write) => ({ ...write, tx: writerOf(write.before.companyId) })), orders);
    await writeNdrs(tx, ndrPlan, writerOf);
    for (const fold of folds) announce(writerOf(fold.before.companyId), fold);
    await writeMoney(tx, folds, ways, writerOf);
  });
}

type WriterOf = (companyId: string) => Tx;

/** The asker where the shipment is theirs, else the machinery: a courier's webhook or the simulator acts for companies. */
function writers(tx: Tx, ctx: Ctx): WriterOf {
  const made = new Map<string, Tx>();
  return (companyId) => {
    const known = made.get(companyId);
    if (known) return known;
    const own = ctx.across === undefined && ctx.companyId === companyId;
    const writer = tx.for(own ? requestCtx(ctx.actor, companyId, ctx.requestId) : systemCtx('scans', companyId, ctx.requestId));
    made.set(companyId, writer);
    return writer;
  };
}

async function readNdrPlan(ctx: Ctx, folds: readonly Fold[]): Promise<NdrPlan> {
  const failed = folds.filter(({ before, state }) => state.attempts > 0 || before.attempts > 0);
  if (failed.length === 0) return { insert: [], change: [] };
  const branches = new Map<string, string[]>();
  for (const { before } of failed) branches.set(before.companyId, [...(branches.get(before.companyId) ?? []), before._id]);
  const filter = [...branches].map(([companyId, ids]) => ({ companyId, shipmentId: { $in: ids } }));
  const stored = await ndrs.find(ctx, { $or: filter }, { fields: ['companyId', 'version', 'shipmentId', 'at', 'reason', 'status'] });
  return planNdrs(failed, stored);
}

async function writeNdrs(tx: Tx, plan: NdrPlan, writerOf: WriterOf): Promise<void> {
  await ndrs.insertMany(
    tx,
    plan.insert.map(({ fold: { before }, at, reason, status }) => ({
      tx: writerOf(before.companyId),
      doc: {
        shipmentId: before._id,
        orderId: before.orderId,
        awb: before.awb ?? '',
        pickupLocationId: before.pickupLocationId,
        reason,
        at,
        status,
        actions: [],
      },
    })),
  );
  await ndrs.changeMany(
    tx,
    plan.change.map(({ row, reason, status }) => ({
      tx: writerOf(row.companyId),
      match: { _id: row._id },
      where: { version: row.version },
      change: { $set: { reason, status } },
    })),
  );
}

async function readWaysBack(ctx: OutsideTx, folds: readonly Fold[]): Promise<WayBack[]> {
  const back = folds.filter((fold) => fold.effects.wayBack);
  if (back.length === 0) return [];
  const quotes = new Map((await quotesOf(ctx, back.map((fold) => fold.before._id))).map((row) => [row._id, row]));
  const ways: WayBack[] = [];
  for (const fold of back) {
    const row = quotes.get(fold.before._id);
    if (row) ways.push({ fold, ...(await priceWayBack(systemCtx('scans', row.companyId), row)) });
  }
  return ways;
}

async function writeMoney(tx: Tx, folds: readonly Fold[], ways: readonly WayBack[], writerOf: WriterOf): Promise<void> {
  const refs = ({ before }: Fold) => ({ tx: writerOf(before.companyId), shipmentId: before._id, orderId: before.orderId, awb: before.awb ?? '' });
  const picked = folds.filter((fold) => fold.effects.pickedUp);
  if (picked.length > 0) await chargeHolds(tx, picked.map((fold) => ({ ...refs(fold), cause: 'Picked up' })));
  if (ways.length > 0) {
    await chargeRto(tx, ways.map(({ fold, amountPaise, refundPaise }) => ({ ...refs(fold), amountPaise, refundPaise, cause: 'Way back to the seller' })));
  }
  const due = folds.filter((fold) => fold.effects.codDue === 'note');
  if (due.length > 0) {
    await noteCodDue(
      tx,
      due.map((fold) => ({ ...refs(fold), amountPaise: fold.before.codPaise, deliveredAt: fold.state.deliveredAt ?? fold.state.foldedAt ?? fold.before.createdAt })),
    );
  }
  const reversed = folds.filter((fold) => fold.effects.codDue === 'reverse');
  if (reversed.length > 0) await reverseCodDue(tx, reversed.map((fold) => ({ ...refs(fold), cause: 'The delivery was corrected' })));
}

function announce(tx: Tx, { before, state, effects }: Fold): void {
  const { _id, orderId, awb, courier } = before;
  const refs = { shipmentId: _id, orderId, awb: awb ?? null, courier };
  if (effects.statusChanged) {
    const at = (state.statusAt ?? state.foldedAt)?.toISOString() ?? null;
    tx.emit({ type: 'shipment.status_changed', key: _id, payload: { ...refs, from: before.status, to: state.status, at } });
  }
  for (const alert of effects.newAlerts) tx.emit({ type: 'shipment.alert_raised', key: _id, payload: { ...refs, alert } });
  if (isRtoDue(state.status, state.attempts) && !isRtoDue(before.status, before.attempts)) {
    tx.emit({ type: 'shipment.rto_due', key: _id, payload: { ...refs, attempts: state.attempts } });
  }
  if (effects.reportedCancel && state.foldedAt) {
    const runAt = new Date(state.foldedAt.getTime() + REPORTED_CANCEL_GRACE_MS);
    tx.enqueue({ name: 'shipments.settle_reported_cancel', payload: { shipmentId: _id }, runAt, dedupeKey: _id });
  }
  if (state.nextDueAt && state.nextDueAt.getTime() !== before.nextDueAt?.getTime()) {
    tx.enqueue({ name: 'tracking.refold', payload: { shipmentIds: [_id] }, runAt: state.nextDueAt, dedupeKey: `${_id}:${state.nextDueAt.getTime()}` });
  }
}
