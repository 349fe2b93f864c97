import type { OutsideTx } from '../../platform/context.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { job } from '../../platform/jobs.ts';
import { payments, type ProviderName } from './payment.model.ts';
import { providerNamed, type PaymentProvider } from './provider.ts';

interface RefundJob {
  paymentId: string;
  refundId: string;
}

/** Makes the provider pay a recorded refund, then notes it; a paid one is left alone, and the provider knows repeats by the refund's id. */
export async function payRefund(ctx: OutsideTx, { paymentId, refundId }: RefundJob, find: (name: ProviderName) => PaymentProvider = providerNamed): Promise<void> {
  const { provider, providerPaymentId = '', refunds } = await payments.get(ctx, paymentId);
  const refund = refunds.find(({ id }) => id === refundId);
  if (refund?.status !== 'pending') return;
  const { providerRefundId } = await find(provider).refund({ providerPaymentId, amountPaise: refund.amountPaise, refundId });
  await withTransaction(ctx, async (ctx) => {
    const payment = await payments.get(ctx, paymentId);
    const i = payment.refunds.findIndex(({ id, status }) => id === refundId && status === 'pending');
    if (i < 0) return;
    const $set = { [`refunds.${i}.status`]: 'processed', [`refunds.${i}.providerRefundId`]: providerRefundId } as const;
    await payments.update(ctx, paymentId, { $set }, { version: payment.version });
  });
}

export const paymentJobs = [
  job<RefundJob>({
    name: 'payments.refund',
    attempts: 12,
    backoffMs: 2_000,
    handle: (ctx, payload) => payRefund(ctx, payload),
  }),
];
