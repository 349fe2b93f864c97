import Joi from 'joi';
import { field, route, shape } from '../../platform/route.ts';
import type { NotServiceable, RateOption, ServiceabilityRow } from './option.rules.ts';
import type { PriceLine } from './price.rules.ts';
import { RATE_CARD_LIMITS } from './rate-card.rules.ts';
import type { GeoPoint, QuoteRequest } from './rate-request.rules.ts';
import { quoteFor, type Quote } from './rate.service.ts';
import { MAX_ROWS, putServiceability, serviceabilityOf, type CourierAt, type PincodeServiceability } from './serviceability.service.ts';
import { ZONES } from './zone.rules.ts';

const grams = field.count(1, RATE_CARD_LIMITS.grams).required();
const lengthMm = field.count(1, 100_000).required();

const quoteRequest = shape<QuoteRequest>({
  originPincode: field.text(20).required(),
  destinationPincode: field.text(20).required(),
  weightGrams: grams,
  lengthMm,
  breadthMm: lengthMm,
  heightMm: lengthMm,
  paymentMethod: Joi.string().valid('prepaid', 'cod').required(),
  codPaise: field.paise(),
  declaredValuePaise: field.paise(),
  direction: Joi.string().valid('forward', 'rto', 'reverse'),
  rateCardId: field.id(),
  courier: field.text(64),
  service: field.text(64),
  supply: Joi.string().valid('intra', 'inter'),
  destinationPoint: shape<GeoPoint>({
    longitude: Joi.number().min(-180).max(180).required(),
    latitude: Joi.number().min(-90).max(90).required(),
  }),
});

const amount = field.paise().required();

const priceLine = shape<PriceLine>({
  code: Joi.string().valid('freight', 'fuel', 'oda', 'cod', 'igst', 'cgst', 'sgst', 'codRefund').required(),
  amountPaise: field.signedPaise().required(),
  why: Joi.string().required(),
});

export const rateOptionShape = shape<RateOption>({
  optionId: Joi.string().required(),
  courier: Joi.string().required(),
  service: Joi.string().required(),
  rateCardId: field.id().required(),
  rateCardVersion: field.version().required(),
  zone: Joi.string().valid(...ZONES).required(),
  zoneReason: Joi.string().required(),
  volumetricGrams: field.version().required(),
  chargeableGrams: field.version().required(),
  taxablePaise: amount,
  totalPaise: amount,
  lines: Joi.array().items(priceLine).required(),
  estimatedDays: field.version().allow(null).required(),
  rank: field.version().required(),
  reasons: Joi.array().items(Joi.string()).required(),
});

const quoteShape = shape<Quote>({
  options: Joi.array().items(rateOptionShape).required(),
  notServiceable: Joi.array()
    .items(shape<NotServiceable>({ courier: Joi.string().required(), service: Joi.string().required(), reason: Joi.string().required() }))
    .required(),
});

const courierAt = shape<CourierAt>({
  courier: Joi.string().required(),
  prepaid: Joi.boolean().required(),
  cod: Joi.boolean().required(),
  pickup: Joi.boolean().required(),
  reverse: Joi.boolean().required(),
  oda: Joi.boolean().required(),
  sortCode: Joi.string(),
});

const pincodeShape = shape<PincodeServiceability>({
  pincode: field.pincode().required(),
  state: Joi.string().required(),
  districts: Joi.array().items(Joi.string()).required(),
  inferred: Joi.boolean().required(),
  couriers: Joi.array().items(courierAt).required(),
});

const serviceabilityRow = shape<ServiceabilityRow>({
  pincode: field.text(20).required(),
  prepaid: Joi.boolean().required(),
  cod: Joi.boolean().required(),
  pickup: Joi.boolean().required(),
  reverse: Joi.boolean().required(),
  oda: Joi.boolean().required(),
  sortCode: field.text(30),
});

interface ServiceabilityInput {
  rows: ServiceabilityRow[];
  servesUnlisted?: boolean;
}

export const rateRoutes = [
  route({
    method: 'post',
    path: '/v1/rates',
    summary: 'Prices of a parcel by every active rate card, ranked, each with its reasons; nothing is stored',
    description:
      'Optional courier and service narrow the cards; rateCardId prices by one card, also a draft. With destinationPoint ' +
      'custom zones that have an area count too.',
    permission: 'rates:read',
    limit: 'api',
    body: quoteRequest,
    response: quoteShape,
    errors: ['rate_card_not_found', 'amount_too_large'],
    handle: (ctx, { body }) => quoteFor(ctx, body),
    view: (quote) => quote,
  }),
  route({
    method: 'get',
    path: '/v1/serviceability',
    summary: 'What is known of a pincode, and what each courier offers there',
    permission: 'couriers:read',
    query: shape<{ pincode: string }>({ pincode: field.text(20).required() }),
    response: pincodeShape,
    handle: (ctx, { query }) => serviceabilityOf(ctx, query.pincode),
    view: (answer) => answer,
  }),
  route({
    method: 'put',
    path: '/v1/couriers/:id/serviceability',
    summary: "Add or replace rows of a courier's serviceability; others stay",
    description:
      'At most 5,000 rows a call. A courier without rows serves every known pincode; with rows it serves the listed ones, ' +
      'and all others too when servesUnlisted is true.',
    permission: 'serviceability:write',
    params: shape<{ id: string }>({ id: Joi.string().pattern(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/).required() }),
    maxBodyBytes: 2 * 1024 * 1024,
    body: shape<ServiceabilityInput>({
      rows: Joi.array().items(serviceabilityRow).min(1).max(MAX_ROWS).required(),
      servesUnlisted: Joi.boolean(),
    }),
    response: shape<{ courier: string; servesUnlisted: boolean; rows: number }>({
      courier: Joi.string().required(),
      servesUnlisted: Joi.boolean().required(),
      rows: field.count(0, MAX_ROWS).required(),
    }),
    handle: (ctx, { params, body }) => putServiceability(ctx, params.id, body),
    view: (answer) => answer,
  }),
];
