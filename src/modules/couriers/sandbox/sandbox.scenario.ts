import type { NdrReason } from '../shipment-status.rules.ts';
import type { RawScan, WeightReport } from '../adapter.ts';
import { SANDBOX_NDR_CODES } from './sandbox.codes.ts';
import type { SeededRandom } from './sandbox.random.ts';
import { seededRandom } from './sandbox.random.ts';

export const SCENARIOS = ['delivered', 'ndr_then_delivered', 'rto', 'lost', 'damaged', 'weight_change'] as const;

export type Scenario = (typeof SCENARIOS)[number];

export const DISORDERS = ['none', 'repeats', 'shuffled'] as const;

export type Disorder = (typeof DISORDERS)[number];

/** Shares of each scenario; only their proportions count. */
export const DEFAULT_MIX: Readonly<Record<Scenario, number>> = {
  delivered: 70,
  ndr_then_delivered: 15,
  rto: 10,
  lost: 2,
  damaged: 1,
  weight_change: 2,
};

export interface ScenarioRequest {
  awb: string;
  seed: string;
  scenario: Scenario;
  /** Time of the first scan. */
  startAt: Date;
  originCity: string;
  destinationCity: string;
  paymentMethod: 'prepaid' | 'cod';
  /** What the seller declared; a weight change comes out heavier. Default 500. */
  declaredGrams?: number;
}

export interface PlannedLife {
  scans: RawScan[];
  /** Set by the scenario weight_change only. */
  weight?: WeightReport;
}

interface Step {
  code: string;
  group: 'FW' | 'RT';
  reason?: string;
  city: string;
  /** Minutes after the step before. */
  afterMinutes: number;
}

interface NextStep {
  code: string;
  city: string;
  /** Least and greatest hours after the step before. */
  hours: [number, number];
  group?: 'RT';
  reason?: string;
}

interface Plan {
  random: SeededRandom;
  request: ScenarioRequest;
  steps: Step[];
}

const PREPAID_REASONS: readonly NdrReason[] = [
  'customer_unavailable',
  'unreachable',
  'rescheduled',
  'address_issue',
  'not_attempted',
  'restricted_entry',
  'refused',
];
const COD_REASONS: readonly NdrReason[] = [...PREPAID_REASONS, 'cash_not_ready', 'wants_open_delivery'];
const MINUTE_MS = 60_000;

/**
 * The whole life of one parcel as the sandbox courier will tell it: scans at whole minutes, each later than the one
 * before, days apart as real ones. The same request always gives the same life.
 */
export function planScenario(request: ScenarioRequest): PlannedLife {
  const random = seededRandom(request.seed, request.awb, request.scenario);
  const plan: Plan = { random, request, steps: [] };
  toPickup(plan);
  ENDINGS[request.scenario](plan);
  let at = request.startAt.getTime();
  const scans = plan.steps.map((step, index): RawScan => {
    at += index === 0 ? 0 : step.afterMinutes * MINUTE_MS;
    return toScan(request.awb, step, new Date(at));
  });
  return request.scenario === 'weight_change' ? { scans, weight: reweighed(plan, scans) } : { scans };
}

const ENDINGS: Readonly<Record<Scenario, (plan: Plan) => void>> = {
  delivered: (plan) => {
    toHub(plan);
    deliver(plan);
  },
  ndr_then_delivered: (plan) => {
    toHub(plan);
    failAttempts(plan, plan.random.between(1, 3));
    deliver(plan);
  },
  rto: (plan) => {
    toHub(plan);
    failAttempts(plan, 3);
    goBack(plan);
  },
  lost: (plan) => {
    add(plan, { code: 'IT', city: plan.request.originCity, hours: [4, 14] });
    add(plan, { code: 'LST', city: plan.request.originCity, hours: [96, 168] });
  },
  damaged: (plan) => {
    toHub(plan);
    add(plan, { code: 'DMG', city: plan.request.destinationCity, hours: [3, 20] });
  },
  weight_change: (plan) => {
    toHub(plan);
    deliver(plan);
  },
};

function toPickup(plan: Plan): void {
  const city = plan.request.originCity;
  add(plan, { code: 'MAN', city, hours: [0, 1] });
  add(plan, { code: 'PSC', city, hours: [1, 3] });
  add(plan, { code: 'OFP', city, hours: [2, 18] });
  if (plan.random.next() < 0.1) {
    add(plan, { code: 'PUF', city, hours: [1, 4] });
    add(plan, { code: 'OFP', city, hours: [16, 22] });
  }
  add(plan, { code: 'PKD', city, hours: [1, 5] });
}

function toHub(plan: Plan): void {
  const { originCity, destinationCity } = plan.request;
  add(plan, { code: 'IT', city: originCity, hours: [3, 9] });
  if (originCity !== destinationCity) add(plan, { code: 'IT', city: destinationCity, hours: [14, 60] });
}

function failAttempts(plan: Plan, times: number): void {
  const city = plan.request.destinationCity;
  const reasons = plan.request.paymentMethod === 'cod' ? COD_REASONS : PREPAID_REASONS;
  for (let attempt = 0; attempt < times; attempt += 1) {
    add(plan, { code: 'OFD', city, hours: attempt === 0 ? [6, 16] : [15, 22] });
    add(plan, { code: 'UD', city, hours: [2, 8], reason: SANDBOX_NDR_CODES[plan.random.pick(reasons)] });
  }
}

