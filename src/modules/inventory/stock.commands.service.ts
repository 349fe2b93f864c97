import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { makeLane, type Lane, type LaneItem, type Outcome } from '../../platform/lane.ts';
import { runtime } from '../../platform/runtime.ts';
import { sellableBySku } from '../catalog/index.ts';
import { activeLocation, activeLocations } from '../companies/index.ts';
import { planAdjustment, planReceipt, planTransfer, shelfOf, takePlan, type AdjustmentInput, type ReceiptInput, type StockPlan, type TransferInput } from './stock.plan.rules.ts';
import { moveStock, stockRows } from './stock.service.ts';

interface Placed {
  ctx: OutsideTx;
  plan: StockPlan;
}

let lane: Lane<Placed, StockPlan> | undefined;

/** Opens the lane through which people change stock: hundreds of changes of one row share a few commits. */
export function openStockLane(): () => Promise<void> {
  const { config } = runtime();
  const opened = makeLane<Placed, StockPlan>({
    name: 'stock',
    lanes: config.laneCount,
    maxBatch: config.lanes ? config.laneMaxBatch : 1,
    maxQueue: config.laneMaxQueue,
    execute: commitPlans,
  });
  lane = opened;
  return () => opened.drain();
}

/** Books goods in; each line is a movement. 404 for a SKU outside the catalogue or a location that is not one's own. */
export async function receiveStock(ctx: OutsideTx, input: ReceiptInput): Promise<StockPlan> {
  return submit(ctx, planReceipt(newId(), input));
}

/** Corrects stock up or down for a reason; 409 `out_of_stock` when a row would fall below what is reserved. */
export async function adjustStock(ctx: OutsideTx, input: AdjustmentInput): Promise<StockPlan> {
  return submit(ctx, planAdjustment(newId(), input));
}

/** Moves free stock between two locations at once; 409 `out_of_stock` when there is not enough. */
export async function transferStock(ctx: OutsideTx, input: TransferInput): Promise<StockPlan> {
  return submit(ctx, planTransfer(newId(), input));
}

async function submit(ctx: OutsideTx, plan: StockPlan): Promise<StockPlan> {
  await assertLocations(ctx, plan);
  await assertProducts(ctx, plan);
  if (!lane) throw new Error('The stock lane is not open');
  return lane.submit({ companyId: ctx.companyId, input: { ctx, plan }, caller: ctx.caller });
}

async function assertLocations(ctx: Ctx, plan: StockPlan): Promise<void> {
  const own = ctx.actor.locationIds;
  const usable = new Set((await activeLocations(ctx)).map((l) => l._id).filter((id) => !own || own.includes(id)));
  for (const { locationId } of plan.moves) if (!usable.has(locationId)) await activeLocation(ctx, locationId);
}

async function assertProducts(ctx: Ctx, plan: StockPlan): Promise<void> {
  const { companyId } = ctx;
  const known = await sellableBySku(ctx, [{ companyId, skus: plan.moves.map((m) => m.sku) }]);
  const fields = plan.lines.flatMap(({ sku }, i) => (known.has(`${companyId}|${sku}`) ? [] : [{ path: `lines.${i}.sku`, message: 'is not in the catalogue' }]));
  if (fields.length > 0) throw new AppError('not_found', 'product_not_found', 'Some SKUs are not in the catalogue', { fields });
}

/** Decides a batch first come first served and commits what is possible in one transaction, guarded by the database. */
async function commitPlans(batch: readonly LaneItem<Placed>[]): Promise<Outcome<StockPlan>[]> {
  const across = acrossCompanies(systemCtx('stock-lane', PLATFORM_COMPANY_ID), 'stock of many companies is changed together');
  const rows = await stockRows.see(across, batch.map(({ companyId, input }) => ({ companyId, names: input.plan.moves.map((m) => m.sku) })));
  const shelf = shelfOf(rows);
  const refusals = batch.map(({ companyId, input }) => takePlan(shelf, companyId, input.plan));
  const accepted = batch.filter((_, i) => !refusals[i]).map((item) => item.input);
  if (accepted.length > 0) await commit(accepted);
  return batch.map(({ input }, i): Outcome<StockPlan> => {
    const error = refusals[i];
    return error ? { ok: false, error } : { ok: true, value: input.plan };
  });
}

async function commit(accepted: readonly Placed[]): Promise<void> {
  const [only] = accepted;
  const companyId = accepted.length === 1 && only ? only.ctx.companyId : PLATFORM_COMPANY_ID;
  await withTransaction(systemCtx('stock-lane', companyId), async (ctx) => {
    const moves = accepted.flatMap(({ ctx: asker, plan }) => {
      const tx = ctx.for(asker);
      tx.answerWith(plan);
      return plan.moves.map((move) => ({ ...move, tx, reference: { type: plan.kind, id: plan.id } }));
    });
    await moveStock(ctx, moves);
  });
}
