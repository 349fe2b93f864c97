import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import type { BookRequest, CourierCall, InboundWebhook } from '../../src/modules/couriers/adapter.ts';
import {
  awbFromSerial,
  awbText,
  blockFrom,
  blockSize,
  isAwbText,
  luhnDigit,
  MAX_AWB_SERIAL,
  parseAwb,
  takeFromBlock,
} from '../../src/modules/couriers/awb.rules.ts';
import { sandboxAdapter } from '../../src/modules/couriers/sandbox/sandbox.adapter.ts';
import { SANDBOX_NDR_CODES, SANDBOX_STATUS_TABLE } from '../../src/modules/couriers/sandbox/sandbox.codes.ts';
import { behaviourOf } from '../../src/modules/couriers/sandbox/sandbox.misbehaviour.ts';
import { seededRandom } from '../../src/modules/couriers/sandbox/sandbox.random.ts';
import type { PlannedLife, Scenario } from '../../src/modules/couriers/sandbox/sandbox.scenario.ts';
import {
  datedBack,
  DEFAULT_MIX,
  disorder,
  pickScenario,
  planScenario,
  playDelaysMs,
  SCENARIOS,
} from '../../src/modules/couriers/sandbox/sandbox.scenario.ts';
import { mapCode } from '../../src/modules/couriers/status-table.rules.ts';
import { NDR_REASONS } from '../../src/modules/couriers/shipment-status.rules.ts';
import type { Scan } from '../../src/modules/tracking/scan.rules.ts';
import { makeScan } from '../../src/modules/tracking/scan.rules.ts';
import type { Tracking } from '../../src/modules/tracking/tracking.rules.ts';
import { foldScans } from '../../src/modules/tracking/tracking.rules.ts';

const START = new Date(Date.UTC(2026, 2, 1, 6));
const LATER = new Date(Date.UTC(2026, 5, 1));

function lifeOf(scenario: Scenario, serial: number, more: { seed?: string; destinationCity?: string } = {}): PlannedLife {
  return planScenario({
    awb: awbFromSerial('DKS', serial),
    seed: more.seed ?? 'demo',
    scenario,
    startAt: START,
    originCity: 'Delhi',
    destinationCity: more.destinationCity ?? 'Pune',
    paymentMethod: serial % 2 ? 'cod' : 'prepaid',
    declaredGrams: 500,
  });
}

function scansOf(life: PlannedLife): Scan[] {
  return life.scans.map((raw) =>
    makeScan(
      raw,
      mapCode(SANDBOX_STATUS_TABLE, { direction: 'forward', code: raw.rawCode, group: raw.group, reason: raw.rawReason }),
      { courier: 'sandbox', source: 'simulated', receivedAt: LATER },
    ),
  );
}

function played(scenario: Scenario, serial: number): Tracking {
  return foldScans(scansOf(lifeOf(scenario, serial)), { now: LATER });
}

