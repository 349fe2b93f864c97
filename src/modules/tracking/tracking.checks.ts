import { nowMs } from '../../platform/clock.ts';
import type { Check } from '../../platform/module.ts';
import { eachToFold, type FoldedShipment } from '../shipments/index.ts';
import { foldShipment } from './effect.rules.ts';
import { storedScans } from './scan.record.ts';
import { scanBatches } from './tracking.model.ts';
import { everyCompany } from './tracking.service.ts';

const BATCH = 500;
const LATE_MS = 300_000;

/** Folding the stored scans again gives the stored state. */
const statesAreFolds: Check = {
  name: 'a shipment’s state is the fold of its stored scans',
  async run() {
    const faults: string[] = [];
    let batch: FoldedShipment[] = [];
    for await (const shipment of eachToFold(everyCompany('check'))) {
      if (!shipment.foldedAt) continue;
      batch.push(shipment);
      if (batch.length < BATCH) continue;
      faults.push(...(await compare(batch)));
      batch = [];
    }
    return [...faults, ...(await compare(batch))];
  },
};

const COMPARED = ['status', 'scanCount', 'unmapped', 'attempts', 'codDue', 'pickedUpAt', 'deliveredAt', 'rtoInitiatedAt', 'rtoDeliveredAt', 'lastScanAt'] as const;

async function compare(batch: readonly FoldedShipment[]): Promise<string[]> {
  if (batch.length === 0) return [];
  const stored = await storedScans(batch.map((shipment) => shipment._id));
  return batch.flatMap((shipment) => {
    const { state } = foldShipment(shipment, stored.get(shipment._id) ?? [], shipment.foldedAt ?? shipment.createdAt);
    const differing = COMPARED.filter((key) => JSON.stringify(state[key]) !== JSON.stringify(shipment[key]));
    return differing.length === 0 ? [] : [`shipment ${shipment._id}: ${differing.join(', ')} ${differing.length === 1 ? 'is' : 'are'} not what its scans say`];
  });
}

/** A batch of scans is folded soon after it was stored. */
const nothingPending: Check = {
  name: 'no scans wait for their fold longer than five minutes',
  async run() {
    const late = await scanBatches.find({ at: { $lt: new Date(nowMs() - LATE_MS) } }, { limit: 100 });
    return late.map(({ _id, at }) => `scan batch ${_id} waits since ${at.toISOString()}`);
  },
};

export const trackingChecks = [statesAreFolds, nothingPending];
