import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import type { CodeMeaning } from '../../src/modules/couriers/status-table.rules.ts';
import { mapCode, statusTable } from '../../src/modules/couriers/status-table.rules.ts';
import { GENERIC_STATUS_TABLE, genericRawScan, mapGenericEvent } from '../../src/modules/couriers/generic.rules.ts';
import type { NdrReason, ShipmentStatus } from '../../src/modules/couriers/shipment-status.rules.ts';
import {
  isPickedUpOrLater,
  isTerminal,
  NDR_REASONS,
  SHIPMENT_STATUSES,
} from '../../src/modules/couriers/shipment-status.rules.ts';
import type { Scan } from '../../src/modules/tracking/scan.rules.ts';
import { makeScan, orderedOnce, scanIdOf } from '../../src/modules/tracking/scan.rules.ts';
import type { TrackingAlert } from '../../src/modules/tracking/tracking.rules.ts';
import { foldScans, FUTURE_TOLERANCE_MS } from '../../src/modules/tracking/tracking.rules.ts';

const START = Date.UTC(2026, 0, 5, 4, 30);
const HOUR = 3_600_000;
const NOW = new Date(START + 1000 * HOUR);

function at(hour: number): Date {
  return new Date(START + hour * HOUR);
}

function scan(status: ShipmentStatus | undefined, hour: number, more: Partial<Scan> & { reason?: NdrReason } = {}): Scan {
  const occurredAt = more.occurredAt ?? at(hour);
  const rawCode = more.rawCode ?? status ?? 'XX';
  const meaning: CodeMeaning | 'unmapped' = status === undefined ? 'unmapped' : { status, reason: more.reason };
  const raw = { awb: 'DKS00000000018', rawCode, group: more.group, rawReason: more.rawReason, occurredAt };
  const made = makeScan(raw, meaning, {
    courier: 'sandbox',
    source: more.source ?? 'courier',
    receivedAt: more.receivedAt ?? NOW,
  });
  return more.location === undefined ? made : { ...made, location: more.location };
}

function life(...steps: ([ShipmentStatus, number] | [ShipmentStatus, number, NdrReason])[]): Scan[] {
  return steps.map(([status, hour, reason]) => scan(status, hour, { reason }));
}

describe('scan identity', () => {
  const base = { courier: 'sandbox', awb: 'DKS1', rawCode: 'UD', group: 'FW', rawReason: 'R01', occurredAt: at(1) };

  it('is the same for the same event, whenever it was received and by whatever way', () => {
    const first = scan('in_transit', 1, { receivedAt: at(2), source: 'courier' });
    const second = scan('in_transit', 1, { receivedAt: at(9), source: 'api', location: 'Pune' });
    assert.equal(first.scanId, second.scanId);
  });

  const others: [string, Partial<typeof base>][] = [
    ['courier', { courier: 'delhivery' }],
    ['AWB', { awb: 'DKS2' }],
    ['raw code', { rawCode: 'ud' }],
    ['group', { group: 'RT' }],
    ['reason', { rawReason: 'R02' }],
    ['time', { occurredAt: new Date(at(1).getTime() + 1) }],
  ];
  for (const [part, change] of others) {
    it(`differs by ${part}`, () => assert.notEqual(scanIdOf(base), scanIdOf({ ...base, ...change })));
  }

  it('keeps a text in its own part: group AB + reason C is not group A + reason BC', () => {
    const left = scanIdOf({ ...base, group: 'AB', rawReason: 'C' });
    assert.notEqual(left, scanIdOf({ ...base, group: 'A', rawReason: 'BC' }));
  });

  it('keeps an unknown code without a status', () => {
    const unmapped = scan(undefined, 1);
    assert.equal('status' in unmapped, false);
    assert.equal(unmapped.rawCode, 'XX');
  });
});