describe('AWB numbers', () => {
  const known: [number, string][] = [
    [0, 'DKS00000000000'],
    [1, 'DKS00000000018'],
    [7_992_739_871, 'DKS79927398713'],
    [MAX_AWB_SERIAL, 'DKS99999999990'],
  ];
  for (const [serial, awb] of known) {
    it(`${serial} is ${awb} and back`, () => {
      assert.equal(awbFromSerial('DKS', serial), awb);
      assert.deepEqual(parseAwb(awb), { prefix: 'DKS', serial });
    });
  }

  it('Luhn: the published example 7992739871 has check digit 3', () => assert.equal(luhnDigit('7992739871'), 3));

  it('finds every wrong digit', () => {
    fc.assert(
      fc.property(fc.nat(MAX_AWB_SERIAL), fc.integer({ min: 3, max: 13 }), fc.integer({ min: 1, max: 9 }), (serial, place, add) => {
        const awb = awbFromSerial('DKS', serial);
        const wrong = (Number(awb[place]) + add) % 10;
        assert.equal(parseAwb(awb.slice(0, place) + wrong + awb.slice(place + 1)), undefined);
      }),
    );
  });

  for (const [prefix, serial] of [['DKS', -1], ['DKS', 1.5], ['DKS', MAX_AWB_SERIAL + 1], ['dks', 1], ['D', 1], ['DAKIY', 1]] as const) {
    it(`refuses ${prefix} ${serial}`, () => assert.throws(() => awbFromSerial(prefix, serial), RangeError));
  }

  it('is read with spaces, hyphens and small letters; other forms are not ours', () => {
    assert.deepEqual(parseAwb(' dks-0000 0000 018 '), { prefix: 'DKS', serial: 1 });
    for (const text of ['', 'DKS', 'DKS0000000001', 'DKS000000000180', '1490811234567']) assert.equal(parseAwb(text), undefined);
    assert.equal(isAwbText(awbText('1490-8112-345')), true);
    assert.equal(isAwbText(awbText('../x')), false);
  });

  it('blocks are cut without gap or overlap and end with the series', () => {
    assert.deepEqual(blockFrom(100, 50), { from: 100, to: 149 });
    assert.deepEqual(blockFrom(MAX_AWB_SERIAL - 1, 50), { from: MAX_AWB_SERIAL - 1, to: MAX_AWB_SERIAL });
    assert.equal(blockFrom(MAX_AWB_SERIAL + 1, 50), undefined);
    assert.throws(() => blockFrom(1, 0), RangeError);
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 60 }), fc.array(fc.nat(20), { maxLength: 9 }), (from, size, counts) => {
        let rest = blockFrom(from, size);
        const serials = counts.flatMap((count) => {
          if (rest === undefined) return [];
          const taken = takeFromBlock(rest, count);
          rest = taken.rest;
          return taken.serials;
        });
        const left = rest === undefined ? 0 : blockSize(rest);
        assert.equal(serials.length + left, size);
        assert.deepEqual(serials, serials.map((_, index) => from + index));
      }),
    );
  });
});

describe('seeded random', () => {
  it('is the same for the same seed and keys, and another for others', () => {
    const draw = (...keys: [string, ...string[]]): number[] => {
      const random = seededRandom(...keys);
      return [random.next(), random.next(), random.between(1, 6)];
    };
    assert.deepEqual(draw('a', 'b'), draw('a', 'b'));
    assert.notDeepEqual(draw('a', 'b'), draw('a', 'c'));
    assert.notDeepEqual(draw('a', 'bc'), draw('ab', 'c'));
  });

  it('stays in its range and reaches both ends', () => {
    const random = seededRandom('range');
    const drawn = Array.from({ length: 2000 }, () => random.between(3, 6));
    assert.deepEqual([...new Set(drawn)].sort(), [3, 4, 5, 6]);
    assert.throws(() => random.pick([]), RangeError);
  });
});

