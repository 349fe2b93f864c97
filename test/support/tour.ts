import { strict as assert } from 'node:assert';
import { randomToken } from '../../src/platform/ids.ts';
import { aadhaarOf, gstinOf, panOf, pdf } from './kyc.ts';
import { orderBody, PRODUCT } from './shop.ts';
import { PASSWORD, type Answer, type CallOptions, type World } from './world.ts';

type Api = World['api'];

/** What a tour made, for looking at afterwards. */
export interface Tour {
  token: string;
  companyId: string;
  email: string;
  ids: Record<'member' | 'location' | 'product' | 'coupon' | 'order' | 'import' | 'payment' | 'shipment' | 'manifest' | 'ndr' | 'key' | 'connection' | 'card' | 'zone' | 'kycFile' | 'invitation', string>;
  awb: string;
}

const CSV = 'externalId,customerName,customerPhone,line1,city,state,pincode,paymentMethod,sku,itemName,quantity,unitPricePaise\n';
const LOCATION = { name: 'Main', contactName: 'Asha Rao', phone: '9800012345', line1: '1 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' };
const CARD = {
  name: 'Own surface',
  courier: 'swift',
  service: 'surface',
  mode: 'surface',
  divisor: 5000,
  minGrams: 500,
  maxGrams: 20_000,
  maxCodPaise: 5_000_000,
  tiers: [{ uptoGrams: null, stepGrams: 500, paise: { A: 1000, B: 2000, C: 3000, D: 4000, E: 5000 } }],
  rto: { kind: 'percent', bp: 5000 },
  fuelBp: 0,
  cod: { flatPaise: 2000, bp: 100 },
  codRefundOnRto: true,
  oda: { flatPaise: 7000, perKgPaise: 100 },
  gstBp: 1800,
};

/**
 * A merchant's way through everything the service does, each call of which must succeed: from the registration to
 * parcels that are delivered, failed and cancelled. `settle` waits for the work in the background.
 */
