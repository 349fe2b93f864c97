import { createHmac } from 'node:crypto';
import { invalid } from '../../platform/errors.ts';
import { sameText } from '../../platform/ids.ts';
import type { Payment, PaymentStatus } from './payment.model.ts';

/** HMAC-SHA256 in lower-case hex, the form of Razorpay's signatures. */
export function hmacHex(secret: string, data: string | Buffer): string {
  return createHmac('sha256', secret).update(data).digest('hex');
}

/** The checkout signature over `order_id|payment_id` (Razorpay: verify the payment signature). */
export function checkoutSignature(secret: string, providerOrderId: string, providerPaymentId: string): string {
  return hmacHex(secret, `${providerOrderId}|${providerPaymentId}`);
}

/** True when a signature is the expected one; compared in constant time. */
export function signatureHolds(expected: string, given: string): boolean {
  return sameText(expected, given.trim().toLowerCase());
}

const NEXT: Readonly<Record<PaymentStatus, readonly PaymentStatus[]>> = {
  created: ['authorized', 'captured', 'failed', 'orphaned'],
  authorized: ['captured', 'failed', 'orphaned'],
  // The payer may try again under the same provider order.
  failed: ['authorized', 'captured', 'orphaned'],
  captured: ['refunded'],
  orphaned: ['refunded'],
  refunded: [],
};

/** True when a payment may go from one status to another; what is captured never goes back. */
export function canBecome(from: PaymentStatus, to: PaymentStatus): boolean {
  return NEXT[from].includes(to);
}

/** True when the payer's money has arrived, whatever became of it since. */
export function isPaid(status: PaymentStatus): boolean {
  return status === 'captured' || status === 'orphaned' || status === 'refunded';
}

/** What may still be given back. */
export function refundablePaise({ status, amountPaise, refundedPaise }: Pick<Payment, 'status' | 'amountPaise' | 'refundedPaise'>): number {
  return status === 'captured' || status === 'orphaned' ? amountPaise - refundedPaise : 0;
}

/** A provider's event, as far as we use it. */
export interface ProviderEvent {
  type: string;
  /** What it means for the payment; undefined for events that mean nothing here. */
  status?: 'authorized' | 'captured' | 'failed';
  providerOrderId?: string;
  providerPaymentId?: string;
  amountPaise?: number;
  currency?: string;
}

const MEANING: Readonly<Record<string, ProviderEvent['status']>> = {
  'payment.authorized': 'authorized',
  'payment.captured': 'captured',
  'order.paid': 'captured',
  'payment.failed': 'failed',
};

/** Reads Razorpay's webhook body (`event`, `payload.payment.entity`, `payload.order.entity`); 400 `invalid_event` when it is not one. */
export function readEvent(body: Buffer): ProviderEvent {
  const parsed = parse(body);
  const type = text(parsed, 'event', 100);
  if (type === undefined) throw invalid('invalid_event', 'The body is not a payment event');
  const payload = member(parsed, 'payload');
  const payment = member(member(payload, 'payment'), 'entity');
  const order = member(member(payload, 'order'), 'entity');
  const amount = payment?.['amount'];
  return {
    type,
    status: MEANING[type],
    providerOrderId: text(payment, 'order_id', 100) ?? text(order, 'id', 100),
    providerPaymentId: text(payment, 'id', 100),
    amountPaise: typeof amount === 'number' && Number.isSafeInteger(amount) ? amount : undefined,
    currency: text(payment, 'currency', 10),
  };
}

type Plain = Record<string, unknown>;

function parse(body: Buffer): Plain | undefined {
  try {
    return asObject(JSON.parse(body.toString('utf8')));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Plain | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Plain) : undefined;
}

function member(of: Plain | undefined, key: string): Plain | undefined {
  return asObject(of?.[key]);
}

function text(of: Plain | undefined, key: string, max: number): string | undefined {
  const value = of?.[key];
  return typeof value === 'string' && value !== '' && value.length <= max ? value : undefined;
}

/** True when an event tells of exactly this payment's money. */
export function amountMatches(payment: Pick<Payment, 'amountPaise'>, event: ProviderEvent): boolean {
  return event.amountPaise === payment.amountPaise && (event.currency === undefined || event.currency === 'INR');
}
