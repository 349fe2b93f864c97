import { createHash, timingSafeEqual } from 'node:crypto';
import { invalid } from '../../../platform/errors.ts';
import type {
  BookAnswer,
  BookRequest,
  CourierAdapter,
  CourierAnswer,
  CourierCall,
  InboundWebhook,
  ParsedWebhook,
  RawScan,
  TrackAnswer,
  TrackedParcel,
  WebhookSecret,
  WeightReport,
} from '../adapter.ts';
import { awbFromSerial, awbText, isAwbText, MAX_AWB_SERIAL } from '../awb.rules.ts';
import { behaviourOf, misbehave } from './sandbox.misbehaviour.ts';
import { pickScenario, planScenario } from './sandbox.scenario.ts';

export const SANDBOX_COURIER = 'sandbox';

/** Prefix of the numbers that the sandbox gives when it is not given one from a pool. */
export const SANDBOX_AWB_PREFIX = 'DKX';

const DEFAULT_SEED = 'ok';

/**
 * The courier that is always there: no network, no memory, every answer decided by the connection's seed and the
 * request, so that a repeated booking answers the same number. The seed's words make it misbehave (see
 * `behaviourOf`); with the word `auto` its `track` plays each parcel's life from the booking on.
 */
export const sandboxAdapter: CourierAdapter = {
  courier: SANDBOX_COURIER,
  credentialKeys: ['seed'],
  book: (call, request) => answer(call, ['book', request.reference], () => bookParcel(request)),
  cancel: (call, request) => answer(call, ['cancel', request.reference], () => success({ cancelled: true as const })),
  pickup: (call, request) =>
    answer(call, ['pickup', request.reference], () =>
      success({ pickupReference: `SBP-${fingerprint(request.reference)}` }),
    ),
  track: (call, request) =>
    answer(call, ['track', request.parcels.map((parcel) => parcel.awb).join()], () =>
      success(trackParcels(call, request.parcels)),
    ),
  ndrAction: (call, request) => answer(call, ['ndrAction', request.reference], () => success({ accepted: true })),
  verifyWebhook,
  parseWebhook,
};

async function answer<T>(
  call: CourierCall,
  [operation, reference]: [string, string],
  decide: () => CourierAnswer<T>,
): Promise<CourierAnswer<T>> {
  const behaviour = behaviourOf(seedOf(call), { operation, reference, attempt: call.attempt });
  return (await misbehave(behaviour, call)) ?? decide();
}

function success<T>(value: T): CourierAnswer<T> {
  return { ok: true, value };
}

function seedOf(call: CourierCall): string {
  return call.credentials.seed ?? DEFAULT_SEED;
}

function bookParcel(request: BookRequest): CourierAnswer<BookAnswer> {
  const awb = request.awb === undefined ? awbOfReference(request.reference) : awbText(request.awb);
  if (!isAwbText(awb)) {
    return { ok: false, kind: 'refused', code: 'awb_invalid', message: 'The courier does not know this form of AWB' };
  }
  return success({
    awb,
    courierReference: `SBX-${fingerprint(request.reference)}`,
    sortCode: `${request.destination.pincode.slice(0, 3)}/${request.pickup.pincode.slice(0, 3)}`,
  });
}

function awbOfReference(reference: string): string {
  const serial = createHash('sha256').update(reference).digest().readUIntBE(0, 6) % (MAX_AWB_SERIAL + 1);
  return awbFromSerial(SANDBOX_AWB_PREFIX, serial);
}

function fingerprint(reference: string): string {
  return createHash('sha256').update(reference).digest('hex').slice(0, 12).toUpperCase();
}

function trackParcels(call: CourierCall, parcels: readonly TrackedParcel[]): TrackAnswer {
  const seed = seedOf(call);
  const found: TrackAnswer = { scans: [], weights: [], unknownAwbs: [] };
  if (!seed.split(/[\s,;]+/).includes('auto')) return found;
  for (const parcel of parcels) {
    const scenario = pickScenario(seed, parcel.awb);
    const life = planScenario({ ...parcel, seed, scenario, startAt: parcel.bookedAt });
    found.scans.push(...life.scans.filter((scan) => scan.occurredAt <= call.now));
    if (life.weight !== undefined && life.weight.occurredAt <= call.now) found.weights.push(life.weight);
  }
  return found;
}

function verifyWebhook(secret: WebhookSecret, webhook: InboundWebhook): boolean {
  const given = webhook.headers[secret.header.toLowerCase()];
  if (given === undefined || secret.token === '') return false;
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(secret.token));
}

/** Reads `events` {awb, code, occurredAt, group?, reason?, location?}, `weights` {awb, reference, grams, occurredAt}. */
function parseWebhook(webhook: InboundWebhook): ParsedWebhook {
  const body = readJson(webhook.rawBody);
  const events = listOf(body, 'events');
  const weights = listOf(body, 'weights');
  const scans = events.map(toScan).filter((scan) => scan !== undefined);
  const reports = weights.map(toWeight).filter((report) => report !== undefined);
  const ignored = events.length + weights.length - scans.length - reports.length;
  return { scans, weights: reports, ignored };
}

function readJson(rawBody: Buffer): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(rawBody.toString('utf8'));
    if (isRecord(body)) return body;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw invalid('webhook_body_invalid', 'The body is not a JSON object');
}

function listOf(body: Record<string, unknown>, key: string): unknown[] {
  const list = body[key] ?? [];
  if (!Array.isArray(list)) throw invalid('webhook_body_invalid', `${key} is not a list`);
  return list;
}

function toScan(event: unknown): RawScan | undefined {
  if (!isRecord(event)) return undefined;
  const [awb, rawCode, occurredAt] = [textOf(event.awb), textOf(event.code), timeOf(event.occurredAt)];
  if (awb === undefined || rawCode === undefined || occurredAt === undefined) return undefined;
  const scan: RawScan = { awb: awbText(awb), rawCode, occurredAt };
  const [group, rawReason, location] = [textOf(event.group), textOf(event.reason), textOf(event.location)];
  if (group !== undefined) scan.group = group;
  if (rawReason !== undefined) scan.rawReason = rawReason;
  if (location !== undefined) scan.location = location;
  return scan;
}

function toWeight(event: unknown): WeightReport | undefined {
  if (!isRecord(event)) return undefined;
  const [awb, reference, occurredAt] = [textOf(event.awb), textOf(event.reference), timeOf(event.occurredAt)];
  const grams = event.grams;
  if (awb === undefined || reference === undefined || occurredAt === undefined) return undefined;
  if (typeof grams !== 'number' || !Number.isSafeInteger(grams) || grams < 1) return undefined;
  return { awb: awbText(awb), reference, courierGrams: grams, occurredAt };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= 200 ? value : undefined;
}

/** ISO 8601 with a zone only: a time without one would be read in the server's own zone. */
function timeOf(value: unknown): Date | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}T.*(?:Z|[+-]\d{2}:?\d{2})$/.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : new Date(ms);
}