describe('fold: status by time of occurrence', () => {
  const cases: [string, Scan[], ShipmentStatus][] = [
    ['no scans: created', [], 'created'],
    ['the way to the door', life(['picked_up', 1], ['in_transit', 2], ['out_for_delivery', 3]), 'out_for_delivery'],
    ['an older scan that arrives last changes nothing', life(['out_for_delivery', 3], ['in_transit', 2]), 'out_for_delivery'],
    ['a later in_transit after out_for_delivery wins', life(['out_for_delivery', 3], ['in_transit', 4]), 'in_transit'],
    ['NDR, then out again', life(['undelivered', 3, 'refused'], ['out_for_delivery', 9]), 'out_for_delivery'],
    ['on hold, then on its way', life(['picked_up', 1], ['on_hold', 2], ['in_transit', 3]), 'in_transit'],
    ['delivered stays against a later in_transit', life(['delivered', 3], ['in_transit', 4]), 'delivered'],
    ['delivered stays against a later undelivered', life(['delivered', 3], ['undelivered', 4]), 'delivered'],
    ['lost stays against a later delivered', life(['lost', 3], ['delivered', 4]), 'lost'],
    ['damaged stays against a later RTO', life(['damaged', 3], ['rto_initiated', 4]), 'damaged'],
    ['destroyed stays', life(['destroyed', 3], ['in_transit', 4]), 'destroyed'],
    ['delivered, then RTO: a correction', life(['delivered', 3], ['rto_initiated', 4]), 'rto_initiated'],
    ['delivered, then straight RTO delivered', life(['delivered', 3], ['rto_delivered', 4]), 'rto_delivered'],
    ['RTO delivered, then delivered: a correction', life(['rto_delivered', 3], ['delivered', 4]), 'delivered'],
    ['RTO delivered stays against a later RTO step', life(['rto_delivered', 3], ['rto_in_transit', 4]), 'rto_delivered'],
    ['an RTO that was delivered after all', life(['rto_in_transit', 3], ['delivered', 4]), 'delivered'],
    ['a delivered scan of before the RTO does not undo it', life(['rto_initiated', 4], ['delivered', 3]), 'rto_initiated'],
    ['the courier cancels before pick-up', life(['manifested', 1], ['cancelled', 2]), 'cancelled'],
    ['cancelled stays against a later pick-up', life(['cancelled', 2], ['picked_up', 3]), 'cancelled'],
    ['a courier cannot cancel what it carries', life(['picked_up', 1], ['cancelled', 2]), 'picked_up'],
    ['a failed pick-up, then picked up', life(['pickup_failed', 1], ['picked_up', 2]), 'picked_up'],
    ['an unmapped scan moves nothing', [...life(['picked_up', 1]), scan(undefined, 5)], 'picked_up'],
  ];
  for (const [name, scans, status] of cases) {
    it(name, () => assert.equal(foldScans(scans, { now: NOW }).status, status));
  }

  it('statusAt is the time of the scan that says so, absent without one', () => {
    assert.deepEqual(foldScans(life(['delivered', 3], ['in_transit', 9]), { now: NOW }).statusAt, at(3));
    assert.equal(foldScans([], { now: NOW, initial: 'manifested' }).statusAt, undefined);
  });

  it('our own steps stand until a scan says more', () => {
    const status = (scans: Scan[]): string => foldScans(scans, { now: NOW, initial: 'pickup_scheduled' }).status;
    assert.equal(status([]), 'pickup_scheduled');
    assert.equal(status(life(['manifested', 1])), 'pickup_scheduled');
    assert.equal(status(life(['out_for_pickup', 1])), 'out_for_pickup');
  });
});

describe('fold: equal times', () => {
  const ties: [ShipmentStatus, ShipmentStatus, ShipmentStatus][] = [
    ['picked_up', 'in_transit', 'in_transit'],
    ['out_for_delivery', 'delivered', 'delivered'],
    ['undelivered', 'delivered', 'delivered'],
    ['undelivered', 'rto_initiated', 'rto_initiated'],
    ['delivered', 'rto_delivered', 'rto_delivered'],
    ['cancelled', 'picked_up', 'picked_up'],
    ['in_transit', 'lost', 'lost'],
    ['delivered', 'lost', 'lost'],
  ];
  for (const [one, other, winner] of ties) {
    it(`${one} and ${other} at one time: ${winner}`, () => {
      assert.equal(foldScans(life([one, 1], [other, 1]), { now: NOW }).status, winner);
      assert.equal(foldScans(life([other, 1], [one, 1]), { now: NOW }).status, winner);
    });
  }

  it('the further status wins the moment also when the nearer one would have ended the life', () => {
    const scans = life(['delivered', 1], ['lost', 1], ['rto_initiated', 2]);
    assert.equal(foldScans(scans, { now: NOW }).status, 'lost');
  });

  it('one status, two codes: the greater raw code in UTF-8 bytes names the reason', () => {
    const low = scan('undelivered', 1, { rawCode: '\uFF5E', reason: 'refused' });
    const high = scan('undelivered', 1, { rawCode: '\u{1F4E6}', reason: 'unreachable' });
    for (const scans of [[low, high], [high, low]]) {
      assert.deepEqual(foldScans(scans, { now: NOW }).ndr.map((ndr) => ndr.reason), ['unreachable']);
    }
  });

  it('a pick-up hidden behind another scan of its minute still counts as the pick-up', () => {
    const [picked, moving] = [scan('picked_up', 1), scan('in_transit', 1)];
    const folded = foldScans([moving, picked], { now: NOW });
    assert.equal(folded.firstPickupScanId, picked.scanId);
    assert.deepEqual(folded.pickedUpAt, at(1));
  });
});

