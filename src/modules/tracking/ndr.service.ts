import { now } from '../../platform/clock.ts';
import type { Ctx, OutsideTx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, notFound } from '../../platform/errors.ts';
import { makeFaults } from '../../platform/faults.ts';
import { parseMobile } from '../../platform/identifiers.ts';
import { job } from '../../platform/jobs.ts';
import { present } from '../../platform/present.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { awbText, callCourier, courierAccess, findCourier, type CourierNdrAction } from '../couriers/index.ts';
import { knownPincodes, parseKnownPincode, type KnownPincode } from '../pincodes/index.ts';
import { getShipment, ndrActionRefusal } from '../shipments/index.ts';
import { ndrs, type Ndr, type NdrCorrection, type NdrRequest } from './tracking.model.ts';

export interface NdrSearch extends PageRequest {
  awb?: string;
  status?: Ndr['status'];
}

/** Failed attempts, newest first; a member who is limited to some locations sees theirs. */
export async function listNdrs(ctx: Ctx, { awb, status, ...page }: NdrSearch): Promise<Page<Row<Ndr>>> {
  const filter: Filter<Ndr> = {
    ...(ctx.actor.locationIds ? { pickupLocationId: { $in: ctx.actor.locationIds } } : {}),
    ...(awb === undefined ? {} : { awb: awbText(awb) }),
    ...(status === undefined ? {} : { status }),
  };
  return ndrs.list(ctx, filter, page);
}

export interface NdrActionInput {
  action: CourierNdrAction;
  date?: string;
  phone?: string;
  address?: NdrCorrection['address'];
}

/**
 * Answers a failed attempt: the courier is told by a job. 409 `no_ndr`, `ndr_closed`, `attempts_used_up`; 400 for a
 * faulty date, phone or pincode.
 */
export async function answerNdr(ctx: OutsideTx, id: string, input: NdrActionInput): Promise<Row<Ndr>> {
  const answer = normalizeAnswer(input, await knownPincodes());
  return withTransaction(ctx, async (ctx) => {
    const ndr = await ndrs.get(ctx, id);
    if (ctx.actor.locationIds && !ctx.actor.locationIds.includes(ndr.pickupLocationId)) throw notFound('ndr');
    const shipment = await getShipment(ctx, ndr.shipmentId);
    const refusal = ndr.status === 'closed' ? 'ndr_closed' : ndrActionRefusal(shipment, answer.action);
    if (refusal) throw conflict(refusal, 'This attempt takes no such answer any more', { status: shipment.status, attempts: shipment.attempts });
    const { action, date, phone, address } = answer;
    const correction = phone ?? address ? { correction: seal(present<NdrCorrection>({ phone, address })) } : {};
    const request: NdrRequest = { action, ...(date === undefined ? {} : { date }), ...correction, at: now(), actorId: ctx.actor.id, state: 'requested' };
    const row = await ndrs.update(ctx, id, { $set: { status: 'actioned' }, $push: { actions: request } }, { version: ndr.version });
    ctx.emit({ type: 'ndr.actioned', key: shipment._id, payload: { ndrId: id, shipmentId: shipment._id, awb: ndr.awb, action: answer.action } });
    ctx.enqueue({ name: 'tracking.tell_ndr_action', payload: { ndrId: id, index: row.actions.length - 1 } });
    return row;
  });
}

function normalizeAnswer({ action, date, phone, address }: NdrActionInput, known: KnownPincode): NdrActionInput {
  const faults = makeFaults();
  const answer: NdrActionInput = { action };
  if (date !== undefined) {
    if (/^\d{4}-\d{2}-\d{2}$/.test(date) && !Number.isNaN(Date.parse(date))) answer.date = date;
    else faults.add('date', 'must be a day such as 2026-11-24');
  }
  if (phone !== undefined) answer.phone = faults.take('phone', parseMobile(phone));
  if (address !== undefined) {
    answer.address = Object.fromEntries(Object.entries(address).map(([key, value]) => [key, value.trim()]));
    if (address.pincode !== undefined) answer.address.pincode = faults.take('address.pincode', parseKnownPincode(address.pincode, known));
  }
  faults.throwIfAny();
  return answer;
}

const ATTEMPTS = 8;

/** Tells the courier what the company wants done with a parcel that could not be delivered. */
export const tellNdrAction = job<{ ndrId: string; index: number }>({
  name: 'tracking.tell_ndr_action',
  attempts: ATTEMPTS,
  backoffMs: 1_000,
  async handle(ctx, { ndrId, index }, { attempt }) {
    const ndr = await ndrs.get(ctx, ndrId);
    const request = ndr.actions[index];
    if (request?.state !== 'requested' || request.action === 'dispute') return;
    const shipment = await getShipment(ctx, ndr.shipmentId);
    const { action, date, correction } = request;
    const { phone, address } = correction?.reveal() ?? {};
    const call = { awb: ndr.awb, reference: `${ndrId}:${index}`, action, reason: ndr.reason, date, phone, address };
    const adapter = findCourier(shipment.courier)?.adapter;
    const access = await courierAccess(ctx, shipment.connectionId);
    const answer = adapter
      ? await callCourier(shipment.courier, access, attempt, (made) => adapter.ndrAction(made, call))
      : { ok: false as const, kind: 'refused' as const, code: 'courier_not_available', message: 'Tell this courier yourself' };
    if (!answer.ok && answer.kind === 'retryable' && attempt < ATTEMPTS) throw new Error(`${answer.code}: ${answer.message}`);
    const failure = answer.ok ? (answer.value.accepted ? undefined : 'The courier did not accept it') : `${answer.code}: ${answer.message}`;
    await withTransaction(ctx, async (ctx) => {
      const current = await ndrs.get(ctx, ndrId);
      const change = { [`actions.${index}.state`]: failure === undefined ? 'accepted' : 'failed', ...(failure === undefined ? {} : { [`actions.${index}.failure`]: failure }) };
      await ndrs.update(ctx, ndrId, { $set: change }, { version: current.version });
    });
  },
});
