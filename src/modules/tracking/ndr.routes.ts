import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { present } from '../../platform/present.ts';
import { NDR_REASONS, type NdrReason } from '../shipments/index.ts';
import { answerNdr, listNdrs, type NdrActionInput, type NdrSearch } from './ndr.service.ts';
import type { Ndr, NdrCorrection, NdrRequest } from './tracking.model.ts';

interface NdrView {
  id: string;
  shipmentId: string;
  orderId: string;
  awb: string;
  reason: NdrReason;
  at: string;
  status: Ndr['status'];
  actions: (Pick<NdrRequest, 'action' | 'state' | 'date' | 'failure'> & { at: string })[];
  createdAt: string;
  version: number;
}

function ndrView(row: Row<Ndr>): NdrView {
  const { _id, shipmentId, orderId, awb, reason, at, status: state, version } = row;
  return {
    id: _id,
    shipmentId,
    orderId,
    awb,
    reason,
    at: at.toISOString(),
    status: state,
    actions: row.actions.map((one) => present({ action: one.action, at: one.at.toISOString(), state: one.state, date: one.date, failure: one.failure })),
    createdAt: row.createdAt.toISOString(),
    version,
  };
}

const ndrShape = shape<NdrView>({
  id: field.id().required(),
  shipmentId: field.id().required(),
  orderId: field.id().required(),
  awb: Joi.string().required(),
  reason: Joi.string().valid(...NDR_REASONS).required(),
  at: field.isoTime().required(),
  status: Joi.string().valid('open', 'actioned', 'closed').required(),
  actions: Joi.array()
    .items(
      shape<NdrView['actions'][number]>({
        action: Joi.string().required(),
        at: field.isoTime().required(),
        state: Joi.string().required(),
        date: Joi.string(),
        failure: Joi.string(),
      }),
    )
    .required(),
  createdAt: field.isoTime().required(),
  version: field.version().required(),
});

export const ndrRoutes = [
  route({
    method: 'get',
    path: '/v1/ndr',
    summary: 'Failed delivery attempts, newest first',
    permission: 'ndr:read',
    query: shape<NdrSearch>({ ...pageQueryKeys, awb: Joi.string().max(60), status: Joi.string().valid('open', 'actioned', 'closed') }),
    response: pageOf(ndrShape),
    handle: (ctx, { query }) => listNdrs(ctx, query),
    view: (page) => mapPage(page, ndrView),
  }),
  route({
    method: 'post',
    path: '/v1/ndr/:id/actions',
    summary: 'Say what is to happen with a parcel that could not be delivered',
    permission: 'ndr:write',
    idempotent: 'accepted',
    params: idParams,
    body: shape<NdrActionInput>({
      action: Joi.string().valid('reattempt', 'hold_for_self_collect', 'start_rto').required(),
      date: field.text(10),
      phone: field.text(30),
      address: shape<NonNullable<NdrCorrection['address']>>({
        line1: field.text(500),
        line2: field.text(500),
        city: field.text(100),
        state: field.text(100),
        pincode: field.text(10),
      }),
    }),
    response: ndrShape,
    errors: ['no_ndr', 'ndr_closed', 'attempts_used_up'],
    handle: (ctx, { params, body }) => answerNdr(ctx, params.id, body),
    view: ndrView,
  }),
];
