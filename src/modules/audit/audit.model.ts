import { fieldNames, type AuditRow } from '../../platform/db/audit-seal.ts';
import { machineRows } from '../../platform/db/machine-rows.ts';

export { fieldNames, type AuditRow };

export const auditRows = machineRows<AuditRow>('audit', [
  { keys: { companyId: 1, at: -1, _id: -1 } },
  { keys: { rowId: 1, at: -1, _id: -1 } },
  { keys: { requestId: 1, at: -1, _id: -1 } },
]);
