import { makeBreaker } from '../../platform/breaker.ts';
import { AppError, unavailable } from '../../platform/errors.ts';
import { runtime } from '../../platform/runtime.ts';
import { checkoutSignature, signatureHolds } from './payment.rules.ts';
import type { PaymentProvider } from './provider.ts';

export interface RazorpayOptions {
  keyId: string;
  keySecret: string;
  /** Another address, for tests. */
  baseUrl?: string;
  timeoutMs?: number;
}

const breaker = makeBreaker({
  name: 'razorpay',
  refusal: (seconds) => away(seconds),
  // A caller who went away says nothing about the provider.
  isFailure: (error) => (error instanceof Error && error.name === 'AbortError' ? undefined : true),
});

function away(retryAfterSeconds: number, cause?: unknown): AppError {
  return unavailable('payment_provider_unavailable', 'The payment provider does not answer; try again', retryAfterSeconds, cause);
}

/**
 * Razorpay's REST API: `POST /v1/orders {amount, currency, receipt, notes}` answers `{id, amount, …}`,
 * `POST /v1/payments/:id/refund {amount, receipt}` with `X-Refund-Idempotency` answers `{id, status, …}`. Basic
 * authentication with key id and secret. 503 `payment_provider_unavailable` when it does not answer as documented.
 */
export function makeRazorpay({ keyId, keySecret, baseUrl = 'https://api.razorpay.com', timeoutMs = 10_000 }: RazorpayOptions): PaymentProvider {
  const authorization = `Basic ${Buffer.from(`${keyId}:${keySecret}`).toString('base64')}`;

  const post = async (path: string, body: object, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Record<string, unknown>> => {
    const deadline = AbortSignal.timeout(timeoutMs);
    try {
      const send = async (): Promise<{ ok: boolean; status: number; json: unknown }> => {
        const answer = await fetch(baseUrl + path, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json', ...headers },
          body: JSON.stringify(body),
          signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
          redirect: 'error',
        });
        return { ok: answer.ok, status: answer.status, json: await answer.json() };
      };
      const { ok, status, json } = await breaker.run(send, (answer) => answer.status >= 500);
      if (!ok) throw refused(path, status, json);
      return json as Record<string, unknown>;
    } catch (error) {
      throw error instanceof AppError ? error : away(5, error);
    }
  };

  return {
    name: 'razorpay',
    keyId,
    async createOrder({ amountPaise, receipt, notes, signal }) {
      const order = await post('/v1/orders', { amount: amountPaise, currency: 'INR', receipt, notes }, {}, signal);
      if (order['amount'] !== amountPaise) throw unexpected('an order of another amount');
      return { providerOrderId: idOf(order, 'order_') };
    },
    checkoutHolds: ({ providerOrderId, providerPaymentId, signature }) =>
      signatureHolds(checkoutSignature(keySecret, providerOrderId, providerPaymentId), signature),
    async refund({ providerPaymentId, amountPaise, refundId }) {
      const path = `/v1/payments/${encodeURIComponent(providerPaymentId)}/refund`;
      const refund = await post(path, { amount: amountPaise, receipt: refundId }, { 'x-refund-idempotency': refundId });
      return { providerRefundId: idOf(refund, 'rfnd_') };
    },
  };
}

function idOf(entity: Record<string, unknown>, prefix: string): string {
  const id = entity['id'];
  if (typeof id !== 'string' || !id.startsWith(prefix) || id.length > 100) throw unexpected('something without an id');
  return id;
}

function unexpected(what: string): AppError {
  return unavailable('payment_provider_unavailable', `The payment provider answered with ${what}`, 5);
}

/** Its own words go to the log only: they may quote what the payer typed. */
function refused(path: string, status: number, body: unknown): AppError {
  const code = (body as { error?: { code?: unknown } } | null)?.error?.code;
  runtime().log.warn('razorpay.refused', { path, status, code: typeof code === 'string' ? code.slice(0, 100) : undefined });
  return unavailable('payment_provider_unavailable', 'The payment provider refused; try again later', 30);
}
