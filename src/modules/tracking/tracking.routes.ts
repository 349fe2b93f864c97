import Joi from 'joi';
import { field, idParams, route, shape } from '../../platform/route.ts';
import { present } from '../../platform/present.ts';
import { DISORDERS, SCENARIOS } from '../couriers/index.ts';
import { NDR_REASONS, shipmentShape, shipmentView, SHIPMENT_STATUSES, type NdrReason } from '../shipments/index.ts';
import { playParcel, type PlayRequest, type PlayResult } from './play.service.ts';
import type { ScanReport } from './scan.record.ts';
import { SCAN_SOURCES, type ScanSource } from './scan.rules.ts';
import { trackingPage, unknownParcelPage } from './tracking.page.ts';
import { acceptScans, setStatus, trackForPage, trackPublicly, trackShipment, type ScanEventInput, type StatusInput, type Tracked } from './tracking.service.ts';
import { receiveWebhook } from './webhook.service.ts';

interface EventView {
  code: string;
  status: string;
  reason?: NdrReason;
  occurredAt: string;
  location?: string;
  source: ScanSource;
  /** The scan's time has not come: it does not count yet. */
  future?: true;
}

interface TrackView {
  awb: string | null;
  status: string;
  events: EventView[];
  unmapped: number;
  alerts: string[];
  ndr: { reason: NdrReason; at: string }[];
  codDue: boolean;
  pickedUpAt?: string;
  deliveredAt?: string;
}

function trackView({ shipment, tracking }: Tracked): TrackView {
  return present({
    awb: shipment.awb ?? null,
    status: tracking.status,
    events: tracking.events.map(({ code, status, reason, occurredAt, location, source, future }) =>
      present({ code, status, reason, occurredAt: occurredAt.toISOString(), location, source, future }),
    ),
    unmapped: tracking.unmapped,
    alerts: tracking.alerts,
    ndr: tracking.ndr.map(({ reason, at }) => ({ reason, at: at.toISOString() })),
    codDue: tracking.codDue && shipment.codPaise > 0,
    pickedUpAt: tracking.pickedUpAt?.toISOString(),
    deliveredAt: tracking.deliveredAt?.toISOString(),
  });
}

const trackShape = shape<TrackView>({
  awb: Joi.string().allow(null).required(),
  status: Joi.string().required(),
  events: Joi.array()
    .items(
      shape<EventView>({
        code: Joi.string().required(),
        status: Joi.string().required(),
        reason: Joi.string().valid(...NDR_REASONS),
        occurredAt: field.isoTime().required(),
        location: Joi.string(),
        source: Joi.string().valid(...SCAN_SOURCES).required(),
        future: Joi.boolean().valid(true),
      }),
    )
    .required(),
  unmapped: Joi.number().required(),
  alerts: Joi.array().items(Joi.string()).required(),
  ndr: Joi.array()
    .items(shape<TrackView['ndr'][number]>({ reason: Joi.string().required(), at: field.isoTime().required() }))
    .required(),
  codDue: Joi.boolean().required(),
  pickedUpAt: field.isoTime(),
  deliveredAt: field.isoTime(),
});

interface PublicView {
  awb: string;
  courier: string;
  status: string;
  statusAt?: string;
  deliveredAt?: string;
  events: { status: string; occurredAt: string; location?: string }[];
}

/** Nothing about people, money or what is inside. */
function publicView({ shipment, tracking }: Tracked): PublicView {
  return present({
    awb: shipment.awb ?? '',
    courier: shipment.courier,
    status: tracking.status,
    statusAt: tracking.statusAt?.toISOString(),
    deliveredAt: tracking.deliveredAt?.toISOString(),
    events: tracking.events
      .filter((event) => event.status !== 'unmapped' && !event.future)
      .map(({ status, occurredAt, location }) => present({ status, occurredAt: occurredAt.toISOString(), location })),
  });
}

const publicShape = shape<PublicView>({
  awb: Joi.string().required(),
  courier: Joi.string().required(),
  status: Joi.string().required(),
  statusAt: field.isoTime(),
  deliveredAt: field.isoTime(),
  events: Joi.array()
    .items(shape<PublicView['events'][number]>({ status: Joi.string().required(), occurredAt: field.isoTime().required(), location: Joi.string() }))
    .required(),
});

const awbParams = shape<{ awb: string }>({ awb: Joi.string().max(60).required() });
const status = () => Joi.string().valid(...SHIPMENT_STATUSES);

interface ReportView {
  accepted: number;
  duplicates: number;
  unmapped: number;
}

const reportShape = shape<ReportView>({ accepted: Joi.number().required(), duplicates: Joi.number().required(), unmapped: Joi.number().required() });

