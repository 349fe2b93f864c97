import type { OutsideTx, Tx } from '../../platform/context.ts';
import { BatchConflict } from '../../platform/db/collection.bulk.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { unavailable } from '../../platform/errors.ts';
import { job } from '../../platform/jobs.ts';
import type { Place } from '../companies/index.ts';
import { callCourier, courierAccess, courierEntry, findCourier, type BookAnswer, type BookRequest, type CourierAddress, type CourierFailure } from '../couriers/index.ts';
import { cancelInside } from './shipment.cancel.ts';
import { pickups, shipments, type Shipment } from './shipment.model.ts';

const BOOK_ATTEMPTS = 8;

/** Runs a command again when a guard of its bulk met a row that changed meanwhile. */
export async function untilUnchanged<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof BatchConflict)) throw error;
      if (attempt >= 10) throw unavailable('busy', 'Too many changes at once; try again', 1, error);
    }
  }
}

/** Tells the courier of a booking, once whatever happens: its reference is the shipment's id. */
export const bookWithCourier = job<{ shipmentId: string }>({
  name: 'shipments.book_with_courier',
  attempts: BOOK_ATTEMPTS,
  backoffMs: 1_000,
  async handle(ctx, { shipmentId }, { attempt }) {
    const shipment = await shipments.get(ctx, shipmentId);
    if (shipment.bookingState !== 'requested') return;
    if (shipment.cancelledAt) {
      await recordNotBooked(ctx, shipmentId);
      return;
    }
    const access = await courierAccess(ctx, shipment.connectionId);
    const { adapter } = courierEntry(shipment.courier);
    const answer = await callCourier(shipment.courier, access, attempt, (call) => adapter.book(call, bookRequest(shipment)));
    if (answer.ok) await recordBooked(ctx, shipmentId, answer.value);
    else if (answer.kind === 'refused') await recordRefused(ctx, shipmentId, answer);
    else if (attempt >= BOOK_ATTEMPTS) await recordRefused(ctx, shipmentId, { ...answer, message: `${answer.message}; given up after ${attempt} tries` });
    else throw new Error(`${answer.code}: ${answer.message}`);
  },
});

function bookRequest(shipment: Row<Shipment>): BookRequest {
  const { service, direction, paymentMethod, codPaise, parcel, awb, ewayBillNumber } = shipment;
  const { name, phone } = shipment.consignee.reveal();
  return {
    reference: shipment._id,
    orderNumber: shipment.orderNumber,
    service,
    direction,
    paymentMethod,
    codPaise,
    declaredValuePaise: shipment.valuePaise,
    parcel,
    pickup: placeAddress(shipment.pickup.reveal()),
    destination: { name, phone, ...shipment.destination.reveal() },
    items: shipment.lines,
    awb,
    ewayBillNumber,
  };
}

function placeAddress({ contactName, phone, line1, line2, city, state, pincode }: Place): CourierAddress {
  return { name: contactName, phone, line1, line2, city, state, pincode, country: 'IN' };
}

async function recordBooked(ctx: OutsideTx, id: string, booked: BookAnswer): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const shipment = await shipments.get(ctx, id);
    if (shipment.bookingState !== 'requested') return;
    const numbered = shipment.awb === undefined;
    const starts = numbered && shipment.status === 'created' ? { ownStatus: 'awb_assigned' as const, status: 'awb_assigned' as const } : {};
    await shipments.update(
      ctx,
      id,
      {
        $set: {
          bookingState: 'confirmed',
          courierReference: booked.courierReference,
          ...(booked.sortCode === undefined ? {} : { sortCode: booked.sortCode }),
          ...(numbered ? { awb: booked.awb, ...starts } : {}),
        },
      },
      { version: shipment.version },
    );
    ctx.emit({ type: 'shipment.confirmed', key: id, payload: { shipmentId: id, orderId: shipment.orderId, awb: shipment.awb ?? booked.awb } });
    // It was cancelled while the courier was being told: now the courier must hear of that too.
    if (shipment.cancelledAt) askToCancel(ctx, id);
  });
}

