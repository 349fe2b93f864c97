import { machineRows } from '../../platform/db/machine-rows.ts';

/** One change of one stored row, written by the transaction that made it: names of fields, never their values. */
export interface AuditRow {
  _id: string;
  at: Date;
  collection: string;
  rowId: string;
  action: 'insert' | 'update' | 'delete';
  fields: string[];
  actorKind: string;
  actorId: string;
  companyId: string;
  requestId: string;
}

export const auditRows = machineRows<AuditRow>('audit', [
  { keys: { companyId: 1, at: -1, _id: -1 } },
  { keys: { rowId: 1, at: -1, _id: -1 } },
  { keys: { at: -1, _id: -1 } },
]);
