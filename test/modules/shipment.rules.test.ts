import { strict as assert } from 'node:assert';
import { AppError } from '../../src/platform/errors.ts';
import type { BookingFacts, OrderShipment, Parcel } from '../../src/modules/shipments/shipment.rules.ts';
import {
  bookingRefusal,
  isEwayBillNumber,
  linesToBook,
  needsEwayBill,
  openLines,
  orderStatusFrom,
  resolveParcel,
  withoutEwayBill,
} from '../../src/modules/shipments/shipment.rules.ts';
import type { NdrAction, ShipmentStatus } from '../../src/modules/couriers/shipment-status.rules.ts';
import {
  canCancel,
  canManifest,
  canSchedulePickup,
  isCorrection,
  isNdrReason,
  isPickedUpOrLater,
  isRtoDue,
  isShipmentStatus,
  isTerminal,
  manualStatusRefusal,
  ndrActionRefusal,
  SHIPMENT_STATUSES,
  statusRank,
} from '../../src/modules/couriers/shipment-status.rules.ts';

const T1 = new Date(Date.UTC(2026, 0, 1));
const T2 = new Date(Date.UTC(2026, 0, 2));

function statusesWhere(test: (status: ShipmentStatus) => boolean): ShipmentStatus[] {
  return SHIPMENT_STATUSES.filter(test);
}

describe('shipment statuses', () => {
  it('the main life is in its order', () => {
    const main: ShipmentStatus[] = [
      'created',
      'awb_assigned',
      'manifested',
      'pickup_scheduled',
      'out_for_pickup',
      'pickup_failed',
      'picked_up',
      'in_transit',
      'out_for_delivery',
      'undelivered',
      'delivered',
      'rto_initiated',
      'rto_in_transit',
      'rto_out_for_delivery',
      'rto_undelivered',
      'rto_delivered',
    ];
    assert.deepEqual([...main].sort((a, b) => statusRank(a) - statusRank(b)), main);
  });

  it('ends are the six terminal ones', () => {
    const ends = ['cancelled', 'delivered', 'rto_delivered', 'damaged', 'destroyed', 'lost'];
    assert.deepEqual(statusesWhere(isTerminal), ends);
  });

  it('only two ways lead out of an end', () => {
    const ways = SHIPMENT_STATUSES.flatMap((from) =>
      SHIPMENT_STATUSES.filter((to) => isCorrection(from, to)).map((to) => `${from} > ${to}`),
    );
    assert.deepEqual(ways, [
      'delivered > rto_initiated',
      'delivered > rto_in_transit',
      'delivered > rto_out_for_delivery',
      'delivered > rto_undelivered',
      'delivered > rto_delivered',
      'rto_delivered > delivered',
    ]);
  });

  it('may be cancelled exactly before the pick-up', () => {
    assert.deepEqual(statusesWhere((status) => canCancel({ status })), [
      'created',
      'awb_assigned',
      'manifested',
      'pickup_scheduled',
      'out_for_pickup',
      'pickup_failed',
      'qc_failed',
      'on_hold',
    ]);
  });

  for (const status of ['on_hold', 'pickup_failed', 'manifested'] as const) {
    it(`${status} with a known pick-up may not be cancelled`, () => {
      assert.equal(canCancel({ status, pickedUpAt: T1 }), false);
    });
  }

  it('manifest and pick-up request need a number and no pick-up', () => {
    assert.deepEqual(statusesWhere((status) => canManifest({ status })), ['awb_assigned', 'pickup_scheduled']);
    const waiting = ['awb_assigned', 'manifested', 'pickup_failed'];
    assert.deepEqual(statusesWhere((status) => canSchedulePickup({ status })), waiting);
    assert.equal(canManifest({ status: 'awb_assigned', pickedUpAt: T1 }), false);
  });

  it('names are exact', () => {
    assert.deepEqual(['delivered', 'Delivered', '', 7, '__proto__'].map(isShipmentStatus), [true, false, false, false, false]);
    assert.deepEqual(['refused', 'REFUSED', undefined].map(isNdrReason), [true, false, false]);
    assert.equal(statusRank(undefined), -1);
  });

  it('what was never with the courier is not picked up', () => {
    const not = statusesWhere((status) => !isPickedUpOrLater(status));
    assert.deepEqual(not.slice(6), ['qc_failed', 'cancelled', 'on_hold']);
  });
});

