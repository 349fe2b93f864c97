import { randomBytes } from 'node:crypto';
import type { Connection } from './client.ts';

export const MERCHANTS = 20;
export const SKUS = 100;
export const COUPONS = 10;
export const CUSTOMERS = 500;

export interface Shop {
  token: string;
  companyId: string;
  locationId: string;
  email: string;
}

const any = (n: number): number => Math.floor(Math.random() * n);

async function post(c: Connection, path: string, body: unknown, token?: string, key?: string): Promise<Record<string, unknown>> {
  const reply = await c.send('POST', path, { ...(token ? { token } : {}), ...(key ? { key } : {}), body: JSON.stringify(body) });
  if (reply.status >= 300) throw new Error(`${path}: ${reply.status} ${reply.body.slice(0, 500)}`);
  return JSON.parse(reply.body || '{}') as Record<string, unknown>;
}

/** Opens one merchant's shop over the API: company, location, products with plenty of stock, coupons. */
export async function openShop(c: Connection, n: number, skus = SKUS, quantity = 50_000_000): Promise<Shop> {
  const email = `owner${n}.${randomBytes(4).toString('hex')}@bench.example.in`;
  const registered = await post(c, '/v1/auth/register', { companyName: `Bench ${n}`, name: 'Asha Rao', email, phone: '9800012345', password: 'Correct-Horse-7-Battery' });
  const token = String(registered['accessToken']);
  const companyId = String((registered['company'] as { id: string }).id);
  const location = await post(c, '/v1/locations', { name: 'Main', contactName: 'Asha Rao', phone: '9800012345', line1: '1 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' }, token);
  const locationId = String(location['id']);
  const names = Array.from({ length: skus }, (_, i) => `SKU-${i}`);
  for (const sku of names) {
    const size = { weightGrams: 300, lengthMm: 150, breadthMm: 100, heightMm: 40 };
    await post(c, '/v1/products', { sku, name: `Product ${sku}`, pricePaise: 49_900, hsnCode: '610910', taxBp: 1200, ...size }, token);
  }
  for (let at = 0; at < names.length; at += 100) {
    const lines = names.slice(at, at + 100).map((sku) => ({ sku, locationId, quantity: Math.min(quantity, 1_000_000) }));
    await post(c, '/v1/stock/receipts', { reference: `OPENING-${at}`, lines }, token);
  }
  for (let i = 0; i < COUPONS; i += 1) {
    await post(c, '/v1/coupons', { code: `SAVE${i}`, kind: 'flat', valuePaise: 1000, usageLimit: 1_000_000_000, perCustomerLimit: 1_000_000 }, token);
  }
  return { token, companyId, locationId, email };
}

/** The body of one order: three lines, a coupon, one of 500 customers. */
export function orderBody(): string {
  const skus = new Set<string>();
  while (skus.size < 3) skus.add(`SKU-${any(SKUS)}`);
  const n = any(CUSTOMERS);
  return JSON.stringify({
    customer: { name: `Buyer ${n}`, phone: `98${String(10_000_000 + n).padStart(8, '0')}`, email: `buyer${n}@example.in` },
    shippingAddress: { line1: `Flat ${n}, Tower B`, line2: 'Opposite the bank', city: 'Bengaluru', state: 'Karnataka', pincode: '560001', country: 'IN' },
    lines: [...skus].map((sku) => ({ sku, quantity: 1 + any(3) })),
    paymentMethod: 'prepaid',
    couponCode: `SAVE${any(COUPONS)}`,
  });
}

export const newKey = (): string => randomBytes(12).toString('hex');
