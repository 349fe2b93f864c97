import { now, nowMs } from './clock.ts';
import { machineRows } from './db/machine-rows.ts';
import { newId } from './ids.ts';
import { runtime } from './runtime.ts';

interface LeaseRow {
  _id: string;
  owner?: string;
  leaseUntil?: Date;
}

const leases = machineRows<LeaseRow>('schedules', []);

/** One of several processes at a time does a piece of work. */
export interface Lease {
  /** True when this process holds it; renewed only in its second half, for a lease in hand needs no command. */
  hold(): Promise<boolean>;
  /** Gives it back, so that another process need not wait for its end. */
  release(): Promise<void>;
}

/** Makes this process's side of a lease of JOB_LEASE_MS. */
export function makeLease(name: string): Lease {
  const owner = newId();
  let untilMs = 0;
  return {
    async hold() {
      const { jobLeaseMs } = runtime().config;
      if (untilMs - nowMs() > jobLeaseMs / 2) return true;
      const leaseUntil = new Date(nowMs() + jobLeaseMs);
      await leases.insertNew([{ _id: name }]);
      const free = [{ owner }, { leaseUntil: { $lt: now() } }, { owner: { $exists: false } }];
      const held = await leases.change({ _id: name, $or: free }, { $set: { owner, leaseUntil } });
      untilMs = held ? leaseUntil.getTime() : 0;
      return held !== undefined;
    },
    async release() {
      untilMs = 0;
      await leases.change({ _id: name, owner }, { $unset: { owner: '', leaseUntil: '' } });
    },
  };
}
