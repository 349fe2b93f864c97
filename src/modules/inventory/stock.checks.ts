import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type OutsideTx } from '../../platform/context.ts';
import type { Check } from '../../platform/module.ts';
import { movements, stock } from './stock.model.ts';

function everywhere(): OutsideTx {
  return acrossCompanies(systemCtx('checks', PLATFORM_COMPANY_ID), 'invariant checks');
}

/** available = onHand − reserved, and nothing is negative. */
const arithmetic: Check = {
  name: 'stock: available = on hand - reserved >= 0',
  async run() {
    const wrong: string[] = [];
    for await (const { _id, onHand, reserved, available } of stock.each(everywhere(), {})) {
      if (available !== onHand - reserved) wrong.push(`Stock ${_id}: available ${available} is not on hand ${onHand} - reserved ${reserved}`);
      if (Math.min(onHand, reserved, available) < 0) wrong.push(`Stock ${_id}: on hand ${onHand}, reserved ${reserved}, available ${available}: negative`);
    }
    return wrong;
  },
};

interface Sums {
  _id: { companyId: string; sku: string; locationId: string };
  onHand: number;
  reserved: number;
}

/** The movements of a row, summed, are the row; no movement is without a row. */
const sums: Check = {
  name: 'stock = sum of its movements',
  async run() {
    const ctx = everywhere();
    const summed = await movements.aggregate<Sums>(ctx, [
      { $unwind: '$lines' },
      {
        $group: {
          _id: { companyId: '$companyId', sku: '$lines.sku', locationId: '$locationId' },
          onHand: { $sum: '$lines.onHandDelta' },
          reserved: { $sum: '$lines.reservedDelta' },
        },
      },
    ]);
    const expected = new Map(summed.map(({ _id, onHand, reserved }) => [`${_id.companyId}|${_id.sku}|${_id.locationId}`, { onHand, reserved }]));
    const wrong: string[] = [];
    for await (const { _id, companyId, sku, locationId, onHand, reserved } of stock.each(ctx, {})) {
      const key = `${companyId}|${sku}|${locationId}`;
      const sum = expected.get(key) ?? { onHand: 0, reserved: 0 };
      expected.delete(key);
      if (sum.onHand !== onHand || sum.reserved !== reserved) {
        wrong.push(`Stock ${_id}: on hand ${onHand}, reserved ${reserved}, but its movements sum to ${sum.onHand}, ${sum.reserved}`);
      }
    }
    for (const key of expected.keys()) wrong.push(`Movements without a stock row: ${key}`);
    return wrong;
  },
};

export const stockChecks = [arithmetic, sums];