describe('a status set by a person', () => {
  const cases: [string, ShipmentStatus, ShipmentStatus, Date, string | undefined, Date?][] = [
    ['forward on the way', 'in_transit', 'out_for_delivery', T2, undefined],
    ['back on the way, later in time', 'out_for_delivery', 'in_transit', T2, undefined],
    ['cancelled has its own command', 'manifested', 'cancelled', T2, 'status_only_by_command'],
    ['so has the AWB', 'created', 'awb_assigned', T2, 'status_only_by_command'],
    ['out of delivered to RTO', 'delivered', 'rto_initiated', T2, undefined],
    ['out of RTO delivered to delivered', 'rto_delivered', 'delivered', T2, undefined],
    ['out of delivered to in_transit', 'delivered', 'in_transit', T2, 'shipment_ended'],
    ['out of lost', 'lost', 'delivered', T2, 'shipment_ended'],
    ['out of cancelled', 'cancelled', 'picked_up', T2, 'shipment_ended'],
    ['at the very time of the end', 'delivered', 'in_transit', T1, 'shipment_ended'],
    ['older than the end: fills the timeline', 'delivered', 'in_transit', new Date(0), undefined],
    ['undoing a pick-up', 'in_transit', 'pickup_failed', T2, 'already_picked_up', T1],
    ['a forgotten earlier step', 'in_transit', 'manifested', new Date(0), undefined, T1],
  ];
  for (const [name, from, to, occurredAt, refusal, pickedUpAt] of cases) {
    it(`${name}: ${refusal ?? 'accepted'}`, () => {
      assert.equal(manualStatusRefusal({ status: from, statusAt: T1, pickedUpAt }, to, occurredAt), refusal);
    });
  }
});

describe('NDR actions', () => {
  const cases: [ShipmentStatus, number, NdrAction, string | undefined][] = [
    ['undelivered', 1, 'reattempt', undefined],
    ['undelivered', 2, 'reattempt', undefined],
    ['undelivered', 3, 'reattempt', 'attempts_used_up'],
    ['undelivered', 3, 'start_rto', undefined],
    ['undelivered', 3, 'hold_for_self_collect', undefined],
    ['on_hold', 1, 'reattempt', undefined],
    ['out_for_delivery', 1, 'reattempt', 'ndr_closed'],
    ['delivered', 1, 'start_rto', 'ndr_closed'],
    ['delivered', 1, 'dispute', undefined],
    ['rto_delivered', 3, 'dispute', undefined],
    ['in_transit', 0, 'dispute', 'no_ndr'],
    ['undelivered', 0, 'reattempt', 'no_ndr'],
  ];
  for (const [status, attempts, action, refusal] of cases) {
    it(`${action} when ${status} after ${attempts}: ${refusal ?? 'accepted'}`, () => {
      assert.equal(ndrActionRefusal({ status, attempts }, action), refusal);
    });
  }

  it('RTO is due at the third failed attempt and not before, nor when it moves again', () => {
    assert.deepEqual([2, 3, 4].map((attempts) => isRtoDue('undelivered', attempts)), [false, true, true]);
    assert.equal(isRtoDue('out_for_delivery', 3), false);
    assert.equal(isRtoDue('undelivered', 1, 1), true);
  });
});

