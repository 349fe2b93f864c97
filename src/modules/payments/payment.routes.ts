import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { present } from '../../platform/present.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { EVENT_OUTCOMES, PAYMENT_STATUSES, type Payment, type PaymentEvent } from './payment.model.ts';
import { getPayment, listPayments, paySandbox, startOrderPayment, startTopup, verifyPayment, type PaymentQuery } from './payment.service.ts';
import { listEvents, receiveEvent, type EventQuery } from './payment.webhook.ts';
import { configuredProvider } from './provider.ts';
import { refundPayment, type RefundInput, type RefundResult } from './refund.service.ts';

interface PaymentView {
  id: string;
  purpose: string;
  orderId?: string;
  amountPaise: number;
  currency: 'INR';
  method?: string;
  status: string;
  provider: string;
  providerOrderId: string;
  providerPaymentId?: string;
  refundedPaise: number;
  capturedAt?: string;
  createdAt: string;
  version: number;
}

function paymentView(row: Row<Payment>): PaymentView {
  const { purpose, orderId, amountPaise, method, status, provider, providerOrderId, providerPaymentId, refundedPaise, capturedAt, version } = row;
  return {
    id: row._id,
    purpose,
    ...(orderId === undefined ? {} : { orderId }),
    amountPaise,
    currency: 'INR',
    ...(method === undefined ? {} : { method }),
    status,
    provider,
    providerOrderId,
    ...(providerPaymentId === undefined ? {} : { providerPaymentId }),
    refundedPaise,
    ...(capturedAt === undefined ? {} : { capturedAt: capturedAt.toISOString() }),
    createdAt: row.createdAt.toISOString(),
    version,
  };
}

const paymentShape = shape<PaymentView>({
  id: field.id().required(),
  purpose: Joi.string().valid('topup', 'order').required(),
  orderId: field.id(),
  amountPaise: field.paise().required(),
  currency: Joi.string().valid('INR').required(),
  method: Joi.string(),
  status: Joi.string().valid(...PAYMENT_STATUSES).required(),
  provider: Joi.string().valid('sandbox', 'razorpay').required(),
  providerOrderId: Joi.string().required(),
  providerPaymentId: Joi.string(),
  refundedPaise: field.paise().required(),
  capturedAt: field.isoTime(),
  createdAt: field.isoTime().required(),
  version: field.version().required(),
});

interface TopupView {
  paymentId: string;
  providerOrderId: string;
  amountPaise: number;
  provider: string;
  /** What Razorpay's checkout page needs. */
  keyId?: string;
}

function topupView({ _id, providerOrderId, amountPaise, provider }: Row<Payment>): TopupView {
  const { keyId } = configuredProvider();
  return { paymentId: _id, providerOrderId, amountPaise, provider, ...(keyId === undefined ? {} : { keyId }) };
}

interface RefundView {
  id: string;
  paymentId: string;
  amountPaise: number;
  status: string;
  reason?: string;
  paymentStatus: string;
  refundedPaise: number;
  createdAt: string;
}

function refundView({ payment, refund }: RefundResult): RefundView {
  return {
    id: refund.id,
    paymentId: payment._id,
    amountPaise: refund.amountPaise,
    status: refund.status,
    ...(refund.reason === undefined ? {} : { reason: refund.reason }),
    paymentStatus: payment.status,
    refundedPaise: payment.refundedPaise,
    createdAt: refund.at.toISOString(),
  };
}

interface EventView {
  id: string;
  companyId: string;
  type: string;
  outcome: string;
  provider: string;
  paymentId?: string;
  providerOrderId?: string;
  providerPaymentId?: string;
  amountPaise?: number;
  expectedPaise?: number;
  receivedAt: string;
}

function eventView({ _id, companyId, type, outcome, provider, receivedAt, ...row }: Row<PaymentEvent>): EventView {
  const { paymentId, providerOrderId, providerPaymentId, amountPaise, expectedPaise } = row;
  const about = { paymentId, providerOrderId, providerPaymentId, amountPaise, expectedPaise };
  return present({ id: _id, companyId, type, outcome, provider, ...about, receivedAt: receivedAt.toISOString() });
}

const eventShape = shape<EventView>({
  id: field.id().required(),
  companyId: field.id().required(),
  type: Joi.string().required(),
  outcome: Joi.string().valid(...EVENT_OUTCOMES).required(),
  provider: Joi.string().required(),
  paymentId: field.id(),
  providerOrderId: Joi.string(),
  providerPaymentId: Joi.string(),
  amountPaise: Joi.number(),
  expectedPaise: Joi.number(),
  receivedAt: field.isoTime().required(),
});

/** 1 rupee to 1 crore. */
const topupPaise = field.count(100, 1_000_000_000);