describe('sandbox scenarios', () => {
  const serials = Array.from({ length: 60 }, (_, index) => index);

  for (const scenario of SCENARIOS) {
    it(`${scenario}: known codes, times rising by whole minutes, a life of plausible length, the same every time`, () => {
      for (const serial of serials) {
        const life = lifeOf(scenario, serial);
        assert.deepEqual(life, lifeOf(scenario, serial));
        assert.ok(scansOf(life).every((scan) => scan.status !== undefined));
        const times = life.scans.map((scan) => scan.occurredAt.getTime());
        assert.equal(times[0], START.getTime());
        assert.ok(times.every((time, index) => time % 60_000 === 0 && (index === 0 || time > (times[index - 1] ?? 0))));
        const days = ((times.at(-1) ?? 0) - START.getTime()) / 86_400_000;
        assert.ok(days > 0.5 && days < 25, `${days} days`);
        assert.equal(new Set(scansOf(life).map((scan) => scan.scanId)).size, life.scans.length);
      }
    });
  }

  const ends: [Scenario, Tracking['status'], number[]][] = [
    ['delivered', 'delivered', [0]],
    ['ndr_then_delivered', 'delivered', [1, 2, 3]],
    ['rto', 'rto_delivered', [3]],
    ['lost', 'lost', [0]],
    ['damaged', 'damaged', [0]],
    ['weight_change', 'delivered', [0]],
  ];
  for (const [scenario, status, attempts] of ends) {
    it(`${scenario} ends ${status} after ${attempts.join(' or ')} failed attempts, without an alert`, () => {
      const all = serials.map((serial) => played(scenario, serial));
      assert.deepEqual(new Set(all.map((one) => one.status)), new Set([status]));
      assert.deepEqual([...new Set(all.map((one) => one.attempts))].sort(), attempts);
      assert.ok(all.every((one) => one.alerts.length === 0 && one.unmapped === 0 && one.pickedUpAt !== undefined));
    });
  }

  it('the way back has each step of an RTO, in order', () => {
    const seen = played('rto', 3).events.map((event) => event.status);
    const back = ['rto_initiated', 'rto_in_transit', 'rto_out_for_delivery', 'rto_delivered'];
    assert.deepEqual(back.map((status) => seen.includes(status as Tracking['status'])), [true, true, true, true]);
    const places = back.map((status) => seen.indexOf(status as Tracking['status']));
    assert.deepEqual(places, [...places].sort((a, b) => a - b));
  });

  it('NDR reasons come from the list; money reasons only for COD', () => {
    const cashReasons = ['cash_not_ready', 'wants_open_delivery'];
    const reasons = (parity: number): Set<string> =>
      new Set(serials.filter((n) => n % 2 === parity).flatMap((n) => played('rto', n).ndr.map((ndr) => ndr.reason)));
    assert.ok(![...reasons(0)].some((reason) => cashReasons.includes(reason)));
    assert.ok([...reasons(1)].some((reason) => cashReasons.includes(reason)));
    assert.ok(reasons(0).size > 3);
  });

  it('every NDR reason has its own code', () => {
    for (const reason of NDR_REASONS) {
      const coded = { direction: 'forward' as const, code: 'UD', group: 'FW', reason: SANDBOX_NDR_CODES[reason] };
      assert.deepEqual(mapCode(SANDBOX_STATUS_TABLE, coded), { status: 'undelivered', reason });
    }
  });

  it('a weight change is heavier than declared, in steps of ten grams; no other scenario weighs', () => {
    for (const scenario of SCENARIOS) {
      for (const serial of serials) {
        const { weight } = lifeOf(scenario, serial);
        assert.equal(weight !== undefined, scenario === 'weight_change');
        if (weight === undefined) continue;
        assert.ok(weight.courierGrams >= 550 && weight.courierGrams <= 900 && weight.courierGrams % 10 === 0);
        assert.equal(weight.reference, `WGT-${weight.awb}`);
      }
    }
  });

  it('another seed or another AWB is another life', () => {
    assert.notDeepEqual(lifeOf('delivered', 1), lifeOf('delivered', 1, { seed: 'other' }));
    assert.notDeepEqual(
      lifeOf('delivered', 1).scans.map((scan) => scan.occurredAt),
      lifeOf('delivered', 2).scans.map((scan) => scan.occurredAt),
    );
  });

  it('within one city there is no journey between cities', () => {
    const cities = lifeOf('rto', 4, { destinationCity: 'Delhi' }).scans.map((scan) => scan.location);
    assert.deepEqual(new Set(cities), new Set(['Delhi']));
  });
});

