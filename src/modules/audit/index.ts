import type { Module } from '../../platform/module.ts';
import { auditRetention } from './audit.retention.ts';
import { auditRoutes } from './audit.routes.ts';
import { auditChainHolds } from './chain.checks.ts';
import { securityEventRoutes } from './security-event.routes.ts';

export { SECURITY_EVENT_TYPES, type SecurityEvent, type SecurityEventType, type Severity } from './security-event.model.ts';
export { AUDIT_CHAIN_CHECK } from './chain.checks.ts';
export { eachAuditRow } from './audit.service.ts';
export { findSecurityEvent, noteSecurityEvent, reportBounded, reportSecurityEvent, takeMailing, type SecurityNote } from './security-event.service.ts';

export const auditModule: Module = { name: 'audit', routes: [...auditRoutes, ...securityEventRoutes], checks: [auditChainHolds], retention: auditRetention };
