import { defineCollection } from '../../platform/db/collection.ts';

export const PAYMENT_STATUSES = ['created', 'authorized', 'captured', 'failed', 'refunded', 'orphaned'] as const;
export type PaymentStatus = (typeof PAYMENT_STATUSES)[number];
export type PaymentPurpose = 'topup' | 'order';
export type ProviderName = 'sandbox' | 'razorpay';

export interface Refund {
  id: string;
  amountPaise: number;
  /** `pending` until the provider has taken it. */
  status: 'pending' | 'processed';
  reason?: string;
  providerRefundId?: string;
  at: Date;
}

export interface PaymentStep {
  at: Date;
  status: PaymentStatus;
  /** Why, when the status alone does not say. */
  note?: string;
}

/** Money asked for through a provider; it counts only once it is captured, in the same transaction as its effect. */
export interface Payment {
  purpose: PaymentPurpose;
  orderId?: string;
  amountPaise: number;
  /** How the payer means to pay; the provider's business, text only. */
  method?: string;
  provider: ProviderName;
  providerOrderId: string;
  providerPaymentId?: string;
  status: PaymentStatus;
  capturedAt?: Date;
  refundedPaise: number;
  refunds: Refund[];
  /** Purpose and key of the request that made it; unique for ever. */
  idempotencyKey?: string;
  history: PaymentStep[];
}

export const payments = defineCollection<Payment>({
  name: 'payments',
  rowName: 'payment',
  fields: {
    purpose: { type: String, required: true, enum: ['topup', 'order'] },
    orderId: { type: String },
    amountPaise: { type: Number, required: true },
    method: { type: String },
    provider: { type: String, required: true, enum: ['sandbox', 'razorpay'] },
    providerOrderId: { type: String, required: true },
    providerPaymentId: { type: String },
    status: { type: String, required: true, enum: PAYMENT_STATUSES },
    capturedAt: { type: Date },
    refundedPaise: { type: Number, required: true },
    refunds: [
      {
        _id: false,
        id: { type: String, required: true },
        amountPaise: { type: Number, required: true },
        status: { type: String, required: true, enum: ['pending', 'processed'] },
        reason: { type: String },
        providerRefundId: { type: String },
        at: { type: Date, required: true },
      },
    ],
    idempotencyKey: { type: String },
    history: [{ _id: false, at: { type: Date, required: true }, status: { type: String, required: true }, note: { type: String } }],
  },
  indexes: [
    { keys: { providerOrderId: 1 }, unique: true },
    { keys: { providerPaymentId: 1 }, unique: true, partial: { providerPaymentId: { $exists: true } } },
    { keys: { companyId: 1, idempotencyKey: 1 }, unique: true, partial: { idempotencyKey: { $exists: true } } },
    { keys: { companyId: 1, orderId: 1, createdAt: -1, _id: -1 }, partial: { orderId: { $exists: true } } },
    { keys: { companyId: 1, status: 1, createdAt: -1, _id: -1 } },
  ],
  personal: { 'refunds.*.reason': null },
  bounds: { history: 100, refunds: 50 },
});

export const EVENT_OUTCOMES = ['applied', 'repeated', 'unknown_type', 'unknown_order', 'amount_mismatch'] as const;

/** One webhook of the provider, stored in the transaction of its effect, so that its repeat finds it. */
export interface PaymentEvent {
  provider: ProviderName;
  /** The provider's own id of the event; unique. */
  eventId: string;
  type: string;
  paymentId?: string;
  providerOrderId?: string;
  providerPaymentId?: string;
  outcome: (typeof EVENT_OUTCOMES)[number];
  amountPaise?: number;
  /** What the payment asks for; with `amount_mismatch`. */
  expectedPaise?: number;
  /** SHA-256 of the body; the body itself names the payer, so it is not kept. */
  bodyHash: string;
  receivedAt: Date;
}

const KEEP_SECONDS = 30 * 86_400;

export const paymentEvents = defineCollection<PaymentEvent>({
  name: 'payment_events',
  rowName: 'payment_event',
  fields: {
    provider: { type: String, required: true },
    eventId: { type: String, required: true },
    type: { type: String, required: true },
    paymentId: { type: String },
    providerOrderId: { type: String },
    providerPaymentId: { type: String },
    outcome: { type: String, required: true },
    amountPaise: { type: Number },
    expectedPaise: { type: Number },
    bodyHash: { type: String, required: true },
    receivedAt: { type: Date, required: true },
  },
  indexes: [
    { keys: { eventId: 1 }, unique: true },
    { keys: { receivedAt: 1 }, expireAfterSeconds: KEEP_SECONDS },
    { keys: { outcome: 1, _id: -1 } },
  ],
  // The row is itself the record of what came in.
  audited: false,
});
