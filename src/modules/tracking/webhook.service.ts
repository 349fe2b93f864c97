import type { IncomingHttpHeaders } from 'node:http';
import { now, nowMs } from '../../platform/clock.ts';
import { systemCtx, type OutsideTx } from '../../platform/context.ts';
import type { KeyOwner } from '../../platform/db/keyring.ts';
import type { Place } from '../../platform/db/sealed.ts';
import { openBytes, sealBytes } from '../../platform/db/sealed-bytes.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { unauthenticated } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { job } from '../../platform/jobs.ts';
import { runtime } from '../../platform/runtime.ts';
import { connectionOfWebhook, findCourier, WEBHOOK_HEADER, type CourierEntry, type ParsedWebhook, type WeightReport } from '../couriers/index.ts';
import { recordScans } from './scan.record.ts';
import { rawEvents, type RawEvent } from './tracking.model.ts';
import { courierArrival } from './tracking.service.ts';

const KEPT_HEADERS = ['content-type', 'user-agent', 'x-request-id'];
const LEFT_BEHIND_MS = 60_000;

/**
 * Stores a courier's webhook as it came and answers after that; a job parses it. 401, and nothing stored, unless the
 * connection's token came in its header.
 */
export async function receiveWebhook(courier: string, connectionId: string, headers: IncomingHttpHeaders, body: Buffer): Promise<{ received: true }> {
  const given = headers[WEBHOOK_HEADER];
  const connection = await connectionOfWebhook(courier, connectionId, typeof given === 'string' ? given : undefined);
  if (!connection) throw unauthenticated('webhook_not_authenticated', `Send the connection's token in ${WEBHOOK_HEADER}`);
  const _id = newId();
  const row: RawEvent = {
    _id,
    kind: 'courier',
    courier,
    connectionId,
    companyId: connection.companyId,
    receivedAt: now(),
    body: await sealBytes(ownerOf(connection), placeOf(_id), body),
    headers: Object.fromEntries(KEPT_HEADERS.flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]]] : []))),
    state: 'pending',
    expireAt: new Date(nowMs() + runtime().config.retentionRawEventsDays * 86_400_000),
  };
  await rawEvents.insert(row);
  await askToParse(row);
  return { received: true };
}

async function askToParse({ _id, companyId }: Pick<RawEvent, '_id' | 'companyId'>): Promise<void> {
  await withTransaction(systemCtx('courier-webhook', companyId), (tx) => {
    tx.enqueue({ name: 'tracking.parse_webhook', payload: { rawEventId: _id }, dedupeKey: _id });
    return Promise.resolve();
  });
}

/** Asks again for raw events whose job was never made, because the process ended between the two writes. */
export async function parseLeftBehind(): Promise<void> {
  const left = await rawEvents.find({ kind: 'courier', state: 'pending', receivedAt: { $lt: new Date(nowMs() - LEFT_BEHIND_MS) } }, { limit: 500, fields: ['companyId'] });
  for (const row of left) await askToParse(row);
}

/** Parses a raw event and takes its scans in. A body that cannot be parsed stays visible as dead. */
export const parseWebhook = job<{ rawEventId: string }>({
  name: 'tracking.parse_webhook',
  attempts: 8,
  backoffMs: 1_000,
  async handle(ctx, { rawEventId }) {
    const row = await rawEvents.findOne({ _id: rawEventId });
    if (!row || row.state !== 'pending') return;
    const entry = findCourier(row.courier);
    const parsed = entry ? parse(entry, row.headers, await rawBodyOf(row)) : 'There is no parser for this courier yet';
    if (typeof parsed === 'string') {
      runtime().log.warn('webhook.dead', { rawEventId, courier: row.courier, reason: parsed });
      await rawEvents.change({ _id: rawEventId }, { $set: { state: 'dead', note: parsed } });
      return;
    }
    const report = await recordScans(ctx, parsed.scans.map((raw) => courierArrival(row.courier, raw, 'courier')));
    await reportWeights(ctx, row.courier, parsed.weights);
    const note = `${report.accepted} new, ${report.duplicates} repeated, ${report.unmapped} unmapped, ${report.unknownAwbs.length} unknown numbers, ${parsed.ignored} ignored`;
    await rawEvents.change({ _id: rawEventId }, { $set: { state: 'done', note } });
  },
});

/** The bytes as the courier sent them: sealed at rest, for some couriers tell the consignee's name and phone. */
async function rawBodyOf(row: RawEvent): Promise<Buffer> {
  // The driver gives binary fields back as its own type, whose `buffer` holds the bytes.
  const body = row.body as Buffer | { buffer: Uint8Array };
  return openBytes(ownerOf(row), placeOf(row._id), Buffer.isBuffer(body) ? body : Buffer.from(body.buffer as Uint8Array));
}

function ownerOf({ companyId }: { companyId: string }): KeyOwner {
  return { companyId, purpose: 'company' };
}

function placeOf(id: string): Place {
  return { collection: 'raw_events', id, path: 'body' };
}

function parse({ adapter }: CourierEntry, headers: RawEvent['headers'], rawBody: Buffer): ParsedWebhook | string {
  try {
    return adapter.parseWebhook({ rawBody, headers });
  } catch (error) {
    return error instanceof Error ? error.message.slice(0, 300) : 'unknown error';
  }
}

/** Tells whoever keeps weight disputes what a courier has weighed; at least once, known by courier, AWB and reference. */
export async function reportWeights(ctx: OutsideTx, courier: string, weights: readonly WeightReport[]): Promise<void> {
  if (weights.length === 0) return;
  await withTransaction(ctx, (ctx) => {
    for (const { awb, reference, courierGrams, occurredAt } of weights) {
      ctx.emit({ type: 'shipment.weight_reported', key: awb, payload: { courier, awb, reference, courierGrams, occurredAt: occurredAt.toISOString() } });
    }
    return Promise.resolve();
  });
}
