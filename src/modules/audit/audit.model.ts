import { fieldNames, type AuditRow } from '../../platform/db/audit-seal.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';

export { fieldNames, type AuditRow };

/** What a row says, and nothing of what it carries for the chain while it waits for its link. */
export const AUDIT_FIELDS: readonly (keyof AuditRow)[] = ['_id', 'at', 'collection', 'rowId', 'action', 'fields', 'actorKind', 'actorId', 'companyId', 'requestId'];

export const auditRows = machineRows<AuditRow>('audit', [
  { keys: { companyId: 1, at: -1, _id: -1 } },
  { keys: { rowId: 1, at: -1, _id: -1 } },
  { keys: { requestId: 1, at: -1, _id: -1 } },
]);
