import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import type {
  NotServiceable,
  RateCandidate,
  RateRequest,
  ServiceabilityRow,
} from '../../src/modules/rates/option.rules.ts';
import {
  optionIdOf,
  parseOptionId,
  quoteOptions,
  rankOptions,
  serviceabilityRefusal,
} from '../../src/modules/rates/option.rules.ts';
import { loadPincodeTable, parsePincodeFile } from '../../src/modules/pincodes/pincode.data.ts';
import { loadDefaultRateCards, loadZoneData } from '../../src/modules/rates/reference-data.ts';
import type { Pincode, PincodeTable } from '../../src/modules/pincodes/pincode.rules.ts';
import { buildPincodeTable, isListedPincode, lookupPincode } from '../../src/modules/pincodes/pincode.rules.ts';
import type { PriceInput, PriceLineCode, RateCardTerms } from '../../src/modules/rates/price.rules.ts';
import { priceShipment, volumetricGrams } from '../../src/modules/rates/price.rules.ts';
import { RATE_CARD_LIMITS, rateCardFaults } from '../../src/modules/rates/rate-card.rules.ts';
import type { Zone, ZoneData, ZoneRules } from '../../src/modules/rates/zone.rules.ts';
import { ZONES, cityGroupOf, compileOverrides, compileZones, zoneOf } from '../../src/modules/rates/zone.rules.ts';
import { findState } from '../../src/platform/identifiers.states.ts';

interface WorkedCase {
  id: string;
  case: string;
  in: {
    card: string;
    origin_pin: string;
    dest_pin: string;
    dead_g: number;
    dims_mm: [number, number, number];
    payment: 'prepaid' | 'cod';
    cod_paise: number;
    direction: 'forward' | 'rto';
    supply: 'intra' | 'inter';
  };
  expect: Record<
    | 'volumetric_g'
    | 'chargeable_g'
    | 'freight'
    | 'fuel'
    | 'oda'
    | 'cod_charge'
    | 'taxable'
    | 'cgst'
    | 'sgst'
    | 'igst'
    | 'total'
    | 'cod_charge_refund',
    number
  > & { zone: Zone };
}

