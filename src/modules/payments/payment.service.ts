import { now } from '../../platform/clock.ts';
import { acrossCompanies, systemCtx, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, conflict, forbidden, invalidFields, notFound, unauthenticated } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { ownCompany, requireMayReceiveMoney } from '../companies/index.ts';
import { getOrder, markOrderPaid, type Order } from '../orders/index.ts';
import { againOnConflict, creditWallet } from '../wallet/index.ts';
import { payments, type Payment, type PaymentPurpose, type PaymentStatus } from './payment.model.ts';
import { isPaid } from './payment.rules.ts';
import { configuredProvider, providerNamed, sandboxPay } from './provider.ts';

/** Asks for a wallet top-up. 403 `email_not_verified`; 409 `payment_exists` with the id for a key used more than a day ago. */
export async function startTopup(ctx: OutsideTx, amountPaise: number, key: string): Promise<Row<Payment>> {
  await requireVerifiedEmail(ctx);
  return createPayment(ctx, { purpose: 'topup', amountPaise, key });
}

/** Asks for the payment of an order. 403 `email_not_verified`, with a real provider 403 `kyc_required`, 409 `order_not_payable` unless it waits for one. */
export async function startOrderPayment(ctx: OutsideTx, input: { orderId: string; method?: string }, key: string): Promise<Row<Payment>> {
  // The sandbox moves no money, so a company may try it before its KYC, as it may the sandbox courier.
  await (configuredProvider().name === 'sandbox' ? requireVerifiedEmail(ctx) : requireMayReceiveMoney(ctx));
  const order = await getOrder(ctx, input.orderId);
  if (order.status !== 'pending_payment') {
    throw conflict('order_not_payable', `An order that is ${order.status.replaceAll('_', ' ')} takes no payment`, { status: order.status });
  }
  if (order.totals.totalPaise === 0) throw conflict('order_not_payable', 'This order costs nothing', { status: order.status });
  return createPayment(ctx, { purpose: 'order', ...input, amountPaise: order.totals.totalPaise, key });
}

async function requireVerifiedEmail(ctx: Ctx): Promise<void> {
  const company = await ownCompany(ctx);
  if (!company.emailVerifiedAt) throw forbidden('email_not_verified', 'Verify your e-mail address first; until then no money can be received');
}

interface NewPayment {
  purpose: PaymentPurpose;
  orderId?: string;
  method?: string;
  amountPaise: number;
  key: string;
}

/** The provider's order comes first: without its id nobody could pay, and one that nobody pays has no effect. */
async function createPayment(ctx: OutsideTx, { purpose, orderId, method, amountPaise, key }: NewPayment): Promise<Row<Payment>> {
  const idempotencyKey = `${purpose}:${key}`;
  const known = await payments.findOne(ctx, { idempotencyKey: { $eq: idempotencyKey, $exists: true } });
  if (known) throw paymentExists(known._id);
  const provider = configuredProvider();
  const id = newId();
  const { providerOrderId } = await provider.createOrder({ amountPaise, receipt: id, notes: { purpose, paymentId: id }, signal: ctx.caller?.signal() });
  const payment: Payment & { _id: string } = {
    _id: id,
    purpose,
    ...(orderId === undefined ? {} : { orderId }),
    ...(method === undefined ? {} : { method }),
    amountPaise,
    provider: provider.name,
    providerOrderId,
    status: 'created',
    refundedPaise: 0,
    refunds: [],
    idempotencyKey,
    history: [{ at: now(), status: 'created' }],
  };
  try {
    return await withTransaction(ctx, async (ctx) => payments.insert(ctx, payment));
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'payment_exists')) throw error;
    const winner = await payments.findOne(ctx, { idempotencyKey: { $eq: idempotencyKey, $exists: true } });
    throw winner ? paymentExists(winner._id) : error;
  }
}

function paymentExists(id: string): AppError {
  return conflict('payment_exists', 'This Idempotency-Key has made a payment already', { id });
}

/**
 * Counts a payment as made when the provider's signature proves it, with its effect (wallet credit, order paid) in one
 * transaction, once however often it is asked. 401 `invalid_signature` otherwise, and nothing is stored.
 */
