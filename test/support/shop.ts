import { strict as assert } from 'node:assert';
import { randomToken } from '../../src/platform/ids.ts';
import type { Answer, Merchant, World } from './world.ts';

export const PRODUCT = { name: 'Brass Lamp', pricePaise: 49_900, hsnCode: '741999', taxBp: 1800, weightGrams: 400, lengthMm: 120, breadthMm: 100, heightMm: 80 };

export const CUSTOMER = { name: 'Meera Nair', phone: '98765 43210', email: 'Meera@Example.in' };
export const ADDRESS = { line1: 'Flat 12, Tower B', city: 'Bengaluru', state: 'KA', pincode: '560001', country: 'IN' };

/** A product with stock at the merchant's location. */
export async function stockProduct(world: World, merchant: Merchant, sku: string, quantity: number, product: Partial<typeof PRODUCT> = {}): Promise<string> {
  const made = await world.api('POST', '/v1/products', { token: merchant.token, body: { sku, ...PRODUCT, ...product } });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  if (quantity > 0) {
    const received = await world.api('POST', '/v1/stock/receipts', { token: merchant.token, body: { reference: `IN-${sku}`, lines: [{ sku, locationId: merchant.locationId, quantity }] } });
    assert.ok(received.status < 300, JSON.stringify(received.body));
  }
  return made.body.id;
}

/** The body of an order for some lines. */
export function orderBody(lines: object[], extra: object = {}): Record<string, unknown> {
  return { customer: CUSTOMER, shippingAddress: ADDRESS, lines, paymentMethod: 'cod', ...extra };
}

/** Places an order with a key of its own. */
export function place(world: World, token: string, lines: object[], extra: object = {}): Promise<Answer> {
  return world.api('POST', '/v1/orders', { token, key: randomToken(12), body: orderBody(lines, extra) });
}