async function recordNotBooked(ctx: OutsideTx, id: string): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const shipment = await shipments.get(ctx, id);
    if (shipment.bookingState === 'requested') await shipments.update(ctx, id, { $set: { bookingState: 'failed' } }, { version: shipment.version });
  });
}

async function recordRefused(ctx: OutsideTx, id: string, failure: CourierFailure): Promise<void> {
  await untilUnchanged(() =>
    withTransaction(ctx, async (ctx) => {
      const shipment = await shipments.get(ctx, id);
      if (shipment.bookingState !== 'requested') return;
      const reason = `The courier did not take it: ${failure.message} (${failure.code})`;
      ctx.emit({ type: 'shipment.booking_failed', key: id, payload: { shipmentId: id, orderId: shipment.orderId, code: failure.code } });
      if (!shipment.cancelledAt) await cancelInside(ctx, shipment, { reason, bookingState: 'failed' });
      else await shipments.update(ctx, id, { $set: { bookingState: 'failed' } }, { version: shipment.version });
      // After a call without an answer the courier may have the parcel all the same.
      if (failure.kind === 'retryable') askToCancel(ctx, id);
    }),
  );
}

/** Asks for the job that cancels with the courier. */
export function askToCancel(tx: Tx, shipmentId: string): void {
  tx.enqueue({ name: 'shipments.cancel_with_courier', payload: { shipmentId }, dedupeKey: shipmentId });
}

/** Tells the courier that a shipment will not come. A courier that refuses has it cancelled or picked up: scans will tell. */
export const cancelWithCourier = job<{ shipmentId: string }>({
  name: 'shipments.cancel_with_courier',
  attempts: 10,
  backoffMs: 2_000,
  async handle(ctx, { shipmentId }, { attempt }) {
    const shipment = await shipments.get(ctx, shipmentId);
    if (shipment.bookingState === 'requested' || shipment.awb === undefined) return;
    const { awb, courier, connectionId } = shipment;
    const entry = findCourier(courier);
    // A number that was given outside of us, of a courier that we cannot call.
    if (!entry) return;
    const access = await courierAccess(ctx, connectionId);
    const answer = await callCourier(courier, access, attempt, (call) => entry.adapter.cancel(call, { awb, reference: shipmentId }));
    if (!answer.ok && answer.kind === 'retryable') throw new Error(`${answer.code}: ${answer.message}`);
  },
});

/** Asks the courier to come to a pickup location. */
export const requestPickup = job<{ pickupId: string }>({
  name: 'shipments.request_pickup',
  attempts: 8,
  backoffMs: 1_000,
  async handle(ctx, { pickupId }, { attempt }) {
    const pickup = await pickups.get(ctx, pickupId);
    if (pickup.state !== 'requested') return;
    const rows = await shipments.find(ctx, { _id: { $in: pickup.shipmentIds } }, { fields: ['awb', 'pickup', 'connectionId'] });
    const [first] = rows;
    if (!first) return;
    const access = await courierAccess(ctx, first.connectionId);
    const { adapter } = courierEntry(pickup.courier);
    const awbs = rows.flatMap((row) => (row.awb === undefined ? [] : [row.awb]));
    const request = { reference: pickupId, pickup: placeAddress(first.pickup.reveal()), date: pickup.date, slot: pickup.slot, awbs };
    const answer = await callCourier(pickup.courier, access, attempt, (call) => adapter.pickup(call, request));
    if (!answer.ok && answer.kind === 'retryable' && attempt < 8) throw new Error(`${answer.code}: ${answer.message}`);
    await withTransaction(ctx, async (ctx) => {
      const change = answer.ok
        ? { state: 'confirmed' as const, pickupReference: answer.value.pickupReference }
        : { state: 'failed' as const, failure: `${answer.code}: ${answer.message}` };
      await pickups.update(ctx, pickupId, { $set: change }, { version: pickup.version });
      ctx.emit({ type: `pickup.${change.state}`, key: pickupId, payload: { pickupId } });
    });
  },
});

export const shipmentJobs = [bookWithCourier, cancelWithCourier, requestPickup];