function reportView({ accepted, duplicates, unmapped }: ScanReport): ReportView {
  return { accepted, duplicates, unmapped };
}

const scanRoutes = [
  route({
    method: 'post',
    path: '/v1/shipments/:awb/scans',
    summary: 'Courier events of one parcel, in any order and any number of times',
    description: 'Our own status names are understood as codes. Unknown codes are kept and counted. Times before the booking count too.',
    permission: 'scans:write',
    limit: 'scans',
    params: awbParams,
    body: shape<{ events: ScanEventInput[] }>({
      events: Joi.array()
        .items(
          shape<ScanEventInput>({
            code: field.text(100).required(),
            status: status(),
            reason: field.text(100),
            occurredAt: field.isoTime().required(),
            location: field.text(200),
            rawCode: field.text(100),
            group: field.text(50),
          }),
        )
        .min(1)
        .max(1_000)
        .required(),
    }),
    response: reportShape,
    handle: (ctx, { params, body }) => acceptScans(ctx, params.awb, body.events),
    view: reportView,
  }),
  route({
    method: 'post',
    path: '/v1/shipments/:id/status',
    summary: 'Set a status by hand: a scan with source manual',
    permission: 'shipments:write',
    ifMatch: true,
    params: idParams,
    body: shape<StatusInput>({ status: status().required(), occurredAt: field.isoTime().required(), reason: Joi.string().valid(...NDR_REASONS), location: field.text(200) }),
    response: shipmentShape,
    errors: ['status_only_by_command', 'shipment_ended', 'already_picked_up'],
    handle: (ctx, { params, body, ifMatch }) => setStatus(ctx, params.id, body, ifMatch),
    view: shipmentView,
  }),
  route({
    method: 'post',
    path: '/v1/courier-webhooks/:courier/:connectionId',
    summary: 'Events of a courier, with the token of the connection in its header; parsed after the answer',
    permission: 'public',
    limit: 'scans',
    rawBody: 'bytes',
    params: shape<{ courier: string; connectionId: string }>({ courier: Joi.string().max(50).required(), connectionId: Joi.string().max(50).required() }),
    response: shape<{ received: true }>({ received: Joi.boolean().valid(true).required() }),
    handle: (_ctx, { params, request, rawBody }) => receiveWebhook(params.courier, params.connectionId, request.headers, rawBody),
    view: (result) => result,
  }),
];

const trackRoutes = [
  route({
    method: 'get',
    path: '/v1/shipments/:id/track',
    summary: 'Where a parcel is and was, by shipment id or AWB',
    permission: 'tracking:read',
    params: shape<{ id: string }>({ id: Joi.string().max(60).required() }),
    response: trackShape,
    handle: (ctx, { params }) => trackShipment(ctx, params.id),
    view: trackView,
  }),
  route({
    method: 'get',
    path: '/v1/track/:awb',
    summary: 'Where a parcel is, for anybody who has its number',
    permission: 'public',
    limit: 'public',
    params: awbParams,
    response: publicShape,
    handle: (ctx, { params }) => trackPublicly(ctx, params.awb),
    view: publicView,
  }),
  route({
    method: 'get',
    path: '/track/:awb',
    summary: 'The same as a page; who asks for one (Accept: text/html) has an unknown number told as a page too',
    permission: 'public',
    limit: 'public',
    params: awbParams,
    response: 'text/html',
    handle: (ctx, { params, browser }) => trackForPage(ctx, params.awb, browser.wantsPage),
    view: (found) => (found ? trackingPage(found) : unknownParcelPage()),
  }),
];

export const trackingRoutes = [...scanRoutes, ...trackRoutes];

type PlayView = Omit<PlayResult, 'report'> & ReportView;

/** Only outside production. */
export const trackingDevRoutes = [
  route({
    method: 'post',
    path: '/dev/sandbox/shipments/:awb/play',
    summary: 'Play the life of a sandbox parcel',
    permission: 'public',
    limit: 'none',
    params: awbParams,
    body: shape<PlayRequest>({
      scenario: Joi.string().valid(...SCENARIOS).required(),
      disorder: Joi.string().valid(...DISORDERS),
      speed: Joi.alternatives(Joi.string().valid('instant'), Joi.number().min(0.001).max(1_000_000)),
    }),
    response: shape<PlayView>({
      awb: Joi.string().required(),
      scenario: Joi.string().required(),
      scans: Joi.number().required(),
      status: Joi.string().required(),
      accepted: Joi.number().required(),
      duplicates: Joi.number().required(),
      unmapped: Joi.number().required(),
    }),
    handle: (_ctx, { params, body }) => playParcel(params.awb, body),
    view: ({ report, ...rest }) => ({ ...rest, ...reportView(report) }),
  }),
];