describe('sandbox: dates and disorder', () => {
  it('dated back: the last scan is now, the distances stay, the weight moves along', () => {
    const life = lifeOf('weight_change', 5);
    const back = datedBack(life, LATER);
    const shift = LATER.getTime() - (life.scans.at(-1)?.occurredAt.getTime() ?? 0);
    assert.deepEqual(back.scans.at(-1)?.occurredAt, LATER);
    assert.ok(back.scans.every((scan, i) => scan.occurredAt.getTime() - (life.scans[i]?.occurredAt.getTime() ?? 0) === shift));
    assert.equal((back.weight?.occurredAt.getTime() ?? 0) - (life.weight?.occurredAt.getTime() ?? 0), shift);
    assert.deepEqual(datedBack({ scans: [] }, LATER), { scans: [] });
  });

  it('none keeps the order; repeats add copies after their first; shuffled is another order of the same', () => {
    for (let serial = 0; serial < 40; serial += 1) {
      const { scans } = lifeOf('rto', serial);
      assert.deepEqual(disorder(scans, 'none', 's'), scans);
      const repeats = disorder(scans, 'repeats', `s${serial}`);
      assert.ok(repeats.length > scans.length);
      assert.deepEqual([...new Set(repeats)], scans);
      const shuffled = disorder(scans, 'shuffled', `s${serial}`);
      assert.notDeepEqual(shuffled, scans);
      assert.deepEqual([...shuffled].sort((a, b) => a.occurredAt.getTime() - b.occurredAt.getTime()), scans);
      assert.deepEqual(shuffled, disorder(scans, 'shuffled', `s${serial}`));
    }
  });

  it('two scans shuffled are swapped; one or none stays', () => {
    for (let seed = 0; seed < 10; seed += 1) assert.deepEqual(disorder([1, 2], 'shuffled', String(seed)), [2, 1]);
    assert.deepEqual(disorder([1], 'shuffled', 's'), [1]);
    assert.deepEqual(disorder([], 'repeats', 's'), []);
  });

  for (const scenario of SCENARIOS) {
    it(`${scenario}: disorder changes nothing of what the scans say together`, () => {
      for (let serial = 0; serial < 20; serial += 1) {
        const scans = scansOf(lifeOf(scenario, serial));
        const plain = foldScans(scans, { now: LATER });
        assert.deepEqual(foldScans(disorder(scans, 'repeats', `${serial}`), { now: LATER }), plain);
        assert.deepEqual(foldScans(disorder(scans, 'shuffled', `${serial}`), { now: LATER }), plain);
      }
    });
  }

  it('scenarios come in the proportions of the mix, and only those of the mix', () => {
    const picked = Array.from({ length: 5000 }, (_, serial) => pickScenario('demo', awbFromSerial('DKS', serial)));
    for (const scenario of SCENARIOS) {
      const share = picked.filter((one) => one === scenario).length / 50;
      assert.ok(Math.abs(share - DEFAULT_MIX[scenario]) < 2.5, `${scenario}: ${share} %`);
      assert.equal(pickScenario('demo', 'X', { [scenario]: 1 }), scenario);
    }
    assert.throws(() => pickScenario('demo', 'X', {}), RangeError);
    assert.throws(() => pickScenario('demo', 'X', { rto: -1 }), RangeError);
  });

  it('play delays: 24 hours a second means an hour in 1000/24 ms', () => {
    const scans = [0, 24, 36].map((hour) => ({ awb: 'A', rawCode: 'IT', occurredAt: new Date(START.getTime() + hour * 3_600_000) }));
    assert.deepEqual(playDelaysMs(scans, 24), [0, 1000, 1500]);
  });
});

