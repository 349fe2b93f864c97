import { runtime } from '../../platform/runtime.ts';
import type { ProviderName } from './payment.model.ts';
import { checkoutSignature, hmacHex, signatureHolds } from './payment.rules.ts';
import { makeRazorpay } from './provider.razorpay.ts';

/** What a payment provider does for us. Calls go out only outside transactions. */
export interface PaymentProvider {
  readonly name: ProviderName;
  /** The public key that a checkout page needs. */
  readonly keyId?: string;
  /** Opens an order of exactly this amount in INR; one that nobody pays has no effect. */
  createOrder(order: NewProviderOrder): Promise<{ providerOrderId: string }>;
  /** True when the checkout's signature proves that this payment paid this order. */
  checkoutHolds(proof: { providerOrderId: string; providerPaymentId: string; signature: string }): boolean;
  /** Gives money back; the same refund id again is the same refund. */
  refund(refund: { providerPaymentId: string; amountPaise: number; refundId: string }): Promise<{ providerRefundId: string }>;
}

export interface NewProviderOrder {
  amountPaise: number;
  /** Our payment id. */
  receipt: string;
  notes: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
}

/** The provider that new payments use. */
export function configuredProvider(): PaymentProvider {
  return providerNamed(runtime().config.paymentProvider);
}

/** A payment stays with the provider it was made with, whatever is configured since. */
export function providerNamed(name: ProviderName): PaymentProvider {
  const { razorpayKeyId, razorpayKeySecret } = runtime().config;
  if (name === 'sandbox') return sandbox(sandboxSecret());
  if (razorpayKeyId === undefined || razorpayKeySecret === undefined) throw new Error('RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET are not set');
  return makeRazorpay({ keyId: razorpayKeyId, keySecret: razorpayKeySecret });
}

/** The secret of webhook signatures, of both providers. */
export function webhookSecret(): string {
  const secret = runtime().config.razorpayWebhookSecret;
  if (secret === undefined) throw new Error('RAZORPAY_WEBHOOK_SECRET is not set');
  return secret;
}

function sandboxSecret(): string {
  return hmacHex(webhookSecret(), 'sandbox checkout');
}

/** A provider on this machine: orders at once, real signatures, refunds at once. */
function sandbox(secret: string): PaymentProvider {
  return {
    name: 'sandbox',
    createOrder: ({ receipt }) => Promise.resolve({ providerOrderId: `order_sbx${receipt}` }),
    checkoutHolds: ({ providerOrderId, providerPaymentId, signature }) =>
      signatureHolds(checkoutSignature(secret, providerOrderId, providerPaymentId), signature),
    refund: ({ refundId }) => Promise.resolve({ providerRefundId: `rfnd_sbx${refundId}` }),
  };
}

/** What the sandbox's checkout page would hand over after a payment; the same order always gets the same payment. */
export function sandboxPay(providerOrderId: string): { providerPaymentId: string; signature: string } {
  const providerPaymentId = `pay_sbx${hmacHex(sandboxSecret(), `payment of ${providerOrderId}`).slice(0, 24)}`;
  return { providerPaymentId, signature: checkoutSignature(sandboxSecret(), providerOrderId, providerPaymentId) };
}
