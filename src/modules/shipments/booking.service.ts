import { acrossCompanies, PLATFORM_COMPANY_ID, requestCtx, systemCtx, type OutsideTx, type Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { makeLane, type Lane, type LaneItem, type Outcome } from '../../platform/lane.ts';
import { metrics } from '../../platform/metrics.ts';
import { runtime } from '../../platform/runtime.ts';
import { dropAwbs, takeAwbs, type UsedAwbs } from '../couriers/index.ts';
import { updateOrders, type OrderUpdate } from '../orders/index.ts';
import { markCardUsed } from '../rates/index.ts';
import { holdForShipments } from '../wallet/index.ts';
import { decideBooking, shipmentExists, type DecidedBooking } from './booking.decide.ts';
import { readShelf, type Booking, type BookingRequest } from './booking.shelf.ts';
import { shipments, type Shipment } from './shipment.model.ts';

let lane: Lane<Booking, Row<Shipment>> | undefined;

/** Opens the lanes of this process; answers how to drain them. */
export function openBookingLane(): () => Promise<void> {
  const { config } = runtime();
  const opened = makeLane<Booking, Row<Shipment>>({
    name: 'shipments',
    lanes: config.laneCount,
    maxBatch: config.lanes ? config.laneMaxBatch : 1,
    maxQueue: config.laneMaxQueue,
    execute: bookBatch,
    onBatch: (size, queued) => metrics.laneBatch('shipments', size, queued),
  });
  lane = opened;
  return () => opened.drain();
}

/**
 * Books a shipment: the order's lines, the wallet hold, the AWB, the job that tells the courier and the events commit in
 * one transaction, and the answer follows the commit. Refuses what `decideBooking` refuses.
 */
export async function bookShipment(ctx: OutsideTx, request: BookingRequest): Promise<Row<Shipment>> {
  if (!lane) throw new Error('The booking lane is not open');
  return lane.submit({ companyId: ctx.companyId, input: { ctx, request }, caller: ctx.caller });
}

export interface BulkResult {
  orderId: string;
  shipmentId?: string;
  error?: { code: string; message: string };
}

/** Books each order on its own; one that is refused does not hold up the others. A repeat finds what it booked before. */
export async function bookMany(ctx: OutsideTx, orderIds: readonly string[], wish: { courier?: string; service?: string }, key: string): Promise<BulkResult[]> {
  const plain = requestCtx(ctx.actor, ctx.companyId, ctx.requestId, ctx.caller);
  return Promise.all(
    [...new Set(orderIds)].map(async (orderId): Promise<BulkResult> => {
      try {
        const row = await bookShipment(plain, { ...wish, orderId, idempotencyKey: `bulk:${key}:${orderId}` });
        return { orderId, shipmentId: row._id };
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        const id = error.code === 'shipment_exists' ? error.details?.['id'] : undefined;
        if (typeof id === 'string') return { orderId, shipmentId: id };
        return { orderId, error: { code: error.code, message: error.message } };
      }
    }),
  );
}

/** Decides and commits a batch; the lane tries again on BatchConflict and splits a batch that fails otherwise. */
export async function bookBatch(batch: readonly LaneItem<Booking>[]): Promise<Outcome<Row<Shipment>>[]> {
  const bookings = batch.map((item) => item.input);
  const shelf = await readShelf(bookings);
  const outcomes: Outcome<Row<Shipment>>[] = [];
  const accepted: { index: number; decided: DecidedBooking }[] = [];
  for (const [index, booking] of bookings.entries()) {
    try {
      accepted.push({ index, decided: await decideBooking(booking, shelf) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      outcomes[index] = { ok: false, error };
    }
  }
  if (accepted.length > 0) {
    const items = accepted.map((a) => a.decided);
    await giveNumbers(items);
    const rows = await commit(items);
    accepted.forEach(({ index }, i) => {
      const row = rows[i];
      if (row) outcomes[index] = { ok: true, value: row };
    });
  }
  return outcomes;
}

async function giveNumbers(items: readonly DecidedBooking[]): Promise<void> {
  const byCourier = new Map<string, DecidedBooking[]>();
  for (const item of items) if (item.pool) byCourier.set(item.pool.courier, [...(byCourier.get(item.pool.courier) ?? []), item]);
  for (const [courier, own] of byCourier) {
    const awbs = await takeAwbs({ courier, prefix: own[0]?.pool?.prefix ?? '', used: usedAwbs }, own.length);
    own.forEach((item, i) => {
      item.shipment.awb = awbs[i];
    });
  }
}

const usedAwbs: UsedAwbs = async (courier, awbs) => {
  const ctx = acrossCompanies(systemCtx('booking', PLATFORM_COMPANY_ID), 'the series of a courier serves all companies');
  const rows = await shipments.find(ctx, { awb: { $in: awbs, $exists: true }, courier }, { fields: ['awb'] });
  return new Set(rows.flatMap((row) => (row.awb === undefined ? [] : [row.awb])));
};

/** Cold rows first; the order, the rate card and the wallet, which others change too, last. */
async function commit(items: readonly DecidedBooking[]): Promise<Row<Shipment>[]> {
  try {
    return await withTransaction(systemCtx('booking', PLATFORM_COMPANY_ID), async (ctx) => {
      const own = items.map((item) => ctx.for(item.booking.ctx));
      const txOf = (i: number): Tx => own[i] ?? ctx;
      const rows = await shipments.insertMany(ctx, items.map(({ shipment }, i) => ({ tx: txOf(i), doc: shipment })));
      rows.forEach((row, i) => announce(txOf(i), row));
      await updateOrders(ctx, orderUpdates(items, txOf));
      const cards = new Map(items.map(({ shipment }, i) => [shipment.quote.rateCardId, { tx: txOf(i), version: shipment.quote.rateCardVersion }]));
      for (const [cardId, { tx, version }] of cards) await markCardUsed(tx, cardId, version);
      await holdForShipments(
        ctx,
        rows.map(({ _id, orderId, awb, quote }, i) => ({
          tx: txOf(i),
          shipmentId: _id,
          orderId,
          awb,
          amountPaise: quote.totalPaise,
          cause: `Booked: ${quote.optionId}`,
          lines: quote.lines.map(({ code, amountPaise }) => ({ code, amountPaise })),
        })),
      );
      rows.forEach((row, i) => own[i]?.answerWith(row));
      return rows;
    });
  } catch (error) {
    throw await explain(error, items);
  }
}

function announce(tx: Tx, { _id, orderId, awb, courier, service, quote, bookingState }: Row<Shipment>): void {
  tx.emit({ type: 'shipment.booked', key: _id, payload: { shipmentId: _id, orderId, awb: awb ?? null, courier, service, totalPaise: quote.totalPaise } });
  if (bookingState === 'requested') tx.enqueue({ name: 'shipments.book_with_courier', payload: { shipmentId: _id } });
}

/** One change per order, also when the batch books several of its shipments. */
function orderUpdates(items: readonly DecidedBooking[], txOf: (i: number) => Tx): OrderUpdate[] {
  const updates = new Map<string, OrderUpdate>();
  items.forEach(({ order }, i) => updates.set(order.row._id, { tx: txOf(i), order: order.row, shipments: order.entries }));
  return [...updates.values()];
}

/** A broken unique index as the caller should see it: a taken number of the pool is drawn again, a taken key names its shipment. */
async function explain(error: unknown, items: readonly DecidedBooking[]): Promise<unknown> {
  if (!(error instanceof AppError) || error.code !== 'shipment_exists') return error;
  const fields = error.details?.['fields'] as string[] | undefined;
  const [only] = items;
  if (fields?.includes('awb')) {
    for (const item of items) if (item.pool) dropAwbs(item.pool.courier);
    if (only && items.length === 1 && !only.pool) return conflict('awb_exists', 'Another shipment of this courier has this AWB', { fields: ['awb'] }, error);
    return new BatchConflict('shipments');
  }
  if (!only || items.length !== 1) return error;
  const { ctx, request } = only.booking;
  const key = { $eq: request.idempotencyKey ?? '', $exists: true };
  const existing = await shipments.findOne(ctx, { idempotencyKey: key }, { fields: ['awb'] });
  return existing ? shipmentExists(existing._id) : error;
}