export async function verifyPayment(ctx: OutsideTx, id: string, proof: { providerPaymentId: string; signature: string }): Promise<Row<Payment>> {
  const payment = await getPayment(ctx, id);
  const { provider, providerOrderId } = payment;
  if (!providerNamed(provider).checkoutHolds({ providerOrderId, ...proof })) {
    throw unauthenticated('invalid_signature', 'The signature does not prove this payment');
  }
  if (isPaid(payment.status)) return payment;
  return againOnConflict(() => withTransaction(ctx, async (ctx) => capturePayment(ctx, id, proof.providerPaymentId)));
}

/**
 * The money has arrived: captured with its effect, or orphaned when the order takes no payment (any more) or has
 * another total. A payment that has been paid before is answered as it is.
 */
export async function capturePayment(tx: Tx, id: string, providerPaymentId: string): Promise<Row<Payment>> {
  const payment = await payments.get(tx, id);
  if (isPaid(payment.status)) return payment;
  const order = payment.orderId === undefined ? undefined : await getOrder(tx, payment.orderId);
  const orphanedBy = order ? whyOrphaned(payment, order) : undefined;
  const status: PaymentStatus = orphanedBy === undefined ? 'captured' : 'orphaned';
  const at = now();
  const captured = await payments.update(
    tx,
    id,
    { $set: { status, providerPaymentId, capturedAt: at }, $push: { history: { at, status, ...(orphanedBy === undefined ? {} : { note: orphanedBy }) } } },
    { version: payment.version },
  );
  const { purpose, amountPaise, orderId } = payment;
  tx.emit({ type: `payment.${status}`, key: id, payload: { paymentId: id, purpose, amountPaise, ...(orderId === undefined ? {} : { orderId }) } });
  if (order && status === 'captured') await markOrderPaid(tx, order._id, id, amountPaise);
  if (purpose === 'topup') await creditWallet(tx, { amountPaise, cause: 'Top-up', paymentId: id });
  return captured;
}

function whyOrphaned(payment: Payment, order: Order): string | undefined {
  if (order.status !== 'pending_payment') return `order is ${order.status}`;
  if (order.totals.totalPaise !== payment.amountPaise) return 'order has another total';
  return undefined;
}

/** Notes what the provider says of a payment that has not been paid; a repeat, or a step back, changes nothing. */
export async function noteProviderStatus(tx: Tx, payment: Row<Payment>, status: 'authorized' | 'failed', providerPaymentId: string | undefined): Promise<void> {
  const step = { at: now(), status, ...(providerPaymentId === undefined ? {} : { note: providerPaymentId }) };
  await payments.update(tx, payment._id, { $set: { status }, $push: { history: step } }, { version: payment.version });
}

/** One payment of the company; a member limited to some locations sees only those of their orders. */
export async function getPayment(ctx: Ctx, id: string): Promise<Row<Payment>> {
  const payment = await payments.get(ctx, id);
  if (ctx.actor.locationIds && payment.orderId !== undefined) await getOrder(ctx, payment.orderId);
  return payment;
}

export interface PaymentQuery extends PageRequest {
  orderId?: string;
  status?: PaymentStatus;
}

/** One page of payments, newest first; `status=orphaned` lists money that has no order. */
export async function listPayments(ctx: Ctx, query: PaymentQuery): Promise<Page<Row<Payment>>> {
  const { orderId, status } = query;
  if (ctx.actor.locationIds) {
    if (orderId === undefined) throw invalidFields([{ path: 'orderId', message: 'is required: you see the payments of your locations’ orders' }]);
    await getOrder(ctx, orderId);
  }
  const filter: Filter<Payment> = {
    ...(orderId === undefined ? {} : { orderId: { $eq: orderId, $exists: true } }),
    ...(status === undefined ? {} : { status }),
  };
  return payments.list(ctx, filter, query);
}

/** Plays the payer in development: what the sandbox's checkout page would hand over; 404 for an order that is not the sandbox's. */
export async function paySandbox(ctx: Ctx, providerOrderId: string): Promise<{ providerPaymentId: string; signature: string }> {
  const payment = await payments.findOne(acrossCompanies(ctx, 'the sandbox payer knows no company'), { providerOrderId });
  if (payment?.provider !== 'sandbox') throw notFound('payment');
  const proof = sandboxPay(providerOrderId);
  // The payment of an order is captured by it; a top-up waits for `verify`, which credits the wallet.
  if (payment.purpose === 'order') {
    const own = systemCtx('sandbox-payer', payment.companyId, ctx.requestId);
    await againOnConflict(() => withTransaction(own, async (ctx) => capturePayment(ctx, payment._id, proof.providerPaymentId)));
  }
  return proof;
}
