import Joi from 'joi';
import { PLATFORM_COMPANY_ID } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import type { PaisePerZone, RateCardTerms, RateTier } from './price.rules.ts';
import { pickTerms, type RateCardChange, type RateCardInput, type RtoInput } from './rate-card-input.rules.ts';
import { RATE_CARD_LIMITS } from './rate-card.rules.ts';
import {
  activateRateCard,
  addRateCard,
  archiveRateCard,
  changeRateCard,
  getRateCard,
  listRateCards,
  type RateCardQuery,
} from './rate-card.service.ts';
import { RATE_CARD_STATUSES, type RateCard, type RateCardStatus } from './rate.model.ts';
import { ZONES, type ZoneOverride } from './zone.rules.ts';

interface RateCardView extends RateCardTerms {
  id: string;
  cardKey: string;
  cardVersion: number;
  status: RateCardStatus;
  active: boolean;
  /** True once something was priced by it: its terms are then fixed. */
  used: boolean;
  /** True for a default card of the platform. */
  platform: boolean;
  usedAt?: string;
  version: number;
  createdAt: string;
}

function rateCardView(row: Row<RateCard>): RateCardView {
  return {
    id: row._id,
    ...pickTerms(row),
    cardKey: row.cardKey,
    cardVersion: row.cardVersion,
    status: row.status,
    active: row.status === 'active',
    used: row.usedAt !== undefined,
    platform: row.companyId === PLATFORM_COMPANY_ID,
    ...(row.usedAt && { usedAt: row.usedAt.toISOString() }),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
  };
}

const { grams, paise, codPaise, divisor, days, tiers, zoneRules, pincodesPerRule } = RATE_CARD_LIMITS;
const bp = field.count(0, 20_000);
const perZone = (max: number) => {
  const value = field.count(0, max).required();
  return shape<PaisePerZone>({ A: value, B: value, C: value, D: value, E: value });
};
const tier = shape<RateTier>({
  uptoGrams: field.count(1, grams).allow(null).required(),
  stepGrams: field.count(1, grams).required(),
  paise: perZone(paise).required(),
});
const tierList = Joi.array().items(tier).min(1).max(tiers);
const texts = (max: number) => Joi.array().items(field.text(max)).max(pincodesPerRule);
const zoneRule = shape<ZoneOverride>({
  zone: Joi.string().valid(...ZONES).required(),
  originPincodes: texts(6),
  destinationPincodes: texts(6),
  prefixes: texts(6),
  states: texts(100),
});
const rto = shape<RtoInput>({ kind: Joi.string().valid('percent', 'table').required(), bp, tiers: tierList });

const termKeys = {
  name: field.text(200),
  mode: Joi.string().valid('surface', 'air'),
  divisor: field.count(1, divisor),
  minGrams: field.count(0, grams),
  maxGrams: field.count(1, grams),
  maxCodPaise: field.count(0, codPaise),
  tiers: tierList,
  rto,
  fuelBp: bp,
  cod: shape<RateCardTerms['cod']>({ flatPaise: field.count(0, paise).required(), bp: bp.required() }),
  codRefundOnRto: Joi.boolean(),
  oda: shape<RateCardTerms['oda']>({ flatPaise: field.count(0, paise).required(), perKgPaise: field.count(0, paise).required() }),
  gstBp: bp,
  days: perZone(days),
  zoneRules: Joi.array().items(zoneRule).max(zoneRules),
};

const requiredKeys = {
  ...termKeys,
  name: termKeys.name.required(),
  courier: field.text(64).required(),
  service: field.text(64).required(),
  mode: termKeys.mode.required(),
  divisor: termKeys.divisor.required(),
  minGrams: termKeys.minGrams.required(),
  maxGrams: termKeys.maxGrams.required(),
  maxCodPaise: termKeys.maxCodPaise.required(),
  tiers: tierList.required(),
  rto: rto.required(),
  fuelBp: bp.required(),
  cod: termKeys.cod.required(),
  codRefundOnRto: termKeys.codRefundOnRto.required(),
  oda: termKeys.oda.required(),
  gstBp: bp.required(),
};

const rateCardShape = shape<Omit<RateCardView, 'rto'> & { rto: RtoInput }>({
  ...requiredKeys,
  id: field.id().required(),
  cardKey: field.id().required(),
  cardVersion: field.version().required(),
  status: Joi.string().valid(...RATE_CARD_STATUSES).required(),
  active: Joi.boolean().required(),
  used: Joi.boolean().required(),
  platform: Joi.boolean().required(),
  usedAt: field.isoTime(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
});

export const rateCardRoutes = [
  route({
    method: 'post',
    path: '/v1/rate-cards',
    summary: 'Add a rate card as a draft; it prices nothing until it is activated',
    permission: 'rate-cards:write',
    idempotent: 'accepted',
    status: 201,
    body: shape<RateCardInput>(requiredKeys),
    response: rateCardShape,
    handle: (ctx, { body }) => addRateCard(ctx, body),
    view: rateCardView,
  }),
  route({
    method: 'get',
    path: '/v1/rate-cards',
    summary: "The company's own rate cards and the platform's, newest first",
    permission: 'rate-cards:read',
    query: Joi.object<RateCardQuery>({
      ...pageQueryKeys,
      courier: field.text(64),
      service: field.text(64),
      status: Joi.string().valid(...RATE_CARD_STATUSES),
    }),
    response: pageOf(rateCardShape),
    handle: (ctx, { query }) => listRateCards(ctx, query),
    view: (page) => mapPage(page, rateCardView),
  }),
  route({
    method: 'get',
    path: '/v1/rate-cards/:id',
    summary: 'One version of a rate card',
    permission: 'rate-cards:read',
    params: idParams,
    response: rateCardShape,
    handle: (ctx, { params }) => getRateCard(ctx, params.id),
    view: rateCardView,
  }),
  route({
    method: 'patch',
    path: '/v1/rate-cards/:id',
    summary: 'Change the terms of a rate card',
    description:
      'A card that nothing was priced by changes in place. A used or retired one stays as it is: the answer is a new ' +
      'draft with its own id and the same cardKey; activate it to price by it.',
    permission: 'rate-cards:write',
    ifMatch: true,
    params: idParams,
    body: shape<RateCardChange>(termKeys).min(1),
    response: rateCardShape,
    handle: (ctx, { params, body, ifMatch }) => changeRateCard(ctx, params.id, body, ifMatch),
    view: rateCardView,
  }),
  route({
    method: 'put',
    path: '/v1/rate-cards/:id/activate',
    summary: 'Price by this version from now on; the one before is retired',
    permission: 'rate-cards:write',
    ifMatch: true,
    params: idParams,
    response: rateCardShape,
    errors: ['too_many_rate_cards'],
    handle: (ctx, { params, ifMatch }) => activateRateCard(ctx, params.id, ifMatch),
    view: rateCardView,
  }),
  route({
    method: 'delete',
    path: '/v1/rate-cards/:id',
    summary: 'Take an unused rate card out of use and out of sight',
    permission: 'rate-cards:write',
    ifMatch: true,
    params: idParams,
    response: rateCardShape,
    errors: ['rate_card_used'],
    handle: (ctx, { params, ifMatch }) => archiveRateCard(ctx, params.id, ifMatch),
    view: rateCardView,
  }),
];