const WORKED = readFileSync(new URL('../fixtures/rate-examples.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as WorkedCase);

let table: PincodeTable;
let zoneData: ZoneData;
let rules: ZoneRules;
let cards: RateCardTerms[];

before(async () => {
  table = await loadPincodeTable();
  zoneData = await loadZoneData();
  rules = compileZones(zoneData);
  cards = await loadDefaultRateCards();
});

function cardOf(service: string): RateCardTerms {
  const card = cards.find((one) => one.service === service);
  assert.ok(card);
  return card;
}

function pin(pincode: string): Pincode {
  const found = lookupPincode(table, pincode);
  assert.ok(found, `pincode ${pincode}`);
  return found;
}

function amount(lines: { code: PriceLineCode; amountPaise: number }[], code: PriceLineCode): number {
  return lines.find((line) => line.code === code)?.amountPaise ?? 0;
}

const BASE: PriceInput = {
  zone: 'A',
  weightGrams: 1,
  lengthMm: 1,
  breadthMm: 1,
  heightMm: 1,
  paymentMethod: 'prepaid',
  codPaise: 0,
  direction: 'forward',
  oda: false,
  supply: 'inter',
};

/** The formulas once more, written apart from the product and in big integers. */
function oracle(
  card: RateCardTerms,
  input: PriceInput,
): { freight: bigint; taxable: bigint; total: bigint; refund: bigint } {
  const ceil = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;
  const bp = (x: bigint, b: number): bigint => (2n * x * BigInt(b) + 10_000n) / 20_000n;
  const max = (...values: bigint[]): bigint => values.reduce((a, b) => (a > b ? a : b));
  const volume = BigInt(input.lengthMm) * BigInt(input.breadthMm) * BigInt(input.heightMm);
  const w = max(BigInt(input.weightGrams), ceil(volume, BigInt(card.divisor)), BigInt(card.minGrams));
  const tiers = input.direction === 'rto' && card.rto.kind === 'table' ? card.rto.tiers : card.tiers;
  let freight = 0n;
  let lower = 0n;
  for (const tier of tiers) {
    const upper = tier.uptoGrams === null || BigInt(tier.uptoGrams) > w ? w : BigInt(tier.uptoGrams);
    if (upper > lower) freight += ceil(upper - lower, BigInt(tier.stepGrams)) * BigInt(tier.paise[input.zone]);
    if (upper > lower) lower = upper;
  }
  if (input.direction === 'rto' && card.rto.kind === 'percent') freight = bp(freight, card.rto.bp);
  const cod = max(BigInt(card.cod.flatPaise), bp(BigInt(input.codPaise), card.cod.bp));
  const oda = input.oda ? max(BigInt(card.oda.flatPaise), BigInt(card.oda.perKgPaise) * ceil(w, 1000n)) : 0n;
  const isCod = input.paymentMethod === 'cod';
  const taxable = freight + bp(freight, card.fuelBp) + oda + (isCod && input.direction === 'forward' ? cod : 0n);
  const tax = (x: bigint): bigint => (input.supply === 'inter' ? bp(x, card.gstBp) : 2n * bp(x, card.gstBp / 2));
  const refund = isCod && input.direction === 'rto' && card.codRefundOnRto ? cod + tax(cod) : 0n;
  return { freight, taxable, total: taxable + tax(taxable), refund };
}

const inputs: fc.Arbitrary<PriceInput> = fc.record({
  zone: fc.constantFrom(...ZONES),
  weightGrams: fc.integer({ min: 1, max: 60_000 }),
  lengthMm: fc.integer({ min: 1, max: 1_500 }),
  breadthMm: fc.integer({ min: 1, max: 1_500 }),
  heightMm: fc.integer({ min: 1, max: 1_500 }),
  paymentMethod: fc.constantFrom('prepaid', 'cod'),
  codPaise: fc.integer({ min: 0, max: 50_000_00 }),
  direction: fc.constantFrom('forward', 'rto', 'reverse'),
  oda: fc.boolean(),
  supply: fc.constantFrom('intra', 'inter'),
});

describe('rates: the worked prices', () => {
  it('are six', () => assert.equal(WORKED.length, 6));

  for (const example of WORKED) {
    it(`${example.id} ${example.case}`, () => {
      const { in: given, expect } = example;
      const zone = zoneOf(pin(given.origin_pin), pin(given.dest_pin), rules).zone;
      const [lengthMm, breadthMm, heightMm] = given.dims_mm;
      const oda = [given.origin_pin, given.dest_pin].some((code) => zoneData.odaPincodes.includes(code));
      const price = priceShipment(cardOf(given.card), {
        zone,
        weightGrams: given.dead_g,
        lengthMm,
        breadthMm,
        heightMm,
        paymentMethod: given.payment,
        codPaise: given.cod_paise,
        direction: given.direction,
        oda,
        supply: given.supply,
      });
      const { lines } = price;
      assert.deepEqual(
        {
          zone,
          volumetric_g: price.volumetricGrams,
          chargeable_g: price.chargeableGrams,
          freight: amount(lines, 'freight'),
          fuel: amount(lines, 'fuel'),
          oda: amount(lines, 'oda'),
          cod_charge: amount(lines, 'cod'),
          taxable: price.taxablePaise,
          cgst: amount(lines, 'cgst'),
          sgst: amount(lines, 'sgst'),
          igst: amount(lines, 'igst'),
          total: price.totalPaise,
          cod_charge_refund: price.codRefundPaise,
        },
        expect,
      );
    });
  }

  it('says why in words with numbers', () => {
    const price = priceShipment(cardOf('surface-500'), { ...BASE, zone: 'C', weightGrams: 501 });
    assert.equal(
      price.lines[0]?.why,
      'Zone C, 501 g by weight; 500 g in 500 g steps: 1 × Rs 44.25, next 1 g in 500 g steps: 1 × Rs 37.25',
    );
    assert.equal(price.lines[1]?.why, 'Fuel surcharge 12.5 % of Rs 81.50');
  });
});

describe('rates: prices at the edges of slabs', () => {
  const freight: [string, Zone, number, number][] = [
    ['surface-500', 'A', 1, 3200],
    ['surface-500', 'A', 499, 3200],
    ['surface-500', 'A', 500, 3200],
    ['surface-500', 'A', 501, 5900],
    ['surface-500', 'A', 1000, 5900],
    ['surface-500', 'A', 1001, 8600],
    ['surface-500', 'B', 4999, 31100],
    ['surface-500', 'B', 5000, 31100],
    ['surface-500', 'B', 5001, 35500],
    ['surface-500', 'E', 6000, 76_125],
    ['surface-500', 'E', 6001, 86025],
    ['air-500', 'D', 500, 6850],
    ['air-500', 'D', 501, 13325],
    ['air-500', 'C', 10_000, 6150 + 19 * 5825],
    ['surface-2kg', 'B', 1, 8400],
    ['surface-2kg', 'B', 2000, 8400],
    ['surface-2kg', 'B', 2001, 11300],
    ['surface-2kg', 'E', 30_000, 17150 + 28 * 5725],
    ['lite-250', 'D', 1, 3300],
    ['lite-250', 'D', 250, 3300],
    ['lite-250', 'D', 251, 4650],
    ['lite-250', 'D', 500, 4650],
    ['lite-250', 'D', 501, 8450],
    ['lite-250', 'D', 5000, 4650 + 9 * 3800],
    ['lite-250', 'D', 5001, 4650 + 9 * 3800 + 5700],
  ];
  for (const [service, zone, weightGrams, expected] of freight) {
    it(`${service} zone ${zone} ${weightGrams} g: ${expected} paise of freight`, () => {
      assert.equal(amount(priceShipment(cardOf(service), { ...BASE, zone, weightGrams }).lines, 'freight'), expected);
    });
  }

  const volumes: [number, number, number, number, number][] = [
    [1, 1, 1, 5000, 1],
    [10, 10, 50, 5000, 1],
    [10, 10, 51, 5000, 2],
    [400, 300, 83, 5000, 1992],
    [400, 300, 84, 5000, 2016],
    [150, 100, 50, 5000, 150],
    [151, 100, 50, 5000, 151],
    [100, 100, 100, 4000, 250],
    [100, 100, 100, 4999, 201],
    [1500, 1500, 1500, 5000, 675_000],
    [2_000_000, 2_000_000, 2_001, 1, 8_004_000_000_000_000],
    [2_628_739, 3_122_219, 4_427, 4_999, 7_268_373_158_052],
    [3_000_017, 3_000_029, 3_000_047, 1_000_000, 27_000_837_007_966],
  ];
  for (const [lengthMm, breadthMm, heightMm, divisor, grams] of volumes) {
    it(`${lengthMm}×${breadthMm}×${heightMm} mm by ${divisor} are ${grams} g`, () => {
      const exact = (BigInt(lengthMm) * BigInt(breadthMm) * BigInt(heightMm) + BigInt(divisor) - 1n) / BigInt(divisor);
      assert.equal(BigInt(grams), exact);
      assert.equal(volumetricGrams({ weightGrams: 1, lengthMm, breadthMm, heightMm }, divisor), grams);
    });
  }

  const cod: [number, number][] = [
    [0, 3500],
    [199_999, 3500],
    [200_028, 3500],
    [200_029, 3501],
    [499_900, 8748],
    [5_000_000, 87_500],
  ];
  for (const [codPaise, charge] of cod) {
    it(`COD of ${codPaise} paise costs ${charge}`, () => {
      const price = priceShipment(cardOf('surface-500'), { ...BASE, paymentMethod: 'cod', codPaise });
      assert.equal(amount(price.lines, 'cod'), charge);
    });
  }

  const oda: [string, number, number][] = [
    ['surface-500', 1, 5000],
    ['surface-500', 16_000, 5000],
    ['surface-500', 16_001, 5100],
    ['surface-500', 20_000, 6000],
    ['air-500', 13_000, 6500],
    ['air-500', 13_001, 7000],
    ['lite-250', 15_000, 4500],
  ];
  for (const [service, weightGrams, charge] of oda) {
    it(`${service} ${weightGrams} g out of the delivery area costs ${charge} more`, () => {
      assert.equal(amount(priceShipment(cardOf(service), { ...BASE, weightGrams, oda: true }).lines, 'oda'), charge);
      assert.equal(amount(priceShipment(cardOf(service), { ...BASE, weightGrams }).lines, 'oda'), 0);
    });
  }
});

describe('rates: directions, tax and exactness', () => {
  it('prices a reverse COD parcel like a prepaid forward one', () => {
    for (const card of cards) {
      const forward = priceShipment(card, { ...BASE, weightGrams: 1234, zone: 'D' });
      const reverse = priceShipment(card, {
        ...BASE,
        weightGrams: 1234,
        zone: 'D',
        direction: 'reverse',
        paymentMethod: 'cod',
        codPaise: 99_900,
      });
      assert.deepEqual(reverse, forward);
    }
  });

  it('takes the RTO table of a card that has one', () => {
    const price = priceShipment(cardOf('surface-2kg'), { ...BASE, weightGrams: 2001, zone: 'B', direction: 'rto' });
    assert.equal(amount(price.lines, 'freight'), 10_200);
  });

  it('refunds COD only for an RTO of a COD parcel on a card that says so', () => {
    const rto: PriceInput = { ...BASE, direction: 'rto', paymentMethod: 'cod', codPaise: 249_900 };
    const refunds = (service: string, change: Partial<PriceInput>): number =>
      priceShipment(cardOf(service), { ...rto, ...change }).codRefundPaise;
    assert.equal(refunds('surface-500', {}), 5160);
    assert.equal(refunds('surface-500', { supply: 'intra' }), 4373 + 394 + 394);
    assert.equal(refunds('surface-500', { paymentMethod: 'prepaid' }), 0);
    assert.equal(refunds('surface-500', { direction: 'forward' }), 0);
    assert.equal(refunds('surface-500', { direction: 'reverse' }), 0);
    assert.equal(refunds('surface-2kg', {}), 0);
  });

  it('rounds CGST and SGST each alone: two halves may differ from IGST by one paisa', () => {
    const card = {
      ...cardOf('surface-2kg'),
      tiers: [{ uptoGrams: null, stepGrams: 1, paise: { A: 1, B: 1, C: 1, D: 1, E: 1 } }],
      minGrams: 0,
    };
    const tax = (weightGrams: number, supply: 'intra' | 'inter'): number => {
      const price = priceShipment(card, { ...BASE, weightGrams, supply });
      return price.totalPaise - price.taxablePaise;
    };
    assert.equal(tax(50, 'inter'), 9);
    assert.equal(tax(50, 'intra'), 10);
    assert.equal(tax(3, 'inter'), 1);
    assert.equal(tax(3, 'intra'), 0);
  });

  it('agrees with the formulas in big integers, and its lines add up', () => {
    fc.assert(
      fc.property(fc.constantFrom(0, 1, 2, 3), inputs, (at, input) => {
        const card = cards[at];
        assert.ok(card);
        const price = priceShipment(card, input);
        const expected = oracle(card, input);
        assert.deepEqual(
          [amount(price.lines, 'freight'), price.taxablePaise, price.totalPaise, price.codRefundPaise].map(BigInt),
          [expected.freight, expected.taxable, expected.total, expected.refund],
        );
        const positive = price.lines.filter(({ code }) => code !== 'codRefund');
        assert.equal(
          positive.reduce((total, line) => total + line.amountPaise, 0),
          price.totalPaise,
        );
        assert.equal(-amount(price.lines, 'codRefund') + 0, price.codRefundPaise);
      }),
      { numRuns: 1000 },
    );
  });

  it('never falls as the weight or the size grows', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1, 2, 3),
        inputs,
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 50 }),
        (at, input, grams, mm) => {
          const card = cards[at];
          assert.ok(card);
          const price = priceShipment(card, input).totalPaise;
          assert.ok(priceShipment(card, { ...input, weightGrams: input.weightGrams + grams }).totalPaise >= price);
          assert.ok(priceShipment(card, { ...input, heightMm: input.heightMm + mm }).totalPaise >= price);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('stays exact at the largest card that validation lets through', () => {
    const { paise, grams } = RATE_CARD_LIMITS;
    const most = { A: paise, B: paise - 1, C: paise, D: paise, E: paise };
    const card: RateCardTerms = {
      ...cardOf('surface-500'),
      tiers: [{ uptoGrams: null, stepGrams: 1, paise: most }],
      rto: { kind: 'percent', bp: 20_000 },
      maxGrams: grams,
      fuelBp: 9_999,
      gstBp: 2_800,
      oda: { flatPaise: 0, perKgPaise: paise },
    };
    assert.deepEqual(rateCardFaults(card), []);
    for (const weightGrams of [grams, grams - 1, 7_777_777]) {
      for (const supply of ['intra', 'inter'] as const) {
        const input: PriceInput = { ...BASE, zone: 'B', weightGrams, oda: true, supply, direction: 'rto' };
        assert.equal(BigInt(priceShipment(card, input).totalPaise), oracle(card, input).total);
      }
    }
  });

  it('refuses, and never rounds, what exact integers cannot hold', () => {
    assert.throws(() => priceShipment(cardOf('surface-500'), { ...BASE, weightGrams: Number.MAX_SAFE_INTEGER }), {
      code: 'amount_too_large',
    });
    assert.throws(() => priceShipment(cardOf('surface-500'), { ...BASE, lengthMm: 2 ** 40, breadthMm: 2 ** 40 }), {
      code: 'amount_too_large',
    });
  });
});

describe('rates: pincodes', () => {
  it('loads every pin of the file with its state and districts', () => {
    const rows = parsePincodeFile(readFileSync(new URL('../../data/pincodes.csv', import.meta.url), 'utf8'));
    assert.equal(rows.length, 19_586);
    assert.equal(table.size, 19_586);
    for (const row of rows) {
      assert.ok(isListedPincode(table, row.pincode));
      const found = lookupPincode(table, row.pincode);
      assert.ok(found, row.pincode);
      if (row.state === '') {
        assert.equal(found.inferred, true);
        assert.deepEqual(found.districts, []);
      } else {
        assert.equal(found.inferred, false);
        assert.equal(found.state, findState(row.state)?.name);
        assert.equal(found.districts.join(';').toUpperCase(), row.districts.join(';'));
      }
    }
  });

  const known: [string, string, string, boolean][] = [
    ['110001', 'Delhi', 'New Delhi', false],
    ['110003', 'Delhi', 'New Delhi;South;South East', false],
    ['560001', 'Karnataka', '', false],
    ['194101', 'Ladakh', 'Leh Ladakh', false],
    ['744301', 'Andaman and Nicobar Islands', 'Nicobars', false],
    ['682555', 'Lakshadweep', 'Lakshadweep District', false],
    ['201319', 'Uttar Pradesh', '', true],
    ['110999', 'Delhi', '', true],
    ['160999', 'Chandigarh', '', true],
    ['682999', 'Kerala', '', true],
    ['262999', 'Uttarakhand', '', true],
  ];
  for (const [pincode, state, districts, inferred] of known) {
    it(`${pincode} is in ${state}${inferred ? ', inferred' : ''}`, () => {
      const found = pin(pincode);
      assert.equal(found.state, state);
      assert.equal(found.inferred, inferred);
      if (districts || inferred) assert.equal(found.districts.join(';'), districts);
    });
  }

  for (const text of [
    '',
    '11000',
    '1100011',
    '010001',
    '11000a',
    '999999',
    '290001',
    '900001',
    ' 110001',
    '110001\n',
    '१10001',
  ]) {
    it(`${JSON.stringify(text)} is not known`, () => assert.equal(lookupPincode(table, text), undefined));
  }

  it('reads the file once', () => assert.equal(loadPincodeTable(), loadPincodeTable()));

  it('refuses a damaged file with its line', () => {
    assert.throws(() => parsePincodeFile('pin,state\n1,2'), /must start with/);
    assert.throws(() => parsePincodeFile('pincode,state,districts\n110001,DELHI,A\n110002,DELHI'), /Line 3/);
    assert.throws(() => buildPincodeTable([{ pincode: '11', state: 'DELHI', districts: [] }]), RangeError);
    const twice = { pincode: '110001', state: 'DELHI', districts: [] };
    assert.throws(() => buildPincodeTable([twice, twice]), /listed twice/);
  });

  it('answers from an empty table', () => assert.equal(lookupPincode(buildPincodeTable([]), '110001'), undefined));
});

describe('rates: zones', () => {
  const cases: [string, string, Zone, RegExp][] = [
    ['110001', '110092', 'A', /Delhi NCR/],
    ['110001', '122001', 'A', /Delhi NCR/],
    ['201301', '121001', 'A', /Delhi NCR/],
    ['560001', '560100', 'A', /Bengaluru/],
    ['395003', '395007', 'A', /Surat/],
    ['194101', '194101', 'A', /Leh/],
    ['781001', '781005', 'A', /Kamrup/],
    ['201319', '201319', 'A', /Delhi NCR/],
    ['110001', '194101', 'E', /Ladakh/],
    ['737101', '560001', 'E', /Sikkim/],
    ['190001', '180001', 'E', /Jammu/],
    ['781001', '786001', 'E', /Assam/],
    ['700001', '744101', 'E', /Andaman/],
    ['682001', '682555', 'E', /Lakshadweep/],
    ['395003', '380001', 'B', /Gujarat/],
    ['400001', '411001', 'B', /Maharashtra/],
    ['122001', '125001', 'B', /Haryana/],
    ['121001', '121101', 'B', /Haryana/],
    ['560001', '560300', 'B', /Karnataka/],
    ['110001', '560001', 'C', /Delhi NCR to Bengaluru/],
    ['122001', '400001', 'C', /Delhi NCR to Mumbai/],
    ['700001', '600001', 'C', /Kolkata to Chennai/],
    ['411001', '380001', 'C', /Pune to Ahmedabad/],
    ['560001', '226001', 'D', /Karnataka to Uttar Pradesh/],
    ['302001', '560001', 'D', /Rajasthan to Karnataka/],
    ['110001', '125001', 'D', /Delhi to Haryana/],
    ['121001', '201009', 'A', /Delhi NCR/],
  ];
  for (const [from, to, zone, reason] of cases) {
    it(`${from} to ${to} is ${zone}`, () => {
      const answer = zoneOf(pin(from), pin(to), rules);
      assert.equal(answer.zone, zone);
      assert.match(answer.reason, reason);
    });
  }

  it('is symmetric, and A for a pincode to itself', () => {
    const position = fc.integer({ min: 0, max: 19_585 });
    fc.assert(
      fc.property(position, position, (a, b) => {
        const from = lookupPincode(table, String(table.pins[a]));
        const to = lookupPincode(table, String(table.pins[b]));
        assert.ok(from && to);
        assert.equal(zoneOf(from, to, rules).zone, zoneOf(to, from, rules).zone);
        assert.equal(zoneOf(from, from, rules).zone, 'A');
      }),
      { numRuns: 2000 },
    );
  });

  it('gives C only between two metros', () => {
    const cityGroups = zoneData.cityGroups.map((group) => ({ ...group, metro: group.name !== 'Pune' }));
    const fewer = compileZones({ ...zoneData, cityGroups });
    assert.equal(zoneOf(pin('411001'), pin('380001'), fewer).zone, 'D');
    assert.equal(zoneOf(pin('380001'), pin('411001'), fewer).zone, 'D');
    assert.equal(zoneOf(pin('380001'), pin('400001'), fewer).zone, 'C');
  });

  it('takes the longest prefix of a city group', () => {
    const nested = compileZones({
      ...zoneData,
      cityGroups: [
        { name: 'Wide', metro: false, prefixes: ['56'] },
        { name: 'Narrow', metro: false, prefixes: ['5600'] },
      ],
    });
    assert.equal(cityGroupOf('560001', nested)?.name, 'Narrow');
    assert.equal(cityGroupOf('561001', nested)?.name, 'Wide');
    assert.equal(cityGroupOf('110001', nested), undefined);
  });

  it('lets a pin list win over a polygon, a polygon over prefix and state rules, all over the default', () => {
    const overrides = compileOverrides([
      { zone: 'B', states: ['KARNATAKA'] },
      { zone: 'C', prefixes: ['5600'] },
      { zone: 'E', destinationPincodes: ['560001'], originPincodes: ['110001'] },
    ]);
    const polygon = { zone: 'A' as const, name: 'South' };
    const at = (from: string, to: string, withPolygon = false): string => {
      const answer = zoneOf(pin(from), pin(to), rules, { rules: overrides, ...(withPolygon && { polygon }) });
      return `${answer.zone} ${answer.reason}`;
    };
    assert.equal(at('110001', '560001', true), 'E Zone E by rule 3 of the rate card (pincode list)');
    assert.equal(at('400001', '560001', true), 'A Zone A by the area "South"');
    assert.equal(at('400001', '560001'), 'C Zone C by rule 2 of the rate card (pincode prefix)');
    assert.equal(at('400001', '575001'), 'B Zone B by rule 1 of the rate card (state)');
    assert.match(at('560001', '400001'), /^C Metro to metro/);
  });
});

describe('rates: serviceability', () => {
  const row = (pincode: string, change: Partial<ServiceabilityRow> = {}): ServiceabilityRow => ({
    pincode,
    prepaid: true,
    cod: true,
    pickup: true,
    reverse: true,
    oda: false,
    ...change,
  });
  const request: RateRequest = {
    originPincode: '110001',
    destinationPincode: '560001',
    weightGrams: 500,
    lengthMm: 100,
    breadthMm: 100,
    heightMm: 100,
    paymentMethod: 'prepaid',
    codPaise: 0,
    direction: 'forward',
    supply: 'inter',
  };
  const cod: Partial<RateRequest> = { paymentMethod: 'cod', codPaise: 99_900 };
  const served = { servesUnlisted: false, origin: row('110001'), destination: row('560001') };
  const unlisted = { servesUnlisted: true };
  const cases: [string, Partial<RateRequest>, RateCandidate['coverage'], RegExp | null][] = [
    ['all there', {}, served, null],
    ['a courier without rows', {}, unlisted, null],
    ['a courier without rows, COD', cod, unlisted, null],
    [
      'origin row missing',
      {},
      { servesUnlisted: false, destination: row('560001') },
      /does not serve the origin pincode 110001/,
    ],
    [
      'destination row missing',
      {},
      { servesUnlisted: false, origin: row('110001') },
      /does not serve the destination pincode 560001/,
    ],
    [
      'no pickup',
      {},
      { ...served, origin: row('110001', { pickup: false }) },
      /No pickup at the origin pincode 110001/,
    ],
    [
      'no COD at the destination',
      cod,
      { ...served, destination: row('560001', { cod: false }) },
      /No cash on delivery at the destination pincode 560001/,
    ],
    ['no COD, but prepaid', {}, { ...served, destination: row('560001', { cod: false }) }, null],
    ['no prepaid', {}, { ...served, destination: row('560001', { prepaid: false }) }, /No prepaid delivery/],
    ['no prepaid, but COD', cod, { ...served, destination: row('560001', { prepaid: false }) }, null],
    ['no COD where it is picked up', cod, { ...served, origin: row('110001', { cod: false }) }, null],
    [
      'reverse not offered',
      { direction: 'reverse' },
      { ...served, origin: row('110001', { reverse: false }) },
      /No reverse pickup at the origin/,
    ],
    [
      'reverse needs no forward pickup',
      { direction: 'reverse' },
      { ...served, origin: row('110001', { pickup: false }) },
      null,
    ],
    [
      'an RTO comes back although COD has stopped',
      { ...cod, direction: 'rto' },
      { ...served, destination: row('560001', { cod: false }) },
      null,
    ],
    ['at the weight limit', { weightGrams: 20_000 }, served, null],
    ['one gram over it', { weightGrams: 20_001 }, served, /20001 g is over this service's limit of 20000 g/],
    ['over it by size', { lengthMm: 1000, breadthMm: 1000, heightMm: 101 }, served, /20200 g is over/],
    ['at the COD limit', { ...cod, codPaise: 5_000_000 }, served, null],
    [
      'one paisa over it',
      { ...cod, codPaise: 5_000_001 },
      served,
      /Rs 50,000.01 is over this service's limit of Rs 50,000.00/,
    ],
  ];
  for (const [name, change, coverage, reason] of cases) {
    it(name, () => {
      const answer = serviceabilityRefusal(cardOf('surface-500'), { ...request, ...change }, coverage);
      if (reason === null) assert.equal(answer, null);
      else assert.match(answer ?? '', reason);
    });
  }

  const candidate = (service: string, change: Partial<RateCandidate> = {}): RateCandidate => ({
    card: cardOf(service),
    rateCardId: 'a'.repeat(24),
    rateCardVersion: 1,
    coverage: { servesUnlisted: true },
    ...change,
  });
  const route = (from: string, to: string): Parameters<typeof quoteOptions>[1] => ({
    origin: lookupPincode(table, from),
    destination: lookupPincode(table, to),
    rules,
  });

  it('answers each candidate once, as a ranked option or with its refusal', () => {
    const heavy = { ...request, weightGrams: 12_000 };
    const { options, notServiceable } = quoteOptions(
      heavy,
      route('110001', '560001'),
      cards.map(({ service }) => candidate(service)),
    );
    assert.deepEqual(
      notServiceable.map(({ service }) => service),
      ['air-500'],
    );
    assert.deepEqual(
      options.map(({ rank }) => rank),
      [1, 2, 3],
    );
    assert.deepEqual(
      options.map(({ totalPaise }) => totalPaise),
      options.map(({ totalPaise }) => totalPaise).sort((a, b) => a - b),
    );
    for (const option of options) {
      assert.equal(option.zone, 'C');
      assert.deepEqual(parseOptionId(option.optionId), {
        courier: 'sandbox',
        service: option.service,
        rateCardId: 'a'.repeat(24),
        rateCardVersion: 1,
      });
      assert.ok(option.reasons.length >= 2);
    }
  });

  it('names an unknown pincode and prices nothing', () => {
    const answers: [string, string, RegExp][] = [
      ['999999', '560001', /origin pincode 999999 is not known/],
      ['110001', '999999', /destination pincode 999999 is not known/],
    ];
    for (const [originPincode, destinationPincode, reason] of answers) {
      const answer = quoteOptions(
        { ...request, originPincode, destinationPincode },
        route(originPincode, destinationPincode),
        [candidate('air-500')],
      );
      assert.deepEqual(answer.options, []);
      const [first]: (NotServiceable | undefined)[] = answer.notServiceable;
      assert.match(first?.reason ?? '', reason);
    }
  });

  it('charges ODA when either end is marked, and takes the zone of the card when it has its own', () => {
    const marked = (coverage: RateCandidate['coverage']): number =>
      quoteOptions(request, route('110001', '560001'), [candidate('air-500', { coverage })]).options[0]?.lines.filter(
        ({ code }) => code === 'oda',
      ).length ?? -1;
    assert.equal(marked({ servesUnlisted: true }), 0);
    assert.equal(marked({ servesUnlisted: true, origin: row('110001', { oda: true }) }), 1);
    assert.equal(marked({ servesUnlisted: true, destination: row('560001', { oda: true }) }), 1);
    const overrides = { rules: compileOverrides([{ zone: 'A', destinationPincodes: ['560001'] }]) };
    const [own] = quoteOptions(request, route('110001', '560001'), [candidate('air-500', { overrides })]).options;
    assert.equal(own?.zone, 'A');
    assert.equal(own?.estimatedDays, 1);
  });

  it('ranks by price, then days, then score, then id', () => {
    const option = (
      service: string,
      totalPaise: number,
      estimatedDays: number | null,
      courierScore?: number,
    ): Parameters<typeof rankOptions>[0][number] => {
      const key = { courier: 'c', service, rateCardId: 'b'.repeat(24), rateCardVersion: 2 };
      return {
        ...key,
        optionId: optionIdOf(key),
        zone: 'A',
        zoneReason: '',
        volumetricGrams: 1,
        chargeableGrams: 1,
        taxablePaise: 0,
        totalPaise,
        lines: [],
        estimatedDays,
        ...(courierScore !== undefined && { courierScore }),
      };
    };
    const given = [
      option('g', 200, 1, 99),
      option('f', 100, null),
      option('e', 100, 3, 10),
      option('d', 100, 3, 90),
      option('a', 100, 2, 1),
      option('c', 100, 3, 90),
      option('b', 100, 3),
    ];
    const ranked = rankOptions(given);
    assert.equal(ranked.map(({ service }) => service).join(''), 'acdebfg');
    assert.deepEqual(rankOptions([...given].reverse()), ranked);
    assert.deepEqual(ranked[0]?.reasons, ['Rs 1.00, the cheapest', 'Promised in 2 days', 'Courier score 1 of 100']);
    assert.deepEqual(ranked[5]?.reasons, ['Rs 1.00, the same as the cheapest', 'No promised delivery time']);
    assert.deepEqual(ranked[6]?.reasons, [
      'Rs 1.00 more than the cheapest',
      'Promised in 1 day, the fastest',
      'Courier score 99 of 100',
    ]);
    assert.deepEqual(rankOptions([]), []);
  });

  for (const text of [
    '',
    'sandbox',
    'a:b:c:1',
    `a:b:${'a'.repeat(24)}:`,
    `a:b:${'A'.repeat(24)}:1`,
    `a:b:c:${'a'.repeat(24)}:1`,
    `:b:${'a'.repeat(24)}:1`,
  ]) {
    it(`${JSON.stringify(text)} is no option id`, () => assert.equal(parseOptionId(text), undefined));
  }
});

describe('rates: card rules', () => {
  it('accepts the default cards', () => {
    assert.deepEqual(
      cards.map(({ service }) => service),
      ['surface-500', 'air-500', 'surface-2kg', 'lite-250'],
    );
    for (const card of cards) assert.deepEqual(rateCardFaults(card), []);
  });

  const paise = { A: 1, B: 1, C: 1, D: 1, E: 1 };
  const last = { uptoGrams: null, stepGrams: 500, paise };
  const tier = (uptoGrams: number | null, stepGrams = 500): RateCardTerms['tiers'][number] => ({
    uptoGrams,
    stepGrams,
    paise,
  });
  const many = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);
  const missing = { A: 1, B: 1, C: 1, D: 1 } as unknown as RateCardTerms['tiers'][number]['paise'];
  const faults: [string, Partial<RateCardTerms>, string[]][] = [
    ['no tier', { tiers: [] }, ['tiers']],
    ['1,001 tiers', { tiers: many(1001, last) }, ['tiers']],
    ['tiers that fall', { tiers: [tier(1000), tier(500), last] }, ['tiers.1.uptoGrams']],
    ['tiers that stand', { tiers: [tier(500), tier(500), last] }, ['tiers.1.uptoGrams']],
    ['an end', { tiers: [tier(500)] }, ['tiers.0.uptoGrams']],
    ['endless in the middle', { tiers: [last, last] }, ['tiers.0.uptoGrams']],
    ['step 0', { tiers: [tier(null, 0)] }, ['tiers.0.stepGrams']],
    ['step 0.5', { tiers: [tier(null, 0.5)] }, ['tiers.0.stepGrams']],
    ['a missing zone', { tiers: [{ ...last, paise: missing }] }, ['tiers.0.paise.E']],
    ['a negative price', { tiers: [{ ...last, paise: { ...paise, C: -1 } }] }, ['tiers.0.paise.C']],
    ['half a paisa', { tiers: [{ ...last, paise: { ...paise, C: 0.5 } }] }, ['tiers.0.paise.C']],
    ['a bad RTO table', { rto: { kind: 'table', tiers: [tier(500)] } }, ['rto.tiers.0.uptoGrams']],
    ['RTO over 200 %', { rto: { kind: 'percent', bp: 20_001 } }, ['rto.bp']],
    ['divisor 0', { divisor: 0 }, ['divisor']],
    ['minimum over maximum', { minGrams: 600, maxGrams: 500 }, ['minGrams']],
    ['odd GST', { gstBp: 25 }, ['gstBp']],
    ['fuel over 100 %', { fuelBp: 10_001 }, ['fuelBp']],
    ['COD percentage below zero', { cod: { flatPaise: 0, bp: -1 } }, ['cod.bp']],
    ['ODA not a number', { oda: { flatPaise: Number.NaN, perKgPaise: 0 } }, ['oda.flatPaise']],
    ['a service with a colon', { service: 'a:b' }, ['service']],
    ['an empty courier', { courier: '' }, ['courier']],
    ['61 days', { days: { A: 1, B: 1, C: 1, D: 1, E: 61 } }, ['days.E']],
    ['1,001 zone rules', { zoneRules: many(1001, { zone: 'A' as const, states: ['Delhi'] }) }, ['zoneRules']],
    ['a rule without a condition', { zoneRules: [{ zone: 'A' }] }, ['zoneRules.0']],
    ['a rule with an empty list', { zoneRules: [{ zone: 'A', originPincodes: [] }] }, ['zoneRules.0.originPincodes']],
    [
      '10,001 pincodes',
      { zoneRules: [{ zone: 'A', originPincodes: many(10_001, '110001') }] },
      ['zoneRules.0.originPincodes'],
    ],
    [
      'a bad pincode',
      { zoneRules: [{ zone: 'A', destinationPincodes: ['110001', '11'] }] },
      ['zoneRules.0.destinationPincodes.1'],
    ],
    ['a bad prefix', { zoneRules: [{ zone: 'A', prefixes: ['0'] }] }, ['zoneRules.0.prefixes.0']],
    ['a bad state', { zoneRules: [{ zone: 'A', states: ['Texas'] }] }, ['zoneRules.0.states.0']],
    ['several at once', { divisor: 0, gstBp: -1, tiers: [] }, ['divisor', 'tiers', 'gstBp']],
  ];
  for (const [name, change, paths] of faults) {
    it(`refuses ${name}`, () => {
      assert.deepEqual(
        rateCardFaults({ ...cardOf('surface-500'), ...change }).map(({ path }) => path),
        paths,
      );
    });
  }

  it('takes 1,000 tiers and 1,000 zone rules', () => {
    const tiers = [...Array.from({ length: 999 }, (_, at) => tier((at + 1) * 10)), last];
    const zoneRules = many(1000, { zone: 'A' as const, states: ['Delhi'] });
    assert.deepEqual(rateCardFaults({ ...cardOf('surface-500'), tiers, zoneRules }), []);
  });
});