describe('booking', () => {
  const good: BookingFacts = {
    orderStatus: 'placed',
    emailVerified: true,
    kycVerified: true,
    courier: 'delhivery',
    hasPickupLocation: true,
  };
  const cases: [string, Partial<BookingFacts>, string | undefined][] = [
    ['placed', {}, undefined],
    ['confirmed', { orderStatus: 'confirmed' }, undefined],
    ['partly shipped', { orderStatus: 'partially_shipped' }, undefined],
    ['draft', { orderStatus: 'draft' }, '409 order_not_bookable'],
    ['unpaid', { orderStatus: 'pending_payment' }, '409 order_not_bookable'],
    ['cancelled', { orderStatus: 'cancelled' }, '409 order_not_bookable'],
    ['expired', { orderStatus: 'expired' }, '409 order_not_bookable'],
    ['returned', { orderStatus: 'returned' }, '409 order_not_bookable'],
    ['e-mail not verified', { emailVerified: false }, '403 email_not_verified'],
    ['no KYC, real courier', { kycVerified: false }, '403 kyc_required'],
    ['no KYC, sandbox', { kycVerified: false, courier: 'sandbox' }, undefined],
    ['nowhere to pick up', { hasPickupLocation: false }, '409 pickup_location_required'],
  ];
  for (const [name, change, refusal] of cases) {
    it(`${name}: ${refusal ?? 'accepted'}`, () => {
      const error = bookingRefusal({ ...good, ...change });
      const status = error?.kind === 'forbidden' ? 403 : 409;
      assert.equal(error === undefined ? undefined : `${status} ${error.code}`, refusal);
    });
  }
});

describe('lines of a shipment', () => {
  const ordered = [
    { sku: 'A', quantity: 3 },
    { sku: 'B', quantity: 1 },
    { sku: 'A', quantity: 1 },
  ];
  const refusedWith = (code: string) => (error: unknown) => error instanceof AppError && error.code === code;

  it('open is ordered less what lives; a cancelled shipment gives back, one that came back does not', () => {
    assert.deepEqual(openLines(ordered, []), [{ sku: 'A', quantity: 4 }, { sku: 'B', quantity: 1 }]);
    const shipments = [
      { status: 'cancelled' as const, lines: [{ sku: 'B', quantity: 1 }] },
      { status: 'rto_delivered' as const, lines: [{ sku: 'A', quantity: 3 }] },
    ];
    assert.deepEqual(openLines(ordered, shipments), [{ sku: 'A', quantity: 1 }, { sku: 'B', quantity: 1 }]);
  });

  it('without a wish everything open goes', () => {
    const open = [{ sku: 'A', quantity: 2 }];
    assert.deepEqual(linesToBook(ordered, open), open);
    assert.deepEqual(linesToBook(ordered, open, []), open);
  });

  it('nothing open: order_already_booked', () => {
    assert.throws(() => linesToBook(ordered, []), refusedWith('order_already_booked'));
  });

  it('more than open, also in two wishes for one SKU: order_already_booked', () => {
    const open = [{ sku: 'A', quantity: 2 }];
    assert.throws(() => linesToBook(ordered, open, [{ sku: 'A', quantity: 3 }]), refusedWith('order_already_booked'));
    const twice = [{ sku: 'A', quantity: 1 }, { sku: 'A', quantity: 2 }];
    assert.throws(() => linesToBook(ordered, open, twice), refusedWith('order_already_booked'));
    assert.throws(() => linesToBook(ordered, open, [{ sku: 'B', quantity: 1 }]), refusedWith('order_already_booked'));
  });

  it('a SKU of another order: line_not_in_order', () => {
    const open = [{ sku: 'A', quantity: 2 }];
    assert.throws(() => linesToBook(ordered, open, [{ sku: 'Z', quantity: 1 }]), refusedWith('line_not_in_order'));
  });
});

describe('parcel', () => {
  const parcel = (weightGrams: number): Parcel => ({ weightGrams, lengthMm: 100, breadthMm: 80, heightMm: 20 });
  const fallback: Parcel = { weightGrams: 500, lengthMm: 200, breadthMm: 150, heightMm: 50 };
  const small = { weightGrams: 200, lengthMm: 300, breadthMm: 50, heightMm: 10 };
  const cases: [string, Omit<Parameters<typeof resolveParcel>[0], 'fallback'>, string, Parcel][] = [
    ['given with the shipment', { requested: parcel(1), order: parcel(2), lines: [] }, 'shipment', parcel(1)],
    ['else of the order', { order: parcel(2), lines: [{ quantity: 1, product: parcel(3) }] }, 'order', parcel(2)],
    [
      'else of the products',
      { lines: [{ quantity: 2, product: parcel(250) }, { quantity: 3, product: small }] },
      'products',
      { weightGrams: 1100, lengthMm: 300, breadthMm: 80, heightMm: 20 },
    ],
    ['else the default', { lines: [{ quantity: 1 }] }, 'default', fallback],
    ['one line unknown: the default', { lines: [{ quantity: 1, product: parcel(9) }, { quantity: 1 }] }, 'default', fallback],
    ['a product without height: the default', { lines: [{ quantity: 1, product: { ...small, heightMm: undefined } }] }, 'default', fallback],
    ['a product of zero grams: the default', { lines: [{ quantity: 1, product: parcel(0) }] }, 'default', fallback],
    ['no lines: the default', { lines: [] }, 'default', fallback],
  ];
  for (const [name, from, source, expected] of cases) {
    it(name, () => {
      const resolved = resolveParcel({ ...from, fallback });
      assert.deepEqual(resolved, { parcel: expected, source, assumed: source === 'default' });
    });
  }
});