describe('sandbox adapter', () => {
  const call = (seed: string, more: Partial<CourierCall> = {}): CourierCall => ({
    connectionId: 'c',
    mode: 'sandbox',
    credentials: { seed },
    attempt: 1,
    now: LATER,
    ...more,
  });
  const address = { name: 'A', phone: '+919876543210', line1: '1', city: 'Pune', state: 'Maharashtra', pincode: '411001', country: 'IN' };
  const request: BookRequest = {
    reference: 'order-1/1',
    orderNumber: 'DK-1',
    service: 'surface',
    direction: 'forward',
    paymentMethod: 'prepaid',
    codPaise: 0,
    declaredValuePaise: 10_000,
    parcel: { weightGrams: 500, lengthMm: 1, breadthMm: 1, heightMm: 1 },
    pickup: { ...address, pincode: '110001' },
    destination: address,
    items: [],
  };
  const parcel = (awb: string) => ({
    awb,
    bookedAt: START,
    originCity: 'Delhi',
    destinationCity: 'Pune',
    paymentMethod: 'cod' as const,
    declaredGrams: 500,
  });

  it('books the number it was given', async () => {
    const answer = await sandboxAdapter.book(call('ok'), { ...request, awb: 'dks00000000018' });
    assert.ok(answer.ok);
    assert.equal(answer.value.awb, 'DKS00000000018');
    assert.equal(answer.value.sortCode, '411/110');
  });

  it('without one gives a valid number, the same for the same reference, another for another', async () => {
    const awbs = await Promise.all(
      ['r1', 'r1', 'r2'].map(async (reference) => {
        const answer = await sandboxAdapter.book(call('ok'), { ...request, reference });
        return answer.ok ? answer.value.awb : answer.code;
      }),
    );
    assert.equal(awbs[0], awbs[1]);
    assert.notEqual(awbs[0], awbs[2]);
    assert.equal(parseAwb(awbs[0] ?? '')?.prefix, 'DKX');
  });

  it('refuses a number of no form', async () => {
    const answer = await sandboxAdapter.book(call('ok'), { ...request, awb: '../1' });
    assert.deepEqual(answer.ok ? '' : [answer.kind, answer.code], ['refused', 'awb_invalid']);
  });

  const failures: [string, number, string][] = [
    ['429', 1, 'retryable courier_rate_limited'],
    ['500', 1, 'retryable courier_error'],
    ['timeout', 1, 'retryable courier_timeout'],
    ['refused', 1, 'refused courier_refused'],
    ['500:2', 2, 'retryable courier_error'],
    ['500:2', 3, 'ok'],
    ['slow:0', 1, 'ok'],
    ['500:1 429:2', 2, 'retryable courier_rate_limited'],
    ['ok', 1, 'ok'],
    ['any words', 1, 'ok'],
    ['', 1, 'ok'],
    ['chaos:0', 1, 'ok'],
  ];
  for (const [seed, attempt, expected] of failures) {
    it(`seed "${seed}", attempt ${attempt}: ${expected}`, async () => {
      const answers = await Promise.all([
        sandboxAdapter.book(call(seed, { attempt }), request),
        sandboxAdapter.cancel(call(seed, { attempt }), { awb: 'A', reference: 'r' }),
        sandboxAdapter.track(call(seed, { attempt }), { parcels: [] }),
        sandboxAdapter.ndrAction(call(seed, { attempt }), { awb: 'A', reference: 'r', action: 'reattempt' }),
        sandboxAdapter.pickup(call(seed, { attempt }), { reference: 'r', pickup: address, date: '2026-03-02', awbs: [] }),
      ]);
      for (const answer of answers) assert.equal(answer.ok ? 'ok' : `${answer.kind} ${answer.code}`, expected);
    });
  }

  it('chaos fails the asked share of calls, the same ones every time, and a retry is a new draw', () => {
    const kinds = (attempt: number): string[] =>
      Array.from({ length: 2000 }, (_, i) => behaviourOf('chaos:0.3', { operation: 'book', reference: `r${i}`, attempt }).kind);
    const first = kinds(1);
    const failed = first.filter((kind) => kind !== 'ok').length / 2000;
    assert.ok(Math.abs(failed - 0.3) < 0.04, String(failed));
    assert.deepEqual(new Set(first), new Set(['ok', '429', '500', 'timeout']));
    assert.deepEqual(kinds(1), first);
    assert.notDeepEqual(kinds(2), first);
  });

  for (const seed of ['timeout', 'slow:60000']) {
    it(`${seed} hangs until the caller gives up`, async () => {
      const giveUp = new AbortController();
      const pending = sandboxAdapter.book(call(seed, { signal: giveUp.signal }), request);
      giveUp.abort();
      const answer = await pending;
      assert.equal(answer.ok ? 'ok' : answer.code, 'courier_timeout');
    });
  }

  it('a caller that had given up before is not served', async () => {
    const answer = await sandboxAdapter.book(call('ok', { signal: AbortSignal.abort() }), request);
    assert.equal(answer.ok, false);
  });

  it('track tells nothing by itself; with "auto" it plays the life up to now', async () => {
    const awb = awbFromSerial('DKS', 9);
    const silent = await sandboxAdapter.track(call('demo'), { parcels: [parcel(awb)] });
    assert.deepEqual(silent, { ok: true, value: { scans: [], weights: [], unknownAwbs: [] } });
    const soon = new Date(START.getTime() + 12 * 3_600_000);
    const early = await sandboxAdapter.track(call('demo auto', { now: soon }), { parcels: [parcel(awb)] });
    const whole = await sandboxAdapter.track(call('demo auto'), { parcels: [parcel(awb)] });
    assert.ok(early.ok && whole.ok);
    assert.ok(early.value.scans.length > 0 && early.value.scans.length < whole.value.scans.length);
    assert.deepEqual(whole.value.scans.slice(0, early.value.scans.length), early.value.scans);
    assert.ok(early.value.scans.every((scan) => scan.occurredAt <= soon));
  });

  describe('webhook', () => {
    const secret = { header: 'X-Sandbox-Token', token: 'a-token' };
    const webhook = (body: string, token?: string): InboundWebhook => ({
      rawBody: Buffer.from(body),
      headers: token === undefined ? {} : { 'x-sandbox-token': token },
    });

    for (const [token, good] of [['a-token', true], ['a-tokem', false], ['', false], ['a-token-and-more', false], [undefined, false]] as const) {
      it(`token ${token ?? 'missing'}: ${good ? 'verified' : 'refused'}`, () => {
        assert.equal(sandboxAdapter.verifyWebhook(secret, webhook('{}', token)), good);
      });
    }

    it('an empty agreed token verifies nothing', () => {
      assert.equal(sandboxAdapter.verifyWebhook({ ...secret, token: '' }, webhook('{}', '')), false);
    });

    it('reads scans and weights', () => {
      const occurredAt = '2026-03-01T10:00:00.000+05:30';
      const body = {
        events: [{ awb: 'dks-1 2', code: 'UD', group: 'FW', reason: 'R01', location: 'Pune', occurredAt }],
        weights: [{ awb: 'DKS12', reference: 'W1', grams: 700, occurredAt }],
      };
      const time = new Date(Date.UTC(2026, 2, 1, 4, 30));
      assert.deepEqual(sandboxAdapter.parseWebhook(webhook(JSON.stringify(body))), {
        scans: [{ awb: 'DKS12', rawCode: 'UD', group: 'FW', rawReason: 'R01', location: 'Pune', occurredAt: time }],
        weights: [{ awb: 'DKS12', reference: 'W1', courierGrams: 700, occurredAt: time }],
        ignored: 0,
      });
    });

    const good = { awb: 'A1', code: 'IT', occurredAt: '2026-03-01T10:00:00Z' };
    const bad: [string, unknown][] = [
      ['no AWB', { ...good, awb: undefined }],
      ['a number as AWB', { ...good, awb: 7 }],
      ['an empty code', { ...good, code: '' }],
      ['a time without a zone', { ...good, occurredAt: '2026-03-01T10:00:00' }],
      ['a time that is none', { ...good, occurredAt: '2026-13-41T10:00:00Z' }],
      ['null', null],
      ['a list', []],
    ];
    for (const [name, event] of bad) {
      it(`${name}: counted as ignored, its neighbour read`, () => {
        const parsed = sandboxAdapter.parseWebhook(webhook(JSON.stringify({ events: [event, good] })));
        assert.deepEqual([parsed.scans.length, parsed.ignored], [1, 1]);
      });
    }

    for (const grams of [0, -1, 1.5, '700', undefined]) {
      it(`a weight of ${String(grams)} (${typeof grams}) is ignored`, () => {
        const weights = [{ awb: 'A1', reference: 'W', grams, occurredAt: good.occurredAt }];
        assert.equal(sandboxAdapter.parseWebhook(webhook(JSON.stringify({ weights }))).ignored, 1);
      });
    }

    for (const body of ['', '{', '[]', 'null', '7', '{"events":{}}']) {
      it(`a body of ${body || 'nothing'} is refused`, () => {
        assert.throws(() => sandboxAdapter.parseWebhook(webhook(body)), { code: 'webhook_body_invalid' });
      });
    }
  });
});
