import { PLATFORM_COMPANY_ID, systemCtx } from '../../platform/context.ts';
import type { Module } from '../../platform/module.ts';
import { watchRates } from './rate-cache.service.ts';
import { rateCardRoutes } from './rate-card.routes.ts';
import { rateChecks } from './rate.checks.ts';
import { rateRoutes } from './rate.routes.ts';
import { zoneRules } from './rate.service.ts';
import { installReferenceData } from './reference.service.ts';
import { zoneRoutes } from './zone.routes.ts';

export { parseOptionId } from './option.rules.ts';
export type { Journey, NotServiceable, RateOption, ServiceabilityRow } from './option.rules.ts';
export type { Direction, PriceLine } from './price.rules.ts';
export type { QuoteRequest } from './rate-request.rules.ts';
export { markCardUsed } from './rate-card.service.ts';
export { rateOptionShape } from './rate.routes.ts';
export { priceOption, quoteFor, type PriceAnswer, type PricedOption, type PriceRequest, type Quote } from './rate.service.ts';
export { installReferenceData } from './reference.service.ts';
export { isServiceable, putServiceability, storeServiceability } from './serviceability.service.ts';

export const ratesModule: Module = {
  name: 'rates',
  routes: [...rateRoutes, ...rateCardRoutes, ...zoneRoutes],
  checks: rateChecks,
  async start() {
    await Promise.all([installReferenceData(systemCtx('reference data', PLATFORM_COMPANY_ID)), zoneRules()]);
    return watchRates();
  },
};