describe('e-way bill', () => {
  const rule = { limitPaise: 5_000_000, comparison: 'over' as const };
  const cases: [number, 'over' | 'from', boolean][] = [
    [4_999_999, 'over', false],
    [5_000_000, 'over', false],
    [5_000_001, 'over', true],
    [4_999_999, 'from', false],
    [5_000_000, 'from', true],
  ];
  for (const [valuePaise, comparison, needed] of cases) {
    it(`${valuePaise} paise, limit counts ${comparison}: ${needed ? 'needed' : 'not needed'}`, () => {
      assert.equal(needsEwayBill(valuePaise, { ...rule, comparison }), needed);
    });
  }

  it('a manifest is blocked by those without a number only', () => {
    const shipments = [
      { id: 'a', valuePaise: 5_000_001 },
      { id: 'b', valuePaise: 5_000_001, ewayBillNumber: '123456789012' },
      { id: 'c', valuePaise: 5_000_000 },
      { id: 'd', valuePaise: 9_000_000, ewayBillNumber: '' },
    ];
    assert.deepEqual(withoutEwayBill(shipments).map((one) => one.id), ['a', 'd']);
  });

  it('a number has twelve digits', () => {
    const texts = ['123456789012', '1234 5678 9012', '12345678901', '12345678901A', ''];
    assert.deepEqual(texts.map(isEwayBillNumber), [true, true, false, false, false]);
  });
});

describe('order status from its shipments', () => {
  const of = (...statuses: ShipmentStatus[]): OrderShipment[] => statuses.map((status) => ({ status }));
  const cases: [string, OrderShipment[], boolean, string | undefined][] = [
    ['none', [], false, undefined],
    ['booked only', of('awb_assigned'), true, undefined],
    ['cancelled only', of('cancelled'), false, undefined],
    ['one of two picked up', of('picked_up', 'manifested'), true, 'partially_shipped'],
    ['picked up, lines left', of('in_transit'), false, 'partially_shipped'],
    ['delivered, lines left', of('delivered'), false, 'partially_shipped'],
    ['all picked up', of('in_transit', 'picked_up'), true, 'shipped'],
    ['on hold after its pick-up', [{ status: 'on_hold', pickedUpAt: T1 }], true, 'shipped'],
    ['one delivered, one on its way', of('delivered', 'in_transit'), true, 'shipped'],
    ['all delivered', of('delivered', 'delivered'), true, 'delivered'],
    ['a cancelled one does not count', of('delivered', 'cancelled'), true, 'delivered'],
    ['on its way back', of('rto_in_transit'), true, 'shipped'],
    ['came back', of('rto_delivered'), true, 'returned'],
    ['one delivered, one came back', of('delivered', 'rto_delivered'), true, 'delivered'],
    ['one lost, one came back', of('lost', 'rto_delivered'), true, 'returned'],
    ['lost', of('lost'), true, 'shipped'],
    ['a reverse shipment does not count', [...of('delivered'), { status: 'in_transit', direction: 'reverse' }], true, 'delivered'],
  ];
  for (const [name, shipments, everyLineBooked, status] of cases) {
    it(`${name}: ${status ?? 'unchanged'}`, () => assert.equal(orderStatusFrom(shipments, everyLineBooked), status));
  }
});
