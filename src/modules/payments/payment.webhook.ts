import { now } from '../../platform/clock.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx, type Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { AppError, unauthenticated } from '../../platform/errors.ts';
import { sha256 } from '../../platform/ids.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { againOnConflict } from '../wallet/index.ts';
import { paymentEvents, payments, type PaymentEvent } from './payment.model.ts';
import { amountMatches, canBecome, hmacHex, isPaid, readEvent, signatureHolds, type ProviderEvent } from './payment.rules.ts';
import { capturePayment, noteProviderStatus } from './payment.service.ts';
import { webhookSecret } from './provider.ts';

export interface Delivery {
  rawBody: Buffer;
  signature: string;
  eventId: string;
}

/**
 * Takes one webhook of the provider: the signature is over the bytes as they came (401 `invalid_signature`, nothing
 * stored), the event and its effect commit together, a repeated event does nothing. Events that mean nothing here are
 * kept without an effect.
 */
export async function receiveEvent(ctx: OutsideTx, { rawBody, signature, eventId }: Delivery): Promise<void> {
  if (!signatureHolds(hmacHex(webhookSecret(), rawBody), signature)) {
    throw unauthenticated('invalid_signature', 'The signature does not belong to this body');
  }
  const event = readEvent(rawBody);
  const bodyHash = sha256(rawBody);
  const id = eventId === '' || eventId.length > 100 ? bodyHash : eventId;
  const everywhere = acrossCompanies(ctx, 'a provider does not know companies');
  if (await paymentEvents.findOne(everywhere, { eventId: id }, { fields: ['eventId'] })) return;
  const { providerOrderId } = event;
  const payment = providerOrderId === undefined ? undefined : await payments.findOne(everywhere, { providerOrderId });
  const own = systemCtx('payment-webhook', payment?.companyId ?? PLATFORM_COMPANY_ID, ctx.requestId);
  const row = { ...facts(event), provider: payment?.provider ?? runtime().config.paymentProvider, eventId: id, bodyHash, receivedAt: now() };
  try {
    await againOnConflict(() =>
      withTransaction(own, async (ctx) => {
        const outcome = await apply(ctx, payment?._id, event);
        const expected = payment && outcome === 'amount_mismatch' ? { expectedPaise: payment.amountPaise } : {};
        await paymentEvents.insert(ctx, { ...row, outcome, ...expected, ...(payment ? { paymentId: payment._id } : {}) });
      }),
    );
  } catch (error) {
    // The same event came twice at once and the other one has committed.
    if (!(error instanceof AppError && error.code === 'payment_event_exists')) throw error;
  }
}

export interface EventQuery extends PageRequest {
  outcome?: PaymentEvent['outcome'];
}

/** One page of the provider's events of all companies that ended so, newest first; for our staff. */
export async function listEvents(ctx: Ctx, { outcome = 'amount_mismatch', ...request }: EventQuery): Promise<Page<Row<PaymentEvent>>> {
  return paymentEvents.list(acrossCompanies(ctx, 'staff list'), { outcome }, request, { field: '_id', direction: -1 });
}

function facts({ type, providerOrderId, providerPaymentId, amountPaise }: ProviderEvent): Pick<PaymentEvent, 'type' | 'providerOrderId' | 'providerPaymentId' | 'amountPaise'> {
  return {
    type,
    ...(providerOrderId === undefined ? {} : { providerOrderId }),
    ...(providerPaymentId === undefined ? {} : { providerPaymentId }),
    ...(amountPaise === undefined ? {} : { amountPaise }),
  };
}

async function apply(tx: Tx, paymentId: string | undefined, event: ProviderEvent): Promise<PaymentEvent['outcome']> {
  const { status, providerPaymentId } = event;
  if (status === undefined) return 'unknown_type';
  if (paymentId === undefined) return 'unknown_order';
  const payment = await payments.get(tx, paymentId);
  if (isPaid(payment.status)) return 'repeated';
  if (status !== 'captured') {
    if (!canBecome(payment.status, status)) return 'repeated';
    await noteProviderStatus(tx, payment, status, providerPaymentId);
    return 'applied';
  }
  if (providerPaymentId === undefined || !amountMatches(payment, event)) {
    runtime().log.error('payment.amount_mismatch', { requestId: tx.requestId, paymentId, expectedPaise: payment.amountPaise, amountPaise: event.amountPaise });
    return 'amount_mismatch';
  }
  await capturePayment(tx, paymentId, providerPaymentId);
  return 'applied';
}
