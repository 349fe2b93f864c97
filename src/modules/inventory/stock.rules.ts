import type { MovementKind, Stock } from './stock.model.ts';

/** What one unit of a kind of movement does to a row: onHand, reserved and, as their difference, available. */
export const EFFECTS: Readonly<Record<MovementKind, { onHand: -1 | 0 | 1; reserved: -1 | 0 | 1 }>> = {
  receipt: { onHand: 1, reserved: 0 },
  reserve: { onHand: 0, reserved: 1 },
  release: { onHand: 0, reserved: -1 },
  ship: { onHand: -1, reserved: -1 },
  return: { onHand: 1, reserved: 0 },
  adjust: { onHand: 1, reserved: 0 },
  transfer_out: { onHand: -1, reserved: 0 },
  transfer_in: { onHand: 1, reserved: 0 },
  consume: { onHand: -1, reserved: 0 },
  count: { onHand: 1, reserved: 0 },
};

/** What a set of movements does to one row. */
export type StockDelta = Pick<Stock, 'onHand' | 'reserved' | 'available'>;

/** The change of a row by `quantity` of a kind; quantity is signed for adjustments and counts only. */
export function deltaOf(kind: MovementKind, quantity: number): StockDelta {
  const onHand = EFFECTS[kind].onHand * quantity;
  const reserved = EFFECTS[kind].reserved * quantity;
  return { onHand: onHand + 0, reserved: reserved + 0, available: onHand - reserved + 0 };
}

/** What the row must have before the change, so that nothing is negative after it. */
export function guardOf(delta: StockDelta): { available?: { $gte: number }; reserved?: { $gte: number } } {
  return {
    ...(delta.available < 0 ? { available: { $gte: -delta.available } } : {}),
    ...(delta.reserved < 0 ? { reserved: { $gte: -delta.reserved } } : {}),
  };
}
