import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import { createOperator } from '../../src/modules/identity/index.ts';
import { lookupPin } from '../../src/modules/pincodes/index.ts';
import { installReferenceData, isServiceable, markCardUsed, priceOption, quoteFor, ratesModule } from '../../src/modules/rates/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { PASSWORD, race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

interface Option {
  optionId: string;
  courier: string;
  service: string;
  rateCardId: string;
  rateCardVersion: number;
  zone: string;
  zoneReason: string;
  volumetricGrams: number;
  chargeableGrams: number;
  taxablePaise: number;
  totalPaise: number;
  lines: { code: string; amountPaise: number; why: string }[];
  estimatedDays: number | null;
  rank: number;
  reasons: string[];
}

const PARCEL = { weightGrams: 400, lengthMm: 150, breadthMm: 100, heightMm: 50 };
const PREPAID = { originPincode: '110001', destinationPincode: '560001', ...PARCEL, paymentMethod: 'prepaid' as const };

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

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!(await condition())) assert.ok(performance.now() < deadline, 'the condition never came true');
}

describe('rates', () => {
  let world: World;
  let shop: Merchant;
  let staff: string;

  const rates = (body: object, token = shop.token): Promise<Answer> => world.api('POST', '/v1/rates', { token, body });
  const optionsOf = async (body: object, token = shop.token): Promise<Option[]> => {
    const answer = await rates(body, token);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.options;
  };
  const only = async (body: object, token = shop.token): Promise<Option> => {
    const [option, ...others] = await optionsOf(body, token);
    assert.ok(option && others.length === 0, 'one option');
    return option;
  };
  const addCard = async (card: object, token = shop.token): Promise<{ id: string; version: number; cardKey: string }> => {
    const made = await world.api('POST', '/v1/rate-cards', { token, body: card });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    return made.body;
  };
  const activate = async (id: string, ifMatch: number, token = shop.token): Promise<{ id: string; version: number }> => {
    const done = await world.api('PUT', `/v1/rate-cards/${id}/activate`, { token, ifMatch });
    assert.equal(done.status, 200, JSON.stringify(done.body));
    return done.body;
  };
  const activeCard = async (card: object, token = shop.token): Promise<{ id: string; version: number }> => {
    const { id, version } = await addCard(card, token);
    return activate(id, version, token);
  };
  const putRows = async (courier: string, rows: object[], more: object = {}): Promise<Answer> =>
    world.api('PUT', `/v1/couriers/${courier}/serviceability`, { token: staff, body: { rows, ...more } });
  const row = (pincode: string, more: object = {}): object => ({ pincode, prepaid: true, cod: true, pickup: true, reverse: true, oda: false, ...more });
  const markUsed = (merchant: Merchant, id: string): Promise<void> =>
    withTransaction(systemCtx('test', merchant.companyId), async (ctx) => markCardUsed(ctx, id));
  const faultPaths = (answer: Answer): string[] => {
    assert.equal(answer.status, 400, JSON.stringify(answer.body));
    return answer.body.error.details.fields.map(({ path }: { path: string }) => path);
  };

  before(async () => {
    world = await startWorld();
    shop = await world.merchant({ location: false });
    const email = 'prices@dakiya.test';
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email, name: 'Uma Nair', role: 'platform_admin', password: PASSWORD });
    staff = (await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } })).body.accessToken;
  });
  after(() => world.close());

  describe('reference data', () => {
    it('is there at the start, is installed once however often, and costs one read when it is there', async () => {
      const count = async (name: string): Promise<number> => world.db.collection(name).countDocuments({ companyId: PLATFORM_COMPANY_ID });
      const before = await Promise.all(['rate_cards', 'zones', 'serviceability', 'courier_coverage'].map(count));
      assert.deepEqual(before, [4, 5, 5, 1]);
      world.commands();
      await installReferenceData(systemCtx('test', PLATFORM_COMPANY_ID));
      assert.equal(world.commands(), 1);
      assert.deepEqual(await Promise.all(['rate_cards', 'zones', 'serviceability', 'courier_coverage'].map(count)), before);
    });

    it('is installed once by processes that start at once', async () => {
      const names = ['rate_cards', 'zones', 'serviceability', 'courier_coverage'];
      for (const name of names) await world.db.collection(name).deleteMany({});
      await Promise.all(Array.from({ length: 4 }, () => installReferenceData(systemCtx('test', PLATFORM_COMPANY_ID))));
      assert.deepEqual(await Promise.all(names.map((name) => world.db.collection(name).countDocuments())), [4, 5, 5, 1]);
      await until(async () => (await optionsOf({ ...PREPAID })).length === 4);
    });

    it('shows the default cards and zones to every company, and lets none of them be changed by one', async () => {
      const { body } = await world.api('GET', '/v1/rate-cards?status=active', { token: shop.token });
      assert.equal(body.data.length, 4);
      for (const card of body.data) {
        assert.equal(card.platform, true);
        assert.equal((await world.api('PATCH', `/v1/rate-cards/${card.id}`, { token: shop.token, ifMatch: 1, body: { fuelBp: 0 } })).status, 404);
        assert.equal((await world.api('DELETE', `/v1/rate-cards/${card.id}`, { token: shop.token, ifMatch: 1 })).status, 404);
      }
      const zones = await world.api('GET', '/v1/zones', { token: shop.token });
      assert.deepEqual(zones.body.data.map((zone: { zone: string }) => zone.zone).sort(), ['A', 'B', 'C', 'D', 'E']);
      assert.equal((await world.api('DELETE', `/v1/zones/${zones.body.data[0].id}`, { token: shop.token, ifMatch: 1 })).status, 404);
    });
  });

  describe('POST /v1/rates', () => {
    it('prices the six worked cases', async () => {
      const text = await readFile(new URL('../fixtures/rate-examples.jsonl', import.meta.url), 'utf8');
      const cases = text.trim().split('\n').map((line) => JSON.parse(line));
      assert.equal(cases.length, 6);
      for (const { id, in: given, expect } of cases) {
        const [lengthMm, breadthMm, heightMm] = given.dims_mm;
        const body = {
          originPincode: given.origin_pin,
          destinationPincode: given.dest_pin,
          ...{ weightGrams: given.dead_g, lengthMm, breadthMm, heightMm },
          ...{ paymentMethod: given.payment, codPaise: given.cod_paise, direction: given.direction, supply: given.supply },
          ...{ courier: 'sandbox', service: given.card },
        };
        const option = await only(body);
        const amount = (code: string): number => option.lines.find((line) => line.code === code)?.amountPaise ?? 0;
        const got = {
          ...{ zone: option.zone, volumetric_g: option.volumetricGrams, chargeable_g: option.chargeableGrams },
          ...{ freight: amount('freight'), fuel: amount('fuel'), oda: amount('oda'), cod_charge: amount('cod') },
          ...{ taxable: option.taxablePaise, cgst: amount('cgst'), sgst: amount('sgst'), igst: amount('igst') },
          ...{ total: option.totalPaise, cod_charge_refund: 0 - amount('codRefund') },
        };
        assert.deepEqual(got, expect, id);
        const { courier: _courier, service: _service, ...byId } = body;
        assert.deepEqual(await only({ ...byId, rateCardId: option.rateCardId }), option, `${id} by the id of the card`);
      }
    });

    it('ranks by price and says why', async () => {
      const options = await optionsOf(PREPAID);
      assert.deepEqual(options.map(({ rank }) => rank), [1, 2, 3, 4]);
      const totals = options.map(({ totalPaise }) => totalPaise);
      assert.deepEqual(totals, [...totals].sort((a, b) => a - b));
      assert.match(options[0]?.reasons[0] ?? '', /the cheapest$/);
      assert.match(options[3]?.reasons[0] ?? '', /more than the cheapest$/);
      assert.equal(new Set(options.map(({ optionId }) => optionId)).size, 4);
    });

    it('accepts pincodes in any spelling, and names each one that is unknown', async () => {
      const spelled = await optionsOf({ ...PREPAID, originPincode: ' 110 001 ', destinationPincode: '560-001' });
      assert.deepEqual(spelled, await optionsOf(PREPAID));
      assert.deepEqual(faultPaths(await rates({ ...PREPAID, originPincode: '999999', destinationPincode: '990000' })), ['originPincode', 'destinationPincode']);
      assert.deepEqual(faultPaths(await rates({ ...PREPAID, destinationPincode: '12345' })), ['destinationPincode']);
    });

    const refused: [string, object, string[]][] = [
      ['COD without an amount', { paymentMethod: 'cod' }, ['codPaise']],
      ['no weight', { weightGrams: 0 }, ['weightGrams']],
      ['half a gram', { weightGrams: 1.5 }, ['weightGrams']],
      ['a weight as text', { weightGrams: '500' }, ['weightGrams']],
      ['a negative amount', { codPaise: -1 }, ['codPaise']],
      ['another payment method', { paymentMethod: 'barter' }, ['paymentMethod']],
      ['another direction', { direction: 'sideways' }, ['direction']],
      ['an unknown key', { weight: 1 }, ['weight']],
    ];
    for (const [name, change, paths] of refused) {
      it(`refuses ${name}`, async () => assert.deepEqual(faultPaths(await rates({ ...PREPAID, ...change })), paths));
    }

    it('says of each service why it does not take a parcel', async () => {
      const heavy = await rates({ ...PREPAID, weightGrams: 25_000 });
      assert.deepEqual(heavy.body.options.map(({ service }: Option) => service).length + heavy.body.notServiceable.length, 4);
      const surface = heavy.body.notServiceable.find(({ service }: { service: string }) => service === 'surface-500');
      assert.equal(surface.courier, 'sandbox');
      assert.match(surface.reason, /25000 g is over this service's limit of 20000 g/);
      const dear = await rates({ ...PREPAID, paymentMethod: 'cod', codPaise: 900_000_000 });
      assert.equal(dear.body.options.length, 0);
      for (const { reason } of dear.body.notServiceable) assert.match(reason, /Cash on delivery of Rs .* is over this service's limit/);
    });

    it('charges ODA at the five pincodes of the reference data, at either end, and serves all others', async () => {
      const oda = async (destinationPincode: string, originPincode = '110001'): Promise<boolean> =>
        (await optionsOf({ ...PREPAID, originPincode, destinationPincode })).every(({ lines }) => lines.some(({ code }) => code === 'oda'));
      for (const pincode of ['194101', '737120', '793110', '744301', '682555']) assert.equal(await oda(pincode), true, pincode);
      assert.equal(await oda('110001', '194101'), true);
      assert.equal(await oda('560001'), false);
    });

    it('is open to a viewer and to nobody outside', async () => {
      const viewer = await world.member(shop, 'viewer');
      assert.equal((await rates(PREPAID, viewer)).status, 200);
      assert.equal((await world.api('POST', '/v1/rates', { body: PREPAID })).status, 401);
      assert.equal((await world.api('POST', '/v1/rate-cards', { token: viewer, body: CARD })).status, 403);
    });

    it('taxes by the state of the company at once when it changes: GSTIN first, then the registered state', async () => {
      const merchant = await world.merchant({ location: false });
      const codes = async (more: object = {}): Promise<string[]> => {
        const [option] = await optionsOf({ ...PREPAID, ...more }, merchant.token);
        return option?.lines.map(({ code }) => code).filter((code) => code.endsWith('gst')) ?? [];
      };
      assert.deepEqual(await codes(), ['igst'], 'without any state');
      const settle = async (stateCode: string): Promise<void> => {
        const { body } = await world.api('GET', '/v1/company', { token: merchant.token });
        assert.equal((await world.api('PATCH', '/v1/company', { token: merchant.token, ifMatch: body.version, body: { stateCode } })).status, 200);
      };
      await settle('07');
      assert.deepEqual(await codes(), ['cgst', 'sgst']);
      assert.deepEqual(await codes({ supply: 'inter' }), ['igst']);
      await settle('29');
      assert.deepEqual(await codes(), ['igst']);
      assert.deepEqual(await codes({ supply: 'intra' }), ['cgst', 'sgst']);
      // Written past this process, as another instance would: heard through the change stream.
      await world.db.collection<{ _id: string }>('companies').updateOne({ _id: merchant.companyId }, { $set: { gstin: '07AAACB2894G1ZP' }, $inc: { version: 1 } });
      await until(async () => (await codes())[0] === 'cgst');
    });
  });

  describe('rate cards', () => {
    it('adds a draft, tells all faults at once, and prices by it only when asked for or activated', async () => {
      const merchant = await world.merchant({ location: false });
      const bad = await world.api('POST', '/v1/rate-cards', {
        token: merchant.token,
        body: { ...CARD, courier: 'Bad Name', gstBp: 1801, minGrams: 900_000, rto: { kind: 'table' }, tiers: [{ uptoGrams: 500, stepGrams: 500, paise: CARD.tiers[0]?.paise }] },
      });
      assert.deepEqual(faultPaths(bad).sort(), ['courier', 'gstBp', 'minGrams', 'rto.tiers', 'tiers.0.uptoGrams']);
      const { id, version } = await addCard({ ...CARD, name: '  Own surface ', courier: ' Swift ' }, merchant.token);
      const seen = await world.api('GET', `/v1/rate-cards/${id}`, { token: merchant.token });
      assert.equal(seen.headers.get('etag'), '"1"');
      assert.deepEqual([seen.body.name, seen.body.courier, seen.body.status, seen.body.active, seen.body.cardVersion], ['Own surface', 'swift', 'draft', false, 1]);
      assert.equal((await optionsOf(PREPAID, merchant.token)).some(({ courier }) => courier === 'swift'), false);
      assert.equal((await only({ ...PREPAID, rateCardId: id }, merchant.token)).taxablePaise, 3000);
      await activate(id, version, merchant.token);
      const first = (await optionsOf(PREPAID, merchant.token))[0];
      assert.deepEqual([first?.courier, first?.rateCardId, first?.taxablePaise, first?.estimatedDays], ['swift', id, 3000, null]);
    });

    it('bounds a card: 1,000 tiers and zone rules', async () => {
      const tier = { uptoGrams: 500, stepGrams: 500, paise: CARD.tiers[0]?.paise };
      const many = Array.from({ length: 1001 }, () => tier);
      const rules = Array.from({ length: 1001 }, () => ({ zone: 'A', states: ['Delhi'] }));
      const answer = await world.api('POST', '/v1/rate-cards', { token: shop.token, body: { ...CARD, tiers: many, zoneRules: rules } });
      assert.deepEqual(faultPaths(answer), ['tiers', 'zoneRules']);
      await assert.rejects(
        world.db.collection('rate_cards').updateOne({ companyId: PLATFORM_COMPANY_ID }, { $set: { tiers: many } }),
        (error: { code?: number }) => error.code === 121,
      );
    });

    it('puts an own card in the place of the default one of the same courier and service', async () => {
      const merchant = await world.merchant({ location: false });
      await activeCard({ ...CARD, courier: 'sandbox', service: 'surface-500' }, merchant.token);
      const options = await optionsOf(PREPAID, merchant.token);
      assert.equal(options.length, 4);
      assert.deepEqual(options.filter(({ service }) => service === 'surface-500').map(({ taxablePaise }) => taxablePaise), [3000]);
      assert.notEqual((await only({ ...PREPAID, service: 'surface-500' })).taxablePaise, 3000);
    });

    it('changes an unused card in place, and the next quote has the new price under a new option id', async () => {
      const merchant = await world.merchant({ location: false });
      const { id, version } = await activeCard(CARD, merchant.token);
      const wish = { ...PREPAID, courier: 'swift' };
      const before = await only(wish, merchant.token);
      assert.equal((await world.api('PATCH', `/v1/rate-cards/${id}`, { token: merchant.token, body: { fuelBp: 1000 } })).status, 428);
      assert.equal((await world.api('PATCH', `/v1/rate-cards/${id}`, { token: merchant.token, ifMatch: 1, body: { fuelBp: 1000 } })).status, 412);
      const changed = await world.api('PATCH', `/v1/rate-cards/${id}`, { token: merchant.token, ifMatch: version, body: { fuelBp: 1000 } });
      assert.deepEqual([changed.status, changed.body.id, changed.body.cardVersion, changed.body.status], [200, id, 2, 'active']);
      const after = await only(wish, merchant.token);
      assert.deepEqual([before.taxablePaise, after.taxablePaise], [3000, 3300]);
      assert.notEqual(after.optionId, before.optionId);
      const ctx = systemCtx('test', merchant.companyId);
      assert.deepEqual(await priceOption(ctx, { ...PREPAID, optionId: before.optionId }), {
        ok: false,
        code: 'option_outdated',
        reason: 'The rate card of this option changed since it was quoted; ask for rates again',
      });
      await assert.rejects(withTransaction(ctx, async (ctx) => markCardUsed(ctx, id, before.rateCardVersion)), { code: 'rate_card_changed' });
    });

    it('never changes a used card: a change makes a new version, which prices after it is activated', async () => {
      const merchant = await world.merchant({ location: false });
      const { token } = merchant;
      const { id } = await activeCard(CARD, token);
      await markUsed(merchant, id);
      const used = (await world.api('GET', `/v1/rate-cards/${id}`, { token })).body;
      assert.equal(used.used, true);
      const patched = await world.api('PATCH', `/v1/rate-cards/${id}`, { token, ifMatch: used.version, body: { fuelBp: 2000 } });
      assert.equal(patched.status, 200);
      assert.notEqual(patched.body.id, id);
      assert.deepEqual([patched.body.cardKey, patched.body.cardVersion, patched.body.status, patched.body.used], [used.cardKey, 2, 'draft', false]);
      assert.deepEqual((await world.api('GET', `/v1/rate-cards/${id}`, { token })).body, used);
      const wish = { ...PREPAID, courier: 'swift' };
      assert.equal((await only(wish, token)).rateCardId, id);
      await activate(patched.body.id, patched.body.version, token);
      const now = await only(wish, token);
      assert.deepEqual([now.rateCardId, now.rateCardVersion, now.taxablePaise], [patched.body.id, 2, 3600]);
      assert.equal((await world.api('GET', `/v1/rate-cards/${id}`, { token })).body.status, 'retired');
      assert.equal((await only({ ...PREPAID, rateCardId: id }, token)).taxablePaise, 3000, 'the frozen version still prices');
      const refused = await world.api('DELETE', `/v1/rate-cards/${id}`, { token, ifMatch: used.version + 1 });
      assert.deepEqual([refused.status, refused.body.error.code], [409, 'rate_card_used']);
    });

    it('marks a card used once, with no write and no read afterwards', async () => {
      const merchant = await world.merchant({ location: false });
      const { id } = await activeCard(CARD, merchant.token);
      await Promise.all(Array.from({ length: 5 }, () => markUsed(merchant, id)));
      assert.equal((await world.api('GET', `/v1/rate-cards/${id}`, { token: merchant.token })).body.version, 3);
      await only({ ...PREPAID, courier: 'swift' }, merchant.token);
      world.commands();
      await markUsed(merchant, id);
      assert.equal(world.commands(), 0);
    });

    it('marks a default card of the platform used on behalf of a company', async () => {
      const { rateCardId } = await only({ ...PREPAID, service: 'surface-500' });
      await markUsed(shop, rateCardId);
      const seen = await world.api('GET', `/v1/rate-cards/${rateCardId}`, { token: shop.token });
      assert.deepEqual([seen.body.used, seen.body.platform], [true, true]);
      const patch = { token: shop.token, ifMatch: seen.body.version, body: { fuelBp: 0 } };
      assert.equal((await world.api('PATCH', `/v1/rate-cards/${rateCardId}`, patch)).status, 404);
    });

    it('has one active version of a courier and service, whoever activates at once', async () => {
      const merchant = await world.merchant({ location: false });
      const drafts = await Promise.all(Array.from({ length: 6 }, () => addCard(CARD, merchant.token)));
      const { statuses } = await race(drafts.length, (i) =>
        world.api('PUT', `/v1/rate-cards/${drafts[i]?.id ?? ''}/activate`, { token: merchant.token, ifMatch: drafts[i]?.version ?? 0 }),
      );
      assert.deepEqual(Object.keys(statuses), ['200']);
      const active = await world.api('GET', '/v1/rate-cards?status=active&courier=swift', { token: merchant.token });
      assert.equal(active.body.data.length, 1);
      assert.equal((await only({ ...PREPAID, courier: 'swift' }, merchant.token)).rateCardId, active.body.data[0].id);
    });

    it('takes an unused card out of sight and out of use', async () => {
      const merchant = await world.merchant({ location: false });
      const { id, version } = await activeCard(CARD, merchant.token);
      assert.equal((await optionsOf({ ...PREPAID, courier: 'swift' }, merchant.token)).length, 1);
      assert.equal((await world.api('DELETE', `/v1/rate-cards/${id}`, { token: merchant.token, ifMatch: version })).status, 200);
      assert.equal((await world.api('GET', `/v1/rate-cards/${id}`, { token: merchant.token })).status, 404);
      assert.equal((await optionsOf({ ...PREPAID, courier: 'swift' }, merchant.token)).length, 0);
      const list = await world.api('GET', '/v1/rate-cards?courier=swift', { token: merchant.token });
      assert.deepEqual(list.body.data, []);
    });

    it("does not know another company's card", async () => {
      const [owner, other] = [await world.merchant({ location: false }), await world.merchant({ location: false })];
      const { id, version } = await activeCard(CARD, owner.token);
      const { token } = other;
      assert.equal((await world.api('GET', `/v1/rate-cards/${id}`, { token })).status, 404);
      assert.equal((await world.api('PATCH', `/v1/rate-cards/${id}`, { token, ifMatch: version, body: { fuelBp: 0 } })).status, 404);
      assert.equal((await world.api('PUT', `/v1/rate-cards/${id}/activate`, { token, ifMatch: version })).status, 404);
      const quoted = await rates({ ...PREPAID, rateCardId: id }, token);
      assert.deepEqual([quoted.status, quoted.body.error.code], [404, 'rate_card_not_found']);
      assert.equal((await optionsOf({ ...PREPAID, courier: 'swift' }, token)).length, 0);
    });

    it('lets staff change a default card; every company is quoted by it at once', async () => {
      const before = await only({ ...PREPAID, service: 'air-500' });
      const card = (await world.api('GET', `/v1/rate-cards/${before.rateCardId}`, { token: staff })).body;
      const change = (fuelBp: number, ifMatch: number): Promise<Answer> =>
        world.api('PATCH', `/v1/rate-cards/${card.id}`, { token: staff, ifMatch, body: { fuelBp } });
      const changed = await change(0, card.version);
      assert.equal(changed.status, 200, JSON.stringify(changed.body));
      assert.equal((await only({ ...PREPAID, service: 'air-500' })).lines.some(({ code }) => code === 'fuel'), false);
      await change(card.fuelBp, changed.body.version);
      assert.equal((await only({ ...PREPAID, service: 'air-500' })).totalPaise, before.totalPaise);
    });

    it('replays the answer to a repeated key', async () => {
      const post = (): Promise<Answer> => world.api('POST', '/v1/rate-cards', { token: shop.token, key: 'card-key-0001', body: { ...CARD, service: 'keyed' } });
      const [first, again] = [await post(), await post()];
      assert.deepEqual([again.status, again.body, again.headers.get('idempotent-replayed')], [201, first.body, 'true']);
    });
  });

  describe('custom zones', () => {
    const square = { type: 'Polygon', coordinates: [[[77.5, 12.9], [77.7, 12.9], [77.7, 13.1], [77.5, 13.1], [77.5, 12.9]]] };
    const inside = { longitude: 77.6, latitude: 13 };
    const outside = { longitude: 72.8, latitude: 19 };
    let merchant: Merchant;
    const addZone = async (body: object): Promise<{ id: string; version: number }> => {
      const made = await world.api('POST', '/v1/zones', { token: merchant.token, body });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      return made.body;
    };
    const zoneFor = async (more: object = {}): Promise<string> => {
      const option = await only({ ...PREPAID, courier: 'swift', ...more }, merchant.token);
      return `${option.zone} ${option.zoneReason}`;
    };

    before(async () => {
      merchant = await world.merchant({ location: false });
      await activeCard(CARD, merchant.token);
    });

    it('override the zone: a pin list before an area before the default, and only for own cards', async () => {
      assert.match(await zoneFor(), /^C Metro to metro/);
      const area = await addZone({ name: 'South belt', zone: 'B', geographicalBoundaries: square });
      assert.match(await zoneFor({ destinationPoint: inside }), /^B Zone B by the area "South belt"$/);
      assert.match(await zoneFor({ destinationPoint: outside }), /^C /);
      assert.match(await zoneFor(), /^C /);
      const pins = await addZone({ name: 'Near', zone: 'A', postalCodes: [' 560 001', '560002', '560001'], carriers: ['Swift'] });
      assert.match(await zoneFor({ destinationPoint: inside }), /^A Zone A by the pincode list of the zone "Near"$/);
      const defaults = await optionsOf({ ...PREPAID, courier: 'sandbox', destinationPoint: inside }, merchant.token);
      for (const { zone } of defaults) assert.equal(zone, 'C', "a company does not re-price the platform's cards");
      const stored = (await world.api('GET', `/v1/zones/${pins.id}`, { token: merchant.token })).body;
      assert.deepEqual([stored.postalCodes, stored.carriers, stored.platform], [['560001', '560002'], ['swift'], false]);
      const other = await world.api('PATCH', `/v1/zones/${pins.id}`, { token: merchant.token, ifMatch: pins.version, body: { carriers: ['slow'] } });
      assert.equal(other.status, 200);
      assert.match(await zoneFor({ destinationPoint: inside }), /^B /);
      const gone = await world.api('PATCH', `/v1/zones/${area.id}`, { token: merchant.token, ifMatch: area.version, body: { geographicalBoundaries: null } });
      assert.equal(gone.body.geographicalBoundaries, undefined);
      assert.match(await zoneFor({ destinationPoint: inside }), /^C /);
      assert.equal((await world.api('DELETE', `/v1/zones/${pins.id}`, { token: merchant.token, ifMatch: other.body.version })).status, 204);
      assert.equal((await world.api('GET', `/v1/zones/${pins.id}`, { token: merchant.token })).status, 404);
    });

    const bad: [string, object, string[]][] = [
      ['pincodes that are none', { postalCodes: ['560001', '0600'] }, ['postalCodes.1']],
      ['more than 10,000 pincodes', { postalCodes: Array.from({ length: 10_001 }, (_, i) => String(100_000 + i)) }, ['postalCodes']],
      ['more than 100 carriers', { carriers: Array.from({ length: 101 }, (_, i) => `c${i}`) }, ['carriers']],
      ['more than 50 services', { serviceTypes: Array.from({ length: 51 }, (_, i) => `s${i}`) }, ['serviceTypes']],
      ['an open ring', { geographicalBoundaries: { type: 'Polygon', coordinates: [[[1, 1], [2, 1], [2, 2], [1, 2]]] } }, ['geographicalBoundaries.coordinates.0']],
      ['latitudes beyond the pole', { geographicalBoundaries: { type: 'Polygon', coordinates: [[[1, 91], [2, 1], [2, 2], [1, 91]]] } }, ['geographicalBoundaries.coordinates.0.0', 'geographicalBoundaries.coordinates.0.3']],
      ['edges that cross', { geographicalBoundaries: { type: 'Polygon', coordinates: [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]] } }, ['geographicalBoundaries']],
    ];
    for (const [name, change, paths] of bad) {
      it(`refuse ${name}`, async () => {
        assert.deepEqual(faultPaths(await world.api('POST', '/v1/zones', { token: merchant.token, body: { name, zone: 'A', ...change } })), paths);
      });
    }

    it("are nobody else's, and have a name of their own", async () => {
      const { id, version } = await addZone({ name: 'Mine' });
      assert.equal((await world.api('GET', `/v1/zones/${id}`, { token: shop.token })).status, 404);
      assert.equal((await world.api('PATCH', `/v1/zones/${id}`, { token: shop.token, ifMatch: version, body: { name: 'Yours' } })).status, 404);
      assert.equal((await world.api('POST', '/v1/zones', { token: merchant.token, body: { name: 'Mine' } })).body.error.code, 'zone_exists');
    });

    it('are found by their area through the 2dsphere index', async () => {
      const plan = await world.db
        .collection('zones')
        .find({ geographicalBoundaries: { $geoIntersects: { $geometry: { type: 'Point', coordinates: [77.6, 13] } } } })
        .explain('queryPlanner');
      assert.match(JSON.stringify(plan['queryPlanner'].winningPlan), /geographicalBoundaries_2dsphere/);
    });
  });

  describe('serviceability', () => {
    let merchant: Merchant;
    const why = async (courier: string, body: object): Promise<string> => {
      const answer = await rates({ ...PREPAID, courier, ...body }, merchant.token);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return answer.body.notServiceable[0]?.reason ?? 'served';
    };

    before(async () => {
      merchant = await world.merchant({ location: false });
      for (const courier of ['falcon', 'norows']) await activeCard({ ...CARD, courier }, merchant.token);
      const stored = await putRows('falcon', [
        row('110001', { sortCode: ' DEL/1 ' }),
        row('560001', { cod: false }),
        row('400001', { pickup: false, prepaid: false }),
        row('600001', { reverse: false, oda: true }),
      ]);
      assert.deepEqual([stored.status, stored.body], [200, { courier: 'falcon', servesUnlisted: false, rows: 4 }]);
    });

    it('names the condition that failed; a courier without rows serves every known pincode', async () => {
      const cod = { paymentMethod: 'cod', codPaise: 50_000 };
      assert.equal(await why('falcon', {}), 'served');
      assert.match(await why('falcon', cod), /^No cash on delivery at the destination pincode 560001$/);
      assert.match(await why('falcon', { destinationPincode: '400001' }), /^No prepaid delivery at the destination pincode 400001$/);
      assert.match(await why('falcon', { originPincode: '400001' }), /^No pickup at the origin pincode 400001$/);
      assert.match(await why('falcon', { destinationPincode: '700001' }), /^The courier does not serve the destination pincode 700001$/);
      assert.match(await why('falcon', { originPincode: '600001', direction: 'reverse' }), /^No reverse pickup at the origin pincode 600001$/);
      assert.equal(await why('norows', { destinationPincode: '700001', ...cod }), 'served');
      const journey = { originPincode: '110001', destinationPincode: '560001', paymentMethod: 'cod' as const, direction: 'forward' as const };
      assert.match((await isServiceable('falcon', journey)) ?? '', /^No cash on delivery/);
      assert.equal(await isServiceable('norows', journey), null);
    });

    it('takes ODA from the rows, and is right again at once when rows change', async () => {
      const codes = async (): Promise<string[]> =>
        (await only({ ...PREPAID, courier: 'falcon', destinationPincode: '600001' }, merchant.token)).lines.map(({ code }) => code);
      assert.ok((await codes()).includes('oda'));
      await putRows('falcon', [row('600001')]);
      assert.ok(!(await codes()).includes('oda'));
      assert.match(await why('falcon', { destinationPincode: '700002' }), /does not serve/);
      await putRows('falcon', [row('600002')], { servesUnlisted: true });
      assert.equal(await why('falcon', { destinationPincode: '700002' }), 'served');
      await putRows('falcon', [row('600002')], { servesUnlisted: false });
      assert.match(await why('falcon', { destinationPincode: '700002' }), /does not serve/);
    });

    it('shows what each courier offers at a pincode', async () => {
      const seen = await world.api('GET', '/v1/serviceability?pincode=110001', { token: merchant.token });
      assert.equal(seen.status, 200, JSON.stringify(seen.body));
      assert.deepEqual([seen.body.pincode, seen.body.state, seen.body.inferred], ['110001', 'Delhi', false]);
      const all = { prepaid: true, cod: true, pickup: true, reverse: true, oda: false };
      assert.deepEqual(seen.body.couriers, [
        { courier: 'falcon', ...all, sortCode: 'DEL/1' },
        { courier: 'norows', ...all },
        { courier: 'sandbox', ...all },
      ]);
      const far = (await world.api('GET', '/v1/serviceability?pincode=194101', { token: merchant.token })).body.couriers;
      assert.deepEqual(far[0], { courier: 'falcon', prepaid: false, cod: false, pickup: false, reverse: false, oda: false });
      assert.equal(far[2].oda, true);
      assert.deepEqual(faultPaths(await world.api('GET', '/v1/serviceability?pincode=999999', { token: merchant.token })), ['pincode']);
      assert.deepEqual((await lookupPin(' 560-001'))?.state, 'Karnataka');
    });

    it('is written by staff only, at most 5,000 rows at once, each pincode once', async () => {
      const body = { rows: [row('560001')] };
      assert.equal((await world.api('PUT', '/v1/couriers/falcon/serviceability', { token: merchant.token, body })).status, 403);
      assert.deepEqual(faultPaths(await putRows('falcon', [row('560001'), row('56000'), row(' 560001')])), ['rows.1.pincode', 'rows.2.pincode']);
      assert.deepEqual(faultPaths(await putRows('falcon', Array.from({ length: 5_001 }, (_, i) => row(String(200_000 + i))))), ['rows']);
    });

    it('stores 5,000 rows in one call, twice at once without a trace of the second, and then looks pincodes up one by one', async () => {
      const rows = Array.from({ length: 5_000 }, (_, i) => row(String(110_001 + i), { sortCode: `S${i}` }));
      const { statuses } = await race(2, () => putRows('giant', rows));
      assert.deepEqual(statuses, { 200: 2 });
      assert.equal(await world.db.collection('serviceability').countDocuments({ courier: 'giant' }), 5_000);
      await activeCard({ ...CARD, courier: 'giant' }, merchant.token);
      assert.match(await why('giant', {}), /does not serve the destination pincode 560001/);
      assert.equal(await why('giant', { destinationPincode: '110002' }), 'served');
      world.commands();
      assert.equal(await why('giant', { destinationPincode: '110002' }), 'served');
      assert.equal(world.commands(), 0);
      await putRows('giant', [row('110002', { prepaid: false })]);
      assert.match(await why('giant', { destinationPincode: '110002' }), /No prepaid delivery/);
    });
  });

  describe('caches and prices for other modules', () => {
    it('sends no command for a warm quote, whatever the pincode of a courier with few rows', async () => {
      const merchant = await world.merchant({ location: false });
      await world.db.collection('serviceability').deleteMany({ courier: 'giant' });
      await putRows('giant', [row('110001')]);
      await optionsOf(PREPAID, merchant.token);
      world.commands();
      await optionsOf(PREPAID, merchant.token);
      await optionsOf({ ...PREPAID, destinationPincode: '194101' }, merchant.token);
      assert.equal(world.commands(), 0);
    });

    it('hears changes that other processes make', async () => {
      const merchant = await world.merchant({ location: false });
      const { id } = await activeCard(CARD, merchant.token);
      const price = async (): Promise<number | undefined> => (await optionsOf({ ...PREPAID, courier: 'swift' }, merchant.token))[0]?.taxablePaise;
      assert.equal(await price(), 3000);
      const cards = world.db.collection<{ _id: string }>('rate_cards');
      await cards.updateOne({ _id: id }, { $set: { fuelBp: 1000 }, $inc: { version: 1 } });
      await until(async () => (await price()) === 3300);
      await cards.updateOne({ _id: id }, { $set: { status: 'retired' }, $inc: { version: 1 } });
      await until(async () => (await price()) === undefined);
      await cards.updateOne({ _id: id }, { $set: { status: 'active' }, $inc: { version: 1 } });
      await until(async () => (await price()) === 3300);
      await cards.deleteOne({ _id: id });
      await until(async () => (await price()) === undefined);
    });

    it('prices an option, a courier and service, or the first ranked, and refuses with the reason', async () => {
      const ctx = systemCtx('test', shop.companyId);
      const { options } = await quoteFor(ctx, PREPAID);
      const [first, second] = options;
      assert.ok(first && second);
      const best = await priceOption(ctx, PREPAID);
      assert.ok(best.ok);
      assert.deepEqual([best.option, best.cardOwner, best.quote.options.length], [first, 'platform', 4]);
      const chosen = await priceOption(ctx, { ...PREPAID, optionId: second.optionId });
      assert.ok(chosen.ok);
      assert.deepEqual(chosen.option, second);
      const named = await priceOption(ctx, { ...PREPAID, courier: 'sandbox', service: second.service });
      assert.ok(named.ok);
      assert.equal(named.option.optionId, second.optionId);
      const codes = await Promise.all([
        priceOption(ctx, { ...PREPAID, optionId: 'nonsense' }),
        priceOption(ctx, { ...PREPAID, courier: 'nobody' }),
        priceOption(ctx, { ...PREPAID, weightGrams: 9_000_000 }),
        priceOption(ctx, { ...PREPAID, weightGrams: 9_000_000, optionId: first.optionId }),
      ]);
      assert.deepEqual(codes.map((answer) => (answer.ok ? 'ok' : answer.code)), ['option_unknown', 'no_rate_card', 'not_serviceable', 'not_serviceable']);
    });

    it('leaves nothing that a check complains of', () => world.checks());

    it('finds broken rows in its checks', async () => {
      const cards = world.db.collection<{ _id: string; [field: string]: unknown }>('rate_cards');
      const { id } = await addCard({ ...CARD, service: 'to-break' });
      await cards.updateOne({ _id: id }, { $set: { gstBp: 1801, archivedAt: new Date(0), usedAt: new Date(0), courier: 'other' } });
      await world.db.collection('serviceability').updateOne({ courier: 'falcon', pincode: '110001' }, { $set: { courier: 'stray' } });
      const found = await Promise.all((ratesModule.checks ?? []).map((check) => check.run()));
      assert.deepEqual(found.map((sentences) => sentences.length), [2, 0, 1]);
      await cards.insertOne({ ...(await cards.findOne({ _id: id })), _id: 'f'.repeat(24), cardVersion: 2, courier: 'swift' });
      assert.equal((await ratesModule.checks?.[1]?.run())?.length, 1);
      await cards.deleteMany({ _id: { $in: [id, 'f'.repeat(24)] } });
      await world.db.collection('serviceability').deleteMany({ courier: 'stray' });
    });
  });
});
