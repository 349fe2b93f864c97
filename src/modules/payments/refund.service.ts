import { now } from '../../platform/clock.ts';
import type { OutsideTx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { againOnConflict, takeBackTopup } from '../wallet/index.ts';
import { payments, type Payment, type PaymentStatus, type Refund } from './payment.model.ts';
import { refundablePaise } from './payment.rules.ts';
import { getPayment } from './payment.service.ts';
import { providerNamed } from './provider.ts';

const MAX_REFUNDS = 50;

export interface RefundInput {
  /** Without it: everything that is left. */
  amountPaise?: number;
  reason?: string;
}

export interface RefundResult {
  payment: Row<Payment>;
  refund: Refund;
}

/**
 * Gives back all or a part of a captured or orphaned payment; a top-up leaves the wallet in the same transaction. The
 * sandbox pays at once, a real provider through a job. 409 `payment_not_refundable`, `refund_too_large`,
 * `insufficient_balance`.
 */
export async function refundPayment(ctx: OutsideTx, id: string, input: RefundInput): Promise<RefundResult> {
  const { provider, providerPaymentId = '' } = await getPayment(ctx, id);
  const refundId = newId();
  const atOnce = provider === 'sandbox' ? await providerNamed(provider).refund({ providerPaymentId, amountPaise: 0, refundId }) : undefined;
  return againOnConflict(() =>
    withTransaction(ctx, async (ctx) => {
      const result = await recordRefund(ctx, id, input, { id: refundId, status: atOnce ? 'processed' : 'pending', ...atOnce });
      if (!atOnce) ctx.enqueue({ name: 'payments.refund', payload: { paymentId: id, refundId } });
      return result;
    }),
  );
}

async function recordRefund(tx: Tx, id: string, input: RefundInput, begun: Pick<Refund, 'id' | 'status' | 'providerRefundId'>): Promise<RefundResult> {
  const payment = await payments.get(tx, id);
  const left = refundablePaise(payment);
  if (left === 0) throw conflict('payment_not_refundable', `A payment that is ${payment.status} has nothing to give back`, { status: payment.status });
  const amountPaise = input.amountPaise ?? left;
  if (amountPaise > left) throw conflict('refund_too_large', 'More than what is left of the payment', { refundablePaise: left });
  if (payment.refunds.length >= MAX_REFUNDS) throw conflict('too_many_refunds', `A payment takes ${MAX_REFUNDS} refunds at most`);
  const at = now();
  const refund: Refund = { ...begun, amountPaise, at, ...(input.reason === undefined ? {} : { reason: input.reason }) };
  const status: PaymentStatus = amountPaise === left ? 'refunded' : payment.status;
  const changed = await payments.update(
    tx,
    id,
    { $set: { status }, $inc: { refundedPaise: amountPaise }, $push: { refunds: refund, history: { at, status, note: `refund ${refund.id}` } } },
    { version: payment.version },
  );
  tx.emit({ type: 'payment.refunded', key: id, payload: { paymentId: id, refundId: refund.id, amountPaise } });
  if (payment.purpose === 'topup') await takeBackTopup(tx, { amountPaise, cause: 'Top-up refunded', paymentId: id, refundId: refund.id });
  return { payment: changed, refund };
}