describe('fold: alerts', () => {
  const cases: [string, Scan[], TrackingAlert[], Date?][] = [
    ['none on the plain way', life(['picked_up', 1], ['delivered', 2]), []],
    ['delivered, then RTO', life(['delivered', 1], ['rto_initiated', 2]), ['delivered_then_rto']],
    ['RTO, then delivered', life(['rto_initiated', 1], ['delivered', 2]), ['rto_then_delivered']],
    ['RTO delivered, then delivered', life(['rto_delivered', 1], ['delivered', 2]), ['rto_then_delivered']],
    [
      'both ways, each once',
      life(['delivered', 1], ['rto_initiated', 2], ['delivered', 3], ['rto_delivered', 4]),
      ['delivered_then_rto', 'rto_then_delivered'],
    ],
    [
      'RTO, out again, delivered',
      life(['rto_initiated', 1], ['out_for_delivery', 2], ['delivered', 3]),
      ['rto_then_delivered'],
    ],
    ['picked up after the courier cancelled', life(['cancelled', 1], ['picked_up', 2]), ['picked_up_after_cancel']],
    ['delivered after our cancel', life(['delivered', 4]), ['picked_up_after_cancel'], at(2)],
    ['a pick-up before our cancel, known after it', life(['picked_up', 1]), ['picked_up_after_cancel'], at(2)],
    ['a failed pick-up after our cancel is no alert', life(['pickup_failed', 3]), [], at(2)],
    ['the courier cancels what it carries', life(['in_transit', 1], ['cancelled', 2]), ['cancelled_after_pickup']],
    ['a pick-up failure after a courier cancel is no alert', life(['cancelled', 1], ['pickup_failed', 2]), []],
    ['a scan from the future', life(['picked_up', 1], ['delivered', 1001]), ['future_scan']],
  ];
  for (const [name, scans, alerts, cancelledAt] of cases) {
    it(name, () => assert.deepEqual(foldScans(scans, { now: NOW, cancelledAt }).alerts, alerts));
  }

  it('names the scan and its time', () => {
    const [, back] = life(['delivered', 1], ['rto_initiated', 2]);
    const folded = foldScans(life(['delivered', 1], ['rto_initiated', 2]), { now: NOW });
    assert.deepEqual(folded.alertFacts, [{ code: 'delivered_then_rto', scanId: back?.scanId, at: at(2) }]);
  });

  it('our cancel stands against every scan, and nothing is due', () => {
    const folded = foldScans(life(['picked_up', 3], ['delivered', 4]), { now: NOW, cancelledAt: at(2) });
    assert.equal(folded.status, 'cancelled');
    assert.deepEqual(folded.statusAt, at(2));
    assert.equal(folded.codDue, false);
    assert.equal(folded.deliveredAt, undefined);
    assert.deepEqual(folded.pickedUpAt, at(3));
    assert.equal(folded.events.length, 2);
  });
});