export async function takeTour(api: Api, settle: () => Promise<void>): Promise<Tour> {
  let token = '';
  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer['body']> => {
    const answer = await api(method, path, { token, ...options });
    assert.ok(answer.status < 300, `${method} ${path} answers ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const post = (path: string, body: object, more: CallOptions = {}) => call('POST', path, { body, key: randomToken(12), ...more });

  const email = `tour.${randomToken(9).toLowerCase().replace(/[^a-z0-9]/g, 'x')}@shop.example.in`;
  const registered = await call('POST', '/v1/auth/register', { body: { companyName: 'Tour', name: 'Asha Rao', email, phone: '9800012345', password: PASSWORD } });
  token = registered.accessToken;
  await settle();
  const mailbox = await call('GET', `/dev/mailbox?to=${encodeURIComponent(email)}`);
  const links = (mailbox.data as { links: string[] }[]).flatMap((mail) => mail.links);
  const proof = links.map((link) => new URL(link).searchParams.get('token')).find(Boolean);
  await call('POST', '/v1/auth/email/verify', { body: { token: proof } });
  token = (await call('POST', '/v1/auth/login', { body: { email, password: PASSWORD } })).accessToken;
  const member = await post('/v1/company/members', { email: `m.${email}`, name: 'Ravi Iyer', role: 'operations', password: PASSWORD });
  const invitation = await post('/v1/company/invitations', { email: `i.${email}`, role: 'viewer' });
  const key = await call('POST', '/v1/api-keys', { body: { name: 'Tour', scopes: ['orders:read'] } });
  await call('GET', '/v1/orders', { token: key.key });

  const location = await post('/v1/locations', LOCATION);
  const product = await post('/v1/products', { sku: 'TOUR-1', ...PRODUCT });
  const stock = [{ sku: 'TOUR-1', locationId: location.id, quantity: 500 }];
  await post('/v1/stock/receipts', { reference: 'IN-1', lines: stock });
  await call('PATCH', `/v1/products/${product.id}`, { ifMatch: product.version, body: { pricePaise: 48_000 } });
  const coupon = await post('/v1/coupons', { code: 'TOUR', kind: 'flat', valuePaise: 1_000, usageLimit: 100_000, perCustomerLimit: 1_000 });
  await call('POST', '/v1/coupons/validate', { body: { code: 'TOUR', subtotalPaise: 100_000, customer: { phone: '9876543210' } } });

  const topup = await post('/v1/wallet/topups', { amountPaise: 50_000_000 });
  await call('POST', `/v1/payments/${topup.paymentId}/verify`, { body: await call('POST', `/dev/sandbox/payments/${topup.providerOrderId}/pay`) });

  const lines = [{ sku: 'TOUR-1', quantity: 1 }];
  const place = (extra: object = {}) => post('/v1/orders', orderBody(lines, extra));
  const placed = await Promise.all([place({ externalId: 'X-1', tags: ['gift'], couponCode: 'TOUR' }), place(), place(), place(), place()]);
  const [order, second, third, cancelled, edited] = placed;
  await call('POST', `/v1/orders/${cancelled.id}/cancel`, { ifMatch: cancelled.version, body: {} });
  await call('PATCH', `/v1/orders/${edited.id}`, { ifMatch: edited.version, body: { notes: 'ring twice' } });
  await call('POST', `/v1/orders/${edited.id}/confirm`, { ifMatch: edited.version + 1, body: {} });
  const unpaid = await post('/v1/orders', orderBody(lines, { paymentMethod: 'prepaid', collectPayment: true }));
  const payment = await post('/v1/payments', { orderId: unpaid.id });
  await call('POST', `/v1/payments/${payment.id}/verify`, { body: await call('POST', `/dev/sandbox/payments/${payment.providerOrderId}/pay`) });

  const form = new FormData();
  form.set('kind', 'orders');
  form.set('mode', 'skip_invalid');
  form.set('file', new Blob([`${CSV}I-1,Asha Menon,9845012345,12 Lake View,Bengaluru,Karnataka,560001,prepaid,TOUR-1,Lamp,1,39900\nI-2,,x,,,,,,,,,\n`]), 'orders.csv');
  const imported = await call('POST', '/v1/imports', { raw: form });
  await settle();
  assert.deepEqual((await call('GET', `/v1/imports/${imported.id}`)).counts.imported, 1);

  await call('POST', '/v1/rates', { body: { originPincode: '110001', destinationPincode: '560001', weightGrams: 400, lengthMm: 150, breadthMm: 100, heightMm: 50, paymentMethod: 'prepaid' } });
  await call('GET', '/v1/serviceability?pincode=560001');
  const card = await post('/v1/rate-cards', CARD);
  const zone = await post('/v1/zones', { name: 'South', zone: 'A', postalCodes: ['560001'], carriers: ['swift'] });
  const connection = await call('POST', '/v1/connections', { body: { courier: 'sandbox', mode: 'sandbox', credentials: { seed: 'ok' } } });

  const kycFile = await proveCompany(call);

  const shipment = await post('/v1/shipments', { orderId: order.id });
  await settle();
  const bulk = await post('/v1/shipments/bulk', { orderIds: [second.id, third.id] });
  const [failed, returned] = (bulk.results as { shipmentId: string }[]).map((r) => r.shipmentId);
  await settle();
  await call('GET', `/v1/shipments/${shipment.id}/label.pdf`);
  const { awb, courier } = await call('GET', `/v1/shipments/${shipment.id}`);
  const manifest = await post('/v1/manifests', { shipmentIds: [shipment.id] });
  const today = new Date(Date.now() + 19_800_000).toISOString().slice(0, 10);
  await post('/v1/pickups', { locationId: location.id, courier, date: today, shipmentIds: [shipment.id] });
  const at = (hours: number, status: string, more = {}) => ({ code: status, status, occurredAt: new Date(Date.now() - (60 - hours) * 3_600_000).toISOString(), ...more });
  await post(`/v1/shipments/${awb}/scans`, { events: [at(1, 'picked_up'), at(2, 'in_transit'), at(9, 'out_for_delivery'), at(10, 'delivered')] });
  const { awb: failedAwb } = await call('GET', `/v1/shipments/${failed}`);
  await post(`/v1/shipments/${failedAwb}/scans`, { events: [at(1, 'picked_up'), at(8, 'out_for_delivery'), at(9, 'undelivered', { reason: 'customer_unavailable' })] });
  await settle();
  const ndr = (await call('GET', '/v1/ndr')).data[0];
  await post(`/v1/ndr/${ndr.id}/actions`, { action: 'reattempt', date: new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10) });
  const open = await call('GET', `/v1/shipments/${returned}`);
  await call('POST', `/v1/shipments/${returned}/cancel`, { ifMatch: open.version, body: {} });
  await settle();

  const ids = {
    ...{ member: member.id, location: location.id, product: product.id, coupon: coupon.id, order: order.id, import: imported.id },
    ...{ payment: payment.id, shipment: shipment.id, manifest: manifest.id, ndr: ndr.id, key: key.id, connection: connection.id },
    ...{ card: card.id, zone: zone.id, kycFile, invitation: invitation.id },
  };
  return { token, companyId: registered.company.id, email, ids, awb };
}

/** Everything that a company proves of itself, up to the review; answers the id of an uploaded file. */
async function proveCompany(call: (method: string, path: string, options?: CallOptions) => Promise<Answer['body']>): Promise<string> {
  const pan = panOf('1234');
  await call('PUT', '/v1/kyc/pan', { body: { number: pan, name: 'Asha Rao', holderType: 'individual' } });
  await call('PUT', '/v1/kyc/gstin', { body: { number: gstinOf(pan) } });
  await call('PUT', '/v1/kyc/aadhaar', { body: { number: aadhaarOf('23456789012'), consent: true } });
  await call('PUT', '/v1/kyc/bank-account', { body: { accountNumber: '771234567812', ifsc: 'HDFC0000001', holderName: 'Asha Rao' } });
  const { line1, city, state, pincode } = LOCATION;
  await call('PUT', '/v1/kyc/addresses', { body: { addresses: [{ kind: 'registered', line1, city, state, pincode }] } });
  const form = new FormData();
  form.set('document', 'pan');
  form.set('file', new Blob([new Uint8Array(pdf())]), 'pan.pdf');
  const file = await call('POST', '/v1/kyc/documents', { raw: form });
  await call('POST', '/v1/kyc/submit', { body: {} });
  await call('POST', '/v1/kyc/reveal', { body: { field: 'pan', reason: 'A tour of everything' } });
  return file.id;
}

/** Every list with each of its filters, and the lists alone first. */
export function listPaths({ ids, awb }: Tour): { plain: string[]; filtered: string[] } {
  const filters: Record<string, string[]> = {
    '/v1/orders': ['status=placed', 'phone=9876543210', 'email=meera@example.in', 'externalId=X-1', 'tag=gift', 'q=X-1', 'q=9876543210', 'q=meera@example.in', 'from=2020-01-01', 'status=placed&from=2020-01-01', 'q=X-1&status=placed', 'q=no-such&status=placed', 'q=9876543210&status=placed', 'q=9811111111&status=placed', 'q=no-such&tag=gift', 'q=no-such&from=2020-01-01', 'q=nobody@example.in&status=placed&tag=gift'],
    '/v1/products': ['sku=TOUR-1', 'status=active', 'q=brass', 'q=brass%20lamp'],
    '/v1/stock': ['sku=TOUR-1', `locationId=${ids.location}`],
    '/v1/stock/movements': ['sku=TOUR-1', `locationId=${ids.location}`, `referenceId=${ids.order}`, 'kind=receipt'],
    '/v1/coupons': ['status=active', 'code=TOUR'],
    '/v1/rate-cards': ['courier=swift', 'courier=swift&service=surface', 'status=draft'],
    '/v1/zones': [],
    '/v1/imports': ['kind=orders', 'status=completed'],
    '/v1/wallet/entries': ['kind=hold', `awb=${awb}`, 'from=2020-01-01'],
    '/v1/payments': [`orderId=${ids.order}`, 'status=captured'],
    '/v1/shipments': ['status=delivered', 'courier=swift', `awb=${awb}`, `orderId=${ids.order}`, 'from=2020-01-01'],
    '/v1/manifests': [],
    '/v1/ndr': ['status=open', `awb=${awb}`],
    '/v1/audit-log': ['collection=orders', `rowId=${ids.order}`, `actorId=${ids.member}`, 'action=insert', 'from=2020-01-01', 'requestId=abcdefgh'],
    '/v1/company/members': [],
    '/v1/company/invitations': [],
    '/v1/locations': [],
    '/v1/api-keys': [],
    '/v1/connections': [],
    '/v1/couriers': [],
    '/v1/auth/sessions': [],
  };
  return { plain: Object.keys(filters), filtered: Object.entries(filters).flatMap(([path, list]) => list.map((query) => `${path}?${query}`)) };
}

/** Everything that shows one thing. */
export function singlePaths({ ids, awb }: Tour): string[] {
  return [
    ...['/v1/me', '/v1/company', '/v1/wallet', '/v1/wallet/statement.csv', '/v1/orders/export.csv', '/v1/orders/export.csv?status=placed'],
    ...[`/v1/orders/${ids.order}`, `/v1/orders/${ids.order}/timeline`, `/v1/products/${ids.product}`, `/v1/coupons/${ids.coupon}`],
    ...[`/v1/locations/${ids.location}`, `/v1/company/members/${ids.member}`, `/v1/api-keys/${ids.key}`, `/v1/connections/${ids.connection}`],
    ...[`/v1/imports/${ids.import}`, `/v1/imports/${ids.import}/errors.csv`, `/v1/payments/${ids.payment}`, `/v1/rate-cards/${ids.card}`],
    ...[`/v1/shipments/${ids.shipment}`, `/v1/shipments/${ids.shipment}/track`, `/v1/shipments/${awb}/track`, `/v1/track/${awb}`, `/track/${awb}`],
    ...[`/v1/manifests/${ids.manifest}.pdf`, '/v1/kyc', '/v1/kyc/documents', `/v1/kyc/documents/${ids.kycFile}`, '/health/ready', '/health'],
  ];
}
