import { now } from '../../platform/clock.ts';
import type { Ctx } from '../../platform/context.ts';
import { seal } from '../../platform/db/sealed.ts';
import { AppError, conflict } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { runtime } from '../../platform/runtime.ts';
import { couponDiscount, type Redemption } from '../coupons/index.ts';
import { allocate, type Allocation, type CouponVerdict } from './order.allocate.rules.ts';
import type { Order, OrderLine, Parcel } from './order.model.ts';
import type { OrderRequest } from './order.rules.ts';
import type { CouponShelf, Placement, Shelf } from './order.shelves.ts';

/** A placement that the rules accepted. */
export interface Decided {
  placement: Placement;
  order: Order & { _id: string };
  /** What it was decided on; its stock rows are named when they are changed. */
  shelf: Shelf;
  redemption?: Omit<Redemption, 'tx' | 'orderId'>;
}

/** A placement that the rules refused, by its place in the batch. */
export interface RefusedPlacement {
  index: number;
  error: AppError;
}

/** What becomes of the placements of a batch, each by its place in it. */
export interface Verdicts<D> {
  decided: { index: number; item: D }[];
  refused: RefusedPlacement[];
}

/** Decides each request in turn, on what those before it have left; what it takes is taken off the shelves' coupons and stock. */
export function decideOn(placements: readonly Placement[], shelves: ReadonlyMap<string, Shelf>): Verdicts<Decided> {
  const verdicts: Verdicts<Decided> = { decided: [], refused: [] };
  placements.forEach((placement, index) => {
    const shelf = shelves.get(placement.ctx.companyId);
    if (!shelf) throw new Error('Every company of a batch has a shelf');
    try {
      verdicts.decided.push({ index, item: decide(placement, shelf) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      verdicts.refused.push({ index, error });
    }
  });
  return verdicts;
}

function decide({ ctx, request }: Placement, shelf: Shelf): Decided {
  const earlier = request.externalId === undefined ? undefined : shelf.existing.get(request.externalId);
  if (earlier !== undefined) throw orderExists(earlier, 'externalId');
  let taken: Decided['redemption'];
  const verdict = (lines: OrderLine[]): CouponVerdict => {
    const judged = judgeCoupon(request, lines, shelf.coupons);
    if (judged.ok) taken = judged.taken;
    return judged.ok ? { ok: true, discountPaise: judged.taken.discountPaise, freeShipping: judged.freeShipping } : judged;
  };
  const allocation = allocate(request, shelf, verdict, defaultParcel());
  const order = newOrder(ctx, request, allocation);
  if (request.externalId !== undefined) shelf.existing.set(request.externalId, order._id);
  if (taken) {
    const { used, usedBy } = shelf.coupons;
    const key = `${taken.coupon._id}|${taken.customerKey}`;
    used.set(taken.coupon._id, (used.get(taken.coupon._id) ?? 0) + 1);
    usedBy.set(key, (usedBy.get(key) ?? 0) + 1);
  }
  return { placement: { ctx, request }, order, shelf, ...(taken ? { redemption: taken } : {}) };
}

type Judged = { ok: true; taken: NonNullable<Decided['redemption']>; freeShipping: boolean } | { ok: false; error: AppError };

function judgeCoupon(request: OrderRequest, lines: readonly OrderLine[], shelf: CouponShelf): Judged {
  const code = request.couponCode ?? '';
  const row = shelf.byCode.get(code);
  const refuse = (reason: string, message: string): Judged => ({ ok: false, error: conflict(reason, message, { couponCode: code }) });
  const customerKey = shelf.customers.get(request);
  if (!row || customerKey === undefined) return refuse('coupon_not_found', 'There is no such coupon');
  if (row.usageLimit !== undefined && (shelf.used.get(row._id) ?? row.used) >= row.usageLimit) return refuse('coupon_used_up', 'This coupon is used up');
  if (row.perCustomerLimit !== undefined && (shelf.usedBy.get(`${row._id}|${customerKey}`) ?? 0) >= row.perCustomerLimit) {
    return refuse('coupon_limit_reached', 'This customer has used the coupon as often as it allows');
  }
  const subtotalPaise = lines.reduce((sum, line) => sum + line.totalPaise, 0);
  const discount = couponDiscount(row, {
    subtotalPaise,
    shippingPaise: request.imported?.shippingPaise ?? 0,
    lines: lines.map(({ sku, totalPaise }) => ({ sku, totalPaise })),
    pincode: request.shippingAddress.pincode,
    paymentMethod: request.paymentMethod,
    atMs: now().getTime(),
  });
  if (!discount.ok) return refuse(discount.code, discount.message);
  // Their uses are read only of coupons that limit them.
  const use = row.perCustomerLimit === undefined ? undefined : (shelf.uses.get(`${row._id}|${customerKey}`) ?? null);
  return { ok: true, taken: { coupon: row, customerKey, discountPaise: discount.discountPaise, use }, freeShipping: discount.freeShipping };
}

function newOrder({ actor }: Ctx, request: OrderRequest, allocation: Allocation): Order & { _id: string } {
  const at = now();
  // What costs nothing waits for no payment: nobody could make one, and it would expire.
  const collect = request.collectPayment === true && allocation.totals.totalPaise > 0;
  const status = collect ? 'pending_payment' : 'placed';
  const { externalId, idempotencyKey, billingAddress, couponCode, notes, pickupLocationId, imported } = request;
  return {
    _id: newId(),
    orderNumber: '',
    channel: request.channel,
    ...(externalId === undefined ? {} : { externalId }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    status,
    customer: seal(request.customer),
    shippingAddress: seal(request.shippingAddress),
    ...(billingAddress === undefined ? {} : { billingAddress: seal(billingAddress) }),
    ...allocation,
    paymentMethod: request.paymentMethod,
    collectPayment: collect,
    ...(collect ? { paymentDueAt: new Date(at.getTime() + runtime().config.orderPaymentSeconds * 1000) } : {}),
    ...(couponCode === undefined ? {} : { couponCode }),
    ...(imported?.discountCodeText === undefined ? {} : { discountCodeText: imported.discountCodeText }),
    ...(pickupLocationId === undefined ? {} : { pickupLocationId }),
    tags: request.tags ?? [],
    ...(notes === undefined ? {} : { notes }),
    history: [{ at, kind: 'status', status, actorKind: actor.kind, actorId: actor.id }],
    shipments: [],
    ...(imported?.importId === undefined ? {} : { importId: imported.importId }),
    placedAt: imported?.placedAt ?? at,
  };
}

/** 409: an order has this external id or key, and which. */
export function orderExists(id: string, field: string): AppError {
  return conflict('order_exists', 'This order was placed before', { id, fields: [field] });
}

/** The parcel of an order that says nothing, from the settings. */
export function defaultParcel(): Parcel {
  const { config } = runtime();
  return {
    weightGrams: config.defaultParcelGrams,
    lengthMm: config.defaultParcelLengthMm,
    breadthMm: config.defaultParcelBreadthMm,
    heightMm: config.defaultParcelHeightMm,
  };
}
