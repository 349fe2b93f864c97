import { systemCtx } from '../../platform/context.ts';
import { sealAlarm } from '../../platform/db/sealed.ts';
import type { Module } from '../../platform/module.ts';
import { reportBounded } from '../audit/index.ts';
import { onSecurityEvent } from './alert.jobs.ts';

/** A broken seal is a security event of the company whose row it is: one a minute for each collection. */
async function ringForSeals(): Promise<() => Promise<void>> {
  const before = sealAlarm.ring;
  const told = new Set<Promise<void>>();
  sealAlarm.ring = ({ collection, id, path }, companyId) => {
    const telling = reportBounded(systemCtx('sealed-values', companyId), `${companyId}|${collection}`, {
      type: 'security.seal_tampered',
      details: { collection, rowId: id, path },
    }).finally(() => told.delete(telling));
    told.add(telling);
  };
  return async () => {
    sealAlarm.ring = before;
    await Promise.all(told);
  };
}

export const alertsModule: Module = { name: 'alerts', subscribers: [onSecurityEvent], start: ringForSeals };
