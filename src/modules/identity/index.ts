import type { Module } from '../../platform/module.ts';
import { startSessionFeed } from './access.ts';
import { apiKeyRoutes } from './api-key.routes.ts';
import { authRoutes } from './auth.routes.ts';
import { googleRoutes } from './google.routes.ts';
import { identityChecks } from './identity.checks.ts';
import { sessionRetention } from './session.retention.ts';
import { endSessionsJob, onCompanyStatus, sendResetMail } from './identity.jobs.ts';
import { memberRoutes } from './member.routes.ts';
import { mfaRoutes } from './mfa.routes.ts';
import { staffRoutes } from './staff.routes.ts';

export { findUserByEmail, passwordFits } from './access.queries.ts';
export { makeAuthenticator, startSessionFeed } from './access.ts';
export { createOperator, registerCompany, type Registration } from './account.service.ts';
export { endCompanyAccess } from './end-access.service.ts';
export { contactsOf, mailReceivers } from './contact.queries.ts';
export { noteKyc, ownersOf, peopleOfKyc } from './owner.service.ts';
export { assertFresh, type Proofs } from './reauth.service.ts';
export { endCompanySessions, shutOut, switchOffMfa, unlockUser } from './staff.service.ts';
export type { User } from './user.model.ts';

export const identityModule: Module = {
  name: 'identity',
  routes: [...authRoutes, ...mfaRoutes, ...googleRoutes, ...memberRoutes, ...apiKeyRoutes, ...staffRoutes],
  jobs: [sendResetMail, endSessionsJob],
  subscribers: [onCompanyStatus],
  checks: identityChecks,
  retention: sessionRetention,
  start: startSessionFeed,
};