describe('fold: the future', () => {
  const ahead = (ms: number): Date => new Date(NOW.getTime() + ms);
  const tests: [string, number, ShipmentStatus][] = [
    ['exactly ten minutes ahead counts', FUTURE_TOLERANCE_MS, 'delivered'],
    ['one millisecond more waits', FUTURE_TOLERANCE_MS + 1, 'picked_up'],
    ['a day ahead waits', 24 * HOUR, 'picked_up'],
  ];
  for (const [name, ms, status] of tests) {
    it(name, () => {
      const scans = [scan('picked_up', 1), scan('delivered', 0, { occurredAt: ahead(ms) })];
      assert.equal(foldScans(scans, { now: NOW }).status, status);
    });
  }

  it('is listed and flagged, and says when to fold again; then it moves the state', () => {
    const soon = scan('out_for_delivery', 0, { occurredAt: ahead(2 * HOUR) });
    const scans = [scan('delivered', 0, { occurredAt: ahead(9 * HOUR) }), soon, scan('picked_up', 1)];
    const before = foldScans(scans, { now: NOW });
    assert.deepEqual(before.events.map((event) => event.future ?? false), [false, true, true]);
    assert.deepEqual(before.nextDueAt, ahead(2 * HOUR - FUTURE_TOLERANCE_MS));
    const then = foldScans(scans, { now: before.nextDueAt ?? NOW });
    assert.equal(then.status, 'out_for_delivery');
    const end = foldScans(scans, { now: then.nextDueAt ?? NOW });
    assert.equal(end.status, 'delivered');
    assert.equal(end.nextDueAt, undefined);
    assert.deepEqual(end.alerts, []);
  });

  it('a future NDR, pick-up or delivery is no fact yet', () => {
    const scans = [
      scan('picked_up', 0, { occurredAt: ahead(HOUR) }),
      scan('undelivered', 0, { occurredAt: ahead(2 * HOUR) }),
      scan('delivered', 0, { occurredAt: ahead(3 * HOUR) }),
    ];
    const folded = foldScans(scans, { now: NOW });
    assert.deepEqual([folded.attempts, folded.pickedUpAt, folded.codDue], [0, undefined, false]);
  });
});

describe('fold: facts', () => {
  it('first pick-up is the earliest scan that proves the parcel is with the courier', () => {
    const scans = life(['out_for_delivery', 5], ['in_transit', 3], ['manifested', 1]);
    assert.deepEqual(foldScans(scans, { now: NOW }).pickedUpAt, at(3));
  });

  it('on_hold and qc_failed prove no pick-up', () => {
    assert.equal(foldScans(life(['on_hold', 1], ['qc_failed', 2]), { now: NOW }).pickedUpAt, undefined);
  });

  it('failed attempts: by time, reason "other" when none is known, one a moment', () => {
    const scans = [
      ...life(['undelivered', 5, 'refused'], ['undelivered', 2, 'unreachable']),
      scan('undelivered', 8),
      scan('undelivered', 8, { rawCode: 'UD2', rawReason: 'x' }),
    ];
    const folded = foldScans(scans, { now: NOW });
    assert.deepEqual(folded.ndr.map((ndr) => [ndr.reason, ndr.at.getTime()]), [
      ['unreachable', at(2).getTime()],
      ['refused', at(5).getTime()],
      ['other', at(8).getTime()],
    ]);
    assert.equal(folded.attempts, 3);
  });

  it('COD is due while delivered stands: a correction takes it back and gives it again', () => {
    const steps: [ShipmentStatus, number][] = [['delivered', 1], ['rto_initiated', 2], ['rto_delivered', 3], ['delivered', 4]];
    const due = steps.map((_, end) => foldScans(life(...steps.slice(0, end + 1)), { now: NOW }));
    assert.deepEqual(due.map((one) => one.codDue), [true, false, false, true]);
    assert.deepEqual(due.map((one) => one.deliveredAt?.getTime()), [at(1).getTime(), undefined, undefined, at(4).getTime()]);
    assert.deepEqual(due.map((one) => one.rtoInitiatedAt?.getTime()), [undefined, at(2).getTime(), at(2).getTime(), undefined]);
    assert.deepEqual(due.map((one) => one.rtoDeliveredAt?.getTime()), [undefined, undefined, at(3).getTime(), undefined]);
  });

  it('RTO begins with its first step, also when the courier leaves rto_initiated out', () => {
    const folded = foldScans(life(['undelivered', 1], ['rto_in_transit', 2], ['rto_delivered', 3]), { now: NOW });
    assert.deepEqual(folded.rtoInitiatedAt, at(2));
  });

  it('the timeline is sorted and shows unmapped codes, which are counted', () => {
    const folded = foldScans([scan('delivered', 3), scan(undefined, 2), scan('picked_up', 1)], { now: NOW });
    assert.deepEqual(folded.events.map((event) => event.status), ['picked_up', 'unmapped', 'delivered']);
    assert.equal(folded.unmapped, 1);
  });
});

