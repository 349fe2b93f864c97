import { strict as assert } from 'node:assert';
import { creditWallet } from '../../src/modules/wallet/index.ts';
import { systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { randomToken } from '../../src/platform/ids.ts';
import { orderBody } from './shop.ts';
import type { Answer, Merchant, World } from './world.ts';

/** Puts money into a company's wallet. */
export async function fund(world: World, shop: Merchant, amountPaise = 10_000_000): Promise<void> {
  await withTransaction(systemCtx('test', shop.companyId), (tx) => creditWallet(tx, { amountPaise, cause: 'test money' }));
  await world.settle();
}

/** A placed order of one SKU outside the catalogue, or of the given lines. */
export async function makeOrder(world: World, shop: Merchant, more: Record<string, unknown> = {}): Promise<Answer['body']> {
  const lines = [{ sku: 'TOY-1', name: 'Wooden toy', quantity: 2, unitPricePaise: 50_000 }];
  const answer = await world.api('POST', '/v1/orders', { token: shop.token, key: randomToken(9), body: { ...orderBody(lines), ...more } });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

/** POST shipments with a fresh key, or the given one. */
export function book(world: World, shop: Pick<Merchant, 'token'>, body: Record<string, unknown>, key = randomToken(9)): Promise<Answer> {
  return world.api('POST', '/v1/shipments', { token: shop.token, key, body });
}

/** An order and its shipment. */
export async function makeShipment(world: World, shop: Merchant, more: Record<string, unknown> = {}): Promise<Answer['body']> {
  const order = await makeOrder(world, shop, more);
  const answer = await book(world, shop, { orderId: order.id });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

/** The wallet as the company sees it. */
export async function walletOf(world: World, shop: Merchant): Promise<{ balancePaise: number; heldPaise: number; availablePaise: number }> {
  return (await world.api('GET', '/v1/wallet', { token: shop.token })).body;
}