function deliver(plan: Plan): void {
  const city = plan.request.destinationCity;
  add(plan, { code: 'OFD', city, hours: [8, 20] });
  add(plan, { code: 'DLV', city, hours: [1, 8] });
}

function goBack(plan: Plan): void {
  const { originCity, destinationCity } = plan.request;
  add(plan, { code: 'RTI', city: destinationCity, hours: [4, 24], group: 'RT' });
  add(plan, { code: 'IT', city: destinationCity, hours: [6, 24], group: 'RT' });
  if (originCity !== destinationCity) add(plan, { code: 'IT', city: originCity, hours: [20, 72], group: 'RT' });
  add(plan, { code: 'OFD', city: originCity, hours: [6, 18], group: 'RT' });
  if (plan.random.next() < 0.1) {
    const reason = SANDBOX_NDR_CODES.customer_unavailable;
    add(plan, { code: 'UD', city: originCity, hours: [2, 6], group: 'RT', reason });
    add(plan, { code: 'OFD', city: originCity, hours: [15, 22], group: 'RT' });
  }
  add(plan, { code: 'DLV', city: originCity, hours: [1, 8], group: 'RT' });
}

function add(plan: Plan, next: NextStep): void {
  const { code, city, hours, group = 'FW', reason } = next;
  const afterMinutes = plan.random.between(Math.max(1, hours[0] * 60), hours[1] * 60);
  plan.steps.push({ code, city, afterMinutes, group, reason });
}

function toScan(awb: string, step: Step, occurredAt: Date): RawScan {
  const scan: RawScan = { awb, rawCode: step.code, group: step.group, occurredAt, location: step.city };
  if (step.reason !== undefined) scan.rawReason = step.reason;
  return scan;
}

/** Between a tenth and four fifths heavier, in steps of ten grams, weighed when the first hub saw the parcel. */
function reweighed(plan: Plan, scans: readonly RawScan[]): WeightReport {
  const { awb, startAt, declaredGrams = 500 } = plan.request;
  const hub = scans.find((scan) => scan.rawCode === 'IT');
  const courierGrams = Math.ceil((declaredGrams * plan.random.between(110, 180)) / 1000) * 10;
  return { awb, reference: `WGT-${awb}`, courierGrams, occurredAt: hub?.occurredAt ?? startAt };
}

/** The same life moved in time so that its last scan is at `now`; the scans keep their distances. */
export function datedBack(life: PlannedLife, now: Date): PlannedLife {
  const last = life.scans.reduce((latest, scan) => Math.max(latest, scan.occurredAt.getTime()), -Infinity);
  if (last === -Infinity) return life;
  const move = <T extends { occurredAt: Date }>(event: T): T => ({
    ...event,
    occurredAt: new Date(event.occurredAt.getTime() + now.getTime() - last),
  });
  const scans = life.scans.map(move);
  return life.weight === undefined ? { scans } : { scans, weight: move(life.weight) };
}

/**
 * The order in which a bad line would bring the scans. `repeats`: every scan in order, about a third of them again at
 * a later place, at least one. `shuffled`: any order, but not the right one when there are two or more.
 */
export function disorder<T>(scans: readonly T[], kind: Disorder, seed: string): T[] {
  if (kind === 'none' || scans.length === 0) return [...scans];
  const random = seededRandom(seed, 'disorder', kind);
  return kind === 'repeats' ? withRepeats(scans, random) : shuffled(scans, random);
}

function withRepeats<T>(scans: readonly T[], random: SeededRandom): T[] {
  const always = random.between(0, scans.length - 1);
  const line = [...scans];
  for (const [index, scan] of scans.entries()) {
    if (index !== always && random.next() >= 1 / 3) continue;
    line.splice(random.between(line.indexOf(scan) + 1, line.length), 0, scan);
  }
  return line;
}

function shuffled<T>(scans: readonly T[], random: SeededRandom): T[] {
  const line = [...scans];
  for (let end = line.length - 1; end > 0; end -= 1) {
    const [taken] = line.splice(random.between(0, end), 1);
    if (taken !== undefined) line.push(taken);
  }
  const untouched = line.every((scan, index) => scan === scans[index]);
  return untouched ? [...line.slice(1), ...line.slice(0, 1)] : line;
}

/** The scenario that a seed gives to a parcel, in the proportions of the mix. Throws a RangeError on an empty mix. */
export function pickScenario(
  seed: string,
  awb: string,
  mix: Readonly<Partial<Record<Scenario, number>>> = DEFAULT_MIX,
): Scenario {
  const shares = SCENARIOS.map((scenario) => ({ scenario, share: Math.max(0, mix[scenario] ?? 0) }));
  const total = shares.reduce((sum, { share }) => sum + share, 0);
  if (total <= 0) throw new RangeError('The mix has no scenario with a share above zero');
  let place = seededRandom(seed, awb, 'scenario').next() * total;
  for (const { scenario, share } of shares) {
    if (place < share) return scenario;
    place -= share;
  }
  throw new RangeError('The shares of the mix do not add up');
}

/** When to send each scan after the start, in ms, if `hoursPerSecond` simulated hours pass in one real second. */
export function playDelaysMs(scans: readonly RawScan[], hoursPerSecond: number): number[] {
  const first = scans.reduce((earliest, scan) => Math.min(earliest, scan.occurredAt.getTime()), Infinity);
  return scans.map((scan) => Math.round((scan.occurredAt.getTime() - first) / (3600 * hoursPerSecond)));
}