describe('fold: properties', () => {
  const anyScan = fc
    .record({
      status: fc.option(fc.constantFrom(...SHIPMENT_STATUSES), { nil: undefined, freq: 8 }),
      hour: fc.integer({ min: 0, max: 12 }),
      group: fc.constantFrom('FW', 'RT', undefined),
      reason: fc.constantFrom(...NDR_REASONS),
      receivedAt: fc.integer({ min: 0, max: 5 }).map(at),
      location: fc.constantFrom('Pune', 'Delhi', undefined),
      source: fc.constantFrom('courier' as const, 'api' as const, 'simulated' as const),
    })
    .map(({ status, hour, reason, ...more }) => scan(status, hour, { ...more, reason, rawReason: reason }));
  const anyArrival = fc.array(anyScan, { maxLength: 14 }).chain((scans) =>
    fc.record({
      scans: fc.constant(scans),
      arrived: fc
        .tuple(fc.subarray(scans), fc.subarray(scans))
        .chain((extra) => {
          const all = [...scans, ...extra.flat()];
          return fc.shuffledSubarray(all, { minLength: all.length });
        }),
      now: fc.integer({ min: 0, max: 14 }).map(at),
      cancelledAt: fc.option(fc.integer({ min: 0, max: 12 }).map(at), { nil: undefined, freq: 4 }),
    }),
  );

  it('every order of arrival and any number of repeats gives the same result', () => {
    fc.assert(
      fc.property(anyArrival, ({ scans, arrived, now, cancelledAt }) => {
        assert.deepEqual(foldScans(arrived, { now, cancelledAt }), foldScans(scans, { now, cancelledAt }));
      }),
      { numRuns: 500 },
    );
  });

  it('copies of one scan id that differ in the rest leave the same copy whatever their order', () => {
    const copies = [
      scan('in_transit', 1, { location: 'Pune', receivedAt: at(3) }),
      scan('in_transit', 1, { location: 'Delhi', receivedAt: at(2) }),
      scan(undefined, 1, { rawCode: 'in_transit', receivedAt: at(1) }),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(copies, { minLength: 3 }), (arrived) => {
        assert.deepEqual(orderedOnce(arrived), [copies[1]]);
      }),
    );
  });

  it('an older scan than the present status never changes the status of a parcel on its way', () => {
    const ends = SHIPMENT_STATUSES.filter((status) => !isTerminal(status));
    fc.assert(
      fc.property(fc.constantFrom(...ends), fc.constantFrom(...ends), fc.integer({ min: 0, max: 4 }), (is, old, hour) => {
        const before = foldScans([scan(is, 5)], { now: NOW });
        const after = foldScans([scan(is, 5), scan(old, hour)], { now: NOW });
        assert.equal(after.status, before.status);
        assert.deepEqual(after.statusAt, before.statusAt);
      }),
    );
  });

  it('a terminal status is left only by the two corrections', () => {
    fc.assert(
      fc.property(fc.array(anyScan, { maxLength: 10 }), anyScan, (scans, extra) => {
        const before = foldScans(scans, { now: NOW });
        const later = { ...extra, occurredAt: at(20), scanId: 'later' };
        const after = foldScans([...scans, later], { now: NOW });
        if (!isTerminal(before.status) || before.status === after.status) return;
        const way = `${before.status} > ${after.status}`;
        assert.match(way, /^delivered > rto_|^rto_delivered > delivered$/);
      }),
    );
  });

  it('every scan is in the timeline once; COD is due exactly when delivered', () => {
    fc.assert(
      fc.property(anyArrival, ({ arrived, now, cancelledAt }) => {
        const folded = foldScans(arrived, { now, cancelledAt });
        const ids = new Set(arrived.map((one) => one.scanId));
        assert.deepEqual(new Set(folded.events.map((event) => event.scanId)), ids);
        assert.equal(folded.events.length, ids.size);
        assert.equal(folded.codDue, folded.status === 'delivered');
        assert.equal(folded.deliveredAt !== undefined, folded.codDue);
        if (isPickedUpOrLater(folded.status)) assert.notEqual(folded.pickedUpAt, undefined);
      }),
    );
  });
});

