import type { Module } from '../../platform/module.ts';
import { companyRoutes } from './company.routes.ts';

export type { Company, CompanyStatus, KycStatus, Location, Place } from './company.model.ts';
export { placeOf } from './company.rules.ts';
export { activeLocation, activeLocations, addLocation, createCompany, getLocation, noteEmailVerified, ownCompany } from './company.service.ts';
export { changeCompanyStatus, confirmClosed, getAnyCompany, listAllCompanies, type CompanyFilter, type StatusDecision } from './company.staff.service.ts';
export { companiesById, eachCompany, requireMayReceiveMoney, setKycStatus, type KycFacts } from './company.kyc.ts';
export { companyShape, companyView, type CompanyView } from './company.routes.ts';

export const companiesModule: Module = { name: 'companies', routes: companyRoutes };