export const paymentRoutes = [
  route({
    method: 'post',
    path: '/v1/wallet/topups',
    summary: 'Ask for a wallet top-up; it is credited by payments/:id/verify or the provider’s webhook',
    permission: 'wallet:write',
    idempotent: 'required',
    status: 201,
    body: shape<{ amountPaise: number }>({ amountPaise: topupPaise.required() }),
    response: shape<TopupView>({
      paymentId: field.id().required(),
      providerOrderId: Joi.string().required(),
      amountPaise: field.paise().required(),
      provider: Joi.string().required(),
      keyId: Joi.string(),
    }),
    errors: ['email_not_verified', 'payment_exists', 'payment_provider_unavailable'],
    handle: (ctx, { body, idempotencyKey = '' }) => startTopup(ctx, body.amountPaise, idempotencyKey),
    view: topupView,
  }),
  route({
    method: 'post',
    path: '/v1/payments',
    summary: 'Ask for the payment of an order that waits for one; the amount is the order’s total',
    permission: 'payments:write',
    idempotent: 'required',
    status: 201,
    body: shape<{ orderId: string; method?: string }>({ orderId: field.id().required(), method: field.text(30) }),
    response: paymentShape,
    errors: ['email_not_verified', 'order_not_payable', 'order_not_found', 'payment_exists', 'payment_provider_unavailable'],
    handle: (ctx, { body, idempotencyKey = '' }) => startOrderPayment(ctx, body, idempotencyKey),
    view: paymentView,
  }),
  route({
    method: 'get',
    path: '/v1/payments',
    summary: 'Payments, newest first; status=orphaned lists money that has no order',
    permission: 'payments:read',
    query: Joi.object<PaymentQuery>({ ...pageQueryKeys, orderId: field.id(), status: Joi.string().valid(...PAYMENT_STATUSES) }),
    response: pageOf(paymentShape),
    handle: (ctx, { query }) => listPayments(ctx, query),
    view: (page) => mapPage(page, paymentView),
  }),
  route({
    method: 'get',
    path: '/v1/payments/:id',
    summary: 'One payment',
    permission: 'payments:read',
    params: idParams,
    response: paymentShape,
    handle: (ctx, { params }) => getPayment(ctx, params.id),
    view: paymentView,
  }),
  route({
    method: 'post',
    path: '/v1/payments/:id/verify',
    summary: 'Prove a payment with the signature of the provider’s checkout; captured once, however often it is sent',
    permission: 'payments:write',
    idempotent: 'accepted',
    params: idParams,
    body: shape<{ providerPaymentId: string; signature: string }>({
      providerPaymentId: field.text(100).required(),
      signature: field.text(200).required(),
    }),
    response: paymentShape,
    errors: ['invalid_signature', 'payment_not_found'],
    handle: (ctx, { params, body }) => verifyPayment(ctx, params.id, body),
    view: paymentView,
  }),
  route({
    method: 'post',
    path: '/v1/payments/:id/refunds',
    summary: 'Give back all or a part of a captured or orphaned payment',
    permission: 'payments:write',
    idempotent: 'required',
    status: 201,
    params: idParams,
    body: shape<RefundInput>({ amountPaise: field.count(1, 1_000_000_000_000), reason: field.text(300) }),
    response: shape<RefundView>({
      id: field.id().required(),
      paymentId: field.id().required(),
      amountPaise: field.paise().required(),
      status: Joi.string().valid('pending', 'processed').required(),
      reason: Joi.string(),
      paymentStatus: Joi.string().required(),
      refundedPaise: field.paise().required(),
      createdAt: field.isoTime().required(),
    }),
    errors: ['payment_not_refundable', 'refund_too_large', 'insufficient_balance', 'payment_not_found'],
    handle: (ctx, { params, body }) => refundPayment(ctx, params.id, body),
    view: refundView,
  }),
  route({
    method: 'get',
    path: '/v1/admin/payment-events',
    summary: 'Events of the payment provider that ended so (default amount_mismatch: another amount than was asked for), newest first',
    description: 'Kept 30 days. unknown_order is money for an order that is not ours; neither is credited, a person decides.',
    permission: 'admin:payments',
    query: Joi.object<EventQuery>({ ...pageQueryKeys, outcome: Joi.string().valid(...EVENT_OUTCOMES) }),
    response: pageOf(eventShape),
    handle: (ctx, { query }) => listEvents(ctx, query),
    view: (page) => mapPage(page, eventView),
  }),
  route({
    method: 'post',
    path: '/v1/webhooks/razorpay',
    summary: 'Events of the payment provider, signed over the bytes of the body',
    description: 'X-Razorpay-Signature is the HMAC-SHA256 of the body in hex; X-Razorpay-Event-Id makes a repeat harmless.',
    permission: 'public',
    limit: 'scans',
    rawBody: 'bytes',
    response: shape<{ received: boolean }>({ received: Joi.boolean().required() }),
    errors: ['invalid_signature', 'invalid_event'],
    handle: (ctx, { rawBody, request }) =>
      receiveEvent(ctx, { rawBody, signature: header(request.headers['x-razorpay-signature']), eventId: header(request.headers['x-razorpay-event-id']) }),
    view: () => ({ received: true }),
  }),
];

function header(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

export const paymentDevRoutes = [
  route({
    method: 'post',
    path: '/dev/sandbox/payments/:providerOrderId/pay',
    summary: 'Play the payer: what the sandbox’s checkout page would hand over',
    permission: 'public',
    limit: 'none',
    params: shape<{ providerOrderId: string }>({ providerOrderId: field.text(100).required() }),
    response: shape<{ providerPaymentId: string; signature: string }>({ providerPaymentId: Joi.string().required(), signature: Joi.string().required() }),
    handle: (ctx, { params }) => paySandbox(ctx, params.providerOrderId),
    view: (proof) => proof,
  }),
];