describe('status tables', () => {
  const table = statusTable('test', [
    { code: 'DL', status: 'delivered' },
    { code: 'DL', group: 'RT', status: 'rto_delivered' },
    { code: 'DL', reason: 'RD-AC', status: 'rto_delivered' },
    { code: 'DL', group: 'RT', reason: 'X', status: 'lost' },
    { code: 'DL', direction: 'reverse', reason: 'Q', status: 'on_hold' },
    { code: 'UD', status: 'undelivered' },
    { code: 'UD', reason: '5', status: 'undelivered', ndr: 'refused' },
    { code: 'PUD', direction: 'reverse', status: 'picked_up' },
  ]);
  const cases: [string, { code: string; group?: string; reason?: string; reverse?: true }, CodeMeaning | 'unmapped'][] = [
    ['code alone', { code: 'DL' }, { status: 'delivered' }],
    ['group beats code', { code: 'DL', group: 'RT' }, { status: 'rto_delivered' }],
    ['reason beats code', { code: 'DL', reason: 'RD-AC' }, { status: 'rto_delivered' }],
    ['group and reason beat each alone', { code: 'DL', group: 'RT', reason: 'X' }, { status: 'lost' }],
    ['an unknown group falls back to the code', { code: 'DL', group: 'ZZ' }, { status: 'delivered' }],
    ['a row of the direction', { code: 'DL', reason: 'Q', reverse: true }, { status: 'on_hold' }],
    ['not of the other direction', { code: 'DL', reason: 'Q' }, { status: 'delivered' }],
    ['case and spaces do not matter', { code: ' dl ', group: ' rt' }, { status: 'rto_delivered' }],
    ['a known reason', { code: 'UD', reason: '5' }, { status: 'undelivered', reason: 'refused' }],
    ['an unknown reason is other', { code: 'UD', reason: '77' }, { status: 'undelivered', reason: 'other' }],
    ['an unknown code', { code: 'ZZ' }, 'unmapped'],
    ['a code of the other direction only', { code: 'PUD' }, 'unmapped'],
    ['the empty code', { code: '' }, 'unmapped'],
    ['a name of Object.prototype', { code: '__proto__' }, 'unmapped'],
  ];
  for (const [name, { reverse, ...coded }, meaning] of cases) {
    it(name, () => assert.deepEqual(mapCode(table, { ...coded, direction: reverse ? 'reverse' : 'forward' }), meaning));
  }

  it('refuses two rows for one code', () => {
    assert.throws(() => statusTable('t', [{ code: 'A', status: 'lost' }, { code: 'a ', status: 'delivered' }]), /Two rows/);
  });
});

describe('generic courier', () => {
  const event = { code: 'in_transit', occurredAt: at(1) };

  it('knows each of our statuses in both letter cases', () => {
    for (const status of SHIPMENT_STATUSES) {
      for (const code of [status, status.toUpperCase()]) {
        const meaning = mapCode(GENERIC_STATUS_TABLE, { direction: 'forward', code });
        assert.equal(meaning === 'unmapped' ? meaning : meaning.status, status);
      }
    }
  });

  it('knows each NDR reason, and "other" for a missing or unknown one', () => {
    for (const reason of [...NDR_REASONS, undefined, 'dog']) {
      const meaning = mapGenericEvent({ ...event, code: 'undelivered', reason }, 'forward');
      const known = reason === undefined || reason === 'dog' ? 'other' : reason;
      assert.deepEqual(meaning, { status: 'undelivered', reason: known });
    }
  });

  it('an explicit status wins over the code', () => {
    assert.deepEqual(mapGenericEvent({ ...event, code: 'K77', status: 'delivered' }, 'forward'), { status: 'delivered' });
  });

  it('never guesses a code that merely looks like one', () => {
    for (const code of ['in transit', 'intransit', 'DLVD', 'delivered!']) {
      assert.equal(mapGenericEvent({ ...event, code }, 'forward'), 'unmapped');
    }
  });

  it('makes a raw scan with the raw code as identity and a tidy AWB', () => {
    const raw = genericRawScan(' dks-001 ', { ...event, code: ' IT ', rawCode: 'S-9', group: 'g', reason: 'r', location: 'Pune' });
    assert.deepEqual(raw, {
      awb: 'DKS001',
      rawCode: 'S-9',
      code: 'IT',
      group: 'g',
      rawReason: 'r',
      location: 'Pune',
      occurredAt: at(1),
    });
  });
});
